"""Notices which cells of a chapter the reader has changed, in the running kernel, saved or not.

A replay shows what a cell printed below the chapter as it is given (chapter 00). :func:`watch` notes every cell that
is run, and :func:`edited` compares these with the chapter as ``make record`` noted it. Cells that the reader added say
nothing, and those of exercises neither. Needs IPython.

>>> chapter = [CodeCell("a1", short_hash("x = 1")), CodeCell("b2", short_hash("%%needs gpu"))]
>>> edited(chapter, "b2", ran=[("a1", "x = 2")])
['x = 2']
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

from .recordings import EXERCISE, CodeCell, short_hash

ALIKE = 0.8  # difflib's ratio from which an unknown cell counts as a new form of one that ran before

ran: list[tuple[str | None, str]] = []  # of each cell that was run: the id that the front end sent, and the source


def watch(ip: Any) -> None:
    """Notes every cell from the present one on."""
    ip.events.register("post_run_cell", _note)  # the present cell is over later, so it is noted too


def unwatch(ip: Any) -> None:
    """Notes no more cells."""
    ip.events.unregister("post_run_cell", _note)


def _note(result: Any) -> None:
    if result.error_before_exec is None:  # else nothing of it has run: a syntax error, say
        ran.append((getattr(result.info, "cell_id", None), result.info.raw_cell))


def edited(chapter: Sequence[CodeCell], place: str, ran: Sequence[tuple[str | None, str]]) -> list[str]:
    """Returns the sources that ran last in place of other cells above ``place`` (an id), in the chapter's order.

    Cells are told apart by their ids where the front end sends those of the notebook, as JupyterLab does; else by the
    order in which they ran. Nothing is said where the chapter has no such ``place``.
    """
    ids = [cell.id for cell in chapter]
    if place not in ids:
        return []
    latest = {ids.index(id): source for id, source in ran if id in ids}
    if not latest:
        # Ids of another kind, such as those of VS Code, tell at least which cells are the same.
        sources = {number if id is None else id: source for number, (id, source) in enumerate(ran)}
        latest = _by_order([cell.hash for cell in chapter], ids.index(place), list(sources.values()))
    return [
        latest[number]
        for number, cell in enumerate(chapter[: ids.index(place)])
        if number in latest and not cell.exercise and short_hash(latest[number]) != cell.hash
    ]


def _by_order(hashes: list[str], place: int, sources: list[str]) -> dict[int, str]:
    """The source that ran last for each cell: its own, one that is like it, or else one in the gap that it left."""
    latest: dict[int, str] = {}
    unknown: list[str] = []
    before = -1

    def settle(here: int) -> None:
        gap = [number for number in range(before + 1, here) if number not in latest]
        for source in unknown:
            alike = (number for number in latest if _alike(latest[number], source))
            number = next(alike, None)
            if number is None and gap:
                number = gap.pop(0)
            if number is not None:
                latest[number] = source
        unknown.clear()

    for source in sources:
        same = [number for number, digest in enumerate(hashes) if digest == short_hash(source)]
        if same:
            here = next((number for number in same if number > before), same[0])
            settle(here)
            latest[here], before = source, here
        elif not EXERCISE.search(source):
            unknown.append(source)
    settle(place)
    return latest


@functools.cache  # every replay asks anew
def _alike(one: str, other: str) -> bool:
    matcher = SequenceMatcher(None, one, other, autojunk=False)
    return all(ratio() >= ALIKE for ratio in (matcher.real_quick_ratio, matcher.quick_ratio, matcher.ratio))
