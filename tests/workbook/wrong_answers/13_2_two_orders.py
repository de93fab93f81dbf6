# hint: there are six orders
def channel_order(measure):
    return max([(0, 1, 2), (2, 1, 0)], key=measure)
