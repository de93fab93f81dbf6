# hint: keep the order of the pixels
def preprocess(pixels):
    pixels = pixels.reshape(-1, 1, 28, 28)
    return np.repeat(pixels[:1], len(pixels), axis=0).astype(np.float32) / 255
