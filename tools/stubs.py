"""Writes type stubs of TensorRT, made from data/api.json: ``python -m tools.stubs 11.4 --to typings``.

An editor completes ``trt.`` with them and shows signatures, which NVIDIA's wheels lack; mypy checks code against one
release after another (tools/check_types.py). The folder gets ``tensorrt`` and ``tensorrt_rtx``, which are the same.
Parameters accept what pybind11 converts: a tuple for Dims, an array for Weights, None for an object.
"""

from __future__ import annotations

import argparse
import functools
import json
import keyword
import re
from collections.abc import Iterator
from pathlib import Path

from tools.distil_api import RELEASES, TARGET, of_release

HEAD = """\
# TensorRT {release}, written by tools/stubs.py of the TensorRT Workbook.
# mypy: disable-error-code="override, overload-cannot-match"
from builtins import bool as _bool
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar, SupportsFloat, SupportsIndex, overload

import numpy
from typing_extensions import Buffer, Self, TypeAlias

_Ints: TypeAlias = Sequence[SupportsIndex] | numpy.ndarray | Dims

class _Enum:  # pybind11's own kind: no enum.Enum, and not iterable
    __members__: ClassVar[dict[str, Self]]
    def __init__(self, value: SupportsIndex) -> None: ...
    def __int__(self) -> int: ...
    def __index__(self) -> int: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class _CanOnlyBeSet:
    def __get__(self, instance: None, owner: Any) -> Self: ...
    def __set__(self, instance: Any, value: Any) -> None: ...

"""
ALIAS = "from tensorrt import *\nfrom tensorrt import __version__ as __version__\n"
PRIVATE = ("_CanOnlyBeSet", "_SomeLayer")
RESULTS = {
    **{name: name for name in ("int", "str", "float", "bytes", "memoryview", "None", "numpy.ndarray")},
    "bool": "_bool",
    "ILayer": "_SomeLayer",
    "list": "list[Any]",
    "tuple": "tuple[Any, ...]",
    "Callable": "Callable[..., Any]",
    "Iterable": "Iterable[Any]",
}
PARAMETERS = {
    **RESULTS,
    **dict.fromkeys(("Dims", "Dims2", "Dims3", "Dims4", "DimsHW", "list[int]"), "_Ints"),
    "int": "SupportsIndex",
    "float": "SupportsFloat",
    "ILayer": "ILayer | None",
    "buffer": "Buffer",
    "Permutation": "Permutation | _Ints",
    "Weights": "Weights | numpy.ndarray",
    "numpy.ndarray": "Weights | numpy.ndarray",
    "FallbackString": "str | bytes",
}
# What these return where they fail; the signatures do not say so.
OR_NONE = {"build_serialized_network", "deserialize_cuda_engine"}
ITEMS = {"Dims": "int", "DimsExprs": "IDimensionExpr", "ICudaEngine": "str", "INetworkDefinition": "_SomeLayer"}
_LITERAL = re.compile(r"(None|True|False|'.*'|-?[\d.]+)?")


