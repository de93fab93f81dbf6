"""Sorts a directed graph into rows, top down: few crossings, straight lines (used by ``helpers.layout``, chapter 05).

Needs networkx. Sugiyama's method in small: rows by longest path, order within a row by the mean position of the
neighbours, horizontal positions by least squares with a least distance.

>>> edge_places(("a", "b"), {"a": 0, "b": 2})
['a', Lane(source='a', target='b', row=1), 'b']
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import networkx


class Lane(NamedTuple):
    """The place in a row that an edge passes on its way from one row to a row further down."""

    source: Hashable
    target: Hashable
    row: int


Place = Hashable  # a node of the graph or a Lane


def cut_loops(graph: networkx.DiGraph, order: Sequence[Hashable]) -> list[tuple[Hashable, Hashable]]:
    """Removes the edges that close loops, and returns them: of every loop the one that leads furthest back."""
    import networkx as nx

    number = {node: i for i, node in enumerate(order)}
    cut: list[tuple[Hashable, Hashable]] = []
    while True:
        try:
            cycle = nx.find_cycle(graph)
        except nx.NetworkXNoCycle:
            return cut
        edge = max(cycle, key=lambda edge: number[edge[0]] - number[edge[1]])
        graph.remove_edge(*edge)
        cut.append(edge)


def edge_places(edge: tuple[Hashable, Hashable], row: Mapping[Place, int]) -> list[Place]:
    """The places that an edge goes through, from its source to its target."""
    source, target = edge
    return [source, *(Lane(source, target, n) for n in range(row[source] + 1, row[target])), target]


def make_rows(graph: networkx.DiGraph, inputs: set) -> list[list[Place]]:
    """Nodes and lanes by row: as high as their sources allow; what no input reaches as low as its targets allow."""
    import networkx as nx

    order = list(nx.lexicographical_topological_sort(graph, key={node: i for i, node in enumerate(graph)}.get))
    reached = inputs.union(*(nx.descendants(graph, node) for node in inputs if node in graph))
    row: dict[Place, int] = {}
    for node in order:
        row[node] = max((row[before] + 1 for before in graph.predecessors(node)), default=0)
    for node in reversed(order):
        if node not in reached and graph.out_degree(node):
            row[node] = min(row[after] for after in graph.successors(node)) - 1
    rows: list[list[Place]] = [[] for _ in range(max(row.values()) + 1)]
    for node in order:
        rows[row[node]].append(node)
    for edge in graph.edges:
        for place in edge_places(edge, row):
            if isinstance(place, Lane):
                rows[place.row].insert(0, place)  # left of the boxes, where no constants stand
    return _uncross(rows, _links(graph, rows))


def find_x(
    graph: networkx.DiGraph, rows: list[list[Place]], extents: Mapping[Place, tuple[float, float]], gap: float
) -> dict[Place, float]:
    """Horizontal positions. ``extents`` says how far each place reaches to its left and right of its own position.

    The longest path through the graph stands at exactly 0, one below the other.
    """
    links = _links(graph, rows)
    spine = set(_longest_path(graph, rows))
    gaps = [[extents[a][1] + gap + extents[b][0] for a, b in zip(places, places[1:], strict=False)] for places in rows]
    x: dict[Place, float] = dict.fromkeys(links, 0.0)
    for sweep in range(24):
        for number in range(len(rows)) if sweep % 2 == 0 else reversed(range(len(rows))):
            places = rows[number]
            wanted, weights = [], []
            for place in places:
                near = [x[other] for other in links[place]]
                wanted.append(0.0 if place in spine or not near else sum(near) / len(near))
                weights.append(1e9 if place in spine else 4.0 if isinstance(place, Lane) else 1.0)
            x.update(zip(places, _keep_apart(wanted, weights, gaps[number]), strict=True))
    x.update(dict.fromkeys(spine, 0.0))
    _straighten_lanes(rows, x, gaps)
    return x


def _straighten_lanes(rows: list[list[Place]], x: dict[Place, float], gaps: list[list[float]]) -> None:
    """Puts all lanes of an edge at one x, near their mean, where the room between their neighbours allows it."""
    lanes: dict[tuple[Hashable, Hashable], list[tuple[int, int]]] = {}
    for number, places in enumerate(rows):
        for i, place in enumerate(places):
            if isinstance(place, Lane):
                lanes.setdefault((place.source, place.target), []).append((number, i))
    for spots in lanes.values():
        low = max((x[rows[n][i - 1]] + gaps[n][i - 1] for n, i in spots if i), default=float("-inf"))
        high = min((x[rows[n][i + 1]] - gaps[n][i] for n, i in spots if i < len(gaps[n])), default=float("inf"))
        if low <= high:
            mean = sum(x[rows[n][i]] for n, i in spots) / len(spots)
            x.update((rows[n][i], min(max(mean, low), high)) for n, i in spots)


def _longest_path(graph: networkx.DiGraph, rows: list[list[Place]]) -> list[Place]:
    import networkx as nx

    row = {place: number for number, places in enumerate(rows) for place in places}
    nodes = nx.dag_longest_path(graph)
    return [place for edge in zip(nodes, nodes[1:], strict=False) for place in edge_places(edge, row)] or nodes


def _links(graph: networkx.DiGraph, rows: list[list[Place]]) -> dict[Place, list[Place]]:
    """For every place those in the rows above and below that it is joined to."""
    row = {place: number for number, places in enumerate(rows) for place in places}
    links: dict[Place, list[Place]] = {place: [] for place in row}
    for edge in graph.edges:
        places = edge_places(edge, row)
        for upper, lower in zip(places, places[1:], strict=False):
            links[upper].append(lower)
            links[lower].append(upper)
    return links


def _uncross(rows: list[list[Place]], links: Mapping[Place, list[Place]]) -> list[list[Place]]:
    """Sorts each row by the mean position of its neighbours, down and up in turn; returns the best order met."""
    best, fewest = [list(places) for places in rows], _crossings(rows, links)
    for sweep in range(12):
        if not fewest:
            break
        step = 1 if sweep % 2 == 0 else -1
        for number in range(1, len(rows)) if step > 0 else reversed(range(len(rows) - 1)):
            at = {place: i for i, place in enumerate(rows[number - step])}
            mean = {}
            for i, place in enumerate(rows[number]):
                near = [at[other] for other in links[place] if other in at]
                mean[place] = sum(near) / len(near) if near else i
            rows[number].sort(key=mean.__getitem__)
        crossings = _crossings(rows, links)
        if crossings < fewest:
            best, fewest = [list(places) for places in rows], crossings
    return best


def _crossings(rows: list[list[Place]], links: Mapping[Place, list[Place]]) -> int:
    total = 0
    for upper, lower in zip(rows, rows[1:], strict=False):
        at = {place: i for i, place in enumerate(lower)}
        ends = [end for place in upper for end in sorted(at[other] for other in links[place] if other in at)]
        total += sum(a > b for i, a in enumerate(ends) for b in ends[i + 1 :])
    return total


def _keep_apart(wanted: Sequence[float], weights: Sequence[float], gaps: Sequence[float]) -> list[float]:
    """The positions nearest to the wanted ones, by weighted least squares, that keep their order and the least gaps.

    With the gaps taken off this is isotonic regression: neighbours out of order are pooled to their mean.
    """
    offsets = [0.0]
    for gap in gaps:
        offsets.append(offsets[-1] + gap)
    pools: list[tuple[float, float, int]] = []  # mean, weight, number of members
    for want, weight, offset in zip(wanted, weights, offsets, strict=True):
        mean, number = want - offset, 1
        while pools and pools[-1][0] > mean:
            other, others, count = pools.pop()
            mean = (mean * weight + other * others) / (weight + others)
            weight, number = weight + others, number + count
        pools.append((mean, weight, number))
    means = [mean for mean, _, number in pools for _ in range(number)]
    return [mean + offset for mean, offset in zip(means, offsets, strict=True)]
