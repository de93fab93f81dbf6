"""Parses an ONNX model into a network definition, with all of the parser's errors in one exception (chapter 03).

Needs onnx for models given as a file, to look for external data before the parser does.

>>> parse_onnx(b"<html>")
Traceback (most recent call last):
OnnxParseError: the model in memory: cannot be parsed ...
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

from .builder import create_network
from .logger import Message, errors, explained, get_logger
from .model_files import LARGEST, TOO_LARGE, all_tensors, external_tensors, file_beside, locations
from .trt import trt


class NodeError(NamedTuple):
    """One error of the parser: the ``node`` and its ``operator`` ("" where unknown) and the ``description``."""

    node: str
    operator: str
    description: str


class OnnxParseError(ValueError):
    """A model could not be parsed. ``errors`` is a list of :class:`NodeError`, empty if no node is to blame, and
    ``messages`` what TensorRT logged meanwhile, as ``helpers.logger.Message``."""

    def __init__(
        self,
        model: str,
        what: str,
        node_errors: Sequence[NodeError] = (),
        messages: Sequence[Message] = (),
    ):
        self.errors, self.messages = list(node_errors), list(messages)
        lines = []
        for node, operator, description in self.errors:
            where = f"node {node!r} ({operator})" if operator else f"node {node!r}" if node else "model"
            lines.append(f"{where}: {description}")
        told = f"{model}: {what}"
        super().__init__(explained(told, messages, lines or errors(messages)) if lines or messages else told)


def parse_onnx(model: str | os.PathLike | bytes, name: str | None = None) -> trt.INetworkDefinition:
    """Parses an ONNX model, given as a file or as bytes, into a new network definition.

    External data is looked for beside the file; a model given as bytes can have none. ``name`` is the network's, by
    default the file's stem. The parser lives as long as the network does, since it owns the weights.

    Raises FileNotFoundError for a missing file or missing external data, and OnnxParseError for everything else that is
    not a usable model. Among that is external data outside the model's folder, and what the library itself accepts as a
    network without layers: empty files and web pages. Raises TypeError for what is neither a file nor bytes, and
    MissingCapability where plans cannot be built.
    A model from a stranger can kill the process that parses it: chapter 08 shows how to check one first.
    """
    if isinstance(model, (str, os.PathLike)):
        path = Path(model)
        if path.is_dir():
            raise FileNotFoundError(f"{path} is a folder: name the .onnx file in it")
        if not path.is_file():
            raise FileNotFoundError(f"there is no ONNX model {path}")
        label, size = str(path), path.stat().st_size
    elif isinstance(model, (bytes, bytearray, memoryview)):
        path, label, model = None, "the model in memory", bytes(model)
        size = len(model)
    else:
        hint = ": give model.SerializeToString()" if hasattr(model, "SerializeToString") else ""
        raise TypeError(f"a model is a file or bytes, not {type(model).__name__}{hint}")
    if name is not None and not isinstance(name, str):
        raise TypeError(f"name={name!r:.80}: the network's name is text")
    if size == 0:
        raise OnnxParseError(label, "is empty (0 bytes); was the export or the download interrupted?")
    if size > LARGEST:
        raise OnnxParseError(label, TOO_LARGE)
    _check_external_data(path, label, model)

    logger = get_logger()
    network = create_network(name or (path.stem if path else "onnx"))
    parser = trt.OnnxParser(network, logger)
    with logger.capture() as messages:
        parsed = parser.parse_from_file(str(path)) if isinstance(model, (str, os.PathLike)) else parser.parse(model)
    node_errors = [_node_error(parser.get_error(i)) for i in range(parser.num_errors)]
    if not parsed or node_errors:
        what = "TensorRT's parser refuses it" if node_errors else "cannot be parsed"
        raise OnnxParseError(label, what, node_errors, messages)
    if network.num_layers == 0 and network.num_outputs == 0:
        raise OnnxParseError(label, "is not an ONNX model: the parser found no layer in it")
    return network


def _node_error(error: trt.ParserError) -> NodeError:
    # 8.6 knows neither the node's name nor its operator, only the index of the node. Many nodes have no name.
    index = error.node()
    name = (error.node_name() if hasattr(error, "node_name") else "") or (f"number {index}" if index >= 0 else "")
    operator = error.node_operator() if hasattr(error, "node_operator") else ""
    return NodeError(name, operator, error.desc().strip())


def _check_external_data(path: Path | None, label: str, model: Any) -> None:
    """Refuses external data that is missing or outside the model's folder: TensorRT says only "Failed to import
    initializer" of the one, and some of its releases read the other."""
    if path is None:
        tensors = external_tensors(model)
    else:
        import onnx
        from google.protobuf.message import DecodeError

        try:
            tensors = all_tensors(onnx.load(path, load_external_data=False))
        except DecodeError as error:
            raise OnnxParseError(label, f"is not an ONNX model ({error})") from error
    for tensor in tensors:
        what = f"tensor {tensor.name!r}"
        for location in locations(tensor):
            if path is None:
                raise OnnxParseError(label, f"keeps {what} in {location!r}, but has no folder: give the model's path")
            try:
                file_beside(path, location, what)
            except ValueError as error:
                raise OnnxParseError(label, str(error).removeprefix(f"{path} ")) from error
