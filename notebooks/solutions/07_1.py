# Exercise 07.1: from uint8 pictures (N, 28, 28), or a single one (28, 28), to what the engine reads.
def preprocess(pixels):
    """Returns float32 (N, 1, 28, 28) from 0 to 1, contiguous."""
    return np.ascontiguousarray(pixels.reshape(-1, 1, 28, 28).astype(np.float32) / 255)
