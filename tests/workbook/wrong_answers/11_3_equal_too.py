# hint: only where bytes take longer
def limited_by_memory(layers, peak, bandwidth):
    names = [name for name, (flop, moved) in layers.items() if moved / bandwidth >= flop / peak]
    return sorted(names, key=lambda name: layers[name][1], reverse=True)
