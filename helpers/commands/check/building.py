"""Builds a model for a check: with given shapes, with the first guess, or with shapes that a search finds (chapter 09).

What reads the model runs in the worker. Standard library only.

>>> about_shapes("kOPT values for profile 0 violate shape constraints"), about_shapes("nms_0 has no runners")
(True, False)
"""

from __future__ import annotations

import math
import re
import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.util import find_spec
from typing import Any

from ...advice import advice_for
from .findings import some
from .report import BAD_SHAPES, CONVERTIBLE, NO_SHAPES, NO_VALUES, NOT_CONVERTIBLE, ONLY_FOLDED, Report
from .shapes import NAME, Ranges, options, propose_profile, told

LARGEST_TRIAL = 1 << 22  # values of an input that ONNX Runtime is given beside a build that went well
JUDGING = 20.0  # seconds that ONNX Runtime may take at a time; never more than half of what is left
_ABOUT_SHAPES = re.compile(
    r"shape constraints|optimization ?profile|\bk(MIN|OPT|MAX)\b|volume|\bdimension\b|extent|broadcast|no range for"
    r"|empty axis|negative|out of bounds",
    re.IGNORECASE,
)
_TRIAL, _JUDGE, _SEARCH = f"{__package__}.trial", f"{__package__}.shape_judge", f"{__package__}.shape_search"


class LimitReached(Exception):
    """Raised where a check has to end; the message says at which of its limits, or that it failed itself."""


def about_shapes(message: str) -> bool:
    """Returns whether a message of TensorRT's builder may be due to the shapes of the profile."""
    return bool(_ABOUT_SHAPES.search(message))


