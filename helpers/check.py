"""Will it convert? ``check("model.onnx")`` says what TensorRT will make of a model, and is safe (chapter 08).

Everything that reads the model runs in a worker process within limits, so no model can take this process down.
Standard library only; the worker needs onnx, the report as text needs rich.

>>> check(b"<html><body>404 Not Found").verdict
'not a usable model'
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from .advice import advice
from .atomic import write_atomically
from .file_kind import NotAModel, first_look, kind_of
from .findings import judge_facts, some
from .operator_trials import judge_operators
from .report import CONVERTIBLE, NOT_CONVERTIBLE, SEVERITIES, Report
from .worker import Worker, WorkerDied, WorkerError, WorkerMemory, WorkerRaised, WorkerTimeout

TIMEOUT = 120.0  # seconds for each step: looking at the model, parsing, building
MEMORY = 8 << 30  # bytes of resident memory
_TRIAL, _FACTS = f"{__package__}.trial", f"{__package__}.model_facts"


def check(
    model: str | os.PathLike | bytes | Any,
    build: bool = False,
    timeout: float = TIMEOUT,
    memory: int | None = MEMORY,
    worker: Worker | None = None,
) -> Report:
    """Judges an ONNX model, given as a path, as bytes or as an onnx.ModelProto. Nothing is written beside it.

    build    build it too, for the GPUs that this TensorRT builds for by itself
    timeout  seconds that each step may take
    memory   bytes of resident memory that the worker may hold; None for no limit
    worker   one from ``check_worker()``, to judge many models one after the other; by default a new one

    Whatever the model is or does, the answer is a Report. Raises TypeError where ``model`` is none of those.
    """
    start = time.monotonic()
    with ExitStack() as stack:
        if not isinstance(model, (str, os.PathLike, bytes, bytearray, memoryview)):
            if not hasattr(model, "SerializeToString"):
                raise TypeError(f"model is a {type(model).__name__}; give a path, bytes or an onnx.ModelProto")
            model = model.SerializeToString()
        if isinstance(model, (str, os.PathLike)):
            path = Path(os.path.abspath(model))
            report = Report(os.fspath(model))
        else:
            path = Path(stack.enter_context(tempfile.TemporaryDirectory())) / "model.onnx"
            path.write_bytes(model)
            report = Report("the model in memory")
        try:
            if isinstance(model, (str, os.PathLike)):
                first_look(model)
            elif kind := kind_of(bytes(model[:512])):
                raise NotAModel(f"{report.model} {kind}")
        except NotAModel as error:
            report.summary = str(error)
            return report
        worker = worker or stack.enter_context(check_worker())
        _Check(report, str(path), worker, timeout, memory).run(build)
    report.seconds = round(time.monotonic() - start, 3)
    return report


def check_worker() -> Worker:
    """A worker for many calls of :func:`check`: close it afterwards, or use it in a ``with`` statement."""
    return Worker(preload=f"{_TRIAL}:warm_up")


class _Check:
    """The steps of one check. Each fills in the report; ``run`` ends with the verdict."""

    def __init__(self, report: Report, path: str, worker: Worker, timeout: float, memory: int | None):
        self.report, self.path, self.worker = report, path, worker
        self.limits: dict[str, Any] = {"timeout": timeout, "memory": memory}

    def run(self, build: bool) -> None:
        report = self.report
        try:
            here = self.worker.call(f"{_TRIAL}:warm_up", timeout=self.worker.start_timeout)
        except WorkerError as error:
            report.verdict = NOT_CONVERTIBLE
            report.summary = f"TensorRT cannot be used here ({error}): python -m helpers doctor says why"
            return
        report.tensorrt = here["tensorrt"]
        facts, failure = self.attempt(f"{_FACTS}:facts", self.path)
        if failure:
            report.summary = f"{report.model} {failure.replace('TensorRT', 'onnx')} while it is read"
            return
        if facts["unusable"]:
            report.summary = f"{report.model} {facts['unusable']}"
            return
        usable = judge_facts(report, facts, narrow_int64=not here["int64"])
        if not usable:
            first = next(problem for problem in report.problems if problem.severity == "error")
            report.summary = f"{report.model} is not a valid ONNX model: {first.what}"
            return
        self.parse(facts, build)
        report.problems.sort(key=lambda problem: SEVERITIES.index(problem.severity))
        errors = [problem for problem in report.problems if problem.severity == "error"]
        report.verdict = NOT_CONVERTIBLE if errors else CONVERTIBLE
        if errors:
            where = f"{errors[0].where}: " if errors[0].where else ""
            report.summary = f"{report.tensorrt} will not take {report.model}: {where}{_first_line(errors[0].what)}"
        else:
            done = "parses and builds" if report.built else "parses"
            report.summary = f"{report.tensorrt} {done} {report.model}"

    def parse(self, facts: dict, build: bool) -> None:
        report = self.report
        parsed, failure = self.attempt(f"{_TRIAL}:parse", self.path)
        stage, message, node_errors = "parsed", failure, []
        if failure:
            self.blame(f"{failure} while parsing", "")
        elif parsed["message"]:
            message, node_errors = parsed["message"], parsed["errors"]
            alike: dict[tuple[str, str], list[str]] = {}
            for node, operator, text in node_errors:
                alike.setdefault((operator, text), []).append(node)
            for (operator, text), nodes in alike.items():
                names = some([repr(node) for node in nodes if node])
                self.blame(f"TensorRT's parser refuses it: {text}", f"{operator} {names}".strip())
            if not node_errors:
                self.blame(message.removeprefix(f"{self.path}: "), "")
        else:
            report.layers = parsed["layers"]
            if not report.layers:
                report.add(
                    "warning",
                    "the network has no layer: outputs are inputs or constants",
                    "see that the export traced what you meant",
                )
            for name in parsed["shape_inputs"]:
                report.add(
                    "warning",
                    "TensorRT uses the values of this input as a shape, so a profile must give them"
                    + (": it was not built" if build else ""),
                    "make it a constant of the graph, or use profile.set_shape_input(name, min, opt, max)",
                    name,
                )
            if build and not parsed["shape_inputs"]:
                stage, message = "built", self.build()
        judge_operators(report, facts, self.path, self.attempt, stage, message, node_errors)

    def build(self) -> str | None:
        """Returns why there is no plan, or None."""
        report = self.report
        built, failure = self.attempt(f"{_TRIAL}:build", self.path, report.profile)
        report.built = not failure and built["plan_bytes"] is not None
        if report.built:
            report.plan_bytes = built["plan_bytes"]
            return None
        message = f"{failure} while building" if failure else built["message"]
        self.blame(message, "")
        return message

    def blame(self, what: str, where: str) -> None:
        self.report.add("error", what, advice(what), where)

    def attempt(self, function: str, *arguments, **named) -> tuple[Any, str | None]:
        """What the call returned, or why it did not: "crashes TensorRT (SIGSEGV)". After a death it is tried again."""
        for last in (False, True):
            try:
                return self.worker.call(function, *arguments, **self.limits, **named), None
            except WorkerDied as error:
                if last:
                    return None, f"crashes TensorRT ({error.cause})"
            except WorkerTimeout:
                return None, f"takes longer than the time limit of {self.limits['timeout']:g} s"
            except WorkerMemory:
                return None, f"takes more than the memory limit of {self.limits['memory'] / 2**30:.3g} GiB"
            except WorkerRaised as error:
                return None, f"fails in Python ({error})"
        raise AssertionError("unreachable")


def _first_line(text: str) -> str:
    return text.splitlines()[0] if text else ""


def main(arguments) -> int:
    """``python -m helpers check``: prints the report, as its arguments say, and returns its exit code."""
    report = check(arguments.model, arguments.build, arguments.timeout, int(arguments.memory * 1e9))
    if arguments.json:
        print(report.to_json())
    else:
        report.print()
    if arguments.html:
        head = '<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>Check of a model</title>'
        try:
            write_atomically(arguments.html, f"{head}\n{report.to_html()}\n</html>\n".encode())
        except OSError as error:
            print(f"the report could not be written: {error}", file=sys.stderr)
            return 2
    return report.exit_code
