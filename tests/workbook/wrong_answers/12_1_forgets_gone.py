# hint: it was gone by then
def lived_in(release, came, gone):
    return [int(p) for p in came.strip("<=").split(".")] <= [int(p) for p in release.split(".")]