class Stub:
    """The stub of one release: ``str(Stub("11.4"))``. Raises KeyError for a release that data/api.json lacks."""

    def __init__(self, release: str):
        self.release = release
        self.module, self.classes = of_release(_content(), release)

    def __str__(self) -> str:
        lines = [line for name in self.classes if "." not in name for line in self.of_class(name, name)]
        lines += ["class _SomeLayer(ILayer):  # once its __class__ is set, it has what its class has"]
        lines += [f"    {name}: Any" for name in sorted(self.of_some_layer())]
        for name, text in self.module.items():
            lines += self.of_member("", name, text) if name != "__version__" else ["__version__: str"]
        return HEAD.format(release=self.release) + "\n".join(lines) + "\n"

    def has(self, owner: str, name: str) -> bool:
        """Whether there is ``trt.<owner>.<name>``, inherited or not, or without an owner ``trt.<name>``."""
        if not owner:
            return name in self.classes or name in self.module
        members = self.classes.get(owner, {})
        return name in members or owner in self.classes and any(self.has(base, name) for base in self.bases(owner))

    def names(self) -> set[str]:
        return {name for members in (self.module, *self.classes.values()) for name in members}

    def is_enum(self, name: str) -> bool:
        return self.classes[name]["(class)"].startswith("enum")

    def bases(self, name: str) -> list[str]:
        return [base for base in re.findall(r"[\w.]+", self.classes[name]["(class)"])[1:] if base in self.classes]

    def of_some_layer(self) -> set[str]:
        layers = [members for name, members in self.classes.items() if "ILayer" in self.bases(name)]
        return {name for members in layers for name in members if name.isidentifier()} - self.classes["ILayer"].keys()

    def of_class(self, name: str, shown: str) -> Iterator[str]:
        bases = ["_Enum"] if self.is_enum(name) else self.bases(name)
        yield f"class {shown}({', '.join(bases)}):" if bases else f"class {shown}:"
        for inner in self.classes:
            if inner.startswith(f"{name}."):
                yield from ("    " + line for line in self.of_class(inner, inner.removeprefix(f"{name}.")))
        for member, text in self.classes[name].items():
            if member != "(class)" and not (self.is_enum(name) and member in ("__init__", "name", "value")):
                yield from ("    " + line for line in self.of_member(name, member, text))
        if name == "IHostMemory":
            yield "    def __buffer__(self, flags: int, /) -> memoryview: ..."
        yield "    ..."

    def of_member(self, owner: str, name: str, text: str) -> Iterator[str]:
        """The lines for one member of a class, or of the module itself, whose ``owner`` is ""."""
        kind, _, rest = text.partition(" ")
        result = self.type(rest.removeprefix("-> "), RESULTS) if rest else "Any"
        if kind == "constant":
            yield f"{name}: {rest}"
        elif kind in ("value", "attribute"):
            enum = next((e for e in self.classes if "." in e and name in self.classes[e]), "Any")
            yield f"{name}: ClassVar[{owner if kind == 'value' else enum}]"
        elif kind == "write-only":
            yield f"{name}: _CanOnlyBeSet"
        elif name.isupper():  # belongs to the class: Dims.MAX_DIMS
            yield f"{name}: ClassVar[{result}]"
        elif kind.startswith("read"):
            yield from ["@property", f"def {name}(self) -> {result}: ..."]
            if kind == "read-write":
                taken = self.type(rest.removeprefix("-> "), PARAMETERS)
                yield from [f"@{name}.setter", f"def {name}(self, value: {taken}) -> None: ..."]
        elif name.startswith("__") and name != "__init__":
            yield from _special(owner, name)
        elif kind == "callback":
            yield f"def {name}(self, *arguments: Any, **named: Any) -> Any: ..."
        elif kind in ("method", "static"):
            overloads = re.split(r" \| (?=\()", rest)
            for overload in overloads:
                yield from ["@overload"] * (len(overloads) > 1) + ["@staticmethod"] * (kind == "static")
                yield self.function(owner if kind == "method" else "", name, overload)

    def function(self, owner: str, name: str, text: str) -> str:
        """``(x: int, y: bool = False) -> str`` as a definition."""
        inside, _, result = text.partition(") -> ") if ") -> " in text else (text.rstrip(")"), "", "")
        # What a subclass defines is called by TensorRT, with exactly these types; what we call converts.
        is_callback = owner.startswith("I") and "__init__" in self.classes[owner] and name != "__init__"
        types = RESULTS if is_callback else PARAMETERS
        parameters, last = ["self"] if owner else [], ""
        for part in _split(inside[1:]):
            parameter, _, rest = part.partition(":")
            type_, _, default = rest.partition(" = ")
            parameter, taken = parameter + "_" * keyword.iskeyword(parameter), self.type(type_.strip(), types)
            if default == "None" and taken != "Any" and not taken.endswith("None"):
                taken += " | None"
            elif not (_LITERAL.fullmatch(default) or default.partition(".")[0] in self.classes):
                default = "..."  # Python could not read it
            last = default or last and "..."  # after a parameter with a default there is none without
            parameters.append(f"{parameter}: {taken}" + f" = {last}" * bool(last))
            if re.match(r"arg\d+$", parameter):  # it has no name
                parameters = [p for p in parameters if p != "/"] + ["/"]
        result = self.type(result, RESULTS) + " | None" * (name in OR_NONE)
        return f"def {name}({', '.join(parameters)}) -> {result}: ..."

    def type(self, text: str, types: dict[str, str]) -> str:
        """A type of data/api.json as Python has it; Any for what is neither Python's nor in this release."""
        if text in types:
            return types[text]
        outer, _, inner = text.partition("[")
        if outer in ("list", "tuple"):
            outer = "Sequence" if outer == "list" and types is PARAMETERS else outer
            return f"{outer}[{', '.join(self.type(part, types) for part in _split(inner[:-1]))}]"
        if text not in self.classes:
            return "Any"
        return text if types is RESULTS or self.is_enum(text) else f"{text} | None"


@functools.cache
def _content() -> dict:
    return json.loads(TARGET.read_text(encoding="utf-8"))


def _split(text: str) -> list[str]:
    """At the commas outside of brackets."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "[(<") - (character in "])>")
        if character == "," and not depth:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts if part.strip()]


def _special(owner: str, name: str) -> list[str]:
    item = ITEMS.get(re.sub(r"Dims(\d|HW)", "Dims", owner), "Any")
    return {
        "__len__": ["def __len__(self) -> int: ..."],
        "__enter__": ["def __enter__(self) -> Self: ...", "def __exit__(self, *raised: Any) -> None: ..."],
        "__setitem__": ["def __setitem__(self, index: Any, value: Any) -> None: ..."],
        "__iter__": [],
        "__getitem__": [
            *("@overload", f"def __getitem__(self, index: SupportsIndex | str) -> {item}: ..."),
            *("@overload", "def __getitem__(self, index: slice) -> Any: ..."),
            f"def __iter__(self) -> Iterator[{item}]: ...",
        ],
    }[name]


def write(release: str, folder: Path) -> None:
    for name, text in {"tensorrt": str(Stub(release)), "tensorrt_rtx": ALIAS}.items():
        (folder / name).mkdir(parents=True, exist_ok=True)
        (folder / name / "__init__.pyi").write_text(text, encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("release", choices=RELEASES)
    parser.add_argument("--to", type=Path, default=Path("typings"), help="folder (default: typings)")
    arguments = parser.parse_args()
    write(arguments.release, arguments.to)
    print(f"{arguments.to}: tensorrt, tensorrt_rtx as in TensorRT {arguments.release}")


if __name__ == "__main__":
    main()
