"""Exercises that answer back: ``check("02.1", answer)`` says ✅ or ❌ with one hint, and never shows a stack trace.

The specifications are functions in notebooks/exercises/chNN.py; chapter 00 shows the progress over all of them.
Set WORKBOOK_STRICT=1 to get exceptions instead: the tests do. Needs IPython to display, and pandas for the table.

>>> expect(2 + 2 == 4, expected=4, got=2 + 2, hint="count again")  # passes, so it says nothing
"""

from __future__ import annotations

import contextlib
import html
import importlib.util
import inspect
import json
import logging
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ..atomic import open_regular, write_atomically
from ..trust import make_state_folder, state_folder

FOLDER = Path(__file__).resolve().parents[2] / "notebooks" / "exercises"
SYMBOLS = {"solved": "✅", "wrong": "❌", "open": "○"}


_NOTED = ("wrong", "solved")  # the states that are noted


class Wrong(AssertionError):
    """An answer is not right: what was ``expected``, what was ``got``, and one ``hint``."""

    def __init__(self, expected: Any, got: Any, hint: str):
        self.expected, self.got, self.hint = str(expected), str(got), hint
        super().__init__(f"expected {self.expected}; got {self.got}; hint: {self.hint}")


class NotSolved(AssertionError):
    """In strict mode: the stub has not been touched."""


def expect(condition: Any, expected: Any, got: Any, hint: str) -> None:
    """Raises :class:`Wrong` unless the condition holds. Specifications consist of these."""
    if not condition:
        raise Wrong(expected, got, hint)


def started(condition: Any) -> None:
    """Raises :class:`NotSolved` unless the condition holds: the stub still does what it did when it was handed out."""
    if not condition:
        raise NotSolved("the stub has not been touched")


@dataclass(frozen=True)
class Exercise:
    """One exercise: its ``number`` and ``title``, what is ``learnt`` by solving it, what it ``needs``, and its test."""

    number: str
    title: str
    learnt: str
    needs: tuple[str, ...]
    test: Callable[..., None]


_registry: dict[str, Exercise] = {}


def exercise(number: str, title: str, learnt: str, needs: tuple[str, ...] = ()) -> Callable:
    """Decorates a specification: a function of the answers that calls :func:`expect`."""

    def register(test: Callable[..., None]) -> Callable[..., None]:
        _registry[number] = Exercise(number, title, learnt, needs, test)
        return test

    return register


def exercises() -> dict[str, Exercise]:
    """Returns all exercises by number, in order."""
    for path in sorted(FOLDER.glob("ch*.py")):
        _load(path)
    return dict(sorted(_registry.items()))


def _load(path: Path) -> None:
    if not any(number.startswith(path.stem[2:] + ".") for number in _registry):
        spec = importlib.util.spec_from_file_location(f"workbook_exercises_{path.stem}", path)
        assert spec is not None
        assert spec.loader is not None
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


@dataclass(frozen=True)
class Verdict:
    """What a check answers; shows itself in a notebook, as HTML for eyes and screen readers and as plain text."""

    number: str
    state: str  # "solved", "wrong" or "open"
    lines: tuple[tuple[str, str], ...]  # (label, text)

    def __str__(self) -> str:
        words = {"solved": "solved", "wrong": "not yet", "open": "not solved so far"}
        return "\n".join(
            [f"{SYMBOLS[self.state]} {self.number} {words[self.state]}", *(f"   {a}: {b}" for a, b in self.lines)]
        )

    def _repr_mimebundle_(self, include=None, exclude=None) -> dict[str, str]:
        # JupyterLab's alert boxes are light in every theme, so the text is dark in every theme, for contrast; the state
        # is said in words and not by colour alone.
        kind = {"solved": "success", "wrong": "danger", "open": "info"}[self.state]
        head, *_ = str(self).splitlines()
        rows = "".join(f"<div><b>{html.escape(a)}:</b> {html.escape(b)}</div>" for a, b in self.lines)
        box = f'<div class="alert alert-{kind}" role="status" style="color: #111"><div><b>{head}</b></div>{rows}</div>'
        return {"text/html": box, "text/plain": str(self)}


