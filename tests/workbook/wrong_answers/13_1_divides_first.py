# hint: subtract it first
def to_original(boxes, picture_size, size):
    height, width = picture_size
    scale = min(size[0] / height, size[1] / width)
    left, above = (size[1] - width * scale) / 2, (size[0] - height * scale) / 2
    return np.clip(boxes / scale - [left, above, left, above], 0, [width, height, width, height])
