"""Specifications of the exercises of chapter 05, parser or network API."""

from collections import Counter
from pathlib import Path

import numpy as np

from helpers.lenet import lenet_network
from helpers.onnx_parser import parse_onnx
from helpers.workbook.exercises import exercise, expect

DATA = Path(__file__).resolve().parents[2] / "data"


def _kinds(network) -> Counter:
    return Counter(network.get_layer(i).type.name for i in range(network.num_layers))


@exercise(
    "05.1",
    "Which kinds of layers did the parser add, and how many of each?",
    "The parser spells out broadcasts and shapes as layers of their own. The builder fuses them away.",
)
def added(answer):
    with np.load(DATA / "lenet.npz") as weights:
        by_hand = _kinds(lenet_network(weights))
    parsed = _kinds(parse_onnx(DATA / "lenet.onnx"))
    right = dict(parsed - by_hand)
    expect(hasattr(answer, "items"), "a mapping from kind to number", type(answer).__name__, "a Counter is a mapping")
    given = {getattr(kind, "name", str(kind)): count for kind, count in answer.items()}
    useless = {kind: count for kind, count in given.items() if count <= 0}
    expect(not useless, right, given, "keep only what there is more of: Counter - Counter drops zero and below")
    expect(given != dict(parsed), right, given, "subtract the layers of the network written by hand")
    expect(given != dict(by_hand - parsed), right, given, "the other way round: parsed minus by hand")
    expect(given == right, right, given, "compare the two Counters of layer.type.name")


@exercise(
    "05.2",
    "Get the kernels of the second convolution out of the parsed network.",
    "get_layer returns a plain ILayer; with the right class you reach its attributes, and the trained weights.",
)
def kernels(answer):
    with np.load(DATA / "lenet.npz") as weights:
        first, second = weights["conv1.weight"], weights["conv2.weight"]
    expect(isinstance(answer, np.ndarray), "a NumPy array", type(answer).__name__, "layer.kernel, as np.array(…)")
    expect(answer.size != first.size, f"{second.size:,} weights", f"{answer.size:,}", "that is the first convolution")
    expect(
        answer.size == second.size, f"{second.size:,} weights", f"{answer.size:,}", "look for the second CONVOLUTION"
    )
    expect(
        answer.shape == second.shape,
        second.shape,
        answer.shape,
        "the kernel comes flat: reshape it to (out, in, height, width)",
    )
    expect(
        np.array_equal(answer, second), "the trained kernels", "other numbers", "the order is (out, in, height, width)"
    )
