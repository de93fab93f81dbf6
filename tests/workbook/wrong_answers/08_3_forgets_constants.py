# hint: 'constant' counts as built
def hopeless(kinds, operators, release):
    return sorted(kind for kind in kinds if "built" not in operators.get(kind, {}).get(release, {}))
