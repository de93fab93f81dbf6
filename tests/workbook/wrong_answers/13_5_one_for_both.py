# hint: one range for both sizes
def two_profiles(sizes, largest):
    (a, b), (c, d) = sizes
    low, high = (1, 3, min(a, c), min(b, d)), (largest, 3, max(a, c), max(b, d))
    return [{"images": (low, low, high)}]
