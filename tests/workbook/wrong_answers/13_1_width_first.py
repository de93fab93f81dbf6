# hint: picture_size is (height, width)
def to_original(boxes, picture_size, size):
    width, height = picture_size
    scale = min(size[0] / height, size[1] / width)
    left, above = (size[1] - width * scale) / 2, (size[0] - height * scale) / 2
    return np.clip((boxes - [left, above, left, above]) / scale, 0, [400, 200, 400, 200])
