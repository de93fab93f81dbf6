"""Finds the nodes that a message of TensorRT's builder names, often by the names of layers made of them (chapter 08).

Needs onnx. It reads what a stranger may have made: let a ``helpers.worker.Worker`` call it.

>>> list(_names("IConditionalOutputLayer /If_OutputLayer: Must have inputs with equal ranks"))[:2]
['/If_OutputLayer', '/If']
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from .model_weights import brief
from .reading import all_nodes, name_of, read_model, text
from .report import NODES

_END = r"\s,;()\[\]{}'\""  # no name in a message has these
# In a message a name stands behind one of these words, or before one of those. Elsewhere it may be a plain word.
_MARKED = re.compile(rf"(?:\bI[A-Z]\w+Layer|\b[Nn]ode|\b[Ll]ayer):? ([^{_END}:]+)|([^{_END}:]+)(?:: | has no runners)")
_BETWEEN = re.compile(rf"\.\.\.|[{_END}]+")
_MADE = re.compile(r"_(?:\d+|[A-Z]\w*Layer)$")  # what TensorRT appends to a node's name for one of several layers


def blamed(path: str, message: str) -> list[dict]:
    """Returns the first nodes that a message names, by their own names or their layers'.

    Each has ``where``, which names it to a reader, its ``operator``, and its ``place`` in the graph. For a node of an
    inner graph, ``operator`` is that which has this graph, such as If, and ``place`` is None.
    """
    nodes: dict[str, tuple] = {}
    for node, index, owner in all_nodes(read_model(path).model):
        for name in [node.name] if node.name else [f"node_of_{output}" for output in node.output[:1]]:
            nodes.setdefault(text(name), (node, index, owner))
    rows: dict[str, dict] = {}
    for name in _names(message):
        if name in nodes and len(rows) < NODES:
            node, index, owner = nodes[name]
            where = f"{owner}, in it {name_of(node, index)}" if owner else name_of(node, index)
            operator = owner.partition(" ")[0].rstrip(",") or text(node.op_type)
            place = None if owner else index
            rows.setdefault(brief(where), {"where": brief(where), "operator": brief(operator), "place": place})
    return list(rows.values())


def _names(message: str) -> Iterator[str]:
    """Yields what may be a name in a message, the likely ones first."""
    marked = [name for names in _MARKED.findall(message) for name in names if name]
    plain = [token.strip(".:") for token in _BETWEEN.split(message)]
    for name in [*marked, *(token for token in plain if not token.isalpha())]:  # a node may be called "Error"
        yield name
        if _MADE.search(name):
            yield _MADE.sub("", name)
