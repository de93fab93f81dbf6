"""Takes out of a notebook's cell what only notebooks have: magics and lines for a shell (chapter 12).

Standard library only.
"""

from __future__ import annotations

import re

_OTHER_LANGUAGE = re.compile(
    r"\s*%%(bash|sh|html|javascript|js|latex|markdown|script|svg|writefile|cmd|perl|ruby|file)\b"
)
# At the beginning of a statement, without its indent, where Python never has any of this.
_MAGIC = re.compile(r"[%!?]|[\w.]+\s*\?|[\w., ]+=\s*[%!]")
_TIMED = re.compile(r"(?:[\w., ]+=\s*)?%time(?:it)?\s+(?:-\w+(?:\s+\d+)?\s+)*")
# What opens and closes something in a line of code, and in a string the end of it.
_CODE = re.compile(r"#.*|\"\"\"|\'\'\'|[\"'()\[\]{}]|\\$")
_STRING = {quote: re.compile(rf"\\.|\\$|{quote}") for quote in ('"""', "'''", '"', "'")}
_SHELL = re.compile(r"\s*%%(bash|sh|cmd|script|writefile)\b")  # cells with lines of a shell in them, or a file of such


def without_magics(source: str) -> tuple[str, dict[int, str]]:
    """Returns a notebook's cell as Python, and the magics and shell lines that were in it, by the number of the line.

    What ``%time`` runs stays, and lines keep their numbers. A line is taken for a magic only where a statement begins:
    ``% a`` may also go on with an expression from the line above, or stand in a string. A cell in another language is
    no Python at all.

    >>> without_magics("%time x = 1\\n!ls\\ny = 2  # enough?")
    ('x = 1\\npass\\ny = 2  # enough?', {2: '!ls'})
    """
    if _OTHER_LANGUAGE.match(source):
        return "", {1: source} if _SHELL.match(source) else {}
    taken: dict[int, list[str]] = {}
    first = 0  # the line in which the magic begins that goes on
    lines = re.sub(r"\A(\s*)%%[^\n]*", r"\1", source).split("\n")
    quote, depth, goes_on, magic = "", 0, False, None  # magic: the indent of one, until its last line
    for at, line in enumerate(lines):
        if magic is None and not (quote or depth or goes_on):
            code = line.lstrip()
            indent = line[: len(line) - len(code)]
            if timed := _TIMED.match(code):
                code = code[timed.end() :]
                lines[at] = line = indent + code
            magic, first = indent if _MAGIC.match(code) else None, at + 1
        if magic is None:
            quote, depth, goes_on = _open(line, quote, depth)
        else:
            taken.setdefault(first, []).append(line)
            lines[at] = f"{magic}pass"
            magic = magic if line.endswith("\\") else None
    return "\n".join(lines), {number: "\n".join(lines) for number, lines in taken.items()}


def _open(line: str, quote: str, depth: int) -> tuple[str, int, bool]:
    """Follows a line, before which the string that ``quote`` began is open ("" for none), and ``depth`` brackets.

    Returns both for the end of the line, and whether a backslash continues it."""
    at, goes_on = 0, False
    while found := (_STRING[quote] if quote else _CODE).search(line, at):
        at, text = found.end(), found[0]
        if quote:
            quote = "" if text == quote else quote
        elif text in _STRING:
            quote = text
        else:
            depth = max(0, depth + (text in "([{") - (text in ")]}"))
        goes_on = text == "\\"
    return quote if goes_on or len(quote) == 3 else "", depth, goes_on
