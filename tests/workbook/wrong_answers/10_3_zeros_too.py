# hint: the original is not 0
def spoilt(weights):
    halves = {name: array.astype(np.float16) for name, array in weights.items()}
    return sorted(name for name, half in halves.items() if np.isinf(half).any() or (half == 0).any())
