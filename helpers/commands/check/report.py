"""Holds what the check of a model found, and shows it as text, JSON or HTML (chapter 08). Needs rich for text only.

>>> report = Report("model.onnx", "not convertible")
>>> report.add("error", "NonZero has a dynamic output", "give it a constant input")
>>> report.exit_code
1
"""

from __future__ import annotations

import html
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field

CONVERTIBLE, NOT_CONVERTIBLE, NOT_A_MODEL = "convertible", "not convertible", "not a usable model"
NO_SHAPES = "parses; not built: no shapes that fit were found"
NO_VALUES = "parses; not built: shape inputs need values"
BAD_SHAPES = "parses; not built: the given shapes do not fit"
UNDECIDED = "undecided"  # a limit was reached, or the data do not say
NO_TENSORRT = "not judged: TensorRT cannot be used here"
EXIT_CODES = {CONVERTIBLE: 0, NOT_CONVERTIBLE: 1, NOT_A_MODEL: 2, NO_TENSORRT: 2}
EXIT_CODES |= dict.fromkeys([NO_SHAPES, NO_VALUES, BAD_SHAPES, UNDECIDED], 3)

MOST = 1000  # rows of each list that a check collects; it says how many there are besides
NODES = 3  # of each operator: that are tried alone, and that are named
MOST_ROWS, MOST_PROBLEMS = 100, 20  # that are printed of a table, and of the problems
MOST_CHARACTERS = 500  # of a cell
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

    ``reason`` is TensorRT's, for a verdict that is not good; ``elsewhere`` maps other releases to the atlas' verdict.
    """

    domain: str
    type: str
    opset: int
    count: int
    verdict: str = NOT_TRIED
    reason: str = ""
    elsewhere: dict[str, str] = field(default_factory=dict)


@dataclass
class Report:
    """All that a check found. ``verdict``: "convertible", "not convertible" or "not a usable model".

    The lists are cut where a model has thousands of something, and names where they are very long; both say so.

    profile   a proposal for an optimization profile: input name -> (min, opt, max) shapes, empty if nothing is
              dynamic; ``build_plan(network, profiles=[report.profile])`` takes it
    shapes    with which it was built: input name -> (min, opt, max); ``guessed`` says whether the check chose them
    values    those of shape inputs, with which it was built: input name -> (min, opt, max), each a list
    weights   counts: tensors, values, bytes, nan, inf, fp16_overflow, fp16_subnormal
    external  files of external data: name, bytes, found
    layers    of TensorRT's network definition; None if the model was not parsed
    built     whether it builds; None if that was not tried
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
    guessed: bool = False
    operators: list[Operator] = field(default_factory=list)
    problems: list[Problem] = field(default_factory=list)
    weights: dict[str, int] = field(default_factory=dict)
    external: list[dict] = field(default_factory=list)
    layers: int | None = None
    built: bool | None = None
    plan_bytes: int | None = None
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

    def add(self, severity: str, what: str, todo: str, where: str = "", **more: str) -> None:
        """Adds a problem, unless it is there already. ``more``: its ``cause``, ``advice`` and ``chapter``."""
        problem = Problem(severity, what, todo, where, **more)
        if problem not in self._known:
            self._known.add(problem)
            self.problems.append(problem)

    def to_dict(self) -> dict:
        """Returns the report as dicts, lists, numbers and strings; ``exit_code`` included."""
        return {**asdict(self), "exit_code": self.exit_code}

    def to_json(self) -> str:
        """Returns the report as JSON."""
        return json.dumps(self.to_dict(), indent=2)

    def __str__(self) -> str:
        from rich.console import Console

        console = Console(width=120, no_color=True, highlight=False, legacy_windows=False)
        with console.capture() as captured:
            self.print(console)
        return captured.get().rstrip()

    def print(self, console=None) -> None:
        """Prints the report on a rich Console, by default the terminal."""
        from rich.console import Console
        from rich.table import Table
        from rich.text import Text

        console = console or Console(highlight=False)
        style = {CONVERTIBLE: "bold green", NOT_CONVERTIBLE: "bold red"}.get(self.verdict, "bold yellow")
        console.print(Text.assemble((_plain(self.verdict), style), f": {_plain(self.summary)}"), soft_wrap=True)
        for title, columns, rows in self._tables():
            table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False)
            for column in columns:
                table.add_column(Text(_plain(column)))
            for row in _shown(rows):
                table.add_row(*(Text(_plain(cell)) for cell in row))
            console.print()
            console.print(table)
        for problem in self.problems[:MOST_PROBLEMS]:
            where = f"{problem.where}: " if problem.where else ""
            console.print()
            text = Text.assemble((_plain(problem.severity), "bold"), _plain(f": {where}{problem.what}"))
            console.print(text, soft_wrap=True)
            if problem.todo:
                console.print(Text(_plain(f"  → {problem.todo}")), soft_wrap=True)
        if len(self.problems) > MOST_PROBLEMS:
            console.print(f"\n… and {len(self.problems) - MOST_PROBLEMS:,} more; the JSON has them")

    def to_html(self) -> str:
        """Returns the report as a fragment of HTML that fits any theme of JupyterLab."""
        parts = [f"<p><strong>{_escape(self.verdict)}</strong>: {_escape(self.summary)}</p>"]
        for title, columns, rows in self._tables():
            head = "".join(f'<th scope="col">{_escape(column)}</th>' for column in columns)
            body = "".join("<tr>" + "".join(f"<td>{_escape(c)}</td>" for c in row) + "</tr>" for row in _shown(rows))
            caption = f"<caption>{_escape(title)}</caption>"
            parts.append(f"<table>{caption}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
        if self.problems:
            items = [_problem_html(problem) for problem in self.problems[:MOST_ROWS]]
            if len(self.problems) > MOST_ROWS:
                items.append(f"<li>… and {len(self.problems) - MOST_ROWS:,} more; the JSON has them</li>")
            parts.append("<ul>" + "".join(items) + "</ul>")
        return "\n".join(parts)

    _repr_html_ = to_html

    def _tables(self) -> Iterator[tuple[str, list[str], list[list[str]]]]:
        if self.ir_version is not None:
            yield "Model", ["what", "value"], list(self._model_rows())
        if self.inputs or self.outputs:
            rows = [
                [kind, tensor.name, tensor.type, _shape(tensor.shape), _profile(self.profile.get(tensor.name))]
                for kind, tensors in (("input", self.inputs), ("output", self.outputs))
                for tensor in tensors
            ]
            yield "Inputs and outputs", ["", "name", "type", "shape", "proposed profile: min, opt, max"], rows
        if self.operators:
            releases = list(dict.fromkeys(release for op in self.operators for release in op.elsewhere))
            names = [f"{op.domain}.{op.type}" if op.domain else op.type for op in self.operators]
            rows = [
                [name, str(op.opset), str(op.count), op.verdict, *(op.elsewhere.get(r, "") for r in releases)]
                for name, op in zip(names, self.operators, strict=True)
            ]
            yield "Operators", ["operator", "opset", "count", self.tensorrt or "verdict", *releases], rows

    def _model_rows(self) -> Iterator[list[str]]:
        opsets = ", ".join(f"{domain or 'ai.onnx'} {version}" for domain, version in self.opsets.items())
        yield ["TensorRT", self.tensorrt]
        yield ["ONNX", f"IR version {self.ir_version}; opset {opsets}"]
        if self.producer:
            yield ["made by", self.producer]
        if self.weights.get("tensors"):
            yield ["weights", _weights_line(self.weights)]
        for file in self.external:
            size = f"{file['bytes'] / 1e6:,.1f} MB" if file["found"] else "missing"
            yield ["external data", f"{file['name']} ({size})"]
        if self.layers is not None:
            plan = f"; plan of {self.plan_bytes:,} bytes" if self.plan_bytes else ""
            yield ["network definition", f"{self.layers} layers{plan}"]


def _shown(rows: list[list[str]]) -> list[list[str]]:
    """Returns the rows that are worth printing, and one that says how many there are besides."""
    shown = [[cell if len(cell) <= MOST_CHARACTERS else cell[:MOST_CHARACTERS] + "…" for cell in row] for row in rows]
    more = [f"… and {len(rows) - MOST_ROWS:,} more; the JSON has them"]
    return shown if len(rows) <= MOST_ROWS else [*shown[:MOST_ROWS], more + [""] * (len(rows[0]) - 1)]


def _plain(text: str) -> str:
    """Makes a text safe to print: names in a model may hold escape sequences of terminals, or half characters."""
    return "".join(c if c.isprintable() or c == "\n" else "\N{REPLACEMENT CHARACTER}" for c in text)


def _escape(text: str) -> str:
    return html.escape(_plain(text))


def _shape(shape: list[int | str] | None) -> str:
    return "of unknown rank" if shape is None else "(" + ", ".join(map(str, shape)) + ")"


def _profile(ranges: tuple | None) -> str:
    return ", ".join(_shape(shape) for shape in ranges) if ranges else ""


def _weights_line(weights: dict[str, int]) -> str:
    line = f"{weights['tensors']} tensors, {weights['values']:,} values, {weights['bytes'] / 1e6:,.2f} MB"
    names = {"nan": "NaN", "inf": "infinite", "fp16_overflow": "beyond FP16", "fp16_subnormal": "subnormal in FP16"}
    found = [f"{weights[key]:,} {name}" for key, name in names.items() if weights.get(key)]
    return "; ".join([line, *found])


def _problem_html(problem: Problem) -> str:
    where = f"<code>{_escape(problem.where)}</code>: " if problem.where else ""
    todo = f"<br>→ {_escape(problem.todo)}" if problem.todo else ""
    return f"<li><strong>{_escape(problem.severity)}</strong>: {where}{_escape(problem.what)}{todo}</li>"
