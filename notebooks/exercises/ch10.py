"""Specifications of the exercises of chapter 10, precision."""

import numpy as np

from helpers.workbook.exercises import exercise, expect, started


@exercise(
    "10.1",
    "One scale for each output channel of a convolution's weights.",
    "A scale per output channel is free at run time, and keeps channels of small weights from drowning in large ones.",
)
def channel_scales(function):
    weight = np.random.default_rng(0).uniform(-1, 1, (4, 3, 5, 5)).astype(np.float32)
    weight *= np.float32([1, 10, 0.1, 3]).reshape(4, 1, 1, 1)
    weight[1, 0, 0, 0], weight[3] = -12.7, -np.abs(weight[3])
    answer = function(weight.copy())
    started(answer is not None)
    scales = np.asarray(answer)
    expect(
        scales.shape == (4,), "one scale per output channel: (4,)", scales.shape, "all axes but the first: (1, 2, 3)"
    )
    expect(scales.min() > 0, "positive scales", scales, "the magnitude counts: np.abs first")
    right = np.abs(weight).max(axis=(1, 2, 3)) / 127
    hint = "the largest magnitude of each channel, divided by 127"
    expect(np.allclose(scales, right), np.round(right, 5), np.round(scales, 5), hint)
    empty = np.asarray(function(np.concatenate([weight, np.zeros((1, 3, 5, 5), np.float32)])))
    expect(
        empty[-1] > 0, "1 for a channel of zeros", empty[-1], "x / 0 follows later: np.where(scales == 0, 1, scales)"
    )
    expect(scales.dtype == np.float32, "float32", scales.dtype, ".astype(np.float32): TensorRT's scales are float32")


@exercise(
    "10.2",
    "Quantize to INT8: divide, round, clip.",
    "astype alone wraps around and cuts off: 200 becomes -56 and all leans towards zero. Round and clip first.",
)
def to_int8(function):
    x = np.float32([[0, 1, -1, 63.5], [2.5, 3.5, -2.5, 0.4]])
    answer = function(x.copy(), 1.0)
    started(answer is not None)
    answer = np.asarray(answer)
    expect(answer.dtype == np.int8, "int8", answer.dtype, "finish with .astype(np.int8)")
    expect(answer.shape == x.shape, x.shape, answer.shape, "NumPy computes with whole arrays: no loop is needed")
    expect(answer[0, 3] == 64, "63.5 → 64", f"63.5 → {answer[0, 3]}", "round before astype, which cuts off")
    expect(answer[1, 0] == 2, "2.5 → 2, half to even", f"2.5 → {answer[1, 0]}", "np.rint")
    with np.errstate(all="ignore"):
        far = np.asarray(function(np.float32([200, 1e6, -300]), 1.0)).tolist()
    lowest = far[2] in (-127, -128)
    expect(far[:2] == [127, 127] and lowest, [127, 127, -128], far, "np.clip, before astype wraps around")
    scaled = np.asarray(function(np.float32([0.5, -0.25]), 0.25)).tolist()
    expect(scaled == [2, -1], [2, -1], scaled, "divide by the scale")


@exercise(
    "10.3",
    "Find the weights that FP16 would spoil, before a converter does.",
    "Converters clamp and flush in silence. A look at the weights costs a second and saves a day.",
)
def spoilt(function):
    weights = {
        "small": np.float32([1e-9, 1.0]),
        "fine": np.float32([0.1, -3.0]),
        "large": np.float32([1.0, -70000.0]),
        "zero": np.zeros(3, np.float32),
        "edge": np.float32([65504, 6e-8]),
        "negative": np.float32([-1e-9]),
    }
    with np.errstate(all="ignore"):
        answer = function({name: array.copy() for name, array in weights.items()})
    started(answer is not None)
    answer = list(answer)
    expect("large" in answer, "'large' among them: it holds -70000", answer, "np.isinf(array.astype(np.float16))")
    expect("small" in answer and "negative" in answer, "'small' and 'negative' too", answer, "1e-9 becomes 0 in FP16")
    expect("zero" not in answer, "not 'zero': it was zero before", answer, "ask also whether the original is not 0")
    expect(
        "edge" not in answer,
        "not 'edge': FP16 holds 65504 and 6e-8",
        answer,
        "convert, instead of comparing with limits",
    )
    expect(answer == ["large", "negative", "small"], ["large", "negative", "small"], answer, "sorted(…)")
