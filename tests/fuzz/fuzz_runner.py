"""Random calls of Runners on the pretended GPU: each result is right, or a documented exception is raised.

Of the caller's memory only what was given as ``out`` is written, and nothing if a call is refused.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
from pretend_gpu import (
    DEFAULT,
    INPUTS,
    OUTPUTS,
    PretendedCuda,
    PretendedEngine,
    PretendedGraph,
    Stream,
    cuda,
    on_gpu,
    values,
)

from helpers.engine import EngineError
from helpers.runner import Runner
from helpers.tensors import DeviceArray

CALLS, ROWS, FLOAT = 100, 24, np.dtype(np.float32)  # calls of one try, which has Runners and memory of its own
KINDS = ["call"] * 6 + ["submit"] * 4 + ["map", "views", "thread", "close"]
REFUSED = (KeyError, TypeError, ValueError, EngineError)


def run(count: int, seed: int, until: float) -> str:
    """Up to ``count`` calls until ``time.monotonic()`` says ``until``. Raises AssertionError with the try's number."""
    begin, counts, number = time.monotonic(), Counter[str](), 0
    logging.disable()  # of what the engine refuses: it is in the exceptions, too
    try:
        while counts["calls"] < count and time.monotonic() < until:
            Try(random.Random(f"{seed} {number}"), counts).make(min(CALLS, count - counts["calls"]))
            number += 1
    except Exception as fault:
        raise AssertionError(f"try {number} of seed {seed}: {type(fault).__name__}: {fault}") from fault
    finally:
        logging.disable(logging.NOTSET)
    calls, seconds = counts.pop("calls"), time.monotonic() - begin
    told = ", ".join(f"{times:,} {kind}" for kind, times in sorted(counts.items()))
    return f"runner: {calls:,} calls in {seconds:.0f} s: {told}"


@dataclass
class Window:
    """Some rows of a memory of the caller's, as an array of NumPy or of the GPU."""

    memory: str
    start: int
    rows: int
    array: Any

    @property
    def on_gpu(self) -> bool:
        return isinstance(self.array, DeviceArray)

    def overlaps(self, other: Window) -> bool:
        first, end = max(self.start, other.start), min(self.start + self.rows, other.start + other.rows)
        return self.memory == other.memory and first < end


