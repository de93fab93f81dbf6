# hint: single pictures are allowed
def two_profiles(sizes, largest):
    return [{"images": [(largest, 3, *size)] * 3} for size in sizes]
