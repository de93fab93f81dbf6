# hint: divide by the scale
def to_int8(x, scale):
    return np.clip(np.rint(x * scale), -128, 127).astype(np.int8)
