# hint: opt is the most frequent shape
def profile_for(shapes):
    low, high = (tuple(map(limit, zip(*shapes))) for limit in (min, max))
    return low, tuple((a + b) // 2 for a, b in zip(low, high)), high
