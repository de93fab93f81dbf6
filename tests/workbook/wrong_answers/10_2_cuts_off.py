# hint: which cuts off
def to_int8(x, scale):
    return np.clip(x / scale, -128, 127).astype(np.int8)
