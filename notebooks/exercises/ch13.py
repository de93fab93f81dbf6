"""Specifications of the exercises of chapter 13, a detector."""

import itertools

import numpy as np

from helpers.workbook.exercises import exercise, expect, started


@exercise(
    "13.1",
    "Bring boxes back from a square in which the picture lies in the middle.",
    "Whoever undoes a letterbox has to know where it puts the padding: first the shift goes, then the scale.",
)
def to_original(function):
    boxes = np.array([[100.0, 120.0, 200.0, 180.0], [0.0, 80.0, 320.0, 240.0], [-9.0, 70.0, 330.0, 300.0]])
    answer = function(boxes[:2].copy(), (200, 400), (320, 320))
    started(answer is not None)
    answer, right = np.asarray(answer), [[125, 50, 250, 125], [0, 0, 400, 200]]
    got = answer.round(1).tolist()

    def is_clipped(values):
        return answer.shape == (2, 4) and np.allclose(answer.clip(0, [400, 200] * 2), values, atol=0.01)

    wrong = [[125, 150, 250, 200], [0, 100, 400, 200]]
    expect(not is_clipped(wrong), right, got, "there is padding above: 80 pixels")
    hint = "the padding is in pixels of the square: subtract it first, then divide by the scale"
    expect(not is_clipped([[125, 70, 250, 145], [0, 20, 400, 200]]), right, got, hint)
    expect(not is_clipped([[25, 150, 150, 200], [0, 100, 300, 200]]), right, got, "picture_size is (height, width)")
    close = answer.shape == (2, 4) and np.allclose(answer, right, atol=0.01)
    expect(close, right, got, "padding left and above: (size - scale * picture_size) / 2, then divide by scale")
    answer = np.asarray(function(boxes[2:].copy(), (200, 400), (320, 320)))
    hint = "no box goes beyond the picture's edges: np.clip"
    expect(np.allclose(answer, [[0, 0, 400, 200]]), [[0, 0, 400, 200]], answer.tolist(), hint)
    answer = np.asarray(function(np.array([[90.0, 20.0, 190.0, 300.0]]), (640, 320), (320, 416)))
    right = [[0, 40, 124, 600]]
    hint = "a tall picture has its padding left and right, and the square need not be one"
    expect(np.allclose(answer, right, atol=0.01), right, answer.round(1).tolist(), hint)


@exercise(
    "13.2",
    "Find the order of the colours from AP alone.",
    "When nobody remembers how a network was trained, a measurement does. It takes labels, and six runs.",
)
def channel_order(function):
    asked: list[tuple[int, ...]] = []

    def network(trained, others=0.2):
        def measure(order):
            asked.append(tuple(order))
            return (
                0.8
                if tuple(order) == trained
                else others + 0.01 * sum(a == b for a, b in zip(order, trained, strict=True))
            )

        return measure

    answer = function(network((2, 1, 0)))
    started(answer is not None)
    expect(
        not isinstance(answer, float), "an order, such as (2, 1, 0)", answer, "the order, and not its AP: max(…, key=)"
    )
    expect(tuple(answer) != (0, 1, 2) or asked, (2, 1, 0), answer, "ask measure, for each order")
    expect(answer == (2, 1, 0), (2, 1, 0), answer, "the order with the largest AP; these others have about 0.2")
    for trained in itertools.permutations(range(3)):
        answer = function(network(trained))
        expect(tuple(answer) == trained, trained, answer, "RGB and BGR are not all: there are six orders")
    answer = function(network((1, 2, 0), others=0.7))
    expect(tuple(answer) == (1, 2, 0), (1, 2, 0), answer, "the best of all six, not the first that is good")


