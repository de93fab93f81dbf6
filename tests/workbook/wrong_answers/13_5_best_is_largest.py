# hint: best for single pictures
def two_profiles(sizes, largest):
    return [{"images": [(batch, 3, *size) for batch in (1, largest, largest)]} for size in sizes]
