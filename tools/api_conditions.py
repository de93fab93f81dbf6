"""In which releases a condition may hold: ``has("weak_typing")``, ``hasattr(trt.BuilderFlag, "FP16")`` and the like.

What a capability means is read from helpers/trt.py, not written a second time.
"""

from __future__ import annotations

import ast
import functools
from collections.abc import Callable, Mapping
from pathlib import Path

from tools.api_data import Api

TRT = Path(__file__).parents[1] / "helpers" / "trt.py"
Resolve = Callable[[ast.expr], "tuple[str, str] | None"]
Sides = tuple[frozenset[str], frozenset[str]]  # releases in which it may be true, and may be false


def _resolve_in_trt(node: ast.expr) -> tuple[str, str] | None:
    return ("module", "") if isinstance(node, ast.Name) and node.id == "trt" else None


class Conditions:
    def __init__(self, api: Api, path: Path = TRT):
        self.api = api
        self._functions: dict[str, ast.expr] = {}
        self._capabilities: dict[str, ast.expr] = {}
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and isinstance(node.body[-1], ast.Return) and len(node.body) == 1:
                self._functions[node.name] = node.body[0].value
            elif isinstance(node, ast.AnnAssign) and getattr(node.target, "id", "") == "CAPABILITIES":
                for key, value in zip(node.value.keys, node.value.values, strict=True):
                    test = value.elts[0]
                    self._capabilities[key.value] = (
                        test.body if isinstance(test, ast.Lambda) else ast.Call(test, [], [])
                    )

    @functools.cache  # noqa: B019  there is one per process
    def capability(self, name: str) -> Sides:
        """Raises ValueError for one that helpers/trt.py does not know."""
        if name not in self._capabilities:
            raise ValueError(f"helpers/trt.py knows no capability {name!r}")
        return self.split(self._capabilities[name], _resolve_in_trt)

    def split(self, test: ast.expr, resolve: Resolve, named: Mapping[str, Sides] | None = None) -> Sides:
        """``resolve`` says what of TensorRT an expression is; ``named`` are conditions that have a name."""
        everything, nothing = self.api.releases, frozenset()
        if isinstance(test, ast.Name):
            return (named or {}).get(test.id, (everything, everything))
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            yes, no = self.split(test.operand, resolve, named)
            return no, yes
        if isinstance(test, ast.BoolOp):
            parts = [self.split(part, resolve, named) for part in test.values]
            together, either = frozenset.intersection, frozenset.union
            if isinstance(test.op, ast.Or):
                together, either = either, together
            return together(*(yes for yes, _ in parts)), either(*(no for _, no in parts))
        if not (isinstance(test, ast.Call) and isinstance(test.func, ast.Name)):
            return everything, everything
        name, constants = test.func.id, [a.value for a in test.args if isinstance(a, ast.Constant)]
        if name == "bool" and len(test.args) == 1:
            return self.split(test.args[0], resolve, named)
        if name == "has" and constants and len(constants) == len(test.args):
            sides = [self.capability(constant) for constant in constants]
            return frozenset.intersection(*(y for y, _ in sides)), frozenset.union(*(n for _, n in sides))
        if name == "hasattr" and len(constants) == 1:
            found = self._attribute(test.args[0], constants[0], resolve)
        elif name == "_enum_has" and len(constants) == 2:
            found = frozenset(self.api.member(*constants)) if self.api.is_class(constants[0]) else nothing
        elif name == "_rtx" and resolve is _resolve_in_trt:
            found = frozenset(release for release in everything if release.startswith("RTX"))
        elif name in self._functions and resolve is _resolve_in_trt:
            return self.split(self._functions[name], resolve)
        else:
            return everything, everything
        return (everything, everything) if found is None else (found, everything - found)

    def _attribute(self, owner: ast.expr, name: str, resolve: Resolve) -> frozenset[str] | None:
        what = resolve(owner)
        if what is None:
            return None
        if what[0] == "module":
            return frozenset(self.api.module_member(name))
        if what[0] == "inst" and what[1] == "ILayer":
            return None  # told apart by __class__; its own class may have it
        return frozenset(self.api.member(what[1], name))
