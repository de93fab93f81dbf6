"""Explains an error or a warning: why it comes, and what to do: ``tensorrt-workbook explain "MESSAGE"`` (chapter 08).

Takes what TensorRT, its parser, PyCUDA, PyTorch's exporter and the tools around them print: one line, a whole log
(``explain -`` reads it), or an id such as TRT012. ``explain("…")`` does so in a notebook. Reads helpers/advice.json and
data/messages.json, in which each message stands as somebody posted it. Needs rich for the command line.

>>> explain("Network must have at least one output").known[0].advice.id
'TRT116'
"""

from __future__ import annotations

import argparse
import difflib
import functools
import html
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from ..advice import Advice, advice_for, by_id, subjects

_ROOT = Path(__file__).resolve().parents[2]
LIMIT = 1_000_000  # characters that are read
_LOOKED_AT = 200_000  # characters of those that are compared with the table, about a second
_WIDTH, _PAGE_WIDTH = 160, 320  # characters of a line that are shown
_COLOUR = re.compile(r"\x1b\[[0-9;]{0,20}[A-Za-z]")
_VERBOSE = re.compile(r"\[V\]|\bVERBOSE\b")
_WARNING = re.compile(r"\[W\]|\bWARN(ING)?\b|Warning:")
_OPERATOR = re.compile(
    r'op_type: "(\w{1,60})"|parsing node number \d{1,9} \[(\w{1,60})|registered for op: (\w{1,60})'
    r"|could not find plugin:? (\w{1,60})"
)
_MOST = 5  # operators that are named
_DATE = re.compile(r"^\[\d{2,4}[/-]\d\d[/-]\d{2,4}[- ]\d\d:\d\d:\d\d\] ")
_TELLING = re.compile(r"\[[EFW]\]|error|fail|assert|exception|warning|cannot|could not|not supported", re.IGNORECASE)


class Example(NamedTuple):
    """A ``message`` as it was posted, the id of its ``advice``, and where: ``NVIDIA/TensorRT#2176``."""

    message: str
    advice: str
    thread: str


class Known(NamedTuple):
    """An ``advice``, and the ``line`` that it is about; "" where it was asked for by its id."""

    advice: Advice
    line: str = ""


@dataclass(frozen=True)
class Explanation:
    """What is ``known`` of the lines that were ``asked`` about, each kind once, the most telling first and warnings
    last, else ``similar`` messages; and the ONNX ``operators`` that the lines name. Shows itself in a notebook."""

    asked: str
    known: tuple[Known, ...]
    similar: tuple[Example, ...] = ()
    operators: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(text for _, text in _lines(self))

    def _repr_html_(self) -> str:
        marks = {"title": ("<h4>", "</h4>"), "code": ("<pre>", "</pre>"), "": ("<div>", "</div>")}
        return "".join(f"{marks[style][0]}{html.escape(text)}{marks[style][1]}" for style, text in _lines(self))


def explain(message: str) -> Explanation:
    """Explains a message of one line or many, or the advice of an id, e.g. ``explain("TRT012")``.

    Looks at the first million characters alone. Raises ValueError where ``message`` is empty, and FileNotFoundError
    where the workbook's data is missing.
    """
    message = _COLOUR.sub("", message.strip()[:LIMIT]).strip()
    if not message:
        raise ValueError("explain needs a message, e.g. explain('Network must have at least one output')")
    if re.fullmatch(r"TRT\d{3}", message, re.IGNORECASE):
        try:
            return Explanation(message, (Known(by_id(message.upper())),))
        except KeyError:
            return Explanation(message, ())
    lines = list(_worth_a_look(message.splitlines()))
    known = _known(lines) or _known([" ".join(message.split())])  # a line that was broken where it was pasted
    return Explanation(message, known, () if known else _similar(lines), _operators(lines) if len(lines) > 1 else ())


