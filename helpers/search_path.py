"""Takes the current folder off Python's search path: what lies beside a model is data, and never code (chapter 08).

It imports only what every Python has loaded before it looks into any folder, because it is what makes imports safe.

>>> elsewhere(["/no/such/folder"])
['/no/such/folder']
"""

import os


def elsewhere(entries: list[str]) -> list[str]:
    """Returns the entries of ``sys.path`` that are not the current folder, as "", by name, or through a link.

    Returns all of them where this module's own package lies right in the current folder: that is your own then.
    """
    home = os.path.abspath(__file__)
    for _ in __name__.split("."):
        home = os.path.dirname(home)
    return entries if _is_here(home) else [entry for entry in entries if not _is_here(entry)]


def _is_here(folder: str) -> bool:
    try:
        return os.path.samefile(folder or os.curdir, os.curdir)
    except OSError:  # it is not there, so nothing is imported from it
        return False
