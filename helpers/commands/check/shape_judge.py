"""Asks ONNX Runtime whether a model runs with certain shapes, and which node they do not fit (chapter 09).

TensorRT says of a shape that it does not fit, and seldom where. ONNX Runtime runs a small model in milliseconds, and
names the node. Needs onnx and onnxruntime. It can end the process: let a ``helpers.worker.Worker`` call :func:`refused`
and :func:`propose_values`.

>>> Refusal(7, "Reshape 'flatten'", "does not fit", {"x": (2, 3)}).told()["at"]
{'x': [2, 3]}
"""

from __future__ import annotations

import functools
import itertools
import math
import re
import threading
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from .model_facts import inputs_of
from .model_weights import brief
from .reading import name_of, read_model

RUNS = 800  # of a model at most
LARGEST = 1 << 23  # values of all inputs together: more are not tried
TEXT, LONGEST = 500, 5000  # characters of a reason, and of what it is cut out of


class Refusal(NamedTuple):
    """Why a shape does not fit: the ``node`` as a reader knows it, its ``place`` in the graph (-1: not known), a
    ``text``, and the shapes that were tried (``at``). ``came_to_an_end``: False where nobody knows whether they fit."""

    place: int
    node: str
    text: str
    at: Mapping[str, list]
    came_to_an_end: bool = True

    @property
    def reach(self) -> tuple[bool, int]:
        """How far the model ran: the larger, the further."""
        return self.came_to_an_end, self.place

    def told(self) -> dict:
        """Returns it for the report."""
        at = {brief(name): list(shape) for name, shape in self.at.items()}
        return {"node": self.node, "text": self.text, "at": at}


class Judge:
    """Runs a model on made-up input: integers are 0, or 1 where that goes further.

    ``values``: what shape inputs hold. ``seconds``: for all runs together; after that it is ``tired``. Raises whatever
    ONNX Runtime raises where it does not load the model, and ImportError without it.
    """

    def __init__(self, path: str, values: Mapping[str, list], seconds: float):
        self.values, self.end = dict(values), time.monotonic() + seconds
        self.runs, self.fill = 0, 0
        contents = read_model(path)
        self.graph, self.tensors = contents.model.graph, contents.tensors
        self.inputs = {value["name"]: value["shape"] for value in inputs_of(self.graph)}
        self.session, self.types = load(path)
        self.places = {node.name: i for i, node in reversed(list(enumerate(self.graph.node))) if node.name}

    @property
    def tired(self) -> bool:
        """Whether the runs or the seconds are used up."""
        return self.runs >= RUNS or time.monotonic() > self.end

    def run(self, shapes: Mapping[str, list]) -> Refusal | None:
        """Runs the model with a shape for each dynamic input. Returns None if that went well.

        What is too large to be tried counts as refused, and so does a run that the end of the seconds cut short;
        ``tired`` is true then.
        """
        if sum(math.prod(self._shape(name, shapes)) for name in self.types) > LARGEST:
            return Refusal(-1, "", "is too large to be tried", shapes, False)
        refusal = self._run(shapes)
        if refusal and not self.runs:  # a length of 0, or an index of 1, may be what does not fit
            self.fill = 1
            other = self._run(shapes)
            if other and other.place <= refusal.place:
                self.fill = 0
            else:
                refusal = other
        self.runs += 1
        return refusal

    def _run(self, shapes: Mapping[str, list]) -> Refusal | None:
        import onnxruntime

        options = onnxruntime.RunOptions()
        timer = threading.Timer(max(0.0, self.end - time.monotonic()), setattr, (options, "terminate", True))
        timer.daemon = True
        timer.start()
        try:
            self.session.run(None, {name: self._made_up(name, shapes) for name in self.types}, options)
        except Exception as error:  # ONNX Runtime has many of its own
            if options.terminate:
                return Refusal(-1, "", "took too long", shapes, False)
            return self._refusal(str(error), shapes)
        finally:
            timer.cancel()
        return None

    def _made_up(self, name: str, shapes: Mapping[str, list]) -> np.ndarray:
        if name in self.values:
            return np.array(self.values[name], self.types[name]).reshape([-1] if self.inputs.get(name) else [])
        return np.full(self._shape(name, shapes), self.fill, self.types[name])

    def _shape(self, name: str, shapes: Mapping[str, list]) -> list[int]:
        return shapes.get(name) or [size for size in self.inputs.get(name) or [] if isinstance(size, int)]

    def _refusal(self, text: str, at: Mapping[str, list]) -> Refusal:
        """Reads an error of ONNX Runtime: it names the node, and before it those in whose branches that lies."""
        nodes = re.findall(r"while running (\S+) node\. Name:'(.*?)' Status", text)
        kind, name = nodes[-1] if nodes else ("", "")
        place = self.places.get(nodes[0][1], -1) if nodes else -1
        if nodes and not nodes[0][1]:  # it has no name
            alike = [i for i, node in enumerate(self.graph.node) if node.op_type == nodes[0][0]]
            place = alike[0] if len(alike) == 1 else -1
        node = f"{kind} {name!r}" if name else name_of(self.graph.node[place], place) if place >= 0 else kind
        reason = text.rpartition("Status Message: ")[2].strip()[:LONGEST]  # names in it may be long, and hostile
        reason = re.sub(r"^\S*onnxruntime\S*:\d+ .*? was false\.? ?", "", reason, flags=re.DOTALL) or reason
        return Refusal(place, brief(node), brief(" ".join(reason.split()), TEXT), at)


