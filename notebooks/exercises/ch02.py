"""Specifications of the exercises of chapter 02, the builder."""

import logging

import numpy as np

from helpers.builder import create_network, keep
from helpers.trt import trt
from helpers.workbook.exercises import exercise, expect, started


@exercise(
    "02.1",
    "Allow batches from 1 to 32 of the input `image`, with kernels chosen for 8.",
    "A profile has three shapes for each dynamic input: the smallest, the one to be fastest at, and the largest.",
)
def profile(answer):
    expect(
        isinstance(answer, trt.IOptimizationProfile),
        "an IOptimizationProfile",
        type(answer).__name__,
        "set_shape changes the profile and returns nothing: hand in the profile",
    )
    log = logging.getLogger("tensorrt")
    log.addFilter(refuse := lambda record: False)  # an untouched stub makes TensorRT complain, which helps nobody
    try:
        shapes = [tuple(shape) for shape in answer.get_shape("image")]
    except (RuntimeError, ValueError, TypeError):  # no shape was set for this name
        shapes = []
    finally:
        log.removeFilter(refuse)
    started(shapes)
    expect(all(len(shape) == 4 for shape in shapes), "shapes of four dimensions", shapes, "the input is (N, 1, 28, 28)")
    expect(
        all(shape[1:] == (1, 28, 28) for shape in shapes),
        "only the batch varies",
        shapes,
        "the fixed dimensions 1, 28, 28 stay as they are in all three shapes",
    )
    batches = [shape[0] for shape in shapes]
    expect(sorted(batches) == batches, "min <= opt <= max", batches, "the order is min, opt, max")
    expect(batches == [1, 8, 32], [1, 8, 32], batches, "min 1, opt 8, max 32")


def _network(weights: int):
    """A convolution of four 3x3 kernels over three channels, which needs 108 weights."""
    network = create_network("exercise")
    x = network.add_input("x", trt.float32, (1, 3, 8, 8))
    conv = network.add_convolution_nd(x, 4, (3, 3), keep(network, np.ones(weights, np.float32)))
    network.mark_output(conv.get_output(0))
    return network


@exercise(
    "02.2",
    "Write a build that never returns None.",
    "TensorRT answers a failed build with None and tells the logger why: raise there, with the reason.",
)
def build(function):
    good = _network(108)
    plan = function(good, good.builder.create_builder_config())
    bad = _network(5)
    config = bad.builder.create_builder_config()
    try:
        answer = function(bad, config)
    except Exception as error:
        right, kind, text = isinstance(error, RuntimeError), type(error).__name__, str(error)
    else:
        started(not (plan is None and answer is None))
        expect(False, "an exception", answer, "compare with None: `if plan is None: raise RuntimeError(…)`")
    expect(right, "RuntimeError", f"{kind}: {text}", "raise RuntimeError yourself, before plan is used")
    expect(
        "weight" in text.lower() or "kernel" in text.lower(),
        "a RuntimeError with TensorRT's reason in its text",
        text or "an empty text",
        "capture the messages around build_serialized_network, and put the errors into the exception",
    )
    expect(plan is not None, "the plan of a good network", plan, "return the plan at the end")
    expect(
        len(bytes(plan)) > 500, "the plan of a good network", f"{len(bytes(plan))} bytes", "return the plan at the end"
    )
