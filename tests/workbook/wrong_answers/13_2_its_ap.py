# hint: the order, and not its AP
def channel_order(measure):
    import itertools

    return max(measure(order) for order in itertools.permutations(range(3)))
