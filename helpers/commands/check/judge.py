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
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from shlex import quote
from typing import Any

from ...model_files import HEAD, LARGEST, TOO_LARGE, NotAModel, first_look, kind_of
from ...worker import Worker, WorkerDied, WorkerError, WorkerMemory, WorkerRaised, WorkerTimeout, resident_memory
from .advice import advise
from .building import Building, LimitReached
from .findings import complaint_of, judge_complaint, judge_facts, where_of
from .operator_trials import judge_operators, recall_operators
from .releases import judge_for, release_of
from .report import CONVERTIBLE, NO_TENSORRT, NOT_CONVERTIBLE, PARSED, SEVERITIES, UNDECIDED, Report
from .shapes import Ranges, check_given, shapes_of, values_of
from .summary import summary

TIMEOUT = 120.0  # seconds for the whole check
MEMORY = 8 << 30  # bytes of memory for the whole check
LIMITS = {"time limit": "TRT003", "memory limit": "TRT004"}  # and what there is to do
_TRIAL, _FACTS, _KINDS = f"{__package__}.trial", f"{__package__}.model_facts", f"{__package__}.kinds"


def check(
    model: str | os.PathLike | bytes | Any,
    build: bool = False,
    timeout: float = TIMEOUT,
    memory: int | None = MEMORY,
    worker: Worker | None = None,
    *,
    shapes: Mapping[str, Any] | None = None,
    values: Mapping[str, Any] | None = None,
    release: str | None = None,
) -> Report:
    """Judges an ONNX model, given as a path, as bytes or as an onnx.ModelProto. Nothing is written beside it.

    build    build it too, for the GPUs that this TensorRT builds for by itself
    timeout  seconds that the whole check may take, the start of a worker included
    memory   bytes of resident memory that the worker may hold, with what this process grows by meanwhile; None for no
             limit
    worker   one from ``check_worker()``, to judge many models one after the other; by default a new one
    shapes   to build with: input name -> one shape, or (min, opt, max); they mean ``build``. Without them a build
             searches shapes, and the report says that they are a guess
    values   the same for shape inputs, whose values TensorRT uses as a shape: name -> one list of integers, or three
    release  judge for another TensorRT, by what is known of it: one of ``releases.releases()``. Nothing is built, and
             no TensorRT is needed here

    Whatever the model is or does, the answer is a Report. Where a limit is reached, it has what was found until then.
    Raises TypeError where ``model`` is none of those, ValueError where ``shapes`` or ``values`` do not fit its inputs
    or ``release`` is not known, and OSError where a model in memory cannot be written to the folder for temporary
    files.
    """
    start = time.monotonic()
    given = shapes_of(shapes), values_of(values)
    if release is not None:
        release = _known_release(release, build or any(given))
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
        if worker is None:
            worker = stack.enter_context(Worker() if release else check_worker())
        checking = _Check(report, str(path), worker, start, timeout, memory)
        if release:
            checking.run_for(release)
        else:
            checking.run(build or any(given), *given)
    report.seconds = round(time.monotonic() - start, 3)
    return report


