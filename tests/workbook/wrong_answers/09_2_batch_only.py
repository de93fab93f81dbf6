# hint: every dimension has to fit
def choose(profiles, shape):
    fitting = [(p[2][0], i) for i, p in enumerate(profiles) if p[0][0] <= shape[0] <= p[2][0]]
    if not fitting:
        raise ValueError(f"no profile allows {shape}")
    return min(fitting)[1]
