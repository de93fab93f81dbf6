# Exercise 11.3: the layers that memory limits, not arithmetic.
def limited_by_memory(layers, peak, bandwidth):
    """layers: {name: (FLOP, bytes)}. Returns the names of those below the ridge of the roofline, longest first."""
    names = [name for name, (flop, moved) in layers.items() if moved / bandwidth > flop / peak]
    return sorted(names, key=lambda name: layers[name][1], reverse=True)
