# hint: operators.get(kind, {})
def hopeless(kinds, operators, release):
    found = []
    for kind in kinds:
        counts = operators.get(kind, {}).get(release)
        if counts and not counts.get("built") and not counts.get("constant"):
            found.append(kind)
    return sorted(found)
