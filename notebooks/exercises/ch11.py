"""Specifications of the exercises of chapter 11, speed."""

import math

from helpers.workbook.exercises import exercise, expect, started


@exercise(
    "11.1",
    "Choose the batch with the highest throughput that keeps a limit on latency.",
    "Throughput and latency are one choice, not two. The largest batch is not always the one with the most per second.",
)
def best_batch(function):
    latencies = {1: 50.0, 8: 60.0, 64: 100.0, 128: 400.0, 256: 1000.0}
    answer = function(dict(latencies), 150)
    started(answer is not None)
    expect(answer == 64, 64, answer, "among those with p99 <= limit, the largest batch / latency")
    answer = function(dict(latencies), 500)
    hint = "batch 128 is larger, but 64 does more per second: compare batch / latency"
    expect(answer == 64, 64, answer, hint)
    answer = function(dict(latencies), 60)
    expect(answer == 8, 8, answer, "the limit itself is allowed: <=")
    try:
        answer = function(dict(latencies), 10)
    except ValueError:
        answer = "ValueError"
    expect(answer is None, None, answer, "no batch is fast enough: max(…, default=None)")


@exercise(
    "11.2",
    "Predict how long a perfect pipeline takes, before building one.",
    "In the long run the longest stage alone counts. Overlap helps most where all stages take equally long.",
)
def pipelined(function):
    answer = function((10, 30, 5), 1)
    started(answer is not None)
    expect(math.isclose(answer, 45), 45, answer, "the first batch has to go through all stages: their sum")
    answer = function((10, 30, 5), 4)
    expect(not math.isclose(answer, 180), 135, answer, "that is one by one, without overlap")
    expect(math.isclose(answer, 135), 135, answer, "after the first, one batch leaves with every longest stage")
    answer = function((20, 10), 3)
    expect(math.isclose(answer, 70), 70, answer, "there may be any number of stages, and any may be the longest")


@exercise(
    "11.3",
    "Find the layers that only fewer bytes would make faster.",
    "Below the ridge, faster arithmetic is useless: fuse, batch, or take a smaller type.",
)
def limited_by_memory(function):
    layers = {"conv": (4e9, 1e6), "add": (1e6, 8e6), "small": (1e3, 1e4), "fc": (4e6, 4e6), "edge": (1e9, 1e7)}
    answer = function(dict(layers), 1e14, 1e12)
    started(answer is not None)
    answer = list(answer)
    expect("conv" not in answer, "not 'conv': 40 µs of arithmetic, 1 µs of bytes", answer, "compare the two times")
    expect("small" in answer, "'small' too", answer, "the ratio decides, not the size: FLOP / bytes")
    expect("edge" not in answer, "not 'edge': both take 10 µs", answer, "only where bytes take longer than arithmetic")
    right = ["add", "fc", "small"]
    expect(answer == right, right, answer, "longest first: sorted by bytes / bandwidth, reverse=True")
