# Exercise 09.1: a profile that fits the traffic of a day.
def profile_for(shapes):
    """shapes: what came in, as tuples of one length. Returns (min, opt, max); opt is the most frequent shape."""
    from collections import Counter

    dimensions = list(zip(*shapes))
    ((best, _),) = Counter(shapes).most_common(1)
    return tuple(map(min, dimensions)), best, tuple(map(max, dimensions))
