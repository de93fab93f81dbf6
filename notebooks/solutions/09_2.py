# Exercise 09.2: the number of the profile to use for a shape.
def choose(profiles, shape):
    """profiles: a list of (min, opt, max). Of those that allow the shape, the one with the smallest max batch.

    Raises ValueError, with the shape in its text, if none does."""
    fitting = []
    for number, (low, _, high) in enumerate(profiles):
        if all(a <= n <= b for a, n, b in zip(low, shape, high)):
            fitting.append((high[0], number))
    if not fitting:
        raise ValueError(f"no profile allows {shape}")
    return min(fitting)[1]
