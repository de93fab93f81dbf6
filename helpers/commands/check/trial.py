"""Tries what TensorRT makes of a model (chapter 08). Needs onnx.

It can end the process: let a ``helpers.worker.Worker`` call these functions.

>>> parse(b"<html>")["message"]
'the model in memory: is not an ONNX model: the parser found no layer in it'
"""

from __future__ import annotations

import functools
import os
import re
import tempfile
from collections.abc import Mapping
from typing import Any

from ...builder import BuildError, BuildOptions, create_config, create_network
from ...logger import errors, get_logger
from ...onnx_parser import NodeError, parse_onnx
from ...trt import NAME, has, trt
from .model_facts import MESSAGE, inputs_of
from .model_weights import brief
from .reading import read_model
from .report import MOST, NODES
from .shapes import propose_profile


@functools.lru_cache(maxsize=1)
def warm_up() -> dict:
    """Loads what the other functions need.

    Returns ``tensorrt``, its name and version as the atlas has them, and ``int64``: False where INT64 becomes INT32.
    """
    import onnx  # noqa: F401

    if has("build"):
        create_network("warm-up")  # makes the builder that is kept, which may take seconds
    get_logger().logger.disabled = True  # its messages are captured where they are wanted
    return {"tensorrt": NAME, "int64": hasattr(trt.DataType, "INT64")}


def parse(model: str | bytes) -> dict:
    """Parses a model: returns ``layers``, ``errors``, ``message``, ``shape_inputs`` and ``more``.

    ``model``: a path, or bytes. ``layers``: how many. ``message`` is None if it was parsed. ``errors`` has a dict for
    each operator and text that the parser blames. ``shape_inputs`` are inputs whose values TensorRT uses as shapes.
    ``more`` is how many of the two are left out.
    """
    try:
        network = parse_onnx(model)
    except (ValueError, OSError) as error:  # OnnxParseError among them
        rows = _alike(getattr(error, "errors", []), model)
        message = brief(_without_noise(str(error)), MESSAGE)
        more = max(0, len(rows) - MOST)
        return {"layers": 0, "errors": rows[:MOST], "message": message, "shape_inputs": [], "more": more}
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    shaping = [brief(tensor.name) for tensor in inputs if tensor.is_shape_tensor]
    more = max(0, len(shaping) - MOST)
    return {"layers": network.num_layers, "errors": [], "message": None, "shape_inputs": shaping[:MOST], "more": more}


def _alike(errors: list[NodeError], model: str | bytes) -> list[dict]:
    """Counts the parser's errors of one operator and text as one.

    Each has the ``operator`` as the parser says it, its ``kind`` as the graph does, the ``text``, how many nodes
    (``count``), and of the first their ``names`` (in quotes; "node 7" for one without) and ``places`` in the graph.
    """
    graph = read_model(model).model.graph.node if errors and isinstance(model, str) else []
    named = {node.name: i for i, node in reversed(list(enumerate(graph))) if node.name}
    alike: dict[tuple[str, str, str], dict[str, Any]] = {}
    for node, operator, text in errors:
        # Of a node without a name the parser says the number; 8.6 does of every node, and not the operator.
        number = re.fullmatch("number ([0-9]+)", node) if node not in named or not operator else None
        place = int(number[1]) if number else named.get(node, len(graph))
        known = place < len(graph)
        name = graph[place].name if known else "" if number else node
        kind = brief(operator or (graph[place].op_type if known else ""))
        key = brief(operator), kind, brief(_without_noise(text), MESSAGE)
        new = {"operator": key[0], "kind": key[1], "text": key[2], "names": [], "count": 0, "places": []}
        row = alike.setdefault(key, new)
        row["count"] += bool(node)
        if len(row["places"]) < NODES and known:
            row["places"].append(place)
        if len(row["names"]) < NODES and node:
            row["names"].append(brief(repr(name)) if name else f"node {place}")
    return list(alike.values())


def build(model: str | bytes, profile: Mapping | None = None) -> dict:
    """Parses and builds a model: returns ``plan_bytes``, or None with ``message``, which says why.

    ``profile``: input name -> (min, opt, max), for inputs with dynamic shapes and for shape inputs. The plan is thrown
    away, and so does not go on the list of plans that were built here (``helpers.trust``).
    """
    # Where the types of a graph are not binding, Q/DQ nodes need this permission.
    flags = ("INT8",) if has("weak_typing") and _is_quantized(model) else ()
    # Where tactics are timed, the first that works answers the question; only what has none is looked at in earnest.
    for level in (0, None) if has("timing_cache") else (None,):
        options = BuildOptions(profiles=[profile] if profile else [], optimization_level=level, flags=flags)
        result = _build(model, options)
        if result["message"] is None:
            break
    return result


def _is_quantized(model: str | bytes) -> bool:
    content = model if isinstance(model, bytes) else read_model(model).model.SerializeToString()
    return b"uantizeLinear" in content


def build_as_proposed(path: str, shapes: Mapping[str, tuple], values: Mapping[str, tuple]) -> dict:
    """Calls :func:`build_with` with ``shapes``, and those that ``shapes.propose_profile`` guesses for other inputs."""
    inputs = {value["name"]: value["shape"] for value in inputs_of(read_model(path).model.graph)}
    inputs = {name: shape for name, shape in inputs.items() if name not in values}
    return build_with(path, propose_profile(inputs, shapes), values)


def build_with(path: str, shapes: Mapping[str, Any], values: Mapping[str, Any]) -> dict:
    """Calls :func:`build` with (min, opt, max) shapes of inputs, and values of shape inputs.

    Returns what it does, and ``profile``: both of them together, for the report.
    """
    profile = {**shapes, **values}
    return {**build(path, profile), "profile": {brief(name): ranges for name, ranges in profile.items()}}


def build_folded(path: str, shapes: Mapping[str, list]) -> dict:
    """Fixes the shapes of inputs, lets ONNX Runtime fold what is constant then, and calls :func:`build`.

    ``shapes``: input name -> shape. Raises what onnx and ONNX Runtime raise, and ValueError for external data.
    """
    import onnx
    import onnxruntime

    if read_model(path).external:
        raise ValueError("its data is in other files")
    model = onnx.load(path)
    for value in model.graph.input:
        for dimension, size in zip(value.type.tensor_type.shape.dim, shapes.get(value.name, ()), strict=False):
            dimension.dim_value = size
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_BASIC
    options.log_severity_level = 4
    with tempfile.TemporaryDirectory() as folder:
        options.optimized_model_filepath = os.path.join(folder, "folded.onnx")
        onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
        return build(options.optimized_model_filepath)


def _build(model: str | bytes, options: BuildOptions) -> dict:
    try:
        network = parse_onnx(model)
        config = create_config(network.builder, network, options)
        with get_logger().capture() as messages:
            plan = network.builder.build_serialized_network(network, config)
    except (BuildError, ValueError, OSError) as error:
        return {"plan_bytes": None, "message": brief(_without_noise(str(error)), MESSAGE)}
    if plan is None:
        reason = _without_noise("\n".join(errors(messages)) or "no reason was logged")
        return {"plan_bytes": None, "message": brief(reason, MESSAGE)}
    return {"plan_bytes": plan.nbytes, "message": None}


def _without_noise(text: str) -> str:
    """Cuts from TensorRT's text what a missing GPU adds to it, and the paths of NVIDIA's sources."""
    lines = [line.strip() for line in text.splitlines() if line.strip() and "cudaError 35" not in line]
    return re.sub(r" In \S+ at /_src/\S+?:\d+", "", "\n".join(lines))
