# hint: opt is the most frequent shape
from collections import Counter


def profile_for(shapes):
    dimensions = list(zip(*shapes))
    often = tuple(Counter(sizes).most_common(1)[0][0] for sizes in dimensions)
    return tuple(map(min, dimensions)), often, tuple(map(max, dimensions))
