# hint: ask measure
def channel_order(measure):
    return (0, 1, 2)
