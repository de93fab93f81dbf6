"""Holds what the check of a model found, and shows it as text, JSON or HTML (chapter 08). Needs rich for text only.

>>> report = Report("model.onnx", "not convertible")
>>> report.add("error", "Plugin not found", where="Swirl 'twist'", advice="TRT006")
>>> report.exit_code
1
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ...advice import Advice, by_id
from .layout import MORE, MOST_ROWS, escape, paragraph, table, table_html
from .wording import advice_lines, problem_html, ranges_text, shape_text, styled, weights_line

CONVERTIBLE, NOT_CONVERTIBLE, NOT_A_MODEL = "convertible", "not convertible", "not a usable model"
NO_SHAPES = "parses; not built: no shapes that fit were found"
NO_VALUES = "parses; not built: shape inputs need values"
BAD_SHAPES = "parses; not built: the given shapes do not fit"
ONLY_FOLDED = "builds only with fixed shapes and folded constants"
UNDECIDED = "undecided"  # a limit was reached, or the data do not say
NO_TENSORRT = "not judged: TensorRT cannot be used here"
EXIT_CODES = {CONVERTIBLE: 0, NOT_CONVERTIBLE: 1, NOT_A_MODEL: 2, NO_TENSORRT: 2}
EXIT_CODES |= dict.fromkeys([NO_SHAPES, NO_VALUES, BAD_SHAPES, ONLY_FOLDED, UNDECIDED], 3)

SCHEMA = 1  # of the JSON, as SCHEMA_FILE has it; another one where a program that reads it would have to change
SCHEMA_FILE = Path(__file__).parents[3] / "data" / "check_report.schema.json"
MOST = 1000  # rows of each list that a check collects; it says how many there are besides
NODES = 3  # of each operator: that are tried alone, and that are named
MOST_PROBLEMS = 20  # that are printed
WIDTH = 120  # characters of a line where no terminal says how many it has
SEVERITIES = ("error", "warning", "note")  # the worst first

# Verdicts on an operator, for the installed TensorRT.
BUILDS = "builds"
PARSED = "parsed"
DOES_NOT_BUILD = "parses, does not build"
NEEDS_CONSTANT = "needs a constant input"
NOT_SUPPORTED = "not supported"
CRASHES = "crashes TensorRT"
NOT_TRIED = "not tried"
GOOD = (BUILDS, PARSED)

ELSEWHERE = (
    "measured by the operator atlas with small models of one operator each, and judged by how this model uses it; not "
    "measured with this model."
)


@dataclass(frozen=True)
class Problem:
    """Something about the model. An "error" keeps it from being converted, a "warning" may, a "note" does not.

    ``what`` is wrong, ``todo`` is what people do about it, ``where`` names the node, tensor or file ("" for none).
    ``advice`` is the id of the advice (helpers.advice) that ``cause``, ``todo`` and ``chapter`` are from; "" for none.
    """

    severity: str
    what: str
    todo: str
    where: str = ""
    cause: str = ""
    advice: str = ""
    chapter: str = ""

    @property
    def reason(self) -> str:
        """The line that says why: the cause if it is known, else the first of ``what`` that does not only name a node.
        How TensorRT died is said as it is."""
        lines = [line for line in self.what.splitlines() if line.strip()]
        telling = [line for line in lines if not re.search(r"(?i)Invalid Node - \S*$|refuses it: false$", line)]
        cause = "" if "crashes TensorRT (" in self.what else self.cause
        return cause or next(iter(telling + lines), "")


@dataclass
class Tensor:
    """An input or output. ``shape`` holds ints, and names of dynamic axes or "?"; None if the rank is not known.

    ``type`` is the element type by ONNX's name, e.g. "FLOAT".
    """

    name: str
    type: str
    shape: list[int | str] | None


@dataclass
class Operator:
    """An operator of the model: ``opset`` is the version of the opset that defined it as it is used here.

    ``reason`` is TensorRT's, for a verdict that is not good. ``nodes`` names the first nodes that it refused alone.
    ``elsewhere`` maps other releases to the atlas' verdict; ``expected`` is that on this one, "" if it has none.
    """

    domain: str
    type: str
    opset: int
    count: int
    verdict: str = NOT_TRIED
    reason: str = ""
    elsewhere: dict[str, str] = field(default_factory=dict)
    nodes: list[str] = field(default_factory=list)
    expected: str = ""


@dataclass
class Report:
    """All that a check found. ``verdict`` is one of EXIT_CODES, such as "convertible".

    The lists are cut where a model has thousands of something, and names where they are very long; both say so.

    profile   a proposal for an optimization profile: input name -> (min, opt, max) shapes, empty if nothing is
              dynamic; ``build_plan(network, profiles=[report.profile])`` takes it
    shapes    with which it was built: input name -> (min, opt, max)
    values    those of shape inputs, with which it was built: input name -> (min, opt, max)
    given     names of the inputs whose shapes or values the caller gave; the check guessed those of the others
    weights   counts: tensors, values, bytes, nan, inf, fp16_overflow, fp16_subnormal
    external  files of external data: name, bytes, found
    layers    of TensorRT's network definition; None if the model was not parsed
    built     whether it builds; None if that was not tried
    judged_for  the release that it was judged for without running it, such as "TensorRT 8.6"; "" for ``tensorrt``
    """

    model: str
    verdict: str = NOT_A_MODEL
    summary: str = ""
    tensorrt: str = ""
    ir_version: int | None = None
    producer: str = ""
    opsets: dict[str, int] = field(default_factory=dict)
    inputs: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    profile: dict[str, tuple] = field(default_factory=dict)
    shapes: dict[str, tuple] = field(default_factory=dict)
    values: dict[str, tuple] = field(default_factory=dict)
    given: list[str] = field(default_factory=list)
    operators: list[Operator] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    weights: dict[str, int] = field(default_factory=dict)
    external: list[dict] = field(default_factory=list)
    layers: int | None = None
    built: bool | None = None
    plan_bytes: int | None = None
    judged_for: str = ""
    seconds: float = 0.0

    def __post_init__(self) -> None:
        self._known = set(self.problems)

    @property
    def exit_code(self) -> int:
        """The exit status of the command: 0 convertible, 1 not, 2 no model or no TensorRT, 3 undecided."""
        return EXIT_CODES[self.verdict]

    @property
    def convertible(self) -> bool:
        """True where TensorRT takes the model: parsed, and built if that was tried."""
        return self.verdict == CONVERTIBLE

    def add(
        self,
        severity: str,
        what: str,
        todo: str = "",
        where: str = "",
        advice: str = "",
        cause: str = "",
        chapter: str = "",
    ) -> None:
        """Adds a problem, unless it is there already.

        ``advice``: an id of ``helpers.advice``, whose cause, cure and chapter the problem gets where there is no
        ``cause``, ``todo`` or ``chapter``. Raises KeyError for an id that does not exist.
        """
        known = by_id(advice) if advice else Advice("", "", "", "")
        parts = (todo or known.cure, where, cause or known.cause, advice, chapter or known.chapter)
        problem = Problem(severity, what, *parts)
        if problem not in self._known:
            self._known.add(problem)
            self.problems.append(problem)

    def to_dict(self) -> dict:
        """Returns the report as dicts, lists, numbers and strings, with ``schema`` and ``exit_code``: what SCHEMA_FILE
        describes."""
        return {"schema": SCHEMA, **asdict(self), "exit_code": self.exit_code}

    def to_json(self) -> str:
        """Returns the report as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def __str__(self) -> str:
        return "\n".join(line for line, _, _ in self._lines(WIDTH))

    def print(self, console=None) -> None:
        """Prints the report on a rich Console, by default the terminal, as wide as that is."""
        from rich.console import Console
        from rich.text import Text

        console = console or Console(highlight=False)
        for line, style, end in self._lines(console.width):
            text = Text(line)
            text.stylize(style, 0, end)
            console.print(text, soft_wrap=True)

    def to_html(self, chapters: str | None = "") -> str:
        """Returns the report as a fragment of HTML that fits any theme of JupyterLab.

        ``chapters`` is the address of the notebooks' folder as seen from the page, such as "../notebooks/": by default
        they lie beside it, as for a notebook that shows a report. None makes no links.
        """
        parts = [f"<p><strong>{escape(self.verdict)}</strong>: {escape(self.summary)}</p>"]
        for title, headings, rows, note in self._tables():
            parts.append(table_html(title, headings, rows))
            parts += [f"<p>{escape(note)}</p>"] if note else []
        if self.problems:
            items = [problem_html(problem, chapters) for problem in self.problems[:MOST_ROWS]]
            if len(self.problems) > MOST_ROWS:
                items.append(f"<li>… and {len(self.problems) - MOST_ROWS:,} more{MORE}</li>")
            parts.append("<ul>" + "".join(items) + "</ul>")
        return "\n".join(parts)

    _repr_html_ = to_html

    def _lines(self, width: int) -> Iterator[tuple[str, str, int]]:
        """Yields each line of the text, a style, and how many of its characters have that style."""
        style = {CONVERTIBLE: "bold green", NOT_CONVERTIBLE: "bold red"}.get(self.verdict, "bold yellow")
        yield from styled(paragraph("", f"{self.verdict}: {self.summary}", width), style, len(self.verdict))
        for title, headings, rows, note in self._tables():
            yield "", "", 0
            yield title, "bold", len(title)
            for line in table(headings, rows, width):
                yield line, "", 0
            yield from styled(paragraph("", note, width, "") if note else [])
        for problem in self.problems[:MOST_PROBLEMS]:
            yield "", "", 0
            where = f"{problem.where}: " if problem.where else ""
            lines = paragraph("", f"{problem.severity}: {where}{problem.what}", width)
            yield from styled(lines, "bold", len(problem.severity))
            for mark, text in advice_lines(problem):
                yield from styled(paragraph(f"  {mark}", text, width, "    " if mark else "  "))
        if len(self.problems) > MOST_PROBLEMS:
            yield "", "", 0
            yield f"… and {len(self.problems) - MOST_PROBLEMS:,} more{MORE}", "", 0

    def _tables(self) -> Iterator[tuple[str, list[str], list[list[str]], str]]:
        """Yields title, headings, rows, and a note below ("" for none)."""
        if self.ir_version is not None:
            yield "Model", ["what", "value"], list(self._model_rows()), ""
        if self.inputs or self.outputs:
            built = self.shapes or self.values
            rows = [
                [kind, tensor.name, tensor.type, shape_text(tensor.shape), self._ranges(tensor.name)]
                for kind, tensors in (("input", self.inputs), ("output", self.outputs))
                for tensor in tensors
            ]
            last = "built with (min, opt, max)" if built else "proposed profile (min, opt, max)"
            shown = 5 if any(row[4] for row in rows) else 4
            yield "Inputs and outputs", ["", "name", "type", "shape", last][:shown], [row[:shown] for row in rows], ""
        if self.operators:
            releases = list(dict.fromkeys(release for op in self.operators for release in op.elsewhere))
            names = [f"{op.domain}.{op.type}" if op.domain else op.type for op in self.operators]
            rows = [
                [name, str(op.opset), str(op.count), op.verdict, *(op.elsewhere.get(r, "") for r in releases)]
                for name, op in zip(names, self.operators, strict=True)
            ]
            note = f"{' and '.join(releases)}: {ELSEWHERE}" if releases else ""
            yield "Operators", ["operator", "opset", "count", self.tensorrt or "verdict", *releases], rows, note

    def _ranges(self, name: str) -> str:
        """Says with which shapes or values of an input the model was built, or which are proposed."""
        if not self.shapes and not self.values:
            return ranges_text(self.profile.get(name))
        whose = "given" if name in self.given else "guessed"
        parts = [ranges_text(self.shapes.get(name))]
        if name in self.values:
            parts.append(f"the values {ranges_text(self.values[name])}")
        said = "; ".join(part for part in parts if part)
        return f"{said}, {whose}" if said else ""

    def _model_rows(self) -> Iterator[list[str]]:
        opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in self.opsets.items())
        yield ["TensorRT", f"judged for {self.judged_for}" if self.judged_for else self.tensorrt]
        yield ["ONNX", f"IR version {self.ir_version}; opset {opsets}"]
        if self.producer:
            yield ["made by", self.producer]
        if self.weights.get("tensors"):
            yield ["weights", weights_line(self.weights)]
        for file in self.external:
            size = f"{file['bytes'] / 1e6:,.1f} MB" if file["found"] else "missing"
            yield ["external data", f"{file['name']} ({size})"]
        if self.layers is not None:
            plan = f"; plan of {self.plan_bytes:,} bytes" if self.plan_bytes else ""
            yield ["network definition", f"{self.layers} layers{plan}"]
