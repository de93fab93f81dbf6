"""A network definition as a picture: boxes for layers, arrows for tensors (chapter 05). Needs matplotlib and networkx.

``show``, ``figure``, ``bars`` and ``style`` of ``helpers.figures`` and ``network_table`` of ``helpers.tables`` can be
imported from here too.

>>> draw_network(network).savefig("network.svg")  # doctest: +SKIP
>>> figure_of_sizes = bars(["parser", "network API"], [857, 856], unit="kB")
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, cast

from .figures import bars, figure, show, style
from .layout import place
from .paint import Item, make_page, paint, text_width
from .tables import Tensor, network_table, read_layers, read_tensor, unmatched_layers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from .trt import trt

__all__ = ["bars", "compare_networks", "draw_network", "figure", "network_table", "show", "style"]

# Colour (of helpers.figures.PALETTE), how strong, and the types of layer that have it: what a layer does decides.
_COLOURS = [
    ("blue", 0.28, "CONVOLUTION DECONVOLUTION"),
    ("orange", 0.36, "ACTIVATION PARAMETRIC_RELU SOFTMAX RAGGED_SOFTMAX"),
    ("green", 0.28, "POOLING REDUCE TOPK"),
    ("purple", 0.38, "MATRIX_MULTIPLY EINSUM FULLY_CONNECTED"),
    ("sky", 0.3, "ELEMENTWISE UNARY SCALE SELECT NORMALIZATION LRN CAST IDENTITY QUANTIZE DEQUANTIZE"),
    ("yellow", 0.45, "SHUFFLE CONCATENATION SLICE GATHER SCATTER RESIZE PADDING SHAPE SQUEEZE UNSQUEEZE"),
    ("black", 0.1, "CONSTANT FILL"),
]
_COLOUR_OF = {kind: (colour, strength) for colour, strength, kinds in _COLOURS for kind in kinds.split()}
_OTHER = ("vermillion", 0.2)
_CAPTIONS = {"TOPK": "TopK", "LRN": "LRN", "NMS": "NMS"}


def draw_network(
    network: trt.INetworkDefinition, *, title: str | None = None, ax: Axes | None = None, max_layers: int = 60
) -> Figure:
    """Draws a network definition top down: one box per layer, one arrow per tensor, labelled by its shape.

    Constants stand beside the layer that they feed. ``batch`` is the first dimension where that alone is dynamic in
    the network's inputs; every other dynamic dimension is -1. With ``ax`` the picture is fitted into these axes,
    without it a figure of its own is made, large enough for text of 10 points. Returns the figure; ``show`` it.

    Raises TypeError for what is not a network definition, ValueError for more than ``max_layers`` layers.
    """
    picture = _Picture(network, max_layers)
    if ax is None:
        (ax,) = make_page([picture.layout], [title or ""])
    elif title:
        ax.set_title(title)
    paint(ax, picture.layout, picture.items)
    return cast("Figure", ax.get_figure())


def compare_networks(
    left: trt.INetworkDefinition,
    right: trt.INetworkDefinition,
    titles: Sequence[str] = ("left", "right"),
    *,
    max_layers: int = 60,
) -> Figure:
    """Draws two network definitions side by side at one scale; a layer that only one of them has gets a dashed frame.

    Layers correspond where they have the same type and stand in the same order on the way to the outputs; their names
    need not agree. Returns the figure; raises as :func:`draw_network`, and ValueError unless there are two titles.
    """
    if isinstance(titles, str) or len(titles) != 2:
        raise ValueError(f"compare_networks needs two titles, one per network, and got {titles!r}")
    pictures = [
        _Picture(network, max_layers, f"network {title!r}")
        for network, title in zip((left, right), titles, strict=True)
    ]
    extra = unmatched_layers(pictures[0].layers, pictures[1].layers)
    headings = [
        f"{title}\n{len(picture.layers)} layers" + (f", {len(lone)} only here (dashed)" if lone else "")
        for title, picture, lone in zip(titles, pictures, extra, strict=True)
    ]
    axes = make_page([picture.layout for picture in pictures], headings)
    for ax, picture, lone in zip(axes, pictures, extra, strict=True):
        paint(ax, picture.layout, picture.items, lone)
    return cast("Figure", axes[0].get_figure())


class _Picture:
    """A network as boxes (``items`` by key: layers have their index) and where they stand (``layout``)."""

    def __init__(self, network: trt.INetworkDefinition, max_layers: int, what: str = "the network"):
        self.layers = read_layers(network)
        if len(self.layers) > max_layers:
            raise ValueError(
                f"{what} has {len(self.layers)} layers, too many to read in one picture (max_layers={max_layers}): "
                "look at network_table(network), or give a larger max_layers"
            )
        inputs = [read_tensor(network.get_input(i)) for i in range(network.num_inputs)]
        outputs = [read_tensor(network.get_output(i)) for i in range(network.num_outputs)]
        shapes = [tensor.shape or () for tensor in inputs]
        # Where the first dimension alone is dynamic, it is the batch.
        batch = any(-1 in shape for shape in shapes) and not any(-1 in shape[1:] for shape in shapes)

        self.items: dict[Hashable, Item] = {}
        makers: dict[str, Hashable] = {}
        readers: list[tuple[Hashable, tuple[Tensor, ...]]] = []
        for tensor in inputs:
            key = makers[tensor.name] = ("input", tensor.name)
            self.items[key] = Item("Input", tensor.name, _shapes([tensor], batch), pill=True)
        for layer in self.layers:
            caption = _CAPTIONS.get(layer.type) or layer.type.replace("_", " ").capitalize()
            colour = _COLOUR_OF.get(layer.type, _OTHER)
            self.items[layer.index] = Item(caption, _name(layer.name), _shapes(layer.outputs, batch), *colour)
            makers.update((tensor.name, layer.index) for tensor in layer.outputs)
            readers.append((layer.index, layer.inputs))
        for tensor in outputs:
            self.items["output", tensor.name] = Item("Output", _name(tensor.name), pill=True)
            readers.append((("output", tensor.name), (tensor,)))
        edges = [(makers[tensor.name], key) for key, tensors in readers for tensor in tensors if tensor.name in makers]
        self.layout = place(
            {key: item.size for key, item in self.items.items()},
            edges,
            [makers[tensor.name] for tensor in inputs],
            {key: text_width(item.label) for key, item in self.items.items()},
        )


def _name(name: str) -> str:
    """TensorRT's ``(Unnamed Layer* 3) [Shuffle]`` in short, since the box says what it is: ``(unnamed 3)``."""
    return re.sub(r"\(Unnamed Layer\* (\d+)\) \[[^\]]*\]", r"(unnamed \1)", name)


def _shapes(tensors: Sequence[Tensor], batch: bool) -> str:
    """``batch×1×28×28``; several tensors are separated by commas, and one without dimensions is a ``scalar``."""
    texts = []
    for tensor in tensors:
        sizes = [str(size) for size in tensor.shape or ()]
        if batch and sizes and sizes[0] == "-1":
            sizes[0] = "batch"
        texts.append("×".join(sizes) or ("unknown" if tensor.shape is None else "scalar"))
    return ", ".join(texts)
