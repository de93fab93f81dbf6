# Exercise 08.3: ask the atlas which operators are hopeless.
def hopeless(kinds, operators, release):
    """kinds: types of operators. operators: counts by kind and release, {"Det": {"TensorRT 9": {"refused": 2}}}.

    Returns the sorted kinds of which that release built no case, not even with constant inputs,
    and those that it was never measured with."""
    found = []
    for kind in kinds:
        counts = operators.get(kind, {}).get(release, {})
        if not counts.get("built") and not counts.get("constant"):
            found.append(kind)
    return sorted(found)
