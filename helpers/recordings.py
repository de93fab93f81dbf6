"""Recordings: what cells that need a GPU, or something else, printed and plotted on a machine that had it.

Chapter 00 tells of such cells; ``helpers.needs`` shows recordings and ``make record`` makes them. There is one JSON
file per chapter, ``data/recordings/<chapter>.json``, with its cells in the order of the notebook. A recording is found
by the hash of its cell's source, so it can never be shown for code that it does not belong to.

>>> source_hash("x = 1   ") == source_hash("x = 1")
True
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from .atomic import write_atomically

ROOT = Path(__file__).resolve().parents[1]
FORMAT = 1
SIMILAR = 0.6  # difflib's ratio from which two sources count as versions of one cell

_MAGIC = re.compile(r"%%needs(?![\w?])(?P<names>[^\n]*)(\n|$)")
_PREAMBLE = re.compile(r"(\s*(#[^\n]*)?\n)*\s*")  # blank lines and comments that may stand before the magic


class RecordingError(ValueError):
    """A file of recordings cannot be used; the message names it."""


@dataclass(frozen=True)
class Recording:
    """One recorded cell. ``outputs`` are those of nbformat 4, without execution counts."""

    source: str
    needs: list[str]
    device: str  # the GPU's name, or "no GPU"
    compute_capability: str | None  # "9.0"
    flavour: str  # the module: tensorrt, tensorrt_rtx, ...
    version: str
    date: str  # ISO 8601, the day of the run
    depends: dict[str, str]  # see helpers.dependencies
    outputs: list[dict[str, Any]]
    after: str | None = None  # for the check of an exercise: the hash of the answer that stood above it

    @property
    def hash(self) -> str:
        return source_hash(self.source)


def normalized(source: str) -> str:
    """The source without what does not matter: trailing whitespace, blank lines around it, the kind of line ends."""
    return "\n".join(line.rstrip() for line in source.split("\n")).strip("\n")


def source_hash(source: str) -> str:
    """SHA-256 of the normalized source, as hexadecimal digits."""
    return hashlib.sha256(normalized(source).encode()).hexdigest()


def split_gate(source: str) -> tuple[list[str], str] | None:
    """The capabilities that a cell's ``%%needs`` names, and the cell as it runs where they are there; else None.

    Only blank lines and comments may stand before the magic. Its line becomes a comment, so that lines keep their
    numbers; before another cell magic it goes, because that has to come first. The list may be empty or wrong.
    """
    preamble = _PREAMBLE.match(source)
    start = preamble.end() if preamble else 0
    magic = _MAGIC.match(source, start)
    if magic is None:
        return None
    names = re.split(r"[\s,]+", magic["names"].partition("#")[0].strip())
    rest = source[magic.end() :]
    if re.match(r"\s*%%", rest):
        return [name for name in names if name], rest.lstrip()
    return [name for name in names if name], source[:start] + "# " + source[start:]


def recordings_path(chapter: str, root: Path = ROOT) -> Path:
    return root / "data" / "recordings" / f"{chapter}.json"


def load_recordings(path: str | os.PathLike) -> list[Recording]:
    """The recordings of one chapter, none if there is no such file. Raises RecordingError that names a bad file."""
    path = Path(path)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return []
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{path.name} is not valid JSON ({error}); restore it, or run make record") from error
    except OSError as error:
        raise RecordingError(f"{path.name} cannot be read ({error})") from error
    try:
        if document["format"] != FORMAT:
            raise RecordingError(f"{path.name} has format {document['format']}, this program reads format {FORMAT}")
        recordings = [Recording(**_join(cell)) for cell in document["cells"]]
        for recording in recordings:
            _check(recording)
        return recordings
    except (KeyError, TypeError) as error:
        raise RecordingError(f"{path.name} is not a file of recordings ({error})") from error


def _check(recording: Recording) -> None:
    """Raises KeyError or TypeError for what cannot be shown."""
    texts = [recording.source]
    for output in recording.outputs:
        if output["output_type"] == "stream":
            texts += [output["name"], output["text"]]
        elif output["output_type"] not in ("display_data", "execute_result") or not isinstance(output["data"], dict):
            raise TypeError(f"an output of the type {output['output_type']!r}")
    if not all(isinstance(text, str) for text in texts):
        raise TypeError("a text is missing")


def save_recordings(path: str | os.PathLike, recordings: Iterable[Recording]) -> None:
    """Writes one chapter's recordings, in the given order; the file is replaced as a whole, or removed if none are."""
    path = Path(path)
    cells = [_split(asdict(recording)) for recording in recordings]
    if not cells:
        path.unlink(missing_ok=True)
        return
    document = {"format": FORMAT, "chapter": path.stem, "cells": cells}
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())


def find_recording(source: str, root: Path = ROOT, shown: Sequence[str] = ()) -> tuple[str, Recording] | None:
    """The chapter and the recording of exactly this source, or None. Raises RecordingError for a bad file.

    The check of an exercise has two, one below the stub and one below the solution. The one is meant whose ``after``
    comes last in ``shown``, the hashes of the cells that have been shown so far.
    """
    wanted = source_hash(source)
    order: dict[str | None, int] = {key: position for position, key in enumerate(shown)}
    found = [(chapter, recording) for chapter, recording in _all(root) if recording.hash == wanted]
    return max(found, key=lambda pair: order.get(pair[1].after, -1), default=None)


def similar_recording(source: str, root: Path = ROOT) -> tuple[str, Recording] | None:
    """The chapter and the recording whose source comes closest, or None where nothing comes close."""
    ratios = [(similarity(source, r.source), chapter, r) for chapter, r in _all(root)]
    best = max(ratios, key=lambda item: item[0], default=None)
    return best[1:] if best and best[0] >= SIMILAR else None


def similarity(one: str, other: str) -> float:
    """0 for two sources with nothing in common, 1 for the same."""
    return difflib.SequenceMatcher(None, normalized(one), normalized(other), autojunk=False).ratio()


def difference(recorded: str, now: str) -> str:
    """A short unified diff from the recorded source to this one."""
    lines = (normalized(recorded).split("\n"), normalized(now).split("\n"))
    return "\n".join(list(difflib.unified_diff(*lines, "recorded cell", "this cell", n=1, lineterm="")))


def _all(root: Path) -> Iterator[tuple[str, Recording]]:
    for path in sorted((root / "data" / "recordings").glob("*.json")):
        for recording in load_recordings(path):
            yield path.stem, recording


# Long strings are lists of lines in the file, as in notebooks, so that a change shows as a change of lines.
_TEXTS = ("source", "text", "text/plain", "text/html", "text/markdown", "text/latex", "image/svg+xml")


def _split(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: v.splitlines(True) if k in _TEXTS and isinstance(v, str) else _split(v) for k, v in value.items()}
    return [_split(item) for item in value] if isinstance(value, list) else value


def _join(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: "".join(v) if k in _TEXTS and isinstance(v, list) else _join(v) for k, v in value.items()}
    return [_join(item) for item in value] if isinstance(value, list) else value