@functools.cache
def examples() -> tuple[Example, ...]:
    """Returns the messages of data/messages.json. Raises FileNotFoundError where it is missing."""
    entries = json.loads((_ROOT / "data" / "messages.json").read_text(encoding="utf-8"))
    return tuple(Example(entry["message"], entry["advice"], entry["from"]) for entry in entries)


def _worth_a_look(lines: Iterable[str]) -> Iterator[str]:
    """Yields different lines, those that tell of trouble first, as many as may be looked at; none that are verbose."""
    different = [line for line in dict.fromkeys(line.strip() for line in lines) if line and not _VERBOSE.search(line)]
    left = _LOOKED_AT
    for line in sorted(different, key=lambda line: not _TELLING.search(line)):
        if left <= 0:
            return
        yield line[:left]
        left -= len(line) + 20  # a short line costs something, too


def _known(lines: Iterable[str]) -> tuple[Known, ...]:
    found: dict[str, Known] = {}
    for line in lines:
        advice = advice_for(line)
        if advice:
            found.setdefault(advice.id, Known(advice, line))
    in_order = [found[advice.id] for entries in subjects().values() for advice in entries if advice.id in found]
    return tuple(sorted(in_order, key=lambda known: bool(_WARNING.search(known.line))))


def _operators(lines: Iterable[str]) -> tuple[str, ...]:
    named = (next(filter(None, match.groups())) for line in lines for match in _OPERATOR.finditer(line[:1000]))
    return tuple(itertools.islice(dict.fromkeys(named), _MOST))


def _similar(lines: list[str]) -> tuple[Example, ...]:
    by_text = {_essence(example.message): example for example in examples()}
    close = [
        text for line in lines[:5] for text in difflib.get_close_matches(_essence(line), by_text, n=3, cutoff=0.55)
    ]
    return tuple(by_text[text] for text in dict.fromkeys(close))[:3]


def _essence(line: str) -> str:
    """Leaves out of a line what differs from one machine to the next: times, numbers, paths in brackets."""
    return re.sub(r"\[[^\]]{0,80}\]|\d{1,20}", " ", line[:1000].lower()).strip()[:200]


def _lines(answer: Explanation) -> list[tuple[str, str]]:
    """Returns (style, text) for each line; style is "title", "code" or ""."""
    lines = []
    for advice, line in answer.known:
        lines.append(("title", f"{advice.id}  ({_subject(advice)})"))
        lines += [("code", _brief(line))] if line else []
        lines.append(("", f"Cause: {advice.cause}"))
        lines.append(("", f"Cure: {advice.cure}"))
        lines.append(("", f"Chapter: {title(advice.chapter)} (notebooks/{advice.chapter}.ipynb)"))
        threads = dict.fromkeys(example.thread for example in examples() if example.advice == advice.id)
        lines += [("", f"Met in: {', '.join(threads)}")] if threads else []
    if answer.known and answer.operators:
        named = ", ".join(answer.operators)
        lines.append(("", f"The log names: {named} (tensorrt-workbook check MODEL.onnx judges each operator)"))
    if not answer.known:
        lines.append(("title", f"not known: {_brief(answer.asked)}"))
        lines.append(("", "These look like it:" if answer.similar else "Nothing that we know looks like it."))
        lines += [("", f"{example.advice}  {_brief(example.message)}") for example in answer.similar]
    return lines


def _brief(text: str, width: int = _WIDTH) -> str:
    """Returns what is seen of a text in one line: no control characters, and no more than ``width``."""
    shown = "".join(character if character.isprintable() else " " for character in text[: width + 1])
    return f"{shown[: width - 1]}…" if len(shown) > width else shown


def _subject(advice: Advice) -> str:
    return next(subject for subject, entries in subjects().items() if advice in entries)


def title(chapter: str) -> str:
    """Returns the heading of a chapter, "06 Serialization"; where the notebooks are not there, what its name tells."""
    try:
        with (_ROOT / "notebooks" / f"{chapter}.ipynb").open(encoding="utf-8") as file:
            heading = re.search(r'"# (\d\d) · ([^"\\]+)', file.read(5000))
    except OSError:
        heading = None
    return f"{heading[1]} {heading[2]}" if heading else chapter.replace("_", " ")