@functools.lru_cache(maxsize=1)
def load(path: str) -> tuple[Any, dict[str, Any]]:
    """Loads a model in ONNX Runtime. Returns its session, and the NumPy type of each input by name."""
    import onnxruntime
    from onnx import helper

    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL  # nodes keep their names
    options.log_severity_level = 4
    options.enable_cpu_mem_arena = False  # it would keep what a large candidate took
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    elements = {value.name: value.type.tensor_type.elem_type for value in read_model(path).model.graph.input}
    return session, {
        value.name: helper.tensor_dtype_to_np_dtype(elements[value.name]) for value in session.get_inputs()
    }


def loadable(path: str) -> bool:
    """Returns whether ONNX Runtime loads the model."""
    load.cache_clear()
    try:
        load(path)
    except Exception:
        return False
    return True


def refused(path: str, shapes: Mapping[str, list], values: Mapping[str, list], seconds: float) -> dict | None:
    """Runs the model once for each of min, opt and max. ``shapes``, ``values``: input name -> (min, opt, max).

    Returns a dict of ``node``, ``text`` and ``at``, the shapes that do not fit; None if all ran, or if ONNX Runtime
    does not load the model, or not within the ``seconds``.
    """
    load.cache_clear()  # the file may be another one by now
    try:
        judge = Judge(path, {}, seconds)
    except Exception:
        return None
    for i in range(3):
        judge.values = {name: list(ranges[i]) for name, ranges in values.items()}
        refusal = judge.run({name: list(ranges[i]) for name, ranges in shapes.items()})
        if refusal and refusal.node:
            return refusal.told()
    return None


def propose_values(
    path: str, names: list[str], shapes: Mapping[str, list], values: Mapping[str, list], seconds: float
) -> dict:
    """Proposes values for the shape inputs ``names``, beside what is known of shapes and values (min, opt, max).

    ``seconds``: that the runs may take. Returns ``values``: name -> (min, opt, max), each a list, empty where nothing
    can be said; and ``ran``: whether ONNX Runtime ran the model with them.
    """
    load.cache_clear()
    graph = read_model(path).model.graph
    declared = {value["name"]: value["shape"] for value in inputs_of(graph)}
    options = {name: _values_like(graph, name, declared) for name in names}
    if not all(options.values()):
        return {"values": {}, "ran": False}
    unsure = {"values": {name: [some[0]] * 3 for name, some in options.items()}, "ran": False}
    try:
        judge = Judge(path, {}, seconds)
    except Exception:
        return unsure
    known = {name: list(ranges[1]) for name, ranges in values.items()}
    at = {name: list(ranges[1]) for name, ranges in shapes.items()}
    for chosen in itertools.product(*options.values()):
        judge.values = known | dict(zip(names, chosen, strict=True))
        if judge.tired:
            break
        if judge.run(at) is None:
            return {"values": {name: _widened(judge, at, name) for name in names}, "ran": True}
    return unsure


def _values_like(graph, name: str, declared: Mapping[str, Any]) -> list[list[int]]:
    """Lists what a shape input may hold: the shape of what its node works on, that flattened, and small numbers."""
    shape = declared.get(name)
    if shape is None or len(shape) > 1 or not all(isinstance(size, int) for size in shape):
        return []
    count = shape[0] if shape else 1
    if not 0 < count <= 8:
        return []
    worked_on = next((declared.get(node.input[0]) for node in graph.node if name in node.input[1:]), None) or []
    data = [size for size in worked_on if isinstance(size, int)]
    found = [[1] * (count - 1) + [math.prod(data)]] if data else []
    found += [data] if len(data) == count else []
    return [*found, *([size] * count for size in (16, 1, 2, 4, 8, 32, 64, 3, 128, 224, 256, 0))]


def _widened(judge: Judge, at: Mapping[str, list], name: str) -> list[list[int]]:
    """Returns (min, opt, max) around the value that did: other ones if it is a single one and they do, too."""
    before, chosen = judge.values, judge.values[name]
    low, high = chosen, chosen
    if len(chosen) == 1:
        judge.values = before | {name: [1]}
        low = [1] if chosen[0] > 1 and judge.run(at) is None else chosen
        judge.values = before | {name: [4 * chosen[0]]}
        high = [4 * chosen[0]] if judge.run(at) is None else chosen
        judge.values = before
    return [low, chosen, high]
