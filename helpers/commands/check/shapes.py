"""Reads the shapes that people give for a build, and guesses where they give none (chapter 09). Standard library only.

>>> propose_profile({"image": ["batch", 3, 224, 224]})
{'image': ((1, 3, 224, 224), (8, 3, 224, 224), (32, 3, 224, 224))}
>>> shapes_of_text(["image=1x3x48x320", "tokens=1x16,1x128,8x512"])["tokens"]
((1, 16), (1, 128), (8, 512))
>>> values_of_text(["size=1,64/1,512/8,512"])
{'size': ((1, 64), (1, 512), (8, 512))}
"""

from __future__ import annotations

import operator
import re
import shlex
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .report import Tensor

Ranges = dict[str, tuple]  # input name -> (min, opt, max), each a tuple of ints
LARGEST = 2**31 - 1  # of a dimension
NAME = 300  # characters of a name that are shown

# What the name of a dynamic axis, or else its place, makes of it.
KINDS = (
    ("batch", "batch|^n$|^bs$|^b$"),
    ("sequence", "seq|len|token|time|past|^t$|^s$"),
    ("image", "height|width|^h$|^w$"),
)
# The first guess for each kind: (min, opt, max).
GUESSES = {"batch": (1, 8, 32), "sequence": (1, 128, 512), "image": (64, 224, 512), "other": (1, 16, 64)}


def kind_of_axis(axis: str, place: int, rank: int) -> str:
    """Guesses what a dynamic axis counts: "batch", "sequence", "image" (rows or columns), or "other"."""
    for kind, pattern in KINDS:
        if re.search(pattern, axis, re.IGNORECASE):
            return kind
    if place == 0:
        return "batch"
    return "image" if rank == 4 and place >= 2 else "other"


def propose_profile(inputs: Mapping[str, Sequence[int | str] | None], given: Mapping[str, tuple] | None = None) -> dict:
    """Proposes an optimization profile for the inputs that have dynamic axes: name -> (min, opt, max) shapes.

    ``inputs``: name -> shape, with a string for each dynamic axis; None for an unknown rank. Axes of one name get one
    range everywhere. ``given``: what is known already, as (min, opt, max) shapes of some inputs. All others are guesses
    by name and place: say what your program will really use.
    """
    given = given or {}
    ranges: dict[str, tuple] = {}
    for name, shape in inputs.items():
        for axis, *sizes in zip(shape or (), *given.get(name, ()), strict=False):
            if isinstance(axis, str) and axis != "?" and sizes:
                ranges[axis] = tuple(sizes)
    profile = {}
    for name, shape in inputs.items():
        if name in given:
            profile[name] = given[name]
            continue
        if not shape or all(isinstance(axis, int) for axis in shape):
            continue
        columns = []
        for place, axis in enumerate(shape):
            if isinstance(axis, int):
                columns.append((axis,) * 3)
            else:
                guess = GUESSES[kind_of_axis("" if axis == "?" else axis, place, len(shape))]
                columns.append(guess if axis == "?" else ranges.setdefault(axis, guess))
        profile[name] = tuple(zip(*columns, strict=True))
    return profile


def shapes_of_text(texts: Iterable[str]) -> Ranges:
    """Reads ``NAME=1x3x48x64,1x3x48x320,8x3x48x640``: min, opt and max, or one shape for all three.

    Raises ValueError that says what is wrong.
    """
    return _of_text(texts, ",", "x", "NAME=1x3x224x224 or NAME=MIN,OPT,MAX", shapes_of)


def values_of_text(texts: Iterable[str]) -> Ranges:
    """Reads ``NAME=1,64/1,512/8,512``: the values that a shape input takes, as min, opt and max, or one for all three.

    Raises ValueError that says what is wrong.
    """
    return _of_text(texts, "/", ",", "NAME=1,512 or NAME=MIN/OPT/MAX", values_of)


def _of_text(texts: Iterable[str], between: str, within: str, form: str, check: Callable) -> Ranges:
    found: dict[str, list] = {}
    for text in texts:
        name, equals, numbers = text.rpartition("=")
        try:
            ranges = [[int(number) for number in part.split(within)] for part in numbers.split(between)]
        except ValueError:
            ranges = []
        if not (name and equals and ranges):
            raise ValueError(f"{text!r} is not of the form {form}")
        if name in found:
            raise ValueError(f"{name!r} is given twice: {form}")
        found[name] = ranges
    return check(found)


