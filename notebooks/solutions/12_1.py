# Exercise 12.1: was a name there in a certain release?
import re


def lived_in(release, came, gone):
    """release, came, gone: such as "10.0.1". came may be "<=5.1.5": there in the oldest that was looked at.
    gone: the first release without the name, "" if it is still there. Returns True or False."""
    release, came, gone = ([int(part) for part in re.findall(r"\d+", text)] for text in (release, came, gone))
    return came <= release and (not gone or release < gone)
