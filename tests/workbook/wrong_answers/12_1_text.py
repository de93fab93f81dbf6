# hint: compare tuples of integers
def lived_in(release, came, gone):
    return came.strip("<=") <= release and (not gone or release < gone)
