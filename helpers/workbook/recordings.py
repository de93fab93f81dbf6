"""Recordings: what cells that need a GPU, or something else, printed and plotted on a machine that had it.

Chapter 00 tells of such cells; ``needs`` shows recordings and ``make record`` makes them. There is one JSON
file per chapter, ``data/recordings/<chapter>.json``, with its recordings in the order of the notebook, and with the
hashes of all its code cells, so that ``edits`` can tell what a reader has changed. A recording is found
by the hash of its cell's source, so it can never be shown for code that it does not belong to. A file may come from
anywhere: it holds nothing but text, HTML and PNG pictures, and each recording has a digest, so that one that was
changed by accident is not shown either.

>>> source_hash("x = 1   ") == source_hash("x = 1")
True
"""

from __future__ import annotations

import difflib
import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from ..atomic import open_regular, write_atomically

ROOT = Path(__file__).resolve().parents[2]
FORMAT = 3
LARGEST = 16 << 20  # bytes of a file; that of a chapter with many pictures has 0.2 MB
MOST_TAGS = 20_000  # of one output: the time to make HTML harmless grows with the square of how deep they are nested
SHOWN = ("text/plain", "text/html", "image/png")  # the types of what is displayed; of any other, nothing is known
SIMILAR = 0.6  # difflib's ratio from which two sources count as versions of one cell

# The cells of an exercise: its stub begins so, and its check is called so.
EXERCISE = re.compile(r"^# Exercise \d\d\.\d+:|^check\([\"']\d\d\.\d+[\"']", re.MULTILINE)

_MAGIC = re.compile(r"%%needs(?![\w?])(?P<names>[^\n]*)(\n|$)")
_CURE = "restore it, or delete it and run make record"
_PREAMBLE = re.compile(r"(\s*(#[^\n]*)?\n)*\s*")  # blank lines and comments that may stand before the magic
_BASE64 = re.compile(r"[A-Za-z0-9+/=\s]*")


class RecordingError(ValueError):
    """A file of recordings cannot be used; the message names it."""


class CodeCell(NamedTuple):
    """A code cell of a chapter as ``make record`` noted it. One of an ``exercise`` is there to be changed."""

    id: str  # in the notebook
    hash: str  # see short_hash
    exercise: bool = False


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
    cell: str  # its id in the notebook
    cells: str  # what it was made from, as ``tools/record`` hashes it: the code cells above ...
    helpers: str  # ... and the helpers that these import, with the data that they read
    outputs: list[dict[str, Any]]
    after: str | None = None  # for the check of an exercise: the hash of the answer that stood above it
    digest: str = field(default="", compare=False)  # of all the above, as the file says

    @property
    def hash(self) -> str:
        return source_hash(self.source)

    def computed_digest(self) -> str:
        """Returns the SHA-256 of all that the recording says, however a file lays it out."""
        return _digest(asdict(replace(self, digest="")))


def _digest(value: Any) -> str:
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def normalized(source: str) -> str:
    """Returns the source without what does not matter: trailing whitespace, blank lines around it, line ends."""
    return "\n".join(line.rstrip() for line in source.split("\n")).strip("\n")


def source_hash(source: str) -> str:
    """Returns the SHA-256 of the normalized source, as hexadecimal digits."""
    return hashlib.sha256(normalized(source).encode()).hexdigest()


def short_hash(text: str) -> str:
    """Returns as many digits of :func:`source_hash` as tell the cells of one chapter apart."""
    return source_hash(text)[:16]


def first_line(source: str) -> str:
    """Returns the first line of code, by which one finds a cell, of at most 60 characters; "" if there is none.

    Comments and magics are no code.
    """
    lines = (line.strip() for line in source.split("\n"))
    return next((line[:60] for line in lines if line and line[0] not in "#%"), "")


def split_gate(source: str) -> tuple[list[str], str] | None:
    """Returns the capabilities that a cell's ``%%needs`` names, and the cell as it runs with them; else None.

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


def picture_size(metadata: dict[str, Any]) -> dict[str, dict[str, int]]:
    """Returns what counts in an output's metadata for how it looks: width and height of a picture."""
    size = metadata.get("image/png")
    given = size if isinstance(size, dict) else {}
    kept = {key: given[key] for key in ("width", "height") if type(given.get(key)) is int}
    return {"image/png": kept} if kept else {}


def recordings_path(chapter: str, root: Path = ROOT) -> Path:
    """Returns the file with the recordings of a chapter, such as "07_execution"."""
    return root / "data" / "recordings" / f"{chapter}.json"


def load_recordings(path: str | os.PathLike) -> list[Recording]:
    """Returns the recordings of one chapter, none without a file. Raises RecordingError that names a bad file."""
    path = Path(path)
    return [_unchanged(path.stem, recording) for recording in _read(path)[1]]


