# hint: a single built case
def hopeless(kinds, operators, release):
    return sorted(kind for kind in kinds if "refused" in operators.get(kind, {}).get(release, {"refused": 1}))
