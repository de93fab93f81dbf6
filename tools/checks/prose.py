"""What is read in every chapter, checked without running it: headings, words, pictures, links. See check_cells.py."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

import nbformat

PROSE_WORDS = 130  # between two code cells, without tables, the recap and what is folded away


def _read(path: Path) -> nbformat.NotebookNode:
    return nbformat.read(path, 4)


class _Html(HTMLParser):
    """The tags of a text, and its words outside tags, <details> and code blocks."""

    def __init__(self, text: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.words: list[str] = []
        self.hidden = 0
        self.feed(text)
        self.close()

    def handle_starttag(self, tag, attrs):
        self.tags.append((tag, dict(attrs)))
        self.hidden += tag in ("details", "style", "pre")

    def handle_endtag(self, tag):
        self.hidden -= tag in ("details", "style", "pre")

    def handle_data(self, data):
        if not self.hidden:
            self.words += data.split()


def _prose(source: str) -> str:
    """Markdown without fenced blocks and without code in backticks, which may look like tags, headings or links."""
    source = re.sub(r"^(```+|~~~+).*?^\1[ \t]*$", "", source, flags=re.MULTILINE | re.DOTALL)
    return re.sub(r"`[^`\n]*`", "`code`", source)


def _markdown(path: Path) -> Iterator[str]:
    return (_prose(cell.source) for cell in _read(path).cells if cell.cell_type == "markdown")


def headings(path: Path) -> list[str]:
    """One H1, at the top, and no level left out below."""
    found = re.findall(r"^(#{1,6})\s+(.+)|<h([1-6])\b[^>]*>(.*?)</h", "\n\n".join(_markdown(path)), re.M | re.I)
    levels = [(len(marks) or int(digit), title or html) for marks, title, digit, html in found]
    problems = []
    if [level for level, _ in levels].count(1) != 1 or levels[0][0] != 1:
        problems.append("there has to be one H1, before all other headings")
    for (before, _), (after, title) in zip(levels, levels[1:], strict=False):
        if after > before + 1:
            problems.append(f"heading {title!r} skips a level: {after} after {before}")
    return problems


def prose_lengths(path: Path) -> list[str]:
    """Few words stand between two code cells."""
    problems, words, number = [], None, 0
    for cell in _read(path).cells:
        if cell.cell_type == "code":
            number += 1
            if words and words > PROSE_WORDS:
                problems.append(f"{words} words stand before code cell {number}, more than {PROSE_WORDS}")
            words = 0
        elif cell.cell_type == "markdown" and words is not None:
            text = re.sub(r"^## Recap$.*?(?=^#|\Z)", "", _prose(cell.source), flags=re.MULTILINE | re.DOTALL)
            text = re.sub(r"^\|.*$", "", text, flags=re.MULTILINE)
            text = re.sub(r"\]\([^)]*\)", "]", text)
            words += len([word for word in _Html(text).words if re.search(r"\w", word)])
    return problems


def figures(path: Path) -> list[str]:
    """Every picture has a text alternative, those in outputs too."""
    problems = []
    for number, cell in enumerate(_read(path).cells, 1):
        texts = [_prose(cell.source)] if cell.cell_type == "markdown" else []
        for output in cell.get("outputs", []):
            data = output.get("data", {})
            texts.append(data.get("text/html", ""))
            if "text/html" not in data and any(kind.startswith("image/") for kind in data):
                problems.append(f"cell {number} stores a bare picture: helpers.workbook.figures.show gives it a text")
        for text in texts:
            tags = [attributes for tag, attributes in _Html(text).tags if tag == "img"]
            if any(not (attributes.get("alt") or "").strip() for attributes in tags) or "![](" in text:
                problems.append(f"cell {number} has a picture without a text alternative")
    return problems


def links(path: Path) -> list[str]:
    """Links to files and headings lead somewhere. What is on the net is not asked."""
    problems = []
    for source in _markdown(path):
        targets = re.findall(r"\]\(\s*<?([^)\s>]+)", source)
        targets += [a.get("href") or a.get("src") or "" for _, a in _Html(source).tags if "href" in a or "src" in a]
        for target in targets:
            parts = urlsplit(target)
            if parts.scheme or parts.netloc:
                continue
            file = path.parent / unquote(parts.path) if parts.path else path
            if not file.exists():
                problems.append(f"link to {target!r}: there is no such file")
            elif parts.fragment and file.suffix == ".ipynb" and unquote(parts.fragment) not in _anchors(file):
                problems.append(f"link to {target!r}: there is no such heading")
    return problems


def _anchors(path: Path) -> set[str]:
    """The ids that JupyterLab gives to headings: their text with hyphens for spaces."""
    sources = [cell.source for cell in _read(path).cells if cell.cell_type == "markdown"]
    titles = [title for source in sources for title in re.findall(r"^#{1,6}\s+(.+?)\s*$", source, re.MULTILINE)]
    return {re.sub(r"[`*]", "", title).replace(" ", "-") for title in titles}


CHECKS = [headings, prose_lengths, figures, links]