class Building:
    """One build of a check. ``attempt`` calls a function in the worker: it returns the result, or None and why.

    ``end``: when the check has to end, by time.monotonic(). ``shapes``, ``values``: what the caller gave, input name ->
    (min, opt, max).
    """

    def __init__(self, report: Report, path: str, attempt: Callable, end: float, shapes: Ranges, values: Ranges):
        self.report, self.path, self.attempt, self.end = report, path, attempt, end
        self.shapes, self.values = shapes, values
        report.given = [*shapes, *values]

    def run(self, shaping: list[str]) -> tuple[str, str]:
        """Builds. ``shaping``: the shape inputs. Returns a verdict, and why there is no plan ("" if there is one).

        Only what TensorRT refuses with shapes that fit is NOT_CONVERTIBLE.
        """
        report = self.report
        lacking = [name for name in shaping if name not in self.values]
        if lacking:
            return self.propose_values(lacking)
        dynamic = {tensor.name for tensor in report.inputs if not _is_fixed(tensor.shape)} - set(shaping)
        message = self.built("build_as_proposed", self.shapes, self.values)
        if not message:
            self.doubt_given()
            return CONVERTIBLE, ""
        if not dynamic and not shaping:
            return self.refused(message)
        if dynamic <= set(self.shapes):
            return self.judge_given(message)
        return self.search(message)

    def built(self, function: str, *arguments: Any) -> str:
        """Builds in the worker. Returns "" and notes what it was built with, or says why there is no plan."""
        built, failure = self.attempt(f"{_TRIAL}:{function}", self.path, *arguments)
        if failure:
            return f"{failure} while building"
        if built["plan_bytes"] is None:
            return built["message"]
        report = self.report
        report.built, report.plan_bytes = True, built["plan_bytes"]
        ranges = {name: tuple(map(tuple, sizes)) for name, sizes in built.get("profile", {}).items()}
        report.values = {name: sizes for name, sizes in ranges.items() if name in self.values}
        report.shapes = {name: sizes for name, sizes in ranges.items() if name not in self.values}
        report.profile = ranges
        guessed = {name: sizes for name, sizes in report.shapes.items() if name not in self.shapes}
        if guessed:
            todo = (
                "give those that your program will use, as --shapes NAME=MIN,OPT,MAX (shapes={name: (min, opt, max)})"
            )
            report.add("note", f"these shapes were guessed, and it builds with them: {options(guessed, {})}", todo)
        return ""

    def refused(self, message: str) -> tuple[str, str]:
        self.report.built = False
        return NOT_CONVERTIBLE, message

    def judged(self, function: str, *arguments: Any) -> dict | None:
        """Asks ONNX Runtime. Returns None where it does not answer, or takes too much: that is no end of a check."""
        seconds = min(JUDGING, (self.end - time.monotonic()) / 2)
        with suppress(LimitReached):
            return self.attempt(function, self.path, *arguments, seconds)[0]
        return None

    def propose_values(self, lacking: list[str]) -> tuple[str, str]:
        """Proposes values for the shape inputs that have none."""
        report = self.report
        found = self.judged(f"{_JUDGE}:propose_values", lacking, self.guess(), self.values)
        values = {name: tuple(map(tuple, sizes)) for name, sizes in (found or {"values": {}})["values"].items()}
        report.profile = {**report.profile, **values}
        for name in lacking:
            what = "TensorRT uses the values of this input as a shape, and none were given: it was not built"
            todo = (
                f"give values, as --values {shlex.quote(f'{name}=MIN/OPT/MAX')} with commas between the numbers of each"
            )
            if name in values:
                ran = "with these ONNX Runtime runs it" if found and found["ran"] else "nobody tried these"
                todo = (
                    f"give values, such as {options({}, {name: values[name]})} ({ran}), and to build_plan in a profile"
                )
            report.add("warning", what, todo, name, "TRT040")
        return NO_VALUES, ""

    def doubt_given(self) -> None:
        """Warns where given shapes build that ONNX Runtime refuses: TensorRT looks at few shapes of a range."""
        known = self.report.shapes.keys() <= self.shapes.keys()
        if not self.shapes or not known or max(map(_volume, self.shapes.values())) > LARGEST_TRIAL:
            return
        if refusal := self.misfit():
            what = f"it builds, but the given shapes do not fit: with {told(refusal['at'])}"
            what += f" it says: {refusal['text']}"
            self.report.add("warning", what, "give a range that this node takes", refusal["node"])

    def misfit(self) -> dict | None:
        """Returns what ONNX Runtime has against the given shapes; None if nothing, or if it does not answer."""
        return self.judged(f"{_JUDGE}:refused", self.shapes, self.values)

    def judge_given(self, message: str) -> tuple[str, str]:
        """Says of shapes that the caller gave, and TensorRT refuses, what they do not fit."""
        report = self.report
        refusal = self.misfit()
        if not refusal and self.builds_folded(self.shapes, message):
            return ONLY_FOLDED, ""
        if not refusal and not about_shapes(message):
            return self.refused(message)
        given = options(self.shapes, self.values)
        what, where = f"the given shapes do not fit ({given}): {message}", ""
        if refusal:
            what, where = (
                f"the given shapes do not fit: with {told(refusal['at'])} it says: {refusal['text']}",
                refusal["node"],
            )
        report.add("warning", what, "give shapes that this node takes, or none: then the check searches some", where)
        return BAD_SHAPES, ""

    def search(self, message: str) -> tuple[str, str]:
        """Builds with candidates of a search, until one does. ``message``: why the first guess did not."""
        report = self.report
        found = self.judged(f"{_SEARCH}:search", self.shapes, self.values)
        if not found and find_spec("onnxruntime") is None:
            report.add("note", "without ONNX Runtime few shapes are tried", "pip install onnxruntime, and check again")
        found = found or {"profiles": [], "refusal": None, "stuck": [], "runs": 0}
        refusals = [message]
        guess = {name: list(map(list, ranges)) for name, ranges in self.guess().items()}
        candidates = found["profiles"] or self.unjudged(found["refusal"])
        for profile in [candidate for candidate in candidates if candidate != guess]:
            message = self.built("build_with", profile, self.values)
            if not message:
                self.tell_of_stuck(found["stuck"])
                self.tell_of_wider(refusals)
                return CONVERTIBLE, ""
            refusals.append(message)
        others = [why for why in refusals if not about_shapes(why)]
        if found["profiles"] and self.builds_folded(found["profiles"][-1], message):
            return ONLY_FOLDED, ""
        if found["profiles"] and others:
            return self.refused(others[-1])
        if found["refusal"]:
            tried = f"of {found['runs']} candidates, {told(found['refusal']['at'])} came furthest"
            what, where = (
                f"no shapes that fit were found; {tried}: {found['refusal']['text']}",
                found["refusal"]["node"],
            )
        else:
            what, where = f"no shapes that fit were found: {message}", self.blamed(message)
        report.add("warning", what, "", where, "TRT041")
        self.tell_of_stuck(found["stuck"])
        return NO_SHAPES, ""

    def unjudged(self, refusal: dict | None) -> list[dict]:
        """Returns candidates that ONNX Runtime did not run: that which came furthest, or else the first guess's."""
        if refusal:
            return [{name: [shape] * 3 for name, shape in refusal["at"].items()}]
        return [{name: [ranges[i]] * 3 for name, ranges in self.guess().items()} for i in (1, 0, 2)]

    def guess(self) -> dict:
        """Returns the shapes that are tried first."""
        return propose_profile({tensor.name: tensor.shape for tensor in self.report.inputs}, self.shapes)

    def tell_of_wider(self, refusals: list[str]) -> None:
        """Warns where TensorRT refuses wider shapes for another reason than that they do not fit."""
        for message in [why for why in refusals if not about_shapes(why)][:1]:
            advice, what = advice_for(message), f"it does not build with wider shapes: {message}"
            self.report.add("warning", what, "", self.blamed(message), advice.id if advice else "")

    def blamed(self, message: str) -> str:
        """Names the nodes that a message of TensorRT is about, as far as it tells."""
        nodes, _ = self.attempt(f"{__package__}.blame:blamed", self.path, message)
        return some([row["where"] for row in nodes or []])

    def builds_folded(self, profile: Mapping, message: str) -> bool:
        """Returns whether the model that TensorRT refuses does with fixed shapes and folded constants, and says so."""
        shapes = {name: ranges[1] for name, ranges in profile.items()}
        built, _ = self.attempt(f"{_TRIAL}:build_folded", self.path, shapes)
        if not built or built["plan_bytes"] is None:
            return False
        given = " ".join(f"{shlex.quote(name[:NAME])}:{_list(shape)}" for name, shape in shapes.items())
        command = f"polygraphy surgeon sanitize MODEL.onnx --override-input-shapes {given} --fold-constants"
        what = "as it is TensorRT refuses it; with its shapes fixed to "
        what += f"{told(shapes)} and its constants folded, it builds\n{message}"
        todo, advice = f"do that: {command} -o FOLDED.onnx, or use onnxsim", advice_for(message)
        self.report.add("warning", what, todo, "", advice.id if advice else "")
        self.report.built = False
        return True

    def tell_of_stuck(self, stuck: list[dict]) -> None:
        """Warns of axes that are declared as dynamic, and take one size only."""
        for one in stuck:
            what = f"axis {one['axis']} of {one['input']!r} is dynamic, but only {one['size']} was found to fit"
            what += f": with {told(one['at'])} it says: {one['text']}"
            if one["node"].startswith("Reshape"):
                self.report.add("warning", what, "", one["node"], "TRT039")
            else:
                todo = "run the model with that size, or export it so that the size is not built in"
                self.report.add("warning", what, todo, one["node"], "TRT045")


def _is_fixed(shape: list | None) -> bool:
    return shape is not None and all(isinstance(size, int) for size in shape)


def _list(shape: Sequence[int]) -> str:
    return str(list(shape)).replace(" ", "")


def _volume(ranges: tuple) -> int:
    return math.prod(ranges[2])
