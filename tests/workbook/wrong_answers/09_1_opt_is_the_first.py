# hint: opt is the most frequent shape
def profile_for(shapes):
    low = tuple(min(sizes) for sizes in zip(*shapes))
    high = tuple(max(sizes) for sizes in zip(*shapes))
    return low, shapes[0], high