def load_code_cells(path: str | os.PathLike) -> list[CodeCell]:
    """Returns all code cells of the recorded chapter, none without a file. Raises RecordingError for a bad file."""
    return _read(Path(path))[0]


def _unchanged(chapter: str, recording: Recording) -> Recording:
    if recording.digest != recording.computed_digest():
        raise RecordingError(f"{chapter}.json: {_of(recording)} was changed after it was made; {_CURE}")
    return recording


def _of(recording: Recording) -> str:
    code = first_line(recording.source)
    return f"the recording of the cell that begins with {code!r}" if code else "the recording of a cell without code"


def _read(path: Path) -> tuple[list[CodeCell], list[Recording]]:
    """The code cells and the recordings of one file, whether the latter's digests fit or not.

    Raises RecordingError for all else that is bad.
    """
    content = _content(path)
    if content is None:
        return [], []
    try:
        document = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise RecordingError(f"{path.name} is not valid JSON ({error}); {_CURE}") from error
    if not isinstance(document, dict) or not isinstance(document.get("cells"), list):
        raise RecordingError(f"{path.name} is not a file of recordings; {_CURE}")
    if document.get("format") != FORMAT:
        found = f"{document.get('format')!r:.20}"
        raise RecordingError(f"{path.name} has format {found}, this program reads format {FORMAT}; {_CURE}")
    lines = document.get("notebook")
    if not isinstance(lines, list) or document.get("digest") != _digest(lines):
        raise RecordingError(f"{path.name}: the list of the notebook's cells was changed after it was made; {_CURE}")
    try:
        code_cells = [_parse(line) for line in lines]
    except (TypeError, ValueError) as error:
        raise RecordingError(f"{path.name}, the list of the notebook's cells: {error}; {_CURE}") from error
    recordings = []
    for number, cell in enumerate(document["cells"], 1):
        try:
            recordings.append(Recording(**_join(cell)))
            _check(recordings[-1])
        except (TypeError, ValueError, RecursionError) as error:
            raise RecordingError(f"{path.name}, recording {number}: {error}; {_CURE}") from error
    return code_cells, recordings


def _parse(line: Any) -> CodeCell:
    """A line of the list: ``id hash``, or ``id hash exercise``."""
    _check_text("a line", line)
    match = re.fullmatch(r"(\S+) ([0-9a-f]{16})( exercise)?", line)
    if match is None:
        raise ValueError(f"{line!r:.80} is no id with a hash")
    return CodeCell(match[1], match[2], bool(match[3]))


