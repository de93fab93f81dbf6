"""A network definition as records and as a table: what ``get_layer`` answers, layer by layer (chapter 03).

Needs pandas for the table.

>>> relu = Layer(0, "relu1", "ACTIVATION", inputs=(), outputs=())
>>> unmatched_layers([relu], [])
({0}, set())
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import pandas

    from .trt import trt


class Tensor(NamedTuple):
    """``shape`` has -1 for every dynamic dimension, and is None where TensorRT does not know the rank."""

    name: str
    shape: tuple[int, ...] | None
    dtype: str


class Layer(NamedTuple):
    """``type`` is the name of its ``trt.LayerType``. Optional inputs that are not set are left out of ``inputs``."""

    index: int  # type: ignore[assignment]  # tuple.index has that name too
    name: str
    type: str
    inputs: tuple[Tensor, ...]
    outputs: tuple[Tensor, ...]


def read_tensor(tensor: trt.ITensor) -> Tensor:
    """Name, shape and dtype (``FLOAT``, ``HALF`` …) of a tensor of a network definition."""
    try:
        shape = tuple(tensor.shape)
    except ValueError:  # an unknown rank is a shape of -1 dimensions
        shape = None
    return Tensor(tensor.name, shape, tensor.dtype.name)


def read_layers(network: trt.INetworkDefinition) -> list[Layer]:
    """All layers in the network's own order. Raises TypeError for what is not a network definition."""
    check_network(network)
    layers = []
    for index in range(network.num_layers):
        layer = network.get_layer(index)
        inputs = [layer.get_input(i) for i in range(layer.num_inputs)]
        outputs = [layer.get_output(i) for i in range(layer.num_outputs)]
        layers.append(
            Layer(
                index,
                layer.name,
                layer.type.name,  # str(layer.type) is written differently from version to version
                tuple(read_tensor(tensor) for tensor in inputs if tensor is not None),
                tuple(read_tensor(tensor) for tensor in outputs if tensor is not None),
            )
        )
    return layers


def network_table(network: trt.INetworkDefinition) -> pandas.DataFrame:
    """One row per layer: name, type, inputs, outputs, shape and dtype of the first output; indexed by layer number.

    ``inputs`` and ``outputs`` are the names of the tensors, joined by commas. ``shape`` is a tuple with -1 for every
    dynamic dimension, None where the layer has no output or its rank is unknown; ``dtype`` is a name such as
    ``FLOAT``. ``table.loc[i]`` is ``network.get_layer(i)``. An empty network gives an empty table.
    Raises TypeError for what is not a network definition.
    """
    import pandas

    rows = [
        {
            "name": layer.name,
            "type": layer.type,
            "inputs": ", ".join(tensor.name for tensor in layer.inputs),
            "outputs": ", ".join(tensor.name for tensor in layer.outputs),
            "shape": layer.outputs[0].shape if layer.outputs else None,
            "dtype": layer.outputs[0].dtype if layer.outputs else None,
        }
        for layer in read_layers(network)
    ]
    index = pandas.RangeIndex(len(rows), name="layer")
    return pandas.DataFrame(rows, index=index, columns=["name", "type", "inputs", "outputs", "shape", "dtype"])


def unmatched_layers(left: Sequence[Layer], right: Sequence[Layer]) -> tuple[set[int], set[int]]:
    """Indices of the layers that only the left, and only the right network has.

    Both are read in the order in which their outputs need them, whatever order they were made in, and matched by the
    longest common subsequence of types; equal shapes and names decide between equally long ones.
    """
    a, b = _in_order_of_need(left), _in_order_of_need(right)
    best = [[0.0] * (len(b) + 1) for _ in range(len(a) + 1)]
    for i in reversed(range(len(a))):
        for j in reversed(range(len(b))):
            best[i][j] = max(best[i + 1][j], best[i][j + 1], best[i + 1][j + 1] + _likeness(a[i], b[j]))
    i = j = 0
    only_left, only_right = {layer.index for layer in a}, {layer.index for layer in b}
    while i < len(a) and j < len(b):
        likeness = _likeness(a[i], b[j])
        if likeness and best[i][j] == best[i + 1][j + 1] + likeness:
            only_left.discard(a[i].index)
            only_right.discard(b[j].index)
            i, j = i + 1, j + 1
        elif best[i][j] == best[i + 1][j]:
            i += 1
        else:
            j += 1
    return only_left, only_right


def _likeness(a: Layer, b: Layer) -> float:
    """0 for other types, else 1 and a little: all bonuses together must not outweigh one more match."""
    if a.type != b.type:
        return 0.0
    same_shapes = [t.shape for t in a.outputs] == [t.shape for t in b.outputs]
    return 1.0 + 2.0**-11 * same_shapes + 2.0**-12 * (a.name == b.name)


def _in_order_of_need(layers: Sequence[Layer]) -> list[Layer]:
    """Every layer after those that feed it, input by input, starting from the layers that feed none."""
    makers = {tensor.name: layer for layer in layers for tensor in layer.outputs}
    read = {tensor.name for layer in layers for tensor in layer.inputs}
    ends = [layer for layer in layers if not any(tensor.name in read for tensor in layer.outputs)]
    ordered: dict[int, Layer] = {}
    begun: set[int] = set()
    stack = [(layer, False) for layer in reversed([*ends, *layers])]  # all layers, since loops have no end
    while stack:
        layer, done = stack.pop()
        if done:
            ordered[layer.index] = layer
        elif layer.index not in begun:
            begun.add(layer.index)
            stack.append((layer, True))
            feeders = [makers[tensor.name] for tensor in layer.inputs if tensor.name in makers]
            stack += [(feeder, False) for feeder in reversed(feeders)]
    return list(ordered.values())


def check_network(network: object) -> None:
    """Raises TypeError, with what to do, unless ``network`` is a network definition."""
    if network is None:
        raise TypeError(
            "network is None: the call that should have made it failed, and TensorRT's log says why; "
            "helpers.builder.create_network and helpers.onnx_parser.parse_onnx raise instead"
        )
    if not hasattr(network, "get_layer"):
        raise TypeError(
            f"a network definition is needed, not {type(network).__name__}: "
            "make one with helpers.onnx_parser.parse_onnx(path) or with the network API"
        )
