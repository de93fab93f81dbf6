# hint: the ratio decides
def limited_by_memory(layers, peak, bandwidth):
    names = [name for name, (flop, moved) in layers.items() if flop < 1e9 and moved > 1e5]
    return sorted(names, key=lambda name: layers[name][1], reverse=True)
