# hint: x / 0 follows later
def channel_scales(weight):
    return np.abs(weight).max(axis=(1, 2, 3)) / 127
