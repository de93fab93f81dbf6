"""Places the boxes and arrows of a layered graph, top down, without overlaps (used by ``helpers.draw``, chapter 05).

Needs networkx. Knows nothing of TensorRT or matplotlib; all lengths are in inches, y grows upwards. *Chains of
constants* stand beside the box that they feed, so that the main line stays short and straight.

>>> place({"conv": (2, 1), "relu": (2, 1)}, [("conv", "relu")], inputs=["conv"]).arrows[0].kind
'down'
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from .rows import Lane, cut_loops, edge_places, find_x, make_rows

if TYPE_CHECKING:
    import networkx

ROW_GAP = 0.28  # between rows: an arrow and its label
LABEL = 0.22  # how far arrows go straight down, past their labels, before they bend
BEND = 0.26  # the height in which they bend, if any does
COLUMN_GAP = 0.35
STACK_GAP = 0.08  # between constants that feed the same box
ARROW = 0.3  # the least length of an arrow from the side
LANE = 0.1  # half the width kept free for an arrow that passes a row

Point = tuple[float, float]


@dataclass
class Box:
    """A box around its centre (x, y)."""

    x: float
    y: float
    width: float
    height: float

    @property
    def edges(self) -> tuple[float, float, float, float]:
        """left, right, bottom, top"""
        w, h = self.width / 2, self.height / 2
        return self.x - w, self.x + w, self.y - h, self.y + h


@dataclass
class Arrow:
    """``points`` from source to target; ``kind`` is "down" (through the rows), "side" or "back" (closes a loop).

    Going down it runs straight from point 0 to 1, 2 to 3 and so on, and in an S between those pairs.
    """

    source: Hashable
    target: Hashable
    kind: str
    points: list[Point]


@dataclass
class Layout:
    """``labels`` holds where the label of what leaves a box goes: (x, y, "left" or "center" aligned).

    ``bounds`` are left, right, bottom, top of everything.
    """

    boxes: dict[Hashable, Box] = field(default_factory=dict)
    arrows: list[Arrow] = field(default_factory=list)
    labels: dict[Hashable, tuple[float, float, str]] = field(default_factory=dict)
    bounds: tuple[float, float, float, float] = (0.0, 0.0, 0.0, 0.0)


def place(
    sizes: Mapping[Hashable, tuple[float, float]],
    edges: Iterable[tuple[Hashable, Hashable]],
    inputs: Iterable[Hashable] = (),
    labels: Mapping[Hashable, float] | None = None,
) -> Layout:
    """Places boxes of the given (width, height), joined by (source, target) edges.

    ``inputs`` are the sources of data: what cannot be reached from them is constant. ``labels`` gives the width of the
    label on the arrows that leave a box. Boxes of one column become equally wide.
    """
    import networkx as nx

    layout = Layout()
    if not sizes:
        return layout
    labels, inputs = labels or {}, set(inputs)
    graph = nx.DiGraph()
    graph.add_nodes_from(sizes)
    graph.add_edges_from(edges)
    loops = cut_loops(graph, list(sizes))
    chains = _constant_chains(graph, inputs)
    main = nx.DiGraph()  # not a subgraph view, whose order is not ours
    main.add_nodes_from(node for node in graph if node in chains)
    main.add_edges_from((a, b) for a, b in graph.edges if a in chains and b in chains)

    width = max(sizes[node][0] for node in main)
    columns = _side_columns(chains, sizes, labels)
    rows = make_rows(main, inputs)
    extents: dict[Hashable, tuple[float, float]] = {}
    for node in (node for row in rows for node in row):
        if isinstance(node, Lane):
            extents[node] = (LANE, LANE)
        else:
            beside = sum(sum(columns[depth]) for depth in range(max(map(len, chains[node]), default=0)))
            extents[node] = (width / 2, max(width / 2 + beside, labels.get(node, 0.0) + 0.1))
    xs = find_x(main, rows, extents, COLUMN_GAP)

    number = {place: i for i, row in enumerate(rows) for place in row}
    paths = {edge: edge_places(edge, number) for edge in main.edges}
    bent = {
        number[a] for path in paths.values() for a, b in zip(path, path[1:], strict=False) if abs(xs[a] - xs[b]) > 0.01
    }
    heights = {node: max(sizes[node][1], _stack_height(several, sizes)) for node, several in chains.items()}
    bottom, top = {}, {}  # where arrows begin to bend below a row, and where they arrive at it
    y = 0.0
    for i, row in enumerate(rows):
        height = max(heights.get(place, 0.0) for place in row)
        for node in (place for place in row if place in heights):
            layout.boxes[node] = Box(xs[node], y - height / 2, width, heights[node])
            layout.labels[node] = (xs[node] + 0.07, y - height - ROW_GAP * 0.46, "left")
        for place in row:
            top[place], bottom[place] = y, y - height - (LABEL if i in bent else 0.0)
        y -= height + (LABEL + BEND if i in bent else ROW_GAP)
    for node, several in chains.items():
        _place_beside(layout, node, several, sizes, columns)
    for (source, target), path in paths.items():
        points = [(xs[place], end[place]) for place in path for end in (top, bottom)][1:-1]
        start, end = layout.boxes[source], layout.boxes[target]
        points = [(start.x, start.edges[2]), *points, (end.x, end.edges[3])]
        layout.arrows.append(Arrow(source, target, "down", points))
    for source, target in loops:
        layout.arrows.append(_back(layout, source, target))
    _measure(layout, labels)
    return layout


def _constant_chains(graph: networkx.DiGraph, inputs: set) -> dict[Hashable, list[list[Hashable]]]:
    """For every node of the main graph the chains of constant nodes that feed it alone, each from the node outwards."""
    import networkx as nx

    reached = inputs.union(*(nx.descendants(graph, node) for node in inputs if node in graph))
    lone: set[Hashable] = set()
    for node in nx.topological_sort(graph):
        before = list(graph.predecessors(node))
        if node not in reached and graph.out_degree(node) == 1 and len(before) <= 1 and lone.issuperset(before):
            lone.add(node)
    chains: dict[Hashable, list[list[Hashable]]] = {node: [] for node in graph if node not in lone}
    for node in chains:
        for first in graph.predecessors(node):
            if first in lone:
                chain = [first]
                while before := list(graph.predecessors(chain[-1])):
                    chain.extend(before)
                chains[node].append(chain)
    return chains


def _side_columns(chains, sizes, labels) -> list[tuple[float, float]]:
    """(length of the arrow, width of the box) for every place in a chain, the same in all chains so that they align."""
    every = [chain for several in chains.values() for chain in several]
    columns = []
    for depth in range(max(map(len, every), default=0)):
        nodes = [chain[depth] for chain in every if len(chain) > depth]
        arrow = max([ARROW] + [labels[node] + 0.26 for node in nodes if labels.get(node)])
        columns.append((arrow, max(sizes[node][0] for node in nodes)))
    return columns


def _stack_height(several, sizes) -> float:
    return sum(max(sizes[node][1] for node in chain) + STACK_GAP for chain in several) - STACK_GAP


def _place_beside(layout: Layout, node, several, sizes, columns) -> None:
    """The chains that feed a node, right of it, one below the other: the node is as high as they are together."""
    y = layout.boxes[node].y + _stack_height(several, sizes) / 2
    for chain in several:
        height = max(sizes[member][1] for member in chain)
        target, right = node, layout.boxes[node].edges[1]
        for (arrow, width), member in zip(columns, chain, strict=False):
            left = right + arrow
            layout.boxes[member] = Box(left + width / 2, y - height / 2, width, sizes[member][1])
            layout.labels[member] = (right + arrow / 2 + 0.03, y - height / 2 + 0.035, "center")
            layout.arrows.append(Arrow(member, target, "side", [(left, y - height / 2), (right, y - height / 2)]))
            target, right = member, left + width
        y -= height + STACK_GAP


def _back(layout: Layout, source, target) -> Arrow:
    """From below the source, round the left side of everything, into the left side of the target."""
    start, end = layout.boxes[source], layout.boxes[target]
    outside = min([box.edges[0] for box in layout.boxes.values()] + [x for a in layout.arrows for x, _ in a.points])
    outside, below = outside - 0.2, start.edges[2] - LABEL
    return Arrow(
        source,
        target,
        "back",
        [(start.x, start.edges[2]), (start.x, below), (outside, below), (outside, end.y), (end.edges[0], end.y)],
    )


def _measure(layout: Layout, labels: Mapping[Hashable, float]) -> None:
    sides = [box.edges for box in layout.boxes.values()]
    sources = {arrow.source for arrow in layout.arrows}
    right = [
        layout.labels[n][0] + width for n, width in labels.items() if n in sources and layout.labels[n][2] == "left"
    ]
    xs, ys = zip(*[point for arrow in layout.arrows for point in arrow.points] or [(sides[0][0], 0.0)], strict=True)
    layout.bounds = (
        min([side[0] for side in sides] + [*xs]),
        max([side[1] for side in sides] + [*xs] + right),
        min([side[2] for side in sides] + [*ys]),
        max(side[3] for side in sides),
    )
