"""Checks what TensorRT will make of a model, safely: ``check("model.onnx")`` (chapter 08).

Everything that reads the model runs in a worker process within limits, so no model can take this process down.
Standard library only; the worker needs onnx, the report as text needs rich.

>>> check(b"<html><body>404 Not Found").verdict
'not a usable model'
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from ...model_files import HEAD, LARGEST, TOO_LARGE, NotAModel, first_look, kind_of
from ...worker import Worker, WorkerDied, WorkerError, WorkerMemory, WorkerRaised, WorkerTimeout, resident_memory
from .advice import advice
from .findings import judge_facts, some
from .operator_trials import judge_operators, recall_operators
from .report import CONVERTIBLE, NOT_CONVERTIBLE, PARSED, SEVERITIES, Report

TIMEOUT = 120.0  # seconds for the whole check
MEMORY = 8 << 30  # bytes of memory for the whole check
_TRIAL, _FACTS = f"{__package__}.trial", f"{__package__}.model_facts"


class LimitReached(Exception):
    """Raised where the check has to end; the message says at which of its limits."""


def check(
    model: str | os.PathLike | bytes | Any,
    build: bool = False,
    timeout: float = TIMEOUT,
    memory: int | None = MEMORY,
    worker: Worker | None = None,
) -> Report:
    """Judges an ONNX model, given as a path, as bytes or as an onnx.ModelProto. Nothing is written beside it.

    build    build it too, for the GPUs that this TensorRT builds for by itself
    timeout  seconds that the whole check may take, the start of a worker included
    memory   bytes of resident memory that the worker may hold, with what this process grows by meanwhile; None for no
             limit
    worker   one from ``check_worker()``, to judge many models one after the other; by default a new one

    Whatever the model is or does, the answer is a Report. Where a limit is reached, it has what was found until then.
    Raises TypeError where ``model`` is none of those, and OSError where a model in memory cannot be written to the
    folder for temporary files.
    """
    start = time.monotonic()
    with ExitStack() as stack:
        try:
            if isinstance(model, (str, os.PathLike)):
                report, path = Report(os.fspath(model)), Path(os.path.abspath(model))
                first_look(model)
            else:
                report = Report("the model in memory")
                path = stack.enter_context(_as_file(model))
        except NotAModel as error:
            report.summary = str(error)
            return report
        worker = worker or stack.enter_context(check_worker())
        _Check(report, str(path), worker, start, timeout, memory).run(build)
    report.seconds = round(time.monotonic() - start, 3)
    return report


@contextmanager
def _as_file(model: bytes | Any) -> Iterator[Path]:
    """Writes the model into a folder of its own, and keeps nothing of it in this process."""
    if not isinstance(model, (bytes, bytearray, memoryview)):
        if not hasattr(model, "SerializeToString"):
            raise TypeError(f"model is a {type(model).__name__}; give a path, bytes or an onnx.ModelProto")
        try:
            model = model.SerializeToString()
        except Exception as error:  # protobuf's own class, which is not imported here
            raise NotAModel(f"the model in memory cannot be written as ONNX, perhaps since it {TOO_LARGE}") from error
    if kind := kind_of(bytes(model[:HEAD])) or (TOO_LARGE if len(model) > LARGEST else None):
        raise NotAModel(f"the model in memory {kind}")
    with ExitStack() as stack:
        try:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "model.onnx"
            path.write_bytes(model)
        except OSError as error:
            reason = f"a model in memory needs room in the folder for temporary files (TMPDIR): {error.strerror}"
            raise OSError(error.errno, reason, error.filename) from None
        del model
        yield path


def check_worker() -> Worker:
    """Starts a worker for many calls of :func:`check`: close it afterwards, or use it in a ``with`` statement."""
    return Worker(preload=f"{_TRIAL}:warm_up")


class _Check:
    """The steps of one check. Each fills in the report; ``run`` ends with the verdict."""

    def __init__(self, report: Report, path: str, worker: Worker, start: float, timeout: float, memory: int | None):
        self.report, self.path, self.worker = report, path, worker
        self.timeout, self.end = timeout, start + timeout
        self.memory, self.before = memory, resident_memory(os.getpid())
        self.step = "TensorRT was being loaded"

    def run(self, build: bool) -> None:
        """Takes all steps, and writes verdict and summary."""
        report, stopped = self.report, ""
        try:
            if not self.judge(build):
                return
        except LimitReached as limit:
            stopped = f"{limit} while {self.step}"
            known = any(problem.severity == "error" for problem in report.problems)
            report.add("note" if known else "error", stopped, advice(stopped))
        report.problems.sort(key=lambda problem: SEVERITIES.index(problem.severity))
        errors = [problem for problem in report.problems if problem.severity == "error"]
        report.verdict = NOT_CONVERTIBLE if errors else CONVERTIBLE
        if not errors:
            done = "parses and builds" if report.built else "parses"
            report.summary = f"{report.tensorrt} {done} {report.model}"
        elif errors[0].what == stopped:
            report.summary = f"{report.model} was not judged to the end: {stopped}"
        else:
            where = f"{errors[0].where}: " if errors[0].where else ""
            report.summary = f"{report.tensorrt} will not take {report.model}: {where}{_first_line(errors[0].what)}"
            report.summary += f" ({stopped})" if stopped else ""

    def judge(self, build: bool) -> bool:
        """Takes all steps. Returns False where there is no model, or no TensorRT: the summary says why."""
        report = self.report
        try:
            here = self.call(f"{_TRIAL}:warm_up")
        except WorkerError as error:
            report.verdict = NOT_CONVERTIBLE
            report.summary = f"TensorRT cannot be used here ({error}): tensorrt-workbook doctor says why"
            return False
        report.tensorrt = here["tensorrt"]
        self.step = "the model was being read"
        facts, failure = self.attempt(f"{_FACTS}:facts", self.path)
        if failure:
            report.summary = f"{report.model} {failure.replace('TensorRT', 'onnx')} while it is read"
            return False
        if facts["unusable"]:
            report.summary = f"{report.model} {facts['unusable']}"
            return False
        if not judge_facts(report, facts, narrow_int64=not here["int64"]):
            first = next(problem for problem in report.problems if problem.severity == "error")
            report.summary = f"{report.model} is not a valid ONNX model: {first.what}"
            return False
        recall_operators(report)
        self.parse(facts, build)
        return True

    def parse(self, facts: dict, build: bool) -> None:
        """Parses the model, builds it if asked, and judges its operators."""
        report = self.report
        self.step = "TensorRT was parsing the model"
        parsed, failure = self.attempt(f"{_TRIAL}:parse", self.path)
        stage, message, errors = "parsed", failure, []
        if failure:
            self.blame(f"{failure} while parsing", "")
        elif parsed["message"]:
            message, errors = parsed["message"], parsed["errors"]
            for error in errors:
                names = some(error["names"], error["count"] - len(error["names"]))
                self.blame(f"TensorRT's parser refuses it: {error['text']}", f"{error['operator']} {names}".strip())
            if not errors:
                self.blame(message.removeprefix(f"{self.path}: "), "")
        else:
            report.layers = parsed["layers"]
            for operator in report.operators:
                operator.verdict = PARSED
            if not report.layers:
                what = "the network has no layer: outputs are inputs or constants"
                report.add("warning", what, "see that the export traced what you meant")
            for name in parsed["shape_inputs"]:
                what = "TensorRT uses the values of this input as a shape, so a profile must give them"
                todo = "make it a constant of the graph, or use profile.set_shape_input(name, min, opt, max)"
                report.add("warning", f"{what}: it was not built" if build else what, todo, name)
            if build and not parsed["shape_inputs"]:
                stage, message = "built", self.build()
        if parsed and parsed["more"]:
            what = f"the parser said {parsed['more']:,} things more, which are left out here"
            report.add("note", what, "mend what was found, and check again")
        self.step = "its operators were tried alone"
        judge_operators(report, facts, self.path, self.attempt, stage, message, errors)

    def build(self) -> str | None:
        """Builds the model. Returns why there is no plan, or None."""
        report = self.report
        self.step = "TensorRT was building the model"
        built, failure = self.attempt(f"{_TRIAL}:build_as_proposed", self.path)
        report.built = not failure and built["plan_bytes"] is not None
        if report.built:
            report.plan_bytes = built["plan_bytes"]
            return None
        message = f"{failure} while building" if failure else built["message"]
        self.blame(message, "")
        return message

    def blame(self, what: str, where: str) -> None:
        """Adds an error, with what people do about it."""
        self.report.add("error", what, advice(what), where)

    def attempt(self, function: str, *arguments, **named) -> tuple[Any, str | None]:
        """Calls; once more after a worker's death. Returns the result, or None and why: "crashes TensorRT (SIGSEGV)".

        Raises LimitReached.
        """
        for last in (False, True):
            try:
                return self.call(function, *arguments, **named), None
            except WorkerDied as error:
                if last:
                    return None, f"crashes TensorRT ({error.cause})"
            except WorkerRaised as error:
                return None, f"fails in Python ({error})"
        raise AssertionError("unreachable")

    def call(self, function: str, *arguments, **named) -> Any:
        """Calls in the worker, within what is left of the check's time and memory. Raises WorkerError, LimitReached."""
        left, memory = self.end - time.monotonic(), self.memory
        if memory is not None:
            memory -= max(0, resident_memory(os.getpid()) - self.before)
        try:
            return self.worker.call(function, *arguments, timeout=left, memory=memory, **named)
        except WorkerTimeout:
            raise LimitReached(f"the time limit of {self.timeout:g} s was reached") from None
        except WorkerMemory:
            raise LimitReached(f"the memory limit of {(self.memory or 0) / 1e9:.3g} GB was reached") from None


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""
