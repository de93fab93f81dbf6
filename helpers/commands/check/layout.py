"""Lays out tables and paragraphs as text of some width, in which no name is broken, and as HTML (chapter 08).

Standard library only.

>>> paragraph("error: ", "Conv 'a' has no kernel", 20)
["error: Conv 'a' has", '  no kernel']
"""

from __future__ import annotations

import html
import re
import textwrap
import unicodedata
from collections.abc import Iterator, Sequence

MOST_ROWS, MOST_CHARACTERS = 100, 500  # of a table, and of a cell
WIDEST = 40  # columns of text that a cell takes; a longer one stands out of its row, and moves no other row
MORE = "; the JSON has them"  # after how many more there are
SHAPE = re.compile(r"\([^\s()]+,(?: [^\s()]+,?){0,7}\)")  # is not broken either
NO_BREAK = "\N{NO-BREAK SPACE}"


def plain(text: str) -> str:
    """Makes a text safe to print: names in a model may hold escape sequences of terminals, or half characters."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def escape(text: str) -> str:
    """Makes a text safe for HTML."""
    return html.escape(plain(text))


def paragraph(begin: str, text: str, width: int, indent: str = "  ") -> list[str]:
    """Returns lines of at most ``width`` characters, all after the first with an ``indent``. They break at spaces only:
    a name that is longer stays whole."""
    text = SHAPE.sub(lambda shape: shape[0].replace(" ", NO_BREAK), plain(text))
    wrapper = textwrap.TextWrapper(width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
    lines: list[str] = []
    for line in text.splitlines() or [""]:
        wrapper.initial_indent = indent if lines else begin
        lines += wrapper.wrap(line)
    return [line.replace(NO_BREAK, " ") for line in lines or [begin.rstrip()]]


def table(headings: Sequence[str], rows: Sequence[Sequence[str]], width: int) -> Iterator[str]:
    """Yields the lines of a table. What is too wide for its row goes below it: the last columns, or one cell of the
    last one."""
    cells = [[plain(cell).replace("\n", " ") for cell in row] for row in [headings, *_shown(rows)]]
    widths = [
        max(w for row in cells if (w := _columns(row[i])) <= WIDEST or row is cells[0]) for i in range(len(headings))
    ]
    widths[-1] = _columns(cells[0][-1])
    fit = max(n for n in range(1, len(widths) + 1) if n == 1 or sum(widths[:n]) + 2 * (n - 1) <= width)
    yield _line(cells[0][:fit], widths)
    for row in cells[1:]:
        last, least = fit, min(2, len(row) - 1)
        while last > least and _columns(_line(row[:last], widths)) > width:
            last -= 1
        begin = _line(row[:last], widths)
        if last == 1 < len(row) == 2 and _columns(begin) <= widths[0] <= width // 2:  # there is room for its words
            yield from paragraph(begin.ljust(widths[0] + 2), row[1], width, " " * (widths[0] + 2))
            continue
        yield begin
        below = [f"{heading}: {cell}" for heading, cell in zip(cells[0][last:], row[last:], strict=True) if cell]
        yield from paragraph("    ", "; ".join(below), width, "    ") if below else ()


def table_html(title: str, headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table of HTML, with its title as the caption."""
    head = "".join(f'<th scope="col">{escape(heading)}</th>' for heading in headings)
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in _shown(rows))
    return f"<table><caption>{escape(title)}</caption><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def _shown(rows: Sequence[Sequence[str]]) -> list[Sequence[str]]:
    """Returns the rows that are worth showing, and one that says how many there are besides."""
    shown: list[Sequence[str]] = [
        [cell if len(cell) <= MOST_CHARACTERS else cell[:MOST_CHARACTERS] + "…" for cell in row]
        for row in rows[:MOST_ROWS]
    ]
    if len(rows) > MOST_ROWS:
        shown.append([f"… and {len(rows) - MOST_ROWS:,} more{MORE}"] + [""] * (len(rows[0]) - 1))
    return shown


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (cell + " " * (width - _columns(cell)) for cell, width in zip(cells, widths, strict=False))
    return "  ".join(padded).rstrip()


def _columns(text: str) -> int:
    """Counts the columns that a text takes on a terminal: two for most characters of Chinese and Japanese."""
    return len(text) + sum(unicodedata.east_asian_width(c) in "WF" for c in text if not c.isascii())
