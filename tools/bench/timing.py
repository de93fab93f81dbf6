"""How the benchmark measures: rounds in turn, so that a slow moment of the machine hits every method alike."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterable, Mapping
from time import perf_counter
from typing import Any

import numpy as np

BUSY = 512 << 20  # bytes to be zeroed, which takes an H100 about 0.2 ms: the GPU then does not wait for Python


def in_turns(
    calls: Mapping[str, Callable[[], Any]], *, rounds: int = 5, seconds: float = 0.12, most: int = 2000
) -> dict[str, dict]:
    """Times every call in several rounds; a round lasts about ``seconds`` and at least three runs, after a warm-up.

    Returns by name, in microseconds: ``median`` (over the rounds' medians), ``low`` and ``high`` (the lowest and the
    highest of these: the spread), ``p99`` over all runs, and the number of ``runs``.
    """
    counts = {}
    for name, call in calls.items():
        for _ in range(3):  # CUDA graphs are captured the second time, so they are there after this
            call()
        begin = perf_counter()
        call()
        counts[name] = int(np.clip(seconds / (perf_counter() - begin), 3, most))

    def one_round(name: str) -> np.ndarray:
        for _ in range(counts[name] // 10):
            calls[name]()
        return run_times(calls[name], counts[name])

    return _take_turns(calls, one_round, rounds)


def one_at_a_time(measures: Mapping[str, Callable[[], float]], rounds: int = 5, count: int = 30) -> dict[str, dict]:
    """Summaries of the microseconds that each function measures by itself and returns, in rounds of ``count`` calls."""
    return _take_turns(measures, lambda name: np.array([measures[name]() for _ in range(count)]), rounds)


def _take_turns(names: Iterable[str], one_round: Callable[[str], np.ndarray], rounds: int) -> dict[str, dict]:
    """Summaries by name of what ``one_round(name)`` measures, without the garbage collector in between."""
    times: dict[str, list[np.ndarray]] = {name: [] for name in names}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name in times:
                times[name].append(one_round(name))
    finally:
        gc.enable()
    return {name: summary(batches) for name, batches in times.items()}


def summary(rounds: list[np.ndarray]) -> dict:
    """Median, spread of the rounds' medians, and p99, in microseconds."""
    medians = [float(np.median(times)) for times in rounds]
    every = np.concatenate(rounds)
    return {
        "median": round(float(np.median(medians)), 2),
        "low": round(min(medians), 2),
        "high": round(max(medians), 2),
        "p99": round(float(np.percentile(every, 99)), 2),
        "runs": len(every),
    }


def run_times(call: Callable[[], Any], count: int) -> np.ndarray:
    """The microseconds that each of ``count`` runs takes."""
    times = np.empty(count)
    for i in range(count):
        begin = perf_counter()
        call()
        times[i] = perf_counter() - begin
    return times * 1e6
