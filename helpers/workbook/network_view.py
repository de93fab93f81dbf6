"""A network definition as a picture: one row per layer, lines for tensors, two networks side by side (chapter 05).

The picture is an HTML table without scripts and images: it has the colours of the page that it stands in, a screen
reader reads it row by row, and JupyterLab shows it in a notebook that it does not trust yet. ``print`` gives text.

>>> print(draw_network(network))  # doctest: +SKIP
>>> compare_networks(parsed, by_hand, ("parser", "network API"))  # doctest: +SKIP
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from typing import TYPE_CHECKING, NamedTuple

from .tables import Layer, Tensor, align_layers, feeds, in_order_of_need, read_layers, read_tensor

if TYPE_CHECKING:
    from ..trt import trt

MOST_LANES = 12  # lines side by side; what lies further right is cut off
MOST_LETTERS = 24  # of a name
_CAPTIONS = {"TOPK": "TopK", "LRN": "LRN", "NMS": "NMS"}
_SIGNS = " ╵╷│╴┘┐┤╶└┌├─┴┬┼"  # 1 for a line that goes up, 2 down, 4 left, 8 right
_TEXT = "text-align:left;padding:0 .4em;white-space:nowrap;"
_LINES = _TEXT + "font:14px/1.17 monospace;width:1px;"  # so low that the lines of two rows meet
_NODE = r'<span style="display:inline-block;width:0">\1</span>\2'  # a node stands on its lines
_NO_FORMULAS = "mathjax_ignore tex2jax_ignore"  # a $ in a name is a $, in JupyterLab and in exported pages
_ONLY = "background:rgba(213,94,0,.2);"


class Cell(NamedTuple):
    """One layer of one network; ``mark`` is "+" where the other network has none like it.

    In ``lines`` each node, ○ or ●, comes after the sign for the lines that meet there.
    """

    mark: str = ""
    lines: str = ""
    name: str = ""
    shape: str = ""


@dataclass(frozen=True, repr=False)
class NetworkView:
    """Rows of a type, one cell per network and a shape, below ``headings``: HTML in a notebook, text elsewhere.

    ``rest`` says what is left out, or that there is nothing.
    """

    headings: list[str]
    rows: list[tuple[str, list[Cell], str]]
    rest: str

    def __repr__(self) -> str:
        table = [
            [kind, *(text for cell in cells for text in (f"{cell.mark:1} {_flat(cell.lines)}", cell.name)), shape]
            for kind, cells, shape in self.rows
        ]
        widths = [max(map(len, column)) for column in zip(*table, strict=True)]
        lines = ["  ".join(map(str.ljust, line, widths)).rstrip() for line in table]
        return "\n".join([" | ".join(self.headings), *lines, *filter(None, [self.rest])])

    def _repr_html_(self) -> str:
        # Styles stand in the cells, since JupyterLab drops style sheets of what it does not trust.
        parts = [f'<div style="overflow-x:auto"><table class="{_NO_FORMULAS}"><thead><tr><th></th>']
        parts += [
            f'<th colspan="2" scope="colgroup" style="text-align:left">{escape(text)}</th>' for text in self.headings
        ]
        parts.append('<th style="text-align:left">shape</th></tr></thead><tbody>')
        for kind, cells, shape in self.rows:
            parts.append(f'\n<tr><th scope="row" style="{_TEXT}">{escape(kind)}</th>')
            for cell in cells:
                only = _ONLY if cell.mark else ""
                mark, lines = (
                    text.replace(" ", "\xa0") for text in (f"{cell.mark:1}", f" {cell.lines}")
                )  # no export joins it
                drawn = f'<span aria-hidden="true">{re.sub("(.)([○●])", _NODE, lines)}</span>'
                name = f"<b>{escape(cell.name)}</b>" if cell.mark else escape(cell.name)
                parts.append(f'<td style="{_LINES}{only}">{mark}{drawn}</td><td style="{_TEXT}{only}">{name}</td>')
            parts.append(f'<td style="{_TEXT}">{escape(shape)}</td></tr>')
        return "".join([*parts, f"\n</tbody></table>{self.rest}</div>"])


def draw_network(network: trt.INetworkDefinition, *, title: str = "", max_rows: int = 60) -> NetworkView:
    """Draws a network definition top down, one row per input, layer and output (chapters 03 and 04).

    Every layer stands below those that it reads; where a loop makes that impossible, ↺ names what it reads from below.
    ○ reads nothing, ● reads the lines that arrive there, and a line ends at its last reader. ``batch`` is the first
    dimension where that alone is dynamic in the network's inputs; every other dynamic dimension is -1. Of more than
    ``max_rows`` rows the picture says how many are left out. Raises TypeError for what is not a network definition.
    """
    side = _Side(network)
    return _view([side], [title], [(number,) for number in range(len(side.layers))], max_rows)


def compare_networks(
    left: trt.INetworkDefinition,
    right: trt.INetworkDefinition,
    titles: Sequence[str] = ("left", "right"),
    *,
    max_rows: int = 60,
) -> NetworkView:
    """Draws two network definitions side by side (chapter 05): what corresponds shares a row, + marks all else.

    Layers correspond where they have the same type and stand in the same order; their names need not agree.
    Raises as :func:`draw_network`, and ValueError unless there are two titles.
    """
    if isinstance(titles, str) or len(titles) != 2:
        raise ValueError(f"compare_networks needs two titles, one per network, and got {titles!r}")
    sides = [_Side(left), _Side(right)]
    return _view(sides, titles, align_layers(sides[0].layers, sides[1].layers), max_rows)


class _Side:
    """What is drawn of one network: its ``layers``, with its inputs and outputs, each below those that it reads."""

    def __init__(self, network: trt.INetworkDefinition):
        layers = read_layers(network)
        inputs = [read_tensor(network.get_input(i)) for i in range(network.num_inputs)]
        outputs = [read_tensor(network.get_output(i)) for i in range(network.num_outputs)]
        shapes = [tensor.shape or () for tensor in inputs]
        # Where the first dimension alone is dynamic, it is the batch.
        self.batch = any(-1 in shape for shape in shapes) and not any(-1 in shape[1:] for shape in shapes)
        self.size = f"{len(layers):,} layer{'s' * (len(layers) != 1)}"
        ends = [Layer(-1, tensor.name, "OUTPUT", (tensor,), ()) for tensor in outputs]
        starts = [Layer(-1, tensor.name, "INPUT", (), (tensor,)) for tensor in inputs]
        self.layers = in_order_of_need([*ends, *starts, *layers])

    def cells(self, numbers: Sequence[int | None], marks: Sequence[str]) -> Iterator[Cell]:
        """Yields a cell for each number of a layer; for None only the lines that go on there."""
        reads, lines, below = feeds(self.layers), _lines(self.layers), ""
        for number, mark in zip(numbers, marks, strict=True):
            if number is None:
                yield Cell(lines=below)
                continue
            layer, (drawn, below) = self.layers[number], next(lines)
            name = _short(layer.name)
            if later := [_short(self.layers[feed].name) for feed in reads[number] if feed >= number]:
                name += f" ↺ {', '.join(later)}"
            yield Cell(mark, drawn, name, ", ".join(map(self._shape, layer.outputs)))

    def _shape(self, tensor: Tensor) -> str:
        if tensor.shape is None:
            return "unknown"
        batch = self.batch and tensor.shape[:1] == (-1,)
        return "×".join(["batch"] * batch + [str(size) for size in tensor.shape[batch:]]) or "scalar"


def _view(
    sides: list[_Side], titles: Sequence[str], places: Sequence[tuple[int | None, ...]], most: int
) -> NetworkView:
    """Makes one row of each of ``places``, which has the number of a layer, or None, for each side."""
    marks = ["+" if None in place else "" for place in places]
    columns = [list(side.cells([place[i] for place in places], marks)) for i, side in enumerate(sides)]
    headings = []
    for title, side, column in zip(titles, sides, columns, strict=True):
        only = sum(bool(cell.mark) for cell in column)
        headings.append(f"{title}: {side.size}".removeprefix(": ") + (f", {only} only here (+)" if only else ""))
    rows = []
    for place, *cells in zip(places, *columns, strict=True):
        kind = next(side.layers[i].type for side, i in zip(sides, place, strict=True) if i is not None)
        shapes = dict.fromkeys(cell.shape for cell, i in zip(cells, place, strict=True) if i is not None)
        rows.append((_CAPTIONS.get(kind) or kind.replace("_", " ").capitalize(), cells, " ≠ ".join(shapes)))
    rest = "" if rows else "an empty network"
    if len(rows) > most:
        marked = marks[most:].count("+")
        rest = f"… {len(rows) - most:,} more rows (max_rows={most})"
        rest += f", {marked:,} of them with +" if marked else ""
    return NetworkView(headings, rows[:most], rest)


def _lines(layers: Sequence[Layer]) -> Iterator[tuple[str, str]]:
    """Yields for each layer the lines of its row, and those that go on below it.

    A layer's results have a lane until their last reader: one that ends at the layer, else a free one.
    """
    reads = feeds(layers)
    last = {feed: number for number, several in enumerate(reads) for feed in several}
    lanes: list[int | None] = []  # whose results run in each
    for number, several in enumerate(reads):
        joined = {lane: feed for lane, feed in enumerate(lanes) if feed is not None and feed in several}
        ends = [lane for lane, feed in joined.items() if last[feed] == number]
        free = [lane for lane, feed in enumerate(lanes) if feed is None]
        node = [*ends, *free, len(lanes)][0]
        lanes += [None] * (node == len(lanes))
        first, final = min([node, *joined]), max([node, *joined])
        drawn = ""
        for lane, feed in enumerate(lanes):
            goes_on = feed is not None and lane not in ends
            sign = (feed is not None) + 2 * goes_on
            if lane in joined or lane == node or sign == 0:  # else it passes in front of a line that runs across
                sign += 4 * (first < lane <= final) + 8 * (first <= lane < final)
            if lane == node:
                sign |= 2 * (last.get(number, -1) > number)
            drawn += _SIGNS[sign] + ("●" if several else "○") * (lane == node) + ("─" if first <= lane < final else " ")
        lanes = [None if lane in ends else feed for lane, feed in enumerate(lanes)]
        lanes[node] = number if last.get(number, -1) > number else None
        while lanes and lanes[-1] is None:
            lanes.pop()
        yield _cut(drawn), _cut("".join("  " if feed is None else "│ " for feed in lanes))


def _cut(lines: str) -> str:
    return lines.rstrip() if len(_flat(lines)) <= 2 * MOST_LANES else f"{lines[: 2 * MOST_LANES - 1]}…"


def _flat(lines: str) -> str:
    """The lines as text, where one sign cannot stand on another."""
    return re.sub("(.)([○●])", r"\2", lines)


def _short(name: str) -> str:
    """A name on one line, without its middle where it is long: exporters put what tells names apart at their ends."""
    name = re.sub(r"\(Unnamed Layer\* (\d+)\) \[[^\]]*\]", r"(unnamed \1)", name)  # the row says what it is
    name = "".join(letter if letter.isprintable() else "�" for letter in name)
    half = MOST_LETTERS // 2
    return name if len(name) <= MOST_LETTERS else f"{name[: half - 1]}…{name[-half:]}"
