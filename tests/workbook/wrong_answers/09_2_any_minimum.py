# hint: every number from min to max has to fit
def choose(profiles, shape):
    fits = [i for i, (_, _, high) in enumerate(profiles) if all(s <= h for s, h in zip(shape, high))]
    if not fits:
        raise ValueError(f"no profile takes {shape}")
    return min(fits, key=lambda i: profiles[i][2][0])
