"""Advises what to do about what TensorRT and the tools around it say: cause and cure, by a stable id (chapter 08).

``tensorrt-workbook explain "MESSAGE"`` prints it, ``check`` and the exceptions of these helpers name the id. The advice
itself is a table by subject, advice.json beside this module. Standard library only.

>>> advice_for("CUDA initialization failure with error: 35").id
'TRT051'
"""

from __future__ import annotations

import functools
import json
import re
from pathlib import Path
from typing import NamedTuple

_TABLE = Path(__file__).resolve().with_name("advice.json")
LONGEST = 20_000  # characters of a message that are looked at: what it is about stands at its beginning


class Advice(NamedTuple):
    """One thing that goes wrong, and what people do about it.

    id        stable, such as "TRT012": it is never given to anything else
    cause     one sentence
    cure      one sentence: what to do
    chapter   the notebook that treats it, without .ipynb
    patterns  regular expressions; a message that one of them fits, in whatever case, is of this kind
    """

    id: str
    cause: str
    cure: str
    chapter: str
    patterns: tuple[str, ...] = ()


@functools.cache
def subjects() -> dict[str, tuple[Advice, ...]]:
    """Returns all advice by subject, in the order of the table, which decides: the specific stands before the general.

    Raises OSError where the table is missing.
    """
    table = json.loads(_TABLE.read_text(encoding="utf-8"))
    return {subject: tuple(map(_advice, entries)) for subject, entries in table.items()}


def advice_for(message: str) -> Advice | None:
    """Returns the advice about a message, or None where nothing is known. The first of the table that fits is taken.

    Raises OSError where the table is missing.
    """
    message = message[:LONGEST]
    return next((advice for pattern, advice in _compiled() if pattern.search(message)), None)


def by_id(id: str) -> Advice:
    """Returns the advice of an id. Raises KeyError for an unknown one, and OSError where the table is missing."""
    return _ids()[id]


def advice_line(message: str) -> str:
    """Returns one line of advice about a message, for the end of an exception's text; "" where nothing is known.

    >>> advice_line("CUDA initialization failure with error: 35").endswith("(tensorrt-workbook explain TRT051)")
    True
    """
    try:
        advice = advice_for(message)
    except OSError:  # copied without its table: an error must not hide behind another
        return ""
    return f"{advice.id}: {advice.cure} (tensorrt-workbook explain {advice.id})" if advice else ""


def _advice(entry: dict) -> Advice:
    return Advice(**{**entry, "patterns": tuple(entry["patterns"])})


@functools.cache
def _ids() -> dict[str, Advice]:
    return {advice.id: advice for entries in subjects().values() for advice in entries}


@functools.cache
def _compiled() -> list[tuple[re.Pattern[str], Advice]]:
    known = [advice for advice in _ids().values() if advice.patterns]
    return [(re.compile("|".join(advice.patterns), re.IGNORECASE), advice) for advice in known]