def shapes_of(given: Mapping[str, Any] | None) -> Ranges:
    """Returns shapes as (min, opt, max) tuples: of each input one shape, or three of them.

    Raises ValueError for anything else, and where min <= opt <= max does not hold.
    """
    return {name: _three("shapes", name, shapes, 0) for name, shapes in (given or {}).items()}


def values_of(given: Mapping[str, Any] | None) -> Ranges:
    """Returns values of shape inputs as (min, opt, max) tuples: of each input one number or list, or three lists.

    Raises ValueError for anything else, and where min <= opt <= max does not hold.
    """
    return {name: _three("values", name, values, -LARGEST) for name, values in (given or {}).items()}


def _three(what: str, name: str, given: Any, least: int) -> tuple:
    try:
        parts = [given] if _is_integer(given) else list(given)
        if all(map(_is_integer, parts)):
            parts = [parts]
        ranges = tuple(tuple(map(operator.index, part)) for part in parts)
    except TypeError:
        raise ValueError(f"{what} of {name!r}: {given!r:.60} is neither a list of integers nor three of them") from None
    if len(ranges) not in (1, 3):
        raise ValueError(f"{what} of {name!r}: give one, or three (min, opt, max), and not {len(ranges)}")
    if len({len(one) for one in ranges}) > 1:
        raise ValueError(f"{what} of {name!r}: min, opt and max have not the same length")
    low, best, high = ranges * (3 // len(ranges))
    for numbers in zip(low, best, high, strict=True):
        if any(not least <= number <= LARGEST for number in numbers):
            raise ValueError(f"{what} of {name!r}: {numbers} are no sizes")
        if list(numbers) != sorted(numbers):
            raise ValueError(f"{what} of {name!r}: min <= opt <= max does not hold for {numbers}")
    return low, best, high


def _is_integer(given: Any) -> bool:
    try:
        operator.index(given)
    except TypeError:
        return False
    return True


def check_given(inputs: Iterable[Tensor], shapes: Ranges, values: Ranges) -> None:
    """Raises ValueError where shapes or values contradict the model's inputs."""
    known = {tensor.name: tensor.shape for tensor in inputs}
    for name, ranges in [*shapes.items(), *values.items()]:
        if name not in known:
            raise ValueError(f"the model has no input {name!r}; its inputs are {', '.join(map(repr, known)) or 'none'}")
        shape = known[name]
        if shape is None:
            continue
        if name in values:
            count = shape[0] if len(shape) == 1 else 1 if not shape else None
            if isinstance(count, int) and len(ranges[0]) != count:
                raise ValueError(f"values of {name!r}: this input holds {count}, and {len(ranges[0])} are given")
            continue
        if len(ranges[0]) != len(shape):
            axes = ", ".join(map(str, shape))
            raise ValueError(f"shapes of {name!r}: it has {len(shape)} axes ({axes}), and {len(ranges[0])} are given")
        for place, (axis, *sizes) in enumerate(zip(shape, *ranges, strict=True)):
            if isinstance(axis, int) and set(sizes) != {axis}:
                raise ValueError(f"shapes of {name!r}: axis {place} is fixed to {axis}, and {max(sizes)} is given")


def as_text(ranges: Sequence[Sequence[int | str]], between: str = ",", within: str = "x") -> str:
    """Writes shapes as ``--shapes`` reads them; one where all are alike: "1x3x48x64,1x3x48x320,8x3x48x640"."""
    parts = [within.join(map(str, one)) for one in ranges]
    return parts[0] if len(set(parts)) == 1 else between.join(parts)


def told(shapes: Mapping[str, Sequence[int]]) -> str:
    """Writes one shape of each input for a reader: "x=1x3x48x64 y=1x7". Very long names are cut."""
    return " ".join(f"{name[:NAME]}={as_text([shape])}" for name, shape in shapes.items())


def options(shapes: Mapping[str, Sequence], values: Mapping[str, Sequence]) -> str:
    """Writes shapes and values as the options of the command that give them: people paste them into a shell."""
    words = [("--shapes", f"{name}={as_text(ranges)}") for name, ranges in shapes.items()]
    words += [("--values", f"{name}={as_text(ranges, '/', ',')}") for name, ranges in values.items()]
    return " ".join(f"{option} {shlex.quote(word)}" for option, word in words)