def _known_release(release: str, build: bool) -> str:
    release_of(release)
    if build:
        raise ValueError("nothing can be built for another release than the one that is here")
    return release


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
        self.step, self.outcome = "TensorRT was being loaded", CONVERTIBLE
        self.facts: dict = {}
        self.kinds: list[dict] = []
        self.parser_errors: list[dict] = []

    def run(self, build: bool, shapes: Ranges, values: Ranges) -> None:
        """Takes all steps, and writes verdict and summary."""
        report, stopped = self.report, ""
        try:
            if not self.judge(build, shapes, values):
                return
        except LimitReached as limit:
            stopped = f"{limit} while {self.step}"
            self.tell_of_limit(stopped)
        self.advise()
        refused = any(problem.severity == "error" for problem in report.problems)
        undecided = stopped and not report.built  # what came after a build that went well changes nothing
        report.verdict = NOT_CONVERTIBLE if refused else UNDECIDED if undecided else self.outcome
        report.summary = summary(report, self.outcome, stopped)

    def run_for(self, release: str) -> None:
        """Judges for another release: by the facts of the model, without TensorRT."""
        report = self.report
        try:
            if self.read(narrow_int64=release.startswith("8")):
                judge_for(report, self.facts, release, self.kinds)
        except LimitReached as limit:
            report.verdict, report.summary = UNDECIDED, f"{report.model} was not judged to the end: {limit}"
            self.tell_of_limit(report.summary)
        report.problems.sort(key=lambda problem: SEVERITIES.index(problem.severity))

    def advise(self) -> None:
        """Lets the knowledge base say what the errors mean, and puts the worst first."""
        report = self.report
        advise(report, self.kinds, self.parser_errors)
        told: dict = {}
        for problem in report.problems:  # what the build said of a node tells more than what the graph does
            named = problem.where and problem.advice
            told.setdefault((problem.where, problem.advice) if named else problem, problem)
        report.problems = list(told.values())
        report.problems.sort(key=lambda problem: SEVERITIES.index(problem.severity))

    def read(self, narrow_int64: bool) -> bool:
        """Reads the model. Returns False where it is none, or damaged: the summary says why."""
        report = self.report
        self.step = "the model was being read"
        self.facts, failure = self.attempt(f"{_FACTS}:facts", self.path)
        if failure:
            report.summary = f"{report.model} {failure.replace('TensorRT', 'onnx')} while it is read"
        elif self.facts["unusable"]:
            report.summary = f"{report.model} {self.facts['unusable']}"
        elif not judge_facts(report, self.facts, narrow_int64):
            self.not_valid()
        else:
            self.kinds = self.attempt(f"{_KINDS}:kinds", self.path)[0] or []
            return True
        return False

    def not_valid(self) -> None:
        first = next(problem for problem in self.report.problems if problem.severity == "error")
        self.report.summary = f"{self.report.model} is not a valid ONNX model: {first.what}"

    def judge(self, build: bool, shapes: Ranges, values: Ranges) -> bool:
        """Takes all steps. Returns False where there is no model, or no TensorRT: the summary says why."""
        report = self.report
        try:
            here = self.call(f"{_TRIAL}:warm_up")
        except WorkerError as error:
            report.verdict = NO_TENSORRT
            report.summary = f"TensorRT cannot be used here ({error}): tensorrt-workbook doctor says why"
            return False
        report.tensorrt = here["tensorrt"]
        if not self.read(narrow_int64=not here["int64"]):
            return False
        check_given(report.inputs, shapes, values)
        recall_operators(report, self.facts)
        return self.parse(build, shapes, values)

    def parse(self, build: bool, shapes: Ranges, values: Ranges) -> bool:
        """Parses the model, builds it if asked, and judges its operators. Returns False if no runtime takes it."""
        report = self.report
        self.step = "TensorRT was parsing the model"
        parsed, failure = self.attempt(f"{_TRIAL}:parse", self.path)
        if complaint := complaint_of(self.facts):
            usable = not failure and not parsed["message"]
            usable = usable or bool(self.attempt(f"{__package__}.shape_judge:loadable", self.path)[0])
            judge_complaint(report, complaint, usable)
            if not usable:
                self.not_valid()
                return False
        stage, message = "parsed", failure
        if failure:
            self.blame(f"{failure} while parsing")
        elif parsed["message"]:
            message, self.parser_errors = parsed["message"], parsed["errors"]
            for error in self.parser_errors:
                self.blame(f"TensorRT's parser refuses it: {error['text']}", where_of(error))
            if not self.parser_errors:
                self.blame(message.removeprefix(f"{self.path}: "))
        else:
            report.layers = parsed["layers"]
            for operator in report.operators:
                operator.verdict = PARSED
            if not report.layers:
                what = "the network has no layer: outputs are inputs or constants"
                report.add("warning", what, "see that the export traced what you meant")
            if build:
                stage, message = self.build(parsed["shape_inputs"], shapes, values)
            else:
                for name in parsed["shape_inputs"]:
                    what = "TensorRT uses the values of this input as a shape, so a profile must give them"
                    todo = "make it a constant of the graph, or use profile.set_shape_input(name, min, opt, max)"
                    report.add(
                        "warning", what, f"{todo}; check --build --values {quote(name)}=… tries them", name, "TRT040"
                    )
        if parsed and parsed["more"]:
            what = f"the parser said {parsed['more']:,} things more, which are left out here"
            report.add("note", what, "mend what was found, and check again")
        self.step = "its operators were tried alone"
        judge_operators(report, self.facts, self.path, self.attempt, stage, message, self.parser_errors)
        return True

    def build(self, shaping: list[str], shapes: Ranges, values: Ranges) -> tuple[str, str | None]:
        """Builds the model. Returns how far it came, "parsed" or "built", and why TensorRT refuses it, or None."""
        self.step = "TensorRT was building the model"
        if useless := [name for name in values if name not in shaping]:
            known = ", ".join(map(repr, shaping)) or "none"
            raise ValueError(f"TensorRT uses the values of {useless[0]!r} for no shape; its shape inputs are {known}")
        building = Building(self.report, self.path, self.attempt, self.end, shapes, values)
        self.outcome, message = building.run(shaping)
        if self.outcome == NOT_CONVERTIBLE:
            nodes, _ = self.attempt(f"{__package__}.blame:blamed", self.path, message)
            self.blame(message, nodes[0]["where"] if nodes else "")
            return "built", message
        return "built" if self.report.built else "parsed", None

    def blame(self, what: str, where: str = "") -> None:
        """Adds an error; ``advise`` will say what to do about it."""
        self.report.add("error", what, where=where)

    def tell_of_limit(self, stopped: str) -> None:
        """Says that a limit ended the check: that is no fault of the model."""
        known = self.report.built or any(problem.severity == "error" for problem in self.report.problems)
        advice = next((id for limit, id in LIMITS.items() if limit in stopped), "")
        self.report.add("note" if known else "warning", stopped, advice=advice)

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
                failure = f"fails in Python ({error})"
                if function.startswith(f"{_TRIAL}:"):  # a fault of this program, which says nothing about the model
                    raise LimitReached(f"the check itself {failure}") from error
                return None, failure
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
