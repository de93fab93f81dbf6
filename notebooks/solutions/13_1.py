# Exercise 13.1: other YOLOs put the picture into the middle of the square. Bring their boxes back.
def to_original(boxes, picture_size, size):
    """boxes: float (N, 4), left, top, right, bottom, in pixels of the square. picture_size, size: (height, width) of the
    picture and of the square, into which it was scaled, with equal padding left and right, above and below.
    Returns float (N, 4) in pixels of the picture, and not beyond its edges."""
    (height, width), (square_height, square_width) = picture_size, size
    scale = min(square_height / height, square_width / width)
    left, above = (square_width - width * scale) / 2, (square_height - height * scale) / 2
    moved = (np.asarray(boxes) - [left, above, left, above]) / scale
    return np.clip(moved, 0, [width, height, width, height])
