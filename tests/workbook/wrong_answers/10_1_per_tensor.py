# hint: all axes but the first
def channel_scales(weight):
    return np.abs(weight).max() / 127
