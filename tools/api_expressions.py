"""What an expression is, as far as tools/api_use.py can follow it, and what of it a release of TensorRT lacks."""

from __future__ import annotations

import ast
from collections.abc import Iterable
from typing import TYPE_CHECKING

from tools.api_data import Member
from tools.api_sources import Source
from tools.api_values import UNKNOWN, Function, Ours, Problem, Scope, Value, merge, one

if TYPE_CHECKING:
    from tools.api_use import Checker

PLAIN = {"int", "float", "bool", "str"}
MISSING = {"AttributeError", "Exception", "BaseException"}


class Expressions(ast.NodeVisitor):
    """``visit`` of an expression returns its Value. What is called, and what binds names, is for its subclasses."""

    def __init__(self, checker: Checker, source: Source, releases: frozenset[str]):
        self.checker, self.api, self.source = checker, checker.api, source
        self.conditions = checker.conditions
        self.releases = releases
        self.scope = Scope()
        if source.module:
            checker.modules[source.module] = self.scope
        self.forgiven: frozenset[str] = frozenset()  # exceptions that are caught around here
        self.later: list[Function] = []
        self.function: Function | None = None

    # Findings
    def problem(self, node: ast.AST, text: str) -> None:
        self.checker.problems.append(Problem(getattr(node, "place", self.source.name), node.lineno, text))

    def use(self, node: ast.AST, what: str) -> None:
        self.checker.uses.add((getattr(node, "place", self.source.name), node.lineno, node.col_offset, what))

    def names(self, releases: Iterable[str]) -> str:
        return ", ".join(release for release in self.api.order if release in releases)

    def available(self, node: ast.AST, what: str, found: dict[str, Member]) -> list[Member]:
        """Notes the use; a problem unless every release that may run this has it. The variants in those that do."""
        self.use(node, what)
        lacking = self.releases - found.keys()
        if not found:
            self.problem(node, f"{what}: no release has it")
        elif lacking and not self.forgiven & MISSING:
            self.problem(node, f"{what}: not in {self.names(lacking)}")
        return [found[release] for release in self.releases if release in found]

    # Conditions
    def split(self, test: ast.expr) -> tuple[frozenset[str], frozenset[str]]:
        """The releases in which the test may be true, and may be false. Says so where no release passes it."""
        self.visit(test)
        yes, no = self.conditions.split(test, self.resolve, self.scope.conditions)
        negated = isinstance(
            test, ast.UnaryOp
        )  # "not hasattr(...)" may well ask whether it is one of TensorRT's at all
        if not yes and not negated:
            self.problem(test, f"{ast.unparse(test)}: true in no release")
        return yes, no

    def resolve(self, node: ast.expr) -> tuple[str, str] | None:
        """("module", "") or ("class", name) of an expression, for conditions; None for everything else."""
        quiet, self.checker.problems = self.checker.problems, []
        value = self.visit(node)
        self.checker.problems = quiet
        if len(value) != 1:
            return None
        kind, *rest = next(iter(value))
        return (kind, rest[0] if rest else "") if kind in ("module", "class", "inst") else None

    # Expressions
    def generic_visit(self, node):
        for child in ast.iter_child_nodes(node):
            self.visit(child)
        return UNKNOWN

    def visit_Name(self, node):
        return self.scope.get(node.id)

    def visit_Constant(self, node):
        name = "None" if node.value is None else type(node.value).__name__
        return one("plain", name) if name in PLAIN | {"None"} else UNKNOWN

    def visit_JoinedStr(self, node):
        self.generic_visit(node)
        return one("plain", "str")

    def visit_Tuple(self, node):
        if any(isinstance(part, ast.Starred) for part in node.elts):
            self.generic_visit(node)
            return one("seq", UNKNOWN)
        return one("tuple", tuple(self.visit(part) for part in node.elts))

    def visit_List(self, node):
        return one("seq", self.common([self.visit(part) for part in node.elts]))

    visit_Set = visit_List

    def visit_Dict(self, node):
        for key in filter(None, node.keys):
            self.visit(key)
        return one("dict", self.common([self.visit(value) for value in node.values]))

    @staticmethod
    def common(values: list[Value]) -> Value:
        result: Value | None = values[0] if values else UNKNOWN
        for value in values[1:]:
            result = merge(result, value)
        return result or UNKNOWN

    def visit_IfExp(self, node):
        yes, no = self.split(node.test)
        values, before, names = [], self.releases, dict(self.scope.now)
        for releases, part, positive in ((yes, node.body, True), (no, node.orelse, False)):
            self.releases = before & releases
            if positive:
                self.narrow_types(node.test)
            if self.releases:
                values.append(self.visit(part))
            self.scope.now = dict(names)
        self.releases = before
        return self.common([value for value in values if value != one("plain", "None")])

    def visit_BoolOp(self, node):
        before, values = self.releases, []
        for part in node.values:
            values.append(self.visit(part))
            yes, no = self.conditions.split(part, self.resolve, self.scope.conditions)
            self.releases &= (yes if isinstance(node.op, ast.And) else no) or self.releases
        self.releases = before
        return self.common(values)

    def visit_BinOp(self, node):
        left, right = self.visit(node.left), self.visit(node.right)
        numbers = {one("plain", "int"), one("plain", "bool")}
        return (
            one("plain", "int")
            if left in numbers and right in numbers and not isinstance(node.op, ast.Div)
            else UNKNOWN
        )

    def visit_UnaryOp(self, node):
        value = self.visit(node.operand)
        return one("plain", "bool") if isinstance(node.op, ast.Not) else value

    def visit_Compare(self, node):
        self.generic_visit(node)
        return one("plain", "bool")

    def visit_NamedExpr(self, node):
        value = self.visit(node.value)
        self.assign(node.target, value)
        return value

    def visit_Lambda(self, node):
        return one("function", self.make_function(node, None))

    def visit_Subscript(self, node):
        value, index = self.visit(node.value), self.visit(node.slice)
        results = []
        for kind, *rest in value:
            if kind == "inst":
                self.available(node, f"{rest[0]}[...]", self.api.member(rest[0], "__getitem__"))
                results.append(one("plain", "int") if self.api.is_a(rest[0], "Dims") else UNKNOWN)
            elif kind == "tuple" and isinstance(node.slice, ast.Constant) and type(node.slice.value) is int:
                results.append(rest[0][node.slice.value] if node.slice.value < len(rest[0]) else UNKNOWN)
            elif kind == "dict" or (kind == "seq" and index == one("plain", "int")):
                results.append(rest[0])
            elif kind == "seq" and isinstance(node.slice, ast.Slice):
                results.append(one(kind, *rest))
            else:
                results.append(UNKNOWN)
        return self.common(results)

    def _comprehension(self, node):
        saved = dict(self.scope.now)
        before = self.releases
        for generator in node.generators:
            self.assign(generator.target, self.element(self.visit(generator.iter)))
            for test in generator.ifs:
                yes, _ = self.split(test)
                self.releases &= yes or self.releases
        if isinstance(node, ast.DictComp):
            self.visit(node.key)
            result = one("dict", self.visit(node.value))
        else:
            result = one("seq", self.visit(node.elt))
        self.scope.now, self.releases = saved, before
        return result

    visit_ListComp = visit_SetComp = visit_GeneratorExp = visit_DictComp = _comprehension

    def element(self, value: Value) -> Value:
        """What iterating over the value gives."""
        results = []
        for kind, *rest in value:
            if kind == "seq":
                results.append(rest[0])
            elif kind == "tuple":
                results.append(self.common(list(rest[0])))
            elif kind == "dict":
                results.append(one("plain", "str") if len(rest) > 1 else UNKNOWN)
            elif kind == "inst" and self.api.is_a(rest[0], "Dims"):
                results.append(one("plain", "int"))
            else:
                results.append(UNKNOWN)
        return self.common(results)

    def annotation(self, node: ast.expr | None) -> Value:
        """The value that an annotation promises; unknown if it names nothing of interest."""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            node = ast.copy_location(ast.parse(node.value, mode="eval").body, node)
            for child in ast.walk(node):
                ast.copy_location(child, node)
        if isinstance(node, ast.BinOp):
            sides = [self.annotation(side) for side in (node.left, node.right)]
            none = [isinstance(side, ast.Constant) and side.value is None for side in (node.left, node.right)]
            return sides[1] if none[0] else sides[0] if none[1] else self.common(sides)
        if isinstance(node, ast.Subscript):
            base, inner = ast.unparse(node.value), node.slice
            if base in ("list", "Sequence", "Iterable", "Iterator", "set", "frozenset"):
                return one("seq", self.annotation(inner))
            if base in ("dict", "Mapping") and isinstance(inner, ast.Tuple):
                return one("dict", self.annotation(inner.elts[1]))
            if base == "tuple" and isinstance(inner, ast.Tuple) and not ast.unparse(inner).endswith("..."):
                return one("tuple", tuple(self.annotation(part) for part in inner.elts))
            return UNKNOWN
        if isinstance(node, ast.Name) and node.id in PLAIN:
            return one("plain", node.id)
        if not isinstance(node, ast.Name | ast.Attribute):
            return UNKNOWN
        return frozenset(
            ("inst" if kind == "class" else "our", *rest)
            for kind, *rest in self.visit(node)
            if kind in ("class", "ourclass")
        )

    def type_value(self, text: str) -> Value:
        """The value for a type as data/api.json writes it."""
        if self.api.is_class(text):
            return one("inst", text)
        if text in PLAIN:
            return one("plain", text)
        if text.startswith("list[") and text.endswith("]"):
            return one("seq", self.type_value(text[5:-1]))
        return UNKNOWN

    def from_module(self, node: ast.AST, name: str) -> Value:
        if name.startswith("__"):
            return UNKNOWN
        members = self.available(node, f"trt.{name}", self.api.module_member(name))
        kinds = {member.kind for member in members}
        if kinds == {"class"}:
            return one("class", name)
        if kinds == {"method"}:
            return one("method", "", name)
        return self.type_value(members[0].result) if kinds == {"constant"} else UNKNOWN

    def visit_Attribute(self, node):
        value = self.visit(node.value)
        results = [self.attribute(node, kind, rest) for kind, *rest in self._best(value, node.attr)]
        if not value:
            self.suspect(node)
        return self.common(results)

    def suspect(self, node: ast.Attribute) -> None:
        """An attribute of something unknown, with a name that only TensorRT gives, and not in all these releases."""
        lacking = self.releases - self.api.by_name.get(node.attr, self.releases)
        if lacking and node.attr not in self.checker.own_names and not self.forgiven & MISSING:
            self.problem(node, f"{ast.unparse(node)}: no class has that in {self.names(lacking)}")

    def _best(self, value: Value, name: str) -> Value:
        """Of what the object may be, what has the attribute at all: a layer, told apart by its type, has its own."""
        fitting = {v for v in value if v[0] not in ("inst", "class") or self.api.member(v[1], name)}
        return frozenset(fitting) or value

    def attribute(self, node: ast.Attribute, kind: str, rest: list) -> Value:
        name = node.attr
        if kind == "module":
            return self.from_module(node, name)
        if kind in ("class", "inst"):
            owner = rest[0]
            if name == "__members__" and kind == "class":
                return one("dict", one("inst", owner), "named")
            if name == "__class__":
                return one("class", owner) if kind == "inst" else UNKNOWN
            if name.startswith("__"):
                return UNKNOWN
            found = self.api.member(owner, name) if kind == "class" else self.api.member_or_derived(owner, name)
            members = self.available(node, f"{owner}.{name}", found)
            if not members:
                return UNKNOWN
            if members[0].kind == "write-only":
                self.problem(node, f"{owner}.{name}: can be set, but not read")
            if members[0].callable:
                return one("method", owner, name) if kind == "inst" else UNKNOWN
            if members[0].kind == "class":
                return one("class", members[0].result)
            return self.common([self.type_value(result) for result in {member.result for member in members}])
        if kind == "helpers":
            scope = self.checker.modules.get(rest[0])
            return (scope.ever.get(name) or UNKNOWN) if scope else UNKNOWN
        if kind == "our":
            return self.our_attribute(node, rest[0])
        if kind == "dict" and name in ("items", "values", "keys", "get"):
            return one("dictmethod", name, rest[0])
        if kind == "seq" and name in ("append", "copy"):
            return UNKNOWN
        return UNKNOWN

    def our_attribute(self, node: ast.Attribute, ours: Ours) -> Value:
        todo = [ours]
        while todo:
            cls = todo.pop()
            if node.attr in cls.members:
                value = cls.members[node.attr] or UNKNOWN
                ((kind, *rest),) = value if len(value) == 1 else [("",)]
                if kind == "property":
                    return rest[0].result or UNKNOWN
                return one("bound", rest[0], ours) if kind == "function" and rest[0].owner else value
            for base in cls.bases:
                if self.api.member(base, node.attr):
                    return self.attribute(node, "inst", [base])
            todo += cls.parents
        return UNKNOWN
