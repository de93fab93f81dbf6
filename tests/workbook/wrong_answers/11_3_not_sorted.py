# hint: longest first
def limited_by_memory(layers, peak, bandwidth):
    return sorted(name for name, (flop, moved) in layers.items() if moved / bandwidth > flop / peak)[::-1]