def _content(path: Path) -> bytes | None:
    try:
        with open_regular(path) as file:
            content = file.read(LARGEST + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise RecordingError(f"{path.name} cannot be read: {error.strerror}") from error
    if len(content) > LARGEST:
        raise RecordingError(f"{path.name} is larger than {LARGEST >> 20} MiB; {_CURE}")
    return content


def _check(recording: Recording) -> None:
    """Raises TypeError, or another exception that says what is wrong, unless the recording can be shown.

    A file may hold anything. Types that are not among SHOWN are refused, even beside one that is: whatever a cell
    displays is then either shown as it was, or its author is told when it is recorded. It never gets lost in silence.
    """
    for name in ("source", "device", "flavour", "version", "date", "cell", "cells", "helpers", "digest"):
        _check_text(name, getattr(recording, name))
    for name in ("compute_capability", "after"):
        if getattr(recording, name) is not None:
            _check_text(name, getattr(recording, name))
    for name, kind in (("needs", list), ("outputs", list)):
        _check_kind(name, getattr(recording, name), kind)
    for text in recording.needs:
        _check_text("one of needs", text)
    for output in recording.outputs:
        _check_output(output)


def _check_output(output: Any) -> None:
    _check_kind("an output", output, dict)
    if output.get("output_type") == "stream":
        _check_text("the text of a stream", output.get("text"))
        if output.get("name") not in ("stdout", "stderr"):
            raise ValueError(f"there is no stream {output.get('name')!r}")
    elif output.get("output_type") in ("display_data", "execute_result"):
        _check_kind("metadata", output.get("metadata", {}), dict)
        _check_kind("data", output.get("data"), dict)
        for kind, text in output["data"].items():
            if kind not in SHOWN:
                raise TypeError(f"an output is of the type {kind}, but only {', '.join(SHOWN)} are shown")
            _check_text(kind, text)
        if output["data"].get("text/html", "").count("<") > MOST_TAGS:
            raise ValueError(f"text/html has more than {MOST_TAGS:,} tags")
        if not _BASE64.fullmatch(output["data"].get("image/png", "")):
            raise ValueError("image/png is not in base64")
    else:
        raise TypeError(f"there are no outputs of the type {output.get('output_type')!r}")


def _check_text(name: str, value: Any) -> None:
    _check_kind(name, value, str)
    value.encode()  # raises UnicodeEncodeError for half a character, which no kernel can send


def _check_kind(name: str, value: Any, kind: type) -> None:
    if not isinstance(value, kind):
        raise TypeError(f"{name} is of the type {type(value).__name__}, not {kind.__name__}")


def save_recordings(
    path: str | os.PathLike, recordings: Iterable[Recording], code_cells: Iterable[CodeCell] = ()
) -> None:
    """Writes one chapter's recordings, in the given order, and what all its code cells are.

    The file is replaced as a whole, or removed if there are no recordings.

    Raises RecordingError for a recording that could not be shown.
    """
    path = Path(path)
    cells = []
    for recording in recordings:
        try:
            _check(recording)
        except (TypeError, ValueError) as error:
            raise RecordingError(f"{_of(recording)} cannot be kept: {error}") from error
        cells.append(_split(asdict(replace(recording, digest=recording.computed_digest()))))
    if not cells:
        path.unlink(missing_ok=True)
        return
    lines = [" ".join([cell.id, cell.hash, *["exercise"][: cell.exercise]]) for cell in code_cells]
    document = {
        "format": FORMAT,
        "chapter": path.stem,
        "digest": _digest(lines),
        "notebook": lines,
        "cells": cells,
    }
    text = json.dumps(document, indent=1, sort_keys=True, ensure_ascii=False) + "\n"
    write_atomically(path, text.encode())


def find_recording(source: str, root: Path = ROOT, shown: Sequence[str] = ()) -> tuple[str, Recording] | None:
    """Returns the chapter and the recording of exactly this source, or None.

    The check of an exercise has two, one below the stub and one below the solution. The one is meant whose ``after``
    comes last in ``shown``, the hashes of the cells that have been shown so far.
    Raises RecordingError if it was changed after it was made, or there is none and a file cannot be used.
    """
    wanted = source_hash(source)
    order: dict[str | None, int] = {key: position for position, key in enumerate(shown)}
    recordings, error = _all(root)
    found = [(chapter, recording) for chapter, recording in recordings if recording.hash == wanted]
    if not found and error:
        raise error
    best = max(found, key=lambda pair: order.get(pair[1].after, -1), default=None)
    return best and (best[0], _unchanged(*best))


def similar_recording(source: str, root: Path = ROOT) -> tuple[str, Recording] | None:
    """Returns the chapter and the recording whose source comes closest, or None where nothing comes close.

    Never one of an exercise, since that may be its solution.
    Raises RecordingError if it was changed after it was made.
    """
    others = [(chapter, r) for chapter, r in _all(root)[0] if not EXERCISE.search(r.source)]
    ratios = [(similarity(source, r.source), chapter, r) for chapter, r in others]
    best = max(ratios, key=lambda item: item[0], default=None)
    return (best[1], _unchanged(*best[1:])) if best and best[0] >= SIMILAR else None


def similarity(one: str, other: str) -> float:
    """Returns 0 for two sources with nothing in common, 1 for the same."""
    return difflib.SequenceMatcher(None, normalized(one), normalized(other), autojunk=False).ratio()


def difference(recorded: str, now: str) -> str:
    """Returns a short unified diff from the recorded source to this one."""
    lines = (normalized(recorded).split("\n"), normalized(now).split("\n"))
    return "\n".join(list(difflib.unified_diff(*lines, "recorded cell", "this cell", n=1, lineterm="")))


def _all(root: Path) -> tuple[list[tuple[str, Recording]], RecordingError | None]:
    """The recordings of all files that can be used, and the first error of those that cannot: one bad file is no loss
    for the other chapters."""
    recordings, errors = [], []
    for path in sorted((root / "data" / "recordings").glob("*.json")):
        try:
            recordings += [(path.stem, recording) for recording in _read(path)[1]]
        except RecordingError as error:
            errors.append(error)
    return recordings, errors[0] if errors else None


# Long strings are lists of lines in the file, as in notebooks, so that a change shows as a change of lines.
_TEXTS = ("source", "text", "text/plain", "text/html")


def _split(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: v.splitlines(True) if k in _TEXTS and isinstance(v, str) else _split(v) for k, v in value.items()}
    return [_split(item) for item in value] if isinstance(value, list) else value


def _join(value: Any) -> Any:
    if isinstance(value, dict):
        return {k: "".join(v) if k in _TEXTS and isinstance(v, list) else _join(v) for k, v in value.items()}
    return [_join(item) for item in value] if isinstance(value, list) else value
