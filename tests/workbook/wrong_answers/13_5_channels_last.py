# hint: channels come first
def two_profiles(sizes, largest):
    return [{"images": [(batch, *size, 3) for batch in (1, 1, largest)]} for size in sizes]