@exercise(
    "13.3",
    "Mend an NMS that loses objects.",
    "A length below 0 means that there is no overlap. Two of them make a product above 0, and the box is gone.",
)
def careful_nms(function):
    apart = np.array([[0, 0, 10, 10], [12, 12, 22, 22], [40, 0, 50, 10]], float)
    far = np.array([[0, 0, 10, 10], [60, 70, 72, 80], [40, 0, 50, 10]], float)
    scores = np.array([0.9, 0.8, 0.7])
    answers = [function(boxes.copy(), scores.copy()) for boxes in (apart, far)]
    started(not (answers[0] == [0, 1, 2] and answers[1] == [0, 2]))
    hint = "boxes that lie diagonally apart share nothing: clip the sides at 0"
    expect(sorted(answers[1]) == [0, 1, 2], [0, 1, 2], answers[1], hint)
    expect(answers == [[0, 1, 2]] * 2, [[0, 1, 2]] * 2, answers, "boxes that touch nothing stay, best first")
    level = np.array([[0, 0, 10, 10], [100, 1, 110, 11], [1, 0, 11, 10]], float)
    answer = function(level, scores)
    expect(0 in answer and 2 not in answer, [0, 1], answer, "a box that overlaps a better one still has to go")
    expect(answer == [0, 1], [0, 1], answer, "clip each side, before the product: np.abs makes far boxes overlap")
    answer = function(apart + [[0, 0, 0, 0]] * 3, np.array([0.7, 0.8, 0.9]))
    expect(answer == [2, 1, 0], [2, 1, 0], answer, "best first: the order of the scores")
    half = np.array([[0, 0, 10, 10], [-4, 0, 6, 10], [3, 0, 13, 10]], float)
    answer = function(half, scores)
    expect(
        answer == [0, 1],
        [0, 1],
        answer,
        "the limit stays as it is: an IoU of 0.54 is more than 0.5, one of 0.43 is not",
    )


@exercise(
    "13.4",
    "Rename the tensors of an exported model.",
    "A tensor's name is what connects nodes. Rename it everywhere, or the graph falls apart.",
)
def rename(function):
    import onnx

    names = {"input.1": "images", "1195": "predictions", "7": "hidden"}
    model = _chain()
    before = model.SerializeToString()
    function(model, dict(names))
    started(model.SerializeToString() != before)
    graph = model.graph
    got = [value.name for value in graph.input], [value.name for value in graph.output]
    expect(got[0] == ["images"], ["images"], got[0], "graph.input is a list of values that have a name")
    expect(
        got[1] == ["predictions", "hidden"], ["predictions", "hidden"], got[1], "outputs have names too: graph.output"
    )
    reads = [name for node in graph.node for name in node.input]
    expect("input.1" not in reads, ["images", "w"], reads, "the nodes still read input.1: node.input[i] = …")
    writes = [name for node in graph.node for name in node.output]
    expect("1195" not in writes, ["hidden", "predictions"], writes, "a node still writes 1195: node.output[i] = …")
    expect("7" not in reads, ["images", "w", "hidden"], reads, "what one node writes, another reads: change both")
    expect("w" in reads, "'w' as it was", reads, "names that are not asked for stay: names.get(name, name)")
    try:
        onnx.checker.check_model(model, full_check=True)
    except Exception as error:
        expect(False, "a valid model", str(error).splitlines()[0][:80], "each name is the same everywhere")


def _chain():
    from onnx import TensorProto, helper, numpy_helper

    nodes = [helper.make_node("Add", ["input.1", "w"], ["7"]), helper.make_node("Mul", ["7", "7"], ["1195"])]
    values = [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["n"]) for name in ("input.1", "1195", "7")]
    weight = numpy_helper.from_array(np.ones(1, np.float32), "w")
    graph = helper.make_graph(nodes, "chain", values[:1], values[1:], [weight])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


@exercise(
    "13.5",
    "Write profiles for two sizes of pictures.",
    "A profile for each size lets TensorRT choose kernels for exactly that size. A Runner takes one: profile=1.",
)
def two_profiles(function):
    sizes, largest = ((320, 320), (640, 416)), 8
    answer = function(sizes, largest)
    started(answer is not None)
    expect(isinstance(answer, (list, tuple)), "a list of two profiles", answer, "one profile for each size: a list")
    expect(
        len(answer) == 2,
        "two profiles",
        f"{len(answer)}: {answer}",
        "one range for both sizes takes all that lies between, too",
    )
    for (height, width), profile in zip(sizes, answer, strict=True):
        expect(list(profile) == ["images"], ["images"], list(profile), "a profile is {name: (min, opt, max)}")
        low, best, high = (tuple(shape) for shape in profile["images"])
        right = (1, 3, height, width), (1, 3, height, width), (largest, 3, height, width)
        got = low, best, high
        expect(low[1] == 3, right, got, "channels come first: (batch, 3, height, width)")
        expect(low[2:] != (width, height) or height == width, right, got, "height comes before width")
        expect(low[2:] == best[2:] == high[2:] == (height, width), right, got, "min, opt and max have this size alone")
        expect(low[0] == 1, right, got, "single pictures are allowed too: min has a batch of 1")
        expect(high[0] == largest, right, got, "max has the largest batch")
        expect(best[0] == 1, right, got, "best for single pictures: opt has a batch of 1")
