# hint: padding above
def to_original(boxes, picture_size, size):
    scale = min(size[0] / picture_size[0], size[1] / picture_size[1])
    height, width = picture_size
    return np.clip(boxes / scale, 0, [width, height, width, height])
