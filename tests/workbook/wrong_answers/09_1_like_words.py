# hint: compares them like words
def profile_for(shapes):
    return min(shapes), max(set(shapes), key=shapes.count), max(shapes)
