# hint: still has to go
def careful_nms(boxes, scores, limit=0.5):
    return np.argsort(-scores).tolist()
