"""Looks up a name from an old tutorial: what it was, when it lived, and what it is called today (chapter 12).

``tensorrt-workbook whatis NAME``, and ``whatis("max_workspace_size")`` in a notebook. Takes C++ and Python spellings
alike, and names around TensorRT: standard plugins, flags of trtexec, PyCUDA. Needs rich for the command line.

>>> print(whatis("getNbBindings").names[0].went)
10.0.0
"""

from __future__ import annotations

import argparse
import html
import re
import sys
from dataclasses import dataclass

from .api_names import Name, close, find
from .other_names import PLUGIN, Other, close_other, find_other


@dataclass(frozen=True)
class Answer:
    """The answer to ``asked``: the ``names`` of the API that it may mean, and ``others``, else ``similar`` names.

    Shows itself in a notebook.
    """

    asked: str
    names: tuple[Name, ...]
    similar: tuple[str, ...] = ()
    others: tuple[Other, ...] = ()  # plugins, flags of trtexec, PyCUDA

    @property
    def found(self) -> bool:
        """True where the name is known."""
        return bool(self.names or self.others)

    def __str__(self) -> str:
        return "\n".join(text for _, text in _lines(self))

    def _repr_html_(self) -> str:
        marks = {"title": ("<h4>", "</h4>"), "code": ("<pre>", "</pre>"), "": ("<div>", "</div>")}
        return "".join(f"{marks[style][0]}{html.escape(text)}{marks[style][1]}" for style, text in _lines(self))


def whatis(name: str) -> Answer:
    """Looks a name up, e.g. ``buildEngineWithConfig``, ``nvinfer1::ILogger``, ``--workspace`` or ``cuda.mem_alloc``.

    Raises ValueError where ``name`` is empty, and FileNotFoundError where the workbook's data is missing.

    >>> whatis("getNbBindings").names[0].use
    'engine.num_io_tensors'
    """
    if not name.strip():
        raise ValueError("whatis needs a name, e.g. whatis('max_workspace_size')")
    flag = name.lstrip().startswith("--")  # never a name of the API
    found, others = [] if flag else find(name), find_other(name)
    if others and re.match(r"\s*(pycuda|cuda|drv|driver)\.", name):  # as PyCUDA's module is called when imported
        found = []
    similar = [] if found or others else [*([] if flag else close(name)), *close_other(name)]
    return Answer(name, tuple(found), tuple(dict.fromkeys(similar)), tuple(others))


def _lines(answer: Answer) -> list[tuple[str, str]]:
    """Returns (style, text) for each line; style is "title", "code" or ""."""
    if not answer.found:
        similar = f"Did you mean: {', '.join(answer.similar)}?" if answer.similar else "Nothing looks like it either."
        return [("title", f"{answer.asked}: not a name that we know, of TensorRT or around it"), ("", similar)]
    lines, told = [], set()
    entries: list[Name | Other] = [*answer.names, *answer.others]
    for entry in entries:
        lines.append(("title", f"{entry.name}  ({entry.kind})"))
        lines += [("", line) for line in (lifetime(entry) if isinstance(entry, Name) else _span(entry))]
        if entry.use:
            lines.append(("", f"{_label(entry)}: {entry.use}"))
        if entry.advice and (entry.advice, entry.code) not in told:
            told.add((entry.advice, entry.code))
            lines.append(("", entry.advice))
            lines += [("code", "\n".join(f"    {line}" for line in entry.code))] if entry.code else []
        if isinstance(entry, Name):
            lines += [("", f"That code works in: {entry.works}.")] if entry.works else []
            lines += [("", f"Where this is from: {entry.evidence}.")] if entry.evidence else []
    return lines


def _label(entry: Name | Other) -> str:
    """Says what ``entry.use`` is: what to write today, or what is better or the same elsewhere."""
    if entry.kind == "C++ only" and not entry.gone:
        return "In Python"
    return "Today" if entry.gone or isinstance(entry, Other) else "Better"


def _span(other: Other) -> list[str]:
    """Says when a plugin or a flag came, was deprecated and went."""
    if not other.lived[0]:
        return []
    where = "libnvinfer_plugin of the full TensorRT" if other.kind == PLUGIN else "trtexec"
    return [f"{where}: {_history(*other.lived)}"]


def lifetime(entry: Name) -> list[str]:
    """Says when a name came, was deprecated and went: a line for Python, then one for each C++ spelling."""
    lines = []
    if entry.kind == "C++ only" or "::" in entry.name:
        lines.append("Python: no name of its own")
    else:
        came, deprecated, gone = entry.lived
        modules = f"found in {', '.join(entry.releases)}" if entry.releases else "not in 8.6 or later"
        history = _history(came, deprecated, gone or entry.went if entry.gone else gone)
        lines.append(f"Python: {entry.name}: {', '.join(filter(None, [history, modules]))}")
    for spelling, lived in entry.cpp.items():
        lines.append(f"C++: {': '.join(filter(None, [spelling, _history(*lived)]))}")
    return lines


def _history(came: str, deprecated: str, gone: str) -> str:
    def release(text: str) -> str:
        return f"{text[2:]} or before" if text.startswith("<=") else text

    said = [
        f"since {release(came)}" if came else "",
        f"deprecated in {release(deprecated)}" if deprecated else "",
        f"gone in {release(gone)}" if gone else "",
    ]
    return ", ".join(filter(None, said))


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``tensorrt-workbook whatis``."""
    parser.description = (
        "Looks up names as met in old tutorials: of the API, such as buildEngineWithConfig or BuilderFlag.FP16, of "
        "standard plugins (EfficientNMS_TRT), trtexec's flags (--workspace) and PyCUDA (cuda.mem_alloc). "
        "The exit status is 0 if all were found, 1 if only similar names were, 2 if there is nothing similar either."
    )
    parser.add_argument("names", nargs="+", metavar="NAME")
    parser.set_defaults(show_help=parser.print_help)
    parser.prefix_chars = "\0"  # no argument is an option: a flag of trtexec is a name like others


def run(arguments: argparse.Namespace) -> int:
    """Prints what is known of each name. Returns 0 if all were found, 1 if only similar ones, 2 if one is unknown."""
    from rich.console import Console
    from rich.text import Text

    if {"-h", "--help"} & {*arguments.names}:
        arguments.show_help()
        return 0
    if not all(name.strip() for name in arguments.names):
        print("one of the names is empty", file=sys.stderr)
        return 2
    console, status = Console(highlight=False), 0
    for number, name in enumerate(arguments.names):
        answer = whatis(name)
        status = max(status, 0 if answer.found else 1 if answer.similar else 2)
        if number:
            console.print()
        for style, text in _lines(answer):
            console.print(Text(text, {"title": "bold", "code": "cyan"}.get(style, "")), soft_wrap=style == "code")
    return status


if __name__ == "__main__":
    from . import program

    sys.exit(program(["whatis", *sys.argv[1:]]))
