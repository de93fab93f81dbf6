# hint: smallest max batch
def choose(profiles, shape):
    for number, (low, _, high) in enumerate(profiles):
        if all(a <= n <= b for a, n, b in zip(low, shape, high)):
            return number
    raise ValueError(f"no profile allows {shape}")
