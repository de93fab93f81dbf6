# hint: height comes before width
def two_profiles(sizes, largest):
    return [{"images": [(batch, 3, width, height) for batch in (1, 1, largest)]} for height, width in sizes]
