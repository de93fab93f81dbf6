"""Says in a sentence how a check went, with the cause (chapter 08). Standard library only.

>>> summary(Report("m.onnx", tensorrt="TensorRT 10.13.3", built=True), CONVERTIBLE, "")
'TensorRT 10.13.3 parses and builds m.onnx'
"""

from __future__ import annotations

import re

from .releases import elsewhere_line
from .report import BAD_SHAPES, CONVERTIBLE, NO_SHAPES, NO_VALUES, ONLY_FOLDED, Problem, Report
from .shapes import as_text

LONGEST = 300  # characters of a cause
# What a problem says that is the cause of a verdict.
WORDS = {
    NO_SHAPES: "no shapes that fit",
    NO_VALUES: "the values of this input",
    BAD_SHAPES: "the given shapes",
    ONLY_FOLDED: "as it is",
}
NARROW = ("was found to fit", "does not build with wider shapes", "the given shapes do not fit")


def summary(report: Report, outcome: str, stopped: str) -> str:
    """Returns the summary. ``outcome``: of the build, ``stopped``: the limit that ended the check, "" for none."""
    error = next((problem for problem in report.problems if problem.severity == "error"), None)
    if error:
        line = f"{report.tensorrt} will not take {report.model}: {_cause(error, error.reason)}"
        more = [part for part in (elsewhere_line(report), stopped) if part and part not in line]
        return f"{line} ({'; '.join(more)})" if more else line
    if stopped and not report.built:
        return f"{report.model} was not judged to the end: {stopped}"
    if outcome == CONVERTIBLE:
        return _good(report)
    told = next(problem for problem in report.problems if WORDS[outcome] in problem.what)
    what = re.sub(f"^{WORDS[NO_SHAPES]} were found[:;] ", "", told.what)  # the verdict says that
    return f"{report.tensorrt} parses {report.model}; {_cause(told, what)}"


def _good(report: Report) -> str:
    line = f"{report.tensorrt} {'parses and builds' if report.built else 'parses'} {report.model}"
    texts = [f"{name}={as_text(ranges)}" for name, ranges in report.shapes.items()]
    texts += [f"{name}={as_text(ranges, '/', ',')}" for name, ranges in report.values.items()]
    if texts:
        who = "guessed" if set(report.shapes) - set(report.given) else "given"
        line += f", with {who} shapes: {_brief(' '.join(texts))}"
    narrow = [problem.where for problem in report.problems if any(words in problem.what for words in NARROW)]
    return f"{line}; others do not fit {narrow[0]}" if narrow and narrow[0] else line


def _cause(problem: Problem, text: str) -> str:
    return f"{problem.where}: {_brief(text)}" if problem.where else _brief(text)


def _brief(text: str) -> str:
    """Returns the first line, and of that as much as fits a summary."""
    line = text.splitlines()[0] if text else ""
    return line if len(line) <= LONGEST else f"{line[:LONGEST]}…"
