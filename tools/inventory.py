"""Writes down what a TensorRT Python module has, as JSON: ``python -m tools.inventory [MODULE] > FOLDER/NAME.json``.

MODULE is ``tensorrt``, ``tensorrt_rtx`` or another flavour; without it, the one that helpers/trt.py chooses. It is only
imported, so no GPU is needed. tools/distil_api.py makes data/api.json of such files. Kept are names, kinds and
signatures, none of NVIDIA's descriptions.
"""

from __future__ import annotations

import importlib
import inspect
import json
import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from tools.distil_api import callbacks

PROPERTIES = {(True, False): "property_ro", (True, True): "property_rw", (False, True): "property_wo"}


def inventory(module: ModuleType) -> dict:
    """What tools/distil_api.py reads: version, functions, constants and classes with their members and signatures."""
    ours = {name: value for name, value in vars(module).items() if not name.startswith(("_", "common_"))}
    ours = {
        name: value for name, value in ours.items() if (getattr(value, "__module__", None) or "").startswith("tensorrt")
    }
    classes = {name: value for name, value in ours.items() if isinstance(value, type) and value.__name__ == name}
    functions = {name: value for name, value in ours.items() if inspect.isroutine(value)}
    # The bindings' __init__ leaves the variables of its loops behind: `value` is no constant.
    constants = {name: str(value) for name, value in ours.items() if _is_enum(type(value)) and name != "value"}
    constants["__version__"] = repr(module.__version__)
    for outer, class_ in list(classes.items()):
        inner = {name: value for name, value in vars(class_).items() if isinstance(value, type)}
        classes |= {f"{outer}.{n}": value for n, value in inner.items() if value.__qualname__ == f"{outer}.{n}"}
    library = Path(sys.modules[classes["Logger"].__module__].__file__ or "").read_bytes()
    return {
        "module": module.__name__,
        "version": module.__version__,
        "functions": sorted(functions),
        "function_signatures": {name: _signatures(name, function) for name, function in functions.items()},
        "constants": sorted(constants),
        "constant_values": constants,
        "classes": {name: _class(name, class_, library) for name, class_ in sorted(classes.items())},
    }


def _class(name: str, class_: type, library: bytes) -> dict:
    own = {member: value for member, value in vars(class_).items() if not member.startswith("_")}
    init = _signatures("__init__", vars(class_).get("__init__"))
    return {
        "bases": [base.__qualname__ for base in class_.__bases__],
        "is_enum": _is_enum(class_),
        "enum_members": {member: int(value) for member, value in getattr(class_, "__members__", {}).items()},
        "own_members": sorted(own),
        "kinds": {member: _kind(class_, value) for member, value in own.items()},
        "signatures": {member: _signatures(member, value) for member, value in own.items()},
        "init_signatures": init,
        "constructible": bool(init),
        "dunders": sorted(member for member in dir(class_) if member.startswith("__")),
        # What only a Python subclass has is no member: of the names known so far, those that the library holds.
        "callbacks": [callback for callback in callbacks(name) if b"%b\0" % callback.encode() in library],
    }


def _is_enum(class_: type) -> bool:
    return isinstance(getattr(class_, "__members__", None), dict)


def _kind(class_: type, value: Any) -> str:
    if isinstance(value, property):  # pybind11's static property is one of them
        return PROPERTIES[value.fget is not None, value.fset is not None]
    if isinstance(value, type):
        return "class"
    if isinstance(value, staticmethod):
        return "static"
    if _is_enum(type(value)):
        return "enum_member" if type(value) is class_ else "attribute"
    return "method"


def _signatures(name: str, value: Any) -> list[str]:
    """The lines of the docstring that pybind11 writes: ``name(self: Class, x: int) -> int``, or ``-> int`` alone."""
    if inspect.isfunction(value):
        return [f"{name}{inspect.signature(value)}"]
    if isinstance(value, property):
        found = re.match(r".*?( -> .*)", (value.fget and value.fget.__doc__) or "")
        return [found[1].strip()] if found else []
    text = getattr(getattr(value, "__func__", value), "__doc__", None) or ""
    return re.findall(rf"^(?:\d+\. )?({name}\((?!\*args, \*\*kwargs\)$).*)", text, re.MULTILINE)


def main() -> None:
    if len(sys.argv) > 1:
        module = importlib.import_module(sys.argv[1])
    else:
        from helpers.trt import trt as module
    json.dump(inventory(module), sys.stdout, indent=1)


if __name__ == "__main__":
    main()
