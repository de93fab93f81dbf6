"""Calls, for tools/api_use.py: arguments that a release of TensorRT does not take, and what comes back."""

from __future__ import annotations

import ast
import builtins

from tools.api_expressions import Expressions
from tools.api_values import UNKNOWN, Function, Value, note, one

REFUSED = {"TypeError", "ValueError", "Exception", "BaseException"}


class Calls(Expressions):
    """Expressions with calls: TensorRT's, our own functions, whose parameters learn from them, and Python's own."""

    def visit_Call(self, node):
        guard = self.lookup_guard(node)
        if guard is not None:
            return guard
        callee = self.visit(node.func)
        positional = [self.visit(argument) for argument in node.args if not isinstance(argument, ast.Starred)]
        spread = any(isinstance(argument, ast.Starred) for argument in node.args)
        for argument in node.args:
            if isinstance(argument, ast.Starred):
                self.visit(argument.value)
        named = {keyword.arg: self.visit(keyword.value) for keyword in node.keywords}
        results = [self.call(node, kind, rest, positional, spread, named) for kind, *rest in callee]
        if isinstance(node.func, ast.Name) and not callee and hasattr(builtins, node.func.id):
            return self.builtin(node, node.func.id, positional)
        return self.common(results)

    def call(self, node, kind, rest, positional, spread, named) -> Value:
        if kind == "method":
            return self.call_member(node, rest[0], rest[1], positional, spread, named)
        if kind == "class":
            self.call_member(node, rest[0], "__init__", positional, spread, named)
            return one("inst", rest[0])
        if kind == "ourclass":
            init = rest[0].members.get("__init__")
            for init_kind, function in init or ():
                if init_kind == "function":
                    self.give(function, [one("our", rest[0]), *positional], spread, named)
            return one("our", rest[0])
        if kind == "bound":
            self.give(rest[0], [one("our", rest[1]), *positional], spread, named)
            return rest[0].result or UNKNOWN
        if kind == "function":
            self.give(rest[0], positional, spread, named)
            return rest[0].result or UNKNOWN
        if kind == "dictmethod":
            name, value = rest
            item = one("tuple", (one("plain", "str"), value))
            return {"items": one("seq", item), "values": one("seq", value), "keys": UNKNOWN}.get(name, value)
        return UNKNOWN

    def call_member(self, node, owner, name, positional, spread, named) -> Value:
        """Checks the arguments against every release that may run this."""
        found = self.api.member(owner, name) if owner else self.api.module_member(name)
        what = f"{owner or 'trt'}.{name}" if name != "__init__" else f"trt.{owner}"
        types = [self.type_name(value) for value in positional]
        named_types = {key: self.type_name(value) for key, value in named.items() if key}
        open_ended = spread or None in named
        self.use(node, f"{what}()")
        refused: dict[str, list[str]] = {}
        for release in self.api.order:
            if release in self.releases and release in found and not (spread and positional):
                why = self.api.refuses(found[release], types, named_types, open_ended)
                if why:
                    refused.setdefault(why, []).append(release)
        if not self.forgiven & REFUSED:
            for why, releases in refused.items():
                everywhere = len(releases) == len(self.api.releases)
                self.problem(node, f"{what} {why}" + ("" if everywhere else f" (in {', '.join(releases)})"))
        results = {found[release].result for release in self.releases if release in found}
        return self.common([self.type_value(result) for result in results])

    def type_name(self, value: Value) -> str:
        """For the check of an argument: int, str, None, sequence, or a class; "" if not certain."""
        if len(value) != 1:
            return ""
        kind, *rest = next(iter(value))
        if kind in ("plain", "inst"):
            return rest[0]
        if kind == "our" and len(rest[0].bases) == 1:
            return rest[0].bases[0]
        return "sequence" if kind == "tuple" else ""

    def give(self, function: Function, positional, spread, named) -> None:
        arguments = function.node.args
        parameters = [parameter.arg for parameter in [*arguments.posonlyargs, *arguments.args]]
        values = dict(zip(parameters, [] if spread else positional, strict=False))
        values.update({name: value for name, value in named.items() if name})
        for name, value in values.items():
            note(function.giving, name, value)

    def lookup_guard(self, node: ast.Call) -> Value | None:
        """``hasattr`` and ``getattr`` with a constant name: questions, not uses. None for every other call."""
        function = getattr(node.func, "id", "")
        if function not in ("getattr", "hasattr") or len(node.args) < 2:
            return None
        owner = self.visit(node.args[0])
        for argument in node.args[1:]:
            self.visit(argument)
        if function == "hasattr":
            return one("plain", "bool")
        ((kind, *rest),) = owner if len(owner) == 1 else [("",)]
        if kind not in ("module", "class", "inst"):
            return UNKNOWN
        name = node.args[1]
        if not (isinstance(name, ast.Constant) and isinstance(name.value, str)):
            return one("inst", rest[0]) if kind == "class" and self.api.is_enum(rest[0]) else UNKNOWN
        attribute = ast.copy_location(ast.Attribute(node.args[0], name.value, ast.Load()), node)
        if len(node.args) == 2:
            return self.attribute(attribute, kind, rest)
        found = self.api.module_member(name.value) if kind == "module" else self.api.member(rest[0], name.value)
        self.use(node, f"{rest[0] if rest else 'trt'}.{name.value}?")
        if not found:
            self.problem(node, f"{ast.unparse(node)}: no release has it")
        return UNKNOWN

    def builtin(self, node, name: str, arguments: list[Value]) -> Value:
        first = arguments[0] if arguments else UNKNOWN
        if name in ("int", "str", "float", "bool", "len"):
            for kind, *rest in first:
                if kind == "inst" and name == "len":
                    self.available(node, f"len({rest[0]})", self.api.member(rest[0], "__len__"))
            return one("plain", "int" if name == "len" else name)
        if name in ("list", "tuple", "sorted", "set", "reversed", "iter"):
            return one("seq", self.element(first))
        if name in ("next", "min", "max"):
            return self.element(first)
        if name == "enumerate":
            return one("seq", one("tuple", (one("plain", "int"), self.element(first))))
        if name == "zip":
            return one("seq", one("tuple", tuple(self.element(argument) for argument in arguments)))
        if name == "range":
            return one("seq", one("plain", "int"))
        return UNKNOWN
