# hint: np.abs makes far boxes overlap|clip the sides at 0
def careful_nms(boxes, scores, limit=0.5):
    order, stay = np.argsort(-scores, kind="stable"), []
    area = (boxes[:, 2:] - boxes[:, :2]).prod(1)
    while len(order):
        best, order = order[0], order[1:]
        stay.append(int(best))
        sides = np.minimum(boxes[best, 2:], boxes[order, 2:]) - np.maximum(boxes[best, :2], boxes[order, :2])
        shared = np.abs(sides).prod(1)
        order = order[shared <= limit * (area[best] + area[order] - shared)]
    return stay
