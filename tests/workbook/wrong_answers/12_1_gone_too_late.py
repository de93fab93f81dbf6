# hint: the first release without
def lived_in(release, came, gone):
    def number(text):
        return [int(part) for part in text.strip("<=").split(".")]

    return number(came) <= number(release) and (not gone or number(release) <= number(gone))
