# Exercise 13.2: nobody knows any more in which order a network wants its colours. AP tells.
def channel_order(measure):
    """measure: a function of an order, such as (2, 1, 0) for BGR, which gives the AP of pictures in this order.
    Returns the order that the network was trained with, as a tuple."""
    import itertools

    return max(itertools.permutations(range(3)), key=measure)
