"""One way to store a notebook: python -m tools.checks.canonical [--fix] [NOTEBOOK ...] lists or mends others.

The same rules clean the outputs of recordings. Nothing that differs from machine to machine or from run to run stays,
except what a cell itself printed.
"""

from __future__ import annotations

import argparse
import copy
import hashlib
import re
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import nbformat

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = "[0-9]*.ipynb"
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}
CELL_METADATA = ("tags", "editable", "deletable", "jupyter")
_WIDGET = "application/vnd.jupyter.widget-view+json"
_BAR = re.compile(r"\d+%\|.*\|")  # what tqdm's widget gives as text: the empty bar with which it began
_MOVES = re.compile(r"(\n|\r|\x1b\[A)")
# Folders that tell about the machine of whoever ran the notebook.
_PRIVATE = re.compile(
    r"(?:(?<![\w.~/-])/(?:home|root|Users|tmp|work|workspace|opt|var/folders)/|\b[A-Z]:\\\\?)[^\s\"'<>]*"
)


def canonical(notebook: nbformat.NotebookNode) -> nbformat.NotebookNode:
    """A copy in the canonical form: format 4.5, stable ids, minimal metadata, clean outputs, counts from 1 to n."""
    notebook = nbformat.from_dict(copy.deepcopy(notebook))
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    executed = any(cell.get("outputs") or cell.get("execution_count") for cell in code)
    seen: set[str] = set()
    for cell in notebook.cells:
        cell.source = "\n".join(line.rstrip() for line in cell.source.split("\n")).strip("\n")
        cell.metadata = nbformat.from_dict({k: v for k, v in cell.metadata.items() if k in CELL_METADATA})
        cell.id = _new_id(cell.get("id"), cell.source, seen)
        seen.add(cell.id)
    for count, cell in enumerate(code, 1):
        cell.execution_count = count if executed else None
        cell.outputs = [nbformat.from_dict(output) for output in clean_outputs(cell.get("outputs", []))]
        for output in cell.outputs:
            if output.output_type == "execute_result":
                output.execution_count = count
    return notebook


def dumps(notebook: nbformat.NotebookNode) -> str:
    """The text of the canonical form, with one line end at the end."""
    return nbformat.writes(canonical(notebook)).rstrip("\n") + "\n"


def is_canonical(path: Path) -> bool:
    text = Path(path).read_bytes().decode()
    return text == dumps(nbformat.reads(text, 4))


def _new_id(old: str | None, source: str, seen: set[str]) -> str:
    """The old id if it is one and not taken, else one made from the source: the same on every machine."""
    if old and re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", old) and old not in seen:
        return old
    attempt = 0
    while (new := hashlib.sha256(f"{attempt} {source}".encode()).hexdigest()[:8]) in seen:
        attempt += 1
    return new


def clean_outputs(outputs: Iterable[dict[str, Any]]) -> list[dict[str, Any]]:
    """Outputs without counts, widgets and the steps of progress bars. Errors stay as they are: callers refuse them."""
    result: list[dict[str, Any]] = []
    for output in outputs:
        output = copy.deepcopy(dict(output))
        if output["output_type"] == "stream":
            if result and result[-1]["output_type"] == "stream" and result[-1]["name"] == output["name"]:
                result[-1]["text"] += output["text"]
            else:
                result.append(output)
        elif output["output_type"] in ("display_data", "execute_result"):
            output.pop("execution_count", None)
            widget = output["data"].pop(_WIDGET, None) is not None
            if output["data"] and not (widget and _BAR.search(output["data"].get("text/plain", ""))):
                result.append(output)
        else:
            result.append(output)
    for output in result:
        if output["output_type"] == "stream":
            output["text"] = settle(output["text"])
    return [output for output in result if output["output_type"] != "stream" or output["text"]]


def settle(text: str) -> str:
    """What a terminal shows in the end: carriage returns and moves of the cursor up, as progress bars use, carried out.

    Lines that were cleared by such moves go.
    """
    text = text.replace("\r\n", "\n")
    if "\r" not in text and "\x1b[A" not in text:
        return text
    lines, touched, row, column = [""], set(), 0, 0
    for token in _MOVES.split(text):
        if token == "\n":
            row, column = row + 1, 0
            if row == len(lines):
                lines.append("")
        elif token == "\r":
            column = 0
            touched.add(row)
        elif token == "\x1b[A":
            row = max(row - 1, 0)
            touched.add(row)
        else:
            lines[row] = lines[row][:column].ljust(column) + token + lines[row][column + len(token) :]
            column += len(token)
    cleared = [n in touched and not line.strip() for n, line in enumerate(lines)]
    left = [line.rstrip() if n in touched else line for n, line in enumerate(lines) if not cleared[n]]
    return "\n".join(left) + ("\n" if left and cleared[-1] else "")


def private_paths(outputs: Iterable[dict[str, Any]], *folders: Path | str) -> list[str]:
    """Absolute paths in outputs that tell about the machine: those in ``folders``, home folders, temporary files."""
    found = []
    for text in _texts(list(outputs)):
        found += [match.group() for match in _PRIVATE.finditer(text)]
        found += [str(folder) for folder in folders if len(str(folder)) > 1 and str(folder) in text]
    return sorted(set(found))


def _texts(value: Any) -> list[str]:
    if isinstance(value, str):
        return [re.sub(r"data:image/\w+;base64,[\w+/=\s]+", "", value)]
    if isinstance(value, dict):
        return [text for key, item in value.items() if not key.startswith("image/p") for text in _texts(item)]
    return [text for item in value for text in _texts(item)] if isinstance(value, list) else []


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fix", action="store_true", help="rewrite the notebooks that are not canonical")
    parser.add_argument("notebooks", nargs="*", type=Path, help="default: all chapters")
    options = parser.parse_args(arguments)
    bad = [path for path in options.notebooks or sorted((ROOT / "notebooks").glob(CHAPTERS)) if not is_canonical(path)]
    for path in bad:
        if options.fix:
            path.write_text(dumps(nbformat.read(path, 4)), encoding="utf-8", newline="\n")
        print(f"{path}: {'rewritten' if options.fix else 'not canonical, run python -m tools.checks.canonical --fix'}")
    return 0 if options.fix else len(bad) > 0


if __name__ == "__main__":
    sys.exit(main())
