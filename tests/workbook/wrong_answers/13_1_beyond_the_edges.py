# hint: np.clip
def to_original(boxes, picture_size, size):
    height, width = picture_size
    scale = min(size[0] / height, size[1] / width)
    left, above = (size[1] - width * scale) / 2, (size[0] - height * scale) / 2
    return (boxes - [left, above, left, above]) / scale
