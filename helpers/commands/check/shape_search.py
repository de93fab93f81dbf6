"""Searches shapes that a model takes, with ONNX Runtime as the judge of each candidate (chapter 09). Needs onnx.

It can end the process: let a ``helpers.worker.Worker`` call :func:`search`.

>>> Axis("height", "image", [("x", 2)], None).first, Axis("n", "batch", [("x", 0)], None).first
(224, 1)
"""

from __future__ import annotations

import contextlib
import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from typing import NamedTuple

from ...model_files import locations
from .model_weights import brief
from .shape_judge import Judge, Refusal, load
from .shapes import GUESSES, kind_of_axis

# What is tried of each kind of axis: common sizes, the likeliest first.
COMMON = {
    "batch": (1, 2, 4, 8, 16, 32),
    "sequence": (128, 256, 512, 64, 32, 16, 8, 4, 2, 1, 1024, 2048, 576, 384, 4096, 8000, 16_000),
    "image": (224, 32, 64, 48, 96, 128, 112, 160, 192, 256, 320, 384, 416, 448, 512, 640, 16, 8, 4, 1, 1024),
    "other": (16, 32, 64, 8, 4, 2, 1, 3, 80, 128, 256, 512, 576, 1024, 2048, 4096, 8000, 16_000, 22_050, 44_100),
}
EVERY = (*range(1, 257), *range(264, 1025, 8))  # and then these
FEW = 12  # of the common sizes, where two axes change
LARGEST = 512  # up to where a range is tried
NUMBERS = 40  # sizes that are taken from the graph

Sizes = dict[str, int]  # the name of an axis -> its size


class Axis(NamedTuple):
    """A dynamic axis, or several of one name: ``places`` are pairs of input and position. ``given``: its range."""

    name: str
    kind: str
    places: list[tuple[str, int]]
    given: tuple[int, int, int] | None

    @property
    def first(self) -> int:
        """The size to begin with: one image, and else the guess."""
        return self.given[1] if self.given else 1 if self.kind == "batch" else GUESSES[self.kind][1]


def search(path: str, given: Mapping[str, list], values: Mapping[str, list], seconds: float) -> dict | None:
    """Searches shapes for the inputs with dynamic axes. ``given``: those that are known, as (min, opt, max).

    ``values``: what shape inputs hold, likewise. ``seconds``: that the runs may take. Returns ``profiles``, of which
    the first has the widest ranges and the last one size for each axis, none if nothing ran; ``refusal`` of what came
    closest, if nothing ran, and None if no run came to an end; ``stuck``, the axes that take one size only, with the
    refusal of another; ``runs``, how many candidates were tried. None where ONNX Runtime does not load the model.
    """
    load.cache_clear()  # the file may be another one by now
    try:
        judge = Judge(path, {name: list(ranges[1]) for name, ranges in values.items()}, seconds)
    except Exception:  # ONNX Runtime has many of its own
        return None
    return _Search(judge, given).result()


