# hint: instead of comparing with limits
def spoilt(weights):
    def bad(array):
        size = np.abs(array[array != 0])
        return (size > 65504).any() or (size < 6.1e-5).any()

    return sorted(name for name, array in weights.items() if bad(array))
