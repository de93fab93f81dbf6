# hint: a tall picture
def to_original(boxes, picture_size, size):
    height, width = picture_size
    scale = min(size[0] / height, size[1] / width)
    above = (size[0] - height * scale) / 2
    return np.clip((boxes - [0, above, 0, above]) / scale, 0, [width, height, width, height])
