# hint: largest AP
def channel_order(measure):
    import itertools

    return min(itertools.permutations(range(3)), key=measure)
