# Exercise 10.3: which weights would FP16 spoil?
def spoilt(weights):
    """weights: float32 arrays by name. Returns the sorted names of those that hold a number which becomes infinite in
    FP16, or becomes zero although it was not."""
    names = []
    for name, array in weights.items():
        with np.errstate(over="ignore", under="ignore"):
            half = array.astype(np.float16)
        if np.isinf(half).any() or ((half == 0) & (array != 0)).any():
            names.append(name)
    return sorted(names)
