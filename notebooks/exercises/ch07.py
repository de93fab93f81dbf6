"""Specifications of the exercises of chapter 07, execution."""

import numpy as np

from helpers.workbook.exercises import exercise, expect, started


@exercise(
    "07.1",
    "Turn one picture or many, of any integer dtype, into what the engine reads.",
    "The engine reads raw memory: four dimensions, float32, contiguous. One wrong of these and it reads nonsense.",
)
def preprocess(function):
    picture = (np.arange(784) % 201).astype(np.uint8).reshape(28, 28)  # brightest 200: 255 is the divisor all the same
    many = function(np.stack([picture, picture[::-1]]))
    started(many is not None)
    expect(many.dtype == np.float32, "float32", many.dtype, "NumPy divides into float64: .astype(np.float32)")
    expect(many.shape == (2, 1, 28, 28), (2, 1, 28, 28), many.shape, "insert the channel: pixels[:, None]")
    expect(
        np.isclose(many.max(), picture.max() / 255),
        "values from 0 to 1",
        f"up to {many.max():g}",
        "divide by 255, the largest that a byte can be",
    )
    one = function(picture)
    expect(one.shape == (1, 1, 28, 28), (1, 1, 28, 28), one.shape, "a single picture has two dimensions: add the batch")
    strided = function(np.stack([picture] * 4)[::2])
    turned = function(np.asfortranarray(np.stack([picture] * 2)))
    expect(
        strided.flags.c_contiguous and turned.flags.c_contiguous,
        "a contiguous array",
        "an array with gaps",
        "finish with np.ascontiguousarray",
    )
    expect(
        np.allclose(many[:, 0] * 255, [picture, picture[::-1]]),
        "the picture itself",
        "other pixels",
        "keep the order of the pixels",
    )


@exercise(
    "07.2",
    "From logits to a digit and its probability, also for large logits.",
    "Subtracting the largest logit first changes no probability and keeps exp() from overflowing.",
)
def top(function):
    logits = np.zeros((3, 10), np.float32)
    logits[0, 3], logits[1, 7], logits[2, 0] = 2, 100, 1000
    with np.errstate(all="ignore"):
        answer = function(logits)
    started(answer is not None)
    expect(
        isinstance(answer, tuple) and len(answer) == 2, "(digits, probabilities)", type(answer).__name__, "return two"
    )
    digits, odds = (np.asarray(part) for part in answer)
    expect(digits.shape == (3,), "one digit for each row", digits.shape, "argmax over axis 1, not over everything")
    expect(digits.tolist() == [3, 7, 0], [3, 7, 0], digits.tolist(), "the position of the largest logit: argmax(1)")
    expect(
        np.isfinite(odds).all(),
        "finite probabilities",
        odds.tolist(),
        "exp(1000) overflows: subtract each row's maximum",
    )
    right = np.exp(2) / (np.exp(2) + 9)
    expect(
        np.isclose(odds[0], right, atol=1e-4),
        f"{right:.4f}",
        np.round(odds[0], 4),
        "divide by the sum over the same row",
    )
    expect(odds.shape == (3,), "one probability for each row", odds.shape, "the largest of each row: max(1)")


@exercise(
    "07.3",
    "Sum up a series of latencies honestly: median and 99th percentile, without the warm-up.",
    "The first calls pay for what happens once, and a mean hides the slow ones: report percentiles after the warm-up.",
)
def summary(function):
    random = np.random.default_rng(0)
    steady = random.normal(60, 2, 1000)
    steady[::50] = 300
    times = np.concatenate([np.full(100, 5000.0), steady])
    answer = function(times, 100)
    started(answer is not None)
    expect(np.shape(answer) == (2,), "(median, p99)", type(answer).__name__, "return two numbers")
    median, p99 = (float(part) for part in answer)
    expect(p99 < 4000, "about 300 µs for p99", f"{p99:.0f} µs", "the warm-up is still in: drop the first calls")
    expect(
        abs(median - np.mean(steady)) > 1,
        f"{np.median(steady):.1f} µs",
        f"{median:.1f} µs",
        "that is the mean: use np.percentile",
    )
    expect(
        abs(median - np.median(steady)) < 0.1, f"{np.median(steady):.1f} µs", f"{median:.1f} µs", "np.percentile(…, 50)"
    )
    expect(abs(p99 - np.percentile(steady, 99)) < 1, "300.0 µs", f"{p99:.1f} µs", "np.percentile(times, 99)")
    other = float(function(np.arange(200.0), 150)[0])
    expect(other == 174.5, "174.5 for 0, 1, … 199 with warm_up=150", other, "leave out the first warm_up calls")


@exercise(
    "07.4",
    "Ask the engine what it takes and what it gives, by name.",
    "Names survive a new export; positions do not. Whoever counts bindings swaps input and output one day.",
    needs=("gpu",),
)
def inputs_and_outputs(engine, function):
    answer = function(engine)
    started(answer is not None)
    expect(
        isinstance(answer, tuple) and len(answer) == 2, "(inputs, outputs)", type(answer).__name__, "return two lists"
    )
    inputs, outputs = (list(part) for part in answer)
    expect(inputs != ["logits"], ["image"], inputs, "the two are swapped: ask engine.get_tensor_mode(name)")
    expect(len(inputs) == 1, ["image"], inputs, "every tensor is in it: ask engine.get_tensor_mode(name)")
    expect(inputs == ["image"], ["image"], inputs, "compare the mode with trt.TensorIOMode.INPUT")
    expect(outputs == ["logits"], ["logits"], outputs, "compare the mode with trt.TensorIOMode.OUTPUT")