class _Search:
    def __init__(self, judge: Judge, given: Mapping[str, list]):
        self.judge = judge
        self.axes = {axis.name: axis for axis in _axes(judge.graph, given)}
        self.free = [axis for axis in self.axes.values() if not axis.given]
        self.numbers = _numbers(judge.graph, judge.tensors)
        self.stuck: list[dict] = []

    def result(self) -> dict:
        at = {name: axis.first for name, axis in self.axes.items()}
        refusal = self.run(at)
        if refusal:
            at, refusal = self.find(at, refusal)
        profiles = [] if refusal else list(self.profiles(at))
        told = refusal.told() if refusal and refusal.came_to_an_end else None
        return {"profiles": profiles, "refusal": told, "stuck": self.stuck, "runs": self.judge.runs}

    def run(self, at: Sizes) -> Refusal | None:
        return self.judge.run(self.shapes(at))

    def shapes(self, at: Sizes) -> dict[str, list[int]]:
        """Returns the shape of each dynamic input."""
        sizes = {place: at[axis.name] for axis in self.axes.values() for place in axis.places}
        return {
            name: [size if isinstance(size, int) else sizes[name, i] for i, size in enumerate(shape)]
            for name, shape in self.judge.inputs.items()
            if shape and any(not isinstance(size, int) for size in shape)
        }

    def find(self, at: Sizes, refusal: Refusal) -> tuple[Sizes, Refusal | None]:
        """Changes sizes until the model runs. Returns them; or those that came furthest, and what refused them."""
        best, furthest = at, refusal
        for group, choices in self.steps():
            base = best
            for sizes in choices:
                if self.judge.tired:
                    return best, furthest
                trial = base | dict(zip(group, sizes, strict=True))
                again = self.run(trial)
                if again is None:
                    return trial, None
                if again.reach > furthest.reach:
                    best, furthest = trial, again
        return best, furthest

    def steps(self) -> Iterator[tuple[list[str], Iterable[tuple[int, ...]]]]:
        """Yields the names of axes that change together, with the sizes that they get."""
        alone = sorted(self.free, key=lambda axis: axis.kind == "batch")
        images = [axis.name for axis in alone if axis.kind == "image"]
        pair = [axis for axis in alone if axis.kind != "batch"][:2]
        for sizes_of in (self.common, self.every):
            if len(images) > 1:
                yield images, ((size,) * len(images) for size in sizes_of("image"))
            for axis in alone:
                yield [axis.name], ((size,) for size in sizes_of(axis.kind))
            if sizes_of == self.common and len(pair) == 2:
                yield [axis.name for axis in pair], itertools.product(*(COMMON[axis.kind][:FEW] for axis in pair))

    def common(self, kind: str) -> list[int]:
        return list(dict.fromkeys(COMMON[kind] if kind == "batch" else (*COMMON[kind], *self.numbers)))

    def every(self, kind: str) -> list[int]:
        return sorted(set(EVERY).difference(self.common(kind)))

    def profiles(self, at: Sizes) -> Iterator[dict[str, list]]:
        """Yields profiles, that with the widest ranges first, and last those of one size for each axis."""
        ranges = {axis.name: axis.given or self.widened(axis, at) for axis in self.axes.values()}
        batch = {axis.name for axis in self.free if axis.kind == "batch"}
        best = {name: at[name] if name in batch else opt for name, (_, opt, _) in ranges.items()}
        if best != at and self.run(best):
            best = at  # together they do not do
            ranges = {
                name: (low, opt if name in batch else at[name], high) for name, (low, opt, high) in ranges.items()
            }
        least = {name: at[name] if name in batch else low for name, (low, _, _) in ranges.items()}
        most = {name: at[name] if name in batch else high for name, (_, _, high) in ranges.items()}
        free = {axis.name for axis in self.free}
        seen = []
        for narrow, fixed in itertools.product((set(), batch, free - batch, free), (best, least, most)):
            chosen = {name: (fixed[name],) * 3 if name in narrow else sizes for name, sizes in ranges.items()}
            if chosen not in seen:
                seen.append(chosen)
                three = [self.shapes({name: sizes[i] for name, sizes in chosen.items()}) for i in range(3)]
                yield {name: [one[name] for one in three] for name in three[0]}

    def widened(self, axis: Axis, at: Sizes) -> tuple[int, int, int]:
        """Walks from the size that fits to larger and smaller ones until one does not. Returns (min, opt, max)."""
        here, ran, refusals = at[axis.name], [at[axis.name]], []
        usual = sorted(COMMON[axis.kind])
        if axis.kind == "image" and here >= 32:
            usual = [size for size in usual if size % 16 == 0 and size >= 32]
        upwards = [size for size in usual if here < size <= max(LARGEST, 2 * here)]
        if axis.kind == "batch":
            upwards = upwards[:1]  # what takes two images takes more
        for sizes in (upwards, [size for size in reversed(usual) if size < here]):
            for size in sizes:
                refusal = None if self.judge.tired else self.run(at | {axis.name: size})
                if self.judge.tired:
                    break
                if refusal:
                    refusals += [refusal] if refusal.node else []
                    break
                ran.append(size)
        if len(ran) == 1 and refusals:
            name, place = axis.places[0]
            self.stuck.append({"input": brief(name), "axis": place, "size": here, **refusals[0].told()})
        low, guess, high = GUESSES[axis.kind]
        if axis.kind == "batch" and sorted(ran) == [1, 2]:
            return low, guess, high
        ran.sort()
        return ran[0], guess if ran[0] <= guess <= ran[-1] else ran[(len(ran) - 1) // 2], ran[-1]


def _axes(graph, given: Mapping[str, list]) -> Iterator[Axis]:
    """Yields the dynamic axes of the graph's inputs. Those of one name are one, also where that name is "?"."""
    initializers = {tensor.name for tensor in graph.initializer}
    places: dict[str, list[tuple[str, int]]] = {}
    kinds: dict[str, str] = {}
    for value in graph.input:
        dimensions = value.type.tensor_type.shape.dim
        for place, dimension in enumerate(dimensions):
            if value.name in initializers or (dimension.HasField("dim_value") and dimension.dim_value >= 0):
                continue
            name = str(dimension.dim_param)
            key = name or f"axis {place} of {value.name}"
            places.setdefault(key, []).append((value.name, place))
            kinds.setdefault(key, kind_of_axis(name, place, len(dimensions)))
    for key, found in places.items():
        known = [tuple(int(shape[place]) for shape in given[name]) for name, place in found if name in given]
        yield Axis(key, kinds[key], found, known[0] if known else None)  # type: ignore[arg-type]


def _numbers(graph, tensors: list) -> list[int]:
    """Returns the sizes that stand in the graph, the most frequent first: of weights, shapes, kernels and strides."""
    from onnx import numpy_helper

    found: Counter[int] = Counter()
    for tensor in itertools.islice(tensors, 5000):
        found.update(tensor.dims)
        if tensor.data_type == tensor.INT64 and math.prod(tensor.dims) <= 8 and not locations(tensor):
            with contextlib.suppress(ValueError):
                found.update(numpy_helper.to_array(tensor).ravel().tolist())
    for node in graph.node:
        for attribute in node.attribute:
            if attribute.name in ("kernel_shape", "strides", "shape"):
                found.update(attribute.ints)
    return [size for size, _ in found.most_common() if 1 < size <= 1 << 15][:NUMBERS]