def check(number: str, *answers: Any) -> None:
    """Checks the answers to an exercise and shows a :class:`Verdict`.

    Raises KeyError for an unknown number, and in strict mode NotSolved, Wrong, or whatever the specification raised.
    """
    path = FOLDER / f"ch{str(number).split('.')[0]}.py"
    if path.is_file():
        _load(path)
    if number not in _registry:
        raise KeyError(f"there is no exercise {number!r}; there are {', '.join(exercises())}")
    verdict, error = _judge(_registry[number], answers)
    _remember(number, verdict.state)
    if error is not None and os.environ.get("WORKBOOK_STRICT"):
        raise error
    from IPython.display import display

    display(verdict)


def _judge(task: Exercise, answers: tuple) -> tuple[Verdict, Exception | None]:
    try:
        started(any(answer is not None and answer is not ... for answer in answers))
        inspect.signature(task.test).bind(*answers)
        task.test(*answers)
    except NotSolved as untouched:
        return Verdict(task.number, "open", (("to do", task.title),)), untouched
    except Wrong as wrong:
        lines = (("expected", wrong.expected), ("got", wrong.got), ("hint", wrong.hint))
        return Verdict(task.number, "wrong", lines), wrong
    except Exception as error:  # an answer of a kind that the specification did not think of
        lines = (("expected", task.title), ("got", f"{type(error).__name__}: {error}"), ("hint", "try it in a cell."))
        return Verdict(task.number, "wrong", lines), error
    return Verdict(task.number, "solved", (("learnt", task.learnt),)), None


def _folder() -> Path:
    """Where the notes are: a file for each exercise and state, with the date in it.

    So no note is written over another, nor read before it is written: notebooks may note at the same moment.
    """
    return state_folder() / "exercises"


def _old_file() -> Path:
    return state_folder() / "exercises.json"  # all notes in one, as earlier versions wrote it


def _read(number: str = "*") -> dict[str, dict[str, str]]:
    """State ("wrong" or "solved") and date of each exercise that there is a note of, or of one; what is no note is
    passed over."""
    done = _read_old()
    with contextlib.suppress(OSError, RuntimeError):  # RuntimeError: no home directory
        for state in _NOTED:
            for path in _folder().glob(f"{number}.{state}"):
                text = _text(path)
                if text is not None and done.get(path.stem, {}).get("state") != "solved":
                    done[path.stem] = {"state": state, "date": _date(text)}
    return done


def _read_old() -> dict[str, dict[str, str]]:
    try:
        done = json.loads(_text(_old_file()) or "{}")
    except (ValueError, RuntimeError):  # RuntimeError: no home directory, or nested too deeply
        return {}
    entries = done.items() if isinstance(done, dict) else ()
    good = [(n, entry) for n, entry in entries if isinstance(entry, dict) and entry.get("state") in _NOTED]
    return {number: {"state": entry["state"], "date": _date(entry.get("date"))} for number, entry in good}


def _text(path: Path) -> str | None:
    """What is in a file, if it is one that can be read."""
    try:
        with open_regular(path) as file:
            return file.read(1 << 20).decode()
    except (OSError, ValueError):
        return None


def _date(value: Any) -> str:
    return value if isinstance(value, str) and re.fullmatch(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value) else ""


def _remember(number: str, state: str) -> None:
    if state not in _NOTED or _read(number).get(number, {}).get("state") == "solved":
        return  # what was solved once stays solved, also when the notebook is run from the top again
    try:
        make_state_folder()
        write_atomically(_folder() / f"{number}.{state}", date.today().isoformat().encode())
    except (OSError, RuntimeError) as error:
        logging.getLogger(__name__).warning("what you have solved could not be noted: %s", error)


def progress() -> Any:
    """Returns all exercises as a pandas DataFrame: number, title, state ("solved", "tried", "open" …), date."""
    import pandas

    from ..trt import missing

    done, rows = _read(), []
    for task in exercises().values():
        entry = done.get(task.number, {"state": "", "date": ""})
        state = {"solved": "✅ solved", "wrong": "❌ tried"}.get(entry["state"], "○ open")
        if not state.startswith("✅") and missing(*task.needs):
            state = "needs " + ("a GPU" if "gpu" in task.needs else ", ".join(task.needs))
        rows.append((task.number, task.title, state, entry["date"]))
    return pandas.DataFrame(rows, columns=["exercise", "what to do", "state", "date"]).set_index("exercise")


def reset_progress() -> None:
    """Forgets which exercises were solved on this machine."""
    notes = [path for state in _NOTED for path in _folder().glob(f"*.{state}")]
    for path in (_old_file(), *notes):
        path.unlink(missing_ok=True)
