"""A network definition as records and as a table: what ``get_layer`` answers, layer by layer (chapter 03).

Needs pandas for the table.

>>> relu, sum = (Layer(0, "one", kind, inputs=(), outputs=()) for kind in ("ACTIVATION", "ELEMENTWISE"))
>>> align_layers([relu, sum], [sum])
[(0, None), (1, 0)]
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    import pandas

    from ..trt import trt


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
    """Returns name, shape and dtype (``FLOAT``, ``HALF`` …) of a tensor of a network definition."""
    try:
        shape = tuple(tensor.shape)
    except ValueError:  # an unknown rank is a shape of -1 dimensions
        shape = None
    return Tensor(tensor.name, shape, tensor.dtype.name)


def read_layers(network: trt.INetworkDefinition) -> list[Layer]:
    """Returns all layers in the network's own order. Raises TypeError for what is not a network definition."""
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
    """Returns a row per layer: name, type, inputs, outputs, shape and dtype of the first output, by layer number.

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


def feeds(layers: Sequence[Layer]) -> list[list[int]]:
    """Lists for each layer which ones it reads, as positions in ``layers``."""
    makers = {tensor.name: number for number, layer in enumerate(layers) for tensor in layer.outputs}
    return [[makers[tensor.name] for tensor in layer.inputs if tensor.name in makers] for layer in layers]


def in_order_of_need(layers: Sequence[Layer]) -> list[Layer]:
    """Sorts layers so that each stands after those that it reads, input by input; a loop is cut somewhere."""
    reads = feeds(layers)
    read = {number for several in reads for number in several}
    ends = [number for number in range(len(layers)) if number not in read]
    ordered: list[Layer] = []
    begun: set[int] = set()
    stack = [(number, False) for number in reversed([*ends, *range(len(layers))])]  # all, since loops have no end
    while stack:
        number, done = stack.pop()
        if done:
            ordered.append(layers[number])
        elif number not in begun:
            begun.add(number)
            stack += [(number, True), *((feed, False) for feed in reversed(reads[number]))]
    return ordered


def align_layers(left: Sequence[Layer], right: Sequence[Layer]) -> list[tuple[int | None, int | None]]:
    """Pairs the positions of layers that correspond, in order; None stands for what only the other side has.

    This is the longest common subsequence of types; equal shapes and names decide between equally long ones.
    """
    codes: dict[tuple, int] = {}
    a, b = (np.array([_codes(layer, codes) for layer in layers]).reshape(-1, 3) for layers in (left, right))
    pair, skip = np.zeros((2, len(a), len(b)), bool)  # from here on it is best to pair; as good to skip the left one
    below = np.zeros(len(b) + 1)
    for i in reversed(range(len(a))):
        same = b == a[i]
        # A thousand times the bonus for shapes and names is less than one more pair.
        paired = np.where(same[:, 0], below[1:] + 1 + 2.0**-11 * same[:, 1] + 2.0**-12 * same[:, 2], -1)
        here = np.append(np.maximum(below[:-1], paired), 0)
        here = np.maximum.accumulate(here[::-1])[::-1]
        pair[i], skip[i], below = here[:-1] == paired, here[:-1] == below[:-1], here
    pairs: list[tuple[int | None, int | None]] = []
    i = j = 0
    while i < len(a) and j < len(b):
        if pair[i, j]:
            pairs.append((i, j))
            i, j = i + 1, j + 1
        elif skip[i, j]:
            pairs.append((i, None))
            i += 1
        else:
            pairs.append((None, j))
            j += 1
    return pairs + [(k, None) for k in range(i, len(a))] + [(None, k) for k in range(j, len(b))]


def _codes(layer: Layer, codes: dict[tuple, int]) -> list[int]:
    """Numbers that are equal where types, shapes or names are."""
    keys = (("type", layer.type), tuple(tensor.shape for tensor in layer.outputs), ("name", layer.name))
    return [codes.setdefault(key, len(codes)) for key in keys]


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
