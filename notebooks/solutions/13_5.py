# Exercise 13.5: one plan for two sizes of pictures.
def two_profiles(sizes, largest):
    """sizes: two sizes of the input "images", (height, width); largest: the largest batch.
    Returns two optimization profiles, one for each size: batches from 1 to largest, best for 1, and no other size."""
    ranges = [[(batch, 3, *size) for batch in (1, 1, largest)] for size in sizes]
    return [{"images": tuple(shapes)} for shapes in ranges]