class Try:
    def __init__(self, rng: random.Random, counts: Counter):
        self.rng, self.counts, self.kept = rng, counts, []
        self.graphs, self.least = rng.random() < 0.6, rng.choice([0, 1])
        # Ordinary memory, memory of the GPU, and page-locked memory, which both reach.
        room, there = np.zeros((ROWS, 4), FLOAT), on_gpu(np.zeros((ROWS, 4), FLOAT))
        locked = cuda.pagelocked_empty((ROWS, 4), FLOAT)
        self.memory = {"room": room, "there": values(there), "locked": locked}
        self.windows = []
        for rows in [1, 2, 2, 2, 2, 8, 9, 0]:
            start = rng.randrange(ROWS - rows)
            for memory, array in ("room", room), ("locked", locked):
                self.windows.append(Window(memory, start, rows, array[start : start + rows]))
            for memory, address, owner in ("there", there.pointer, there), ("locked", locked.ctypes.data, locked):
                array = DeviceArray(address + 16 * start, (rows, 4), FLOAT, owner)
                self.windows.append(Window(memory, start, rows, array))
        read_only = room[:2].view()
        read_only.flags.writeable = False
        self.no_out = [read_only, DeviceArray(there.pointer, (2, 4), FLOAT, there, readonly=True)]
        self.wrong = [np.ones((2, 4)), np.ones((2, 8), FLOAT)[:, ::2], np.ones((4, 2), FLOAT).T, np.ones((2, 4), ">f4")]
        self.wrong += [None, 3, [[1.0] * 4], np.ma.masked_array(room[:2]), np.ones(8, FLOAT), np.ones((2, 5), FLOAT)]
        self.wrong += [on_gpu(np.ones((2, 4))), on_gpu(np.ones((2, 5), FLOAT)), DeviceArray(0, (2, 4), FLOAT)]

    def make(self, calls: int) -> None:
        with (
            patch("helpers.runner.load_engine", lambda engine, trusted: engine),
            patch("helpers.runner.capture", PretendedGraph),
            patch("helpers.runner.has", lambda capability: self.graphs),
        ):
            engine = PretendedEngine(least=self.least)
            self.runners = [self.new(engine) for _ in range(self.rng.choice([1, 2, 3]))]
            for _ in range(calls):
                self.counts["calls"] += 1
                self.mixed = self.rng.random() < 0.5
                with patch.object(Stream, "eager", self.rng.random() < 0.5):
                    self.fill()
                    getattr(self, self.rng.choice(KINDS))(self.rng.choice(self.runners))
            for result, expected in self.kept:
                same(result, expected)

    def new(self, engine: PretendedEngine) -> Runner:
        return Runner(engine, backend=PretendedCuda(follows=self.graphs), graphs=self.rng.choice([1, 2, 8]))

    def fill(self) -> None:
        """Gives all memory another content; that of the GPU as a caller does who does not wait for it."""
        self.content = {name: np.full((ROWS, 4), self.rng.randrange(1000), FLOAT) for name in self.memory}
        for name, content in self.content.items():
            content += np.arange(ROWS * 4).reshape(ROWS, 4)
            self.memory[name][...] = np.nan if name == "there" else content
        there = self.content["there"].copy()
        DEFAULT.enqueue(lambda: np.copyto(self.memory["there"], there))

    def pick(self, rows: int) -> Any:
        """A window with so many rows; now and then another one, or what nobody can use."""
        chance = self.rng.random()
        if chance < 0.06:
            return self.rng.choice(self.wrong)
        fitting = [w for w in self.windows if w.rows == rows or chance < 0.09]
        return self.rng.choice([w for w in fitting if self.mixed or not w.on_gpu])

    def picked(self) -> tuple[dict, dict, dict[str, np.ndarray] | None]:
        """Inputs and ``out``, of windows and what is wrong, and the right results; None if they have to be refused."""
        rng, rows = self.rng, self.rng.choice([1, 2, 2, 2, 2, 8, 8, 9, 0])
        given = {name: self.pick(rows) for name in INPUTS}
        out = {name: self.pick(rows) for name in rng.sample(OUTPUTS, rng.choice([0, 0, 1, 2]))}
        if rng.random() < 0.05:
            given[rng.choice(["y", "double"])] = self.pick(rows)
        if rng.random() < 0.03:
            del given[rng.choice(INPUTS)]
        if rng.random() < 0.03:
            out[rng.choice(["z", "x"])] = self.pick(rows)
        if rng.random() < 0.03:
            out[rng.choice(OUTPUTS)] = rng.choice(self.no_out)
        return given, out, self.expected(given, out)

    def expected(self, given: dict, out: dict) -> dict[str, np.ndarray] | None:
        windows = [*given.values(), *out.values()]
        if set(given) != set(INPUTS) or set(out) - set(OUTPUTS) or not all(isinstance(w, Window) for w in windows):
            return None
        if len({window.rows for window in windows}) > 1 or not self.least <= windows[0].rows <= 8:
            return None
        outputs = list(out.values())
        for number, window in enumerate(outputs):
            inputs = [w for w in given.values() if w.on_gpu] if window.on_gpu else []
            if any(window.overlaps(other) for other in (*inputs, *outputs[:number])):
                return None
        x, shift = (self.content[w.memory][w.start : w.start + w.rows].copy() for w in (given["x"], given["shift"]))
        return {"double": 2 * x, "plus": x + shift}

    def now(self) -> dict[str, np.ndarray]:
        return {name: content.copy() for name, content in self.content.items()}

    def holds(self, memory: dict) -> None:
        DEFAULT.synchronize()
        same(self.memory, memory)

    def check(self, result: dict, out: dict, expected: dict, memory: dict, keep: bool = True) -> None:
        same(result, expected)
        self.holds(memory)
        assert all(result[name] is window.array for name, window in out.items())
        if keep:
            fresh = set(result) - set(out)
            self.kept.append(({n: result[n] for n in fresh}, {n: expected[n] for n in fresh}))
        self.counts["right"] += 1

    def refused(self, error: Exception, expected: dict | None, memory: dict) -> None:
        if expected is not None:
            raise error
        self.holds(memory)
        self.counts["refused"] += 1

    # What a step may be.

    def call(self, runner: Runner) -> None:
        given, out, expected = self.picked()
        views, memory = self.rng.random() < 0.3, self.now()
        try:
            result = runner(arrays(given), out=arrays(out), views=views)
        except REFUSED as error:
            self.refused(error, expected, memory)
        else:
            assert expected is not None, f"accepted: {given}, out={out}"
            self.check(result, out, expected, written(memory, out, expected), keep=not views)

    def submit(self, runner: Runner) -> None:
        """Starts a run, lets something happen meanwhile, and asks for its result, perhaps after the next one's."""
        given, out, expected = self.picked()
        memory = self.now()
        try:
            pending = runner.submit(arrays(given), out=arrays(out))
        except REFUSED as error:
            self.refused(error, expected, memory)
            return
        assert expected is not None, f"accepted: {given}, out={out}"
        if not any(w.on_gpu for w in (*given.values(), *out.values())):  # then NumPy's inputs may be changed
            self.fill()
            memory = self.now()
        memory = written(memory, out, expected)
        if self.rng.random() < 0.5:
            x = np.full((self.rng.choice([1, 2, 8]), 4), self.rng.randrange(1000), FLOAT)
            later = self.rng.choice(self.runners).submit(x=x, shift=x)
            x = x.copy()
            if self.rng.random() < 0.5:
                same(later.result(), {"double": 2 * x, "plus": 2 * x})
            pending.result()
            same(later.result(), {"double": 2 * x, "plus": 2 * x})
        self.check(pending.result(), out, expected, memory)

    def map(self, runner: Runner) -> None:
        picked = [self.picked() for _ in range(self.rng.randrange(5))]
        wanted = [self.expected(given, {}) for given, _, _ in picked]
        memory, seen = self.now(), 0
        try:
            for result in runner.map([arrays(given) for given, _, _ in picked], streams=self.rng.choice([1, 2, 3])):
                self.check(result, {}, wanted[seen], memory)
                seen += 1
        except REFUSED as error:
            self.refused(error, None if None in wanted else wanted[seen], memory)
        else:
            assert seen == len(wanted)

    def views(self, runner: Runner) -> None:
        """Gives what ``views=True`` has returned back, as inputs and as ``out``."""
        x = np.full((self.rng.choice([1, 2, 8]), 4), self.rng.randrange(1000), FLOAT)
        first = {"double": 2 * x, "plus": 2 * x + 1}
        view = runner(x=x, shift=x + 1, views=True)
        same(view, first)
        out = {name: view[self.rng.choice(OUTPUTS)] for name in self.rng.sample(OUTPUTS, self.rng.choice([0, 1, 2]))}
        given = {"x": view["double"], "shift": view["plus"]}
        try:
            result = runner(given, out=out)
        except ValueError as error:
            self.refused(error, None if any(out[name] is not view[name] for name in out) else first, self.now())
            same(view, first)
        else:
            same(result, {"double": 4 * x, "plus": 4 * x + 1})
            self.counts["right"] += 1

    def thread(self, runner: Runner) -> None:
        x, said = np.ones((2, 4), FLOAT), []
        pending = runner.submit(x=x, shift=x)

        def work() -> None:
            for attempt in (lambda: runner(x=x, shift=x), lambda: runner.submit(x=x, shift=x), runner.close):
                said.append(complaint(attempt))

        other = threading.Thread(target=work)
        other.start()
        other.join()
        assert len(said) == 3, said
        assert all("belongs to the thread" in text for text in said), said
        same(pending.result(), {"double": 2 * x, "plus": 2 * x})
        self.counts["from another thread"] += 1

    def close(self, runner: Runner) -> None:
        x, engine = np.ones((2, 4), FLOAT), runner.engine
        pending = runner.submit(x=x, shift=x)
        runner.close()
        same(pending.result(), {"double": 2 * x, "plus": 2 * x})
        assert "closed" in complaint(lambda: runner(x=x, shift=x))
        self.runners[self.runners.index(runner)] = self.new(engine)
        self.counts["closed"] += 1


def written(memory: dict, out: dict, expected: dict) -> dict[str, np.ndarray]:
    """What the memory has to hold when the results have been written into ``out``."""
    for name, window in out.items():
        memory[window.memory][window.start : window.start + window.rows] = expected[name]
    return memory


def complaint(attempt: Callable[[], Any]) -> str:
    try:
        attempt()
    except RuntimeError as error:
        return str(error)
    return "nothing"


def arrays(named: dict) -> dict:
    return {name: what.array if isinstance(what, Window) else what for name, what in named.items()}


def same(found: dict, expected: dict) -> None:
    assert set(found) == set(expected), f"{set(found)} instead of {set(expected)}"
    for name, array in found.items():
        content = values(array) if isinstance(array, DeviceArray) and array.span[0] < array.span[1] else array
        if not isinstance(content, DeviceArray):
            np.testing.assert_array_equal(content, expected[name], err_msg=name)
