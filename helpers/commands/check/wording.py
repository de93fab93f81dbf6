"""Says the parts of a report to a reader: problems, chapters, shapes, weights (chapter 08). Standard library only.

>>> chapter_name("08_will_it_convert")
'chapter 08, notebooks/08_will_it_convert.ipynb'
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from .layout import escape

if TYPE_CHECKING:
    from .report import Problem

NOTEBOOKS = Path(__file__).resolve().parents[3] / "notebooks"


def notebooks_from(page: str) -> str | None:
    """Returns the address of the notebooks as seen from a page of HTML, for ``Report.to_html``; None for a page that
    does not lie in the same repository, which may be sent elsewhere."""
    folder = Path(page).resolve().parent
    if not NOTEBOOKS.is_dir() or not folder.is_relative_to(NOTEBOOKS.parent):
        return None
    return Path(os.path.relpath(NOTEBOOKS, folder)).as_posix() + "/"


def styled(lines: list[str], style: str = "", end: int = 0) -> Iterator[tuple[str, str, int]]:
    """Yields each line, its style, and how many of its first characters have that style: ``end``, in the first line."""
    for i, line in enumerate(lines):
        yield line, style, 0 if i else end


def advice_lines(problem: Problem) -> Iterator[tuple[str, str]]:
    """Yields a mark and a text for cause, cure and chapter, as far as there are any."""
    if problem.cause or problem.advice:
        yield "", f"{problem.advice}: {problem.cause}" if problem.advice else problem.cause
    if problem.todo:
        yield "→ ", problem.todo
    if problem.chapter:
        yield "", chapter_name(problem.chapter)


def chapter_name(stem: str) -> str:
    """Names a chapter to a reader: "chapter 08, notebooks/08_will_it_convert.ipynb"."""
    number = stem.partition("_")[0]
    return f"{'chapter' if number.isdigit() else 'appendix'} {number}, notebooks/{stem}.ipynb"


def shape_text(shape: list[int | str] | None) -> str:
    """Writes a shape: "(batch, 3)"."""
    return "of unknown rank" if shape is None else "(" + ", ".join(map(str, shape)) + ")"


def ranges_text(ranges: tuple | None) -> str:
    """Writes (min, opt, max) shapes, one where all are alike; "" for None."""
    shapes = [shape_text(shape) for shape in ranges or ()]
    return shapes[0] if len(set(shapes)) == 1 else ", ".join(shapes)


def weights_line(weights: dict[str, int]) -> str:
    """Writes the counts of ``Report.weights``."""
    line = f"{weights['tensors']} tensors, {weights['values']:,} values, {weights['bytes'] / 1e6:,.2f} MB"
    names = {"nan": "NaN", "inf": "infinite", "fp16_overflow": "beyond FP16", "fp16_subnormal": "subnormal in FP16"}
    found = [f"{weights[key]:,} {name}" for key, name in names.items() if weights.get(key)]
    return "; ".join([line, *found])


def problem_html(problem: Problem, chapters: str | None) -> str:
    """Returns a problem as an item of a list of HTML. ``chapters``: as ``Report.to_html`` takes it."""
    where = f"<code>{escape(problem.where)}</code>: " if problem.where else ""
    parts = [f"<strong>{escape(problem.severity)}</strong>: {where}{escape(problem.what)}"]
    parts += [f"{mark}{escape(text)}" for mark, text in advice_lines(problem)]
    if problem.chapter and chapters is not None:
        address = escape(f"{chapters}{problem.chapter}.ipynb")
        parts[-1] = f'<a href="{address}">{parts[-1].partition(",")[0]}</a>'
    return "<li>" + "<br>".join(parts) + "</li>"