def markdown() -> str:
    """Returns the index of all messages as a page: notebooks/messages.md, which a test compares with it."""
    parts = [
        "# Messages, and what to do about them\n\n"
        f"What {len(examples())} posted errors and warnings mean: those of TensorRT, its ONNX parser, PyCUDA,\n"
        "PyTorch's exporter and the tools around them. "
        '`tensorrt-workbook explain "MESSAGE"` searches this page, and\n'
        "`tensorrt-workbook explain -` a whole log. The ids stay: `check` and the errors of the helpers name them.\n\n"
        "(Made by `python -m helpers.commands.explain --markdown` from `helpers/advice.json` and "
        "`data/messages.json`.)\n\n"
    ]
    parts += [f"- [{subject}](#{_anchor(subject)})\n" for subject in subjects()]
    for subject, entries in subjects().items():
        parts.append(f"\n## {subject}\n")
        parts += map(_section, entries)
    return "".join(parts)


def _section(advice: Advice) -> str:
    own = [example for example in examples() if example.advice == advice.id]
    said = "".join(f"{_brief(_DATE.sub('', example.message), _PAGE_WIDTH)}\n" for example in own)
    threads = dict.fromkeys(example.thread for example in own)
    links = ", ".join(f"[{thread}](https://github.com/{thread.replace('#', '/issues/')})" for thread in threads)
    return (
        f"\n### {advice.id}\n\n"
        + (f"```text\n{said}```\n\n" if own else "")
        + f"**Cause:** {_plain(advice.cause)}\n\n**Cure:** {_plain(advice.cure)}\n\n"
        + f"**Chapter:** [{title(advice.chapter)}]({advice.chapter}.ipynb)"
        + (f" · **Met in:** {links}\n" if own else "\n")
    )


def _anchor(heading: str) -> str:
    return re.sub("[^a-z-]", "", heading.lower().replace(" ", "-"))


def _plain(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>])", r"\\\1", text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``tensorrt-workbook explain``."""
    parser.description = (
        "Says what an error or a warning of TensorRT and the tools around it means, and what to do about it. The exit "
        "status is 0 if something of it is known, 1 if only similar messages are, 2 if there is nothing similar either."
    )
    parser.add_argument(
        "message", nargs="*", metavar="MESSAGE", help="the message, an id such as TRT012, or - for stdin"
    )
    parser.add_argument("--list", action="store_true", help="show all that is known")
    parser.add_argument("--markdown", action="store_true", help="print all of it as a page: notebooks/messages.md")


def run(arguments: argparse.Namespace) -> int:
    """Prints what is known of a message. Returns 0 if something is, 1 if only similar ones are, 2 if nothing is."""
    from rich.console import Console
    from rich.text import Text

    if arguments.markdown:
        print(end=markdown())
        return 0
    console = Console(highlight=False)
    if arguments.list:
        for subject, entries in subjects().items():
            console.print(Text(f"\n{subject}", "bold"))
            for advice in entries:
                console.print(Text(f"{advice.id}  {advice.cause}"))
        return 0
    message = _read_stdin() if arguments.message == ["-"] else " ".join(arguments.message)
    if not message.strip():
        print("say which message, or - to read it from standard input", file=sys.stderr)
        return 2
    answer = explain(message)
    for number, (style, text) in enumerate(_lines(answer)):
        if number and style == "title":
            console.print()
        console.print(Text(text, {"title": "bold", "code": "cyan"}.get(style, "")), soft_wrap=style == "code")
    return 0 if answer.known else 1 if answer.similar else 2


def _read_stdin() -> str:
    text = sys.stdin.buffer.read(4 * LIMIT).decode("utf-8", errors="replace") if sys.stdin else ""
    if len(text) > LIMIT:
        print(f"only the first {LIMIT:,} characters are looked at", file=sys.stderr)
    return text


if __name__ == "__main__":
    from . import program

    sys.exit(program(["explain", *sys.argv[1:]]))
