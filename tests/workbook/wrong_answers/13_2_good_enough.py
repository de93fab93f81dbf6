# hint: the best of all six
def channel_order(measure):
    import itertools

    return next(order for order in itertools.permutations(range(3)) if measure(order) > 0.5)
