# hint: 1e-9 becomes 0
def spoilt(weights):
    return sorted(name for name, array in weights.items() if np.isinf(array.astype(np.float16)).any())
