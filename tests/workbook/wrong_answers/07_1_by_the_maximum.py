# hint: the largest that a byte can be
def preprocess(pixels):
    return np.ascontiguousarray(pixels.reshape(-1, 1, 28, 28).astype(np.float32) / pixels.max())
