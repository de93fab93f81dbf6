"""Finds uses of TensorRT's Python API that some of the releases which the README claims do not have.

It reads code without running it, and follows what objects come from the TensorRT module: through annotations,
constructors, results of methods, subclasses and calls of our own functions. Of what it cannot
follow it only looks at names. A use must be there in every release in which it may run: ``has("weak_typing")``,
``hasattr(trt.BuilderFlag, "FP16")``, an ``except AttributeError`` or ``%%needs`` above a cell leave only some of them.
Data: data/api.json.
"""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterable
from pathlib import Path

from tools.api_conditions import Conditions
from tools.api_data import Api, Member
from tools.api_sources import ROOT, Source, sources
from tools.api_values import UNKNOWN, Function, Ours, Problem, Scope, Value, merge, note, one

PLAIN = {"int", "float", "bool", "str"}
# What a parameter of these names is where neither an annotation nor a call says so.
CONVENTIONS = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "net": "INetworkDefinition",
    "network": "INetworkDefinition",
}
MISSING = {"AttributeError", "Exception", "BaseException"}
REFUSED = {"TypeError", "ValueError", "Exception", "BaseException"}


class Checker:
    """``problems`` and ``resolved``, the number of uses of TensorRT's API that were followed, after :meth:`run`."""

    def __init__(self, texts: Iterable[Source], api: Api | None = None):
        self.api = api or Api()
        self.texts = list(texts)
        self.conditions = Conditions(self.api)
        self.modules: dict[str, Scope] = {}
        self.imported: dict[str, frozenset[str]] = {}  # helper -> releases in which something imports it
        self.functions: dict[ast.AST, Function] = {}
        self.classes: dict[ast.AST, Ours] = {}
        nodes = [node for text in self.texts for tree, *_ in text.parts for node in ast.walk(tree)]
        self.own_names = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        self.own_names |= {node.arg for node in nodes if isinstance(node, ast.arg | ast.keyword)} - {None}
        self.uses: set[tuple[str, int, int, str]] = set()
        self.problems: list[Problem] = []

    @property
    def resolved(self) -> int:
        return len(self.uses)

    def run(self) -> Checker:
        # What functions are given and return is only known after a while; what it finds in the last round counts.
        for _ in range(6):
            self.problems.clear()
            self.uses.clear()
            before, self.imported = self.imported, {}
            for function in self.functions.values():
                function.given, function.giving = function.giving, {}
            for ours in self.classes.values():
                ours.members, ours.defining = ours.defining, {}
            for text in self.texts:
                releases = before.get(text.module, self.api.releases) if text.module else self.api.releases
                Reader(self, text, releases).read()
        self.problems = sorted(set(self.problems), key=str)
        return self


class Reader(ast.NodeVisitor):
    """Walks through one source in the order in which it runs. ``visit`` of an expression returns its Value."""

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

    def read(self) -> None:
        everywhere = self.releases
        for part, needs in self.source.parts:
            self.releases = everywhere
            for name in needs:
                self.releases &= self.conditions.capability(name)[0]
            self.block(part.body)
        self.releases = everywhere
        while self.later:
            self.run_function(self.later.pop(0))

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

    # Statements
    def block(self, body: list[ast.stmt]) -> None:
        """Statements one after the other; ``if not has(...): return`` narrows what follows. Restores the releases."""
        before = self.releases
        for statement in body:
            self.visit(statement)
        self.releases = before

    def narrowed(self, releases: frozenset[str], body: list[ast.stmt]) -> None:
        before, self.releases = self.releases, self.releases & releases
        if self.releases:  # else it never runs
            self.block(body)
        self.releases = before

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

    def visit_If(self, node):
        yes, no = self.split(node.test)
        states = []
        for releases, body, positive in ((yes, node.body, True), (no, node.orelse, False)):
            saved = dict(self.scope.now)
            if positive:
                self.narrow_types(node.test)
            self.narrowed(releases, body)
            if not _leaves(body):
                states.append(self.scope.now)
            self.scope.now = saved
        self.join(states)
        if _leaves(node.body):
            self.releases &= no
        if node.orelse and _leaves(node.orelse):
            self.releases &= yes

    def join(self, states: list[dict[str, Value]]) -> None:
        if states:
            keys = set.intersection(*(set(state) for state in states))
            first = states[0]
            joined = {key: first[key] for key in keys}
            for state in states[1:]:
                for key in keys:
                    joined[key] = merge(joined[key], state[key]) or UNKNOWN if joined[key] != state[key] else state[key]
            for state in states:  # bound in one branch only
                for key in state.keys() - keys:
                    joined[key] = state[key]
            self.scope.now = joined

    def narrow_types(self, test: ast.expr) -> None:
        for part in test.values if isinstance(test, ast.BoolOp) and isinstance(test.op, ast.And) else [test]:
            if (
                isinstance(part, ast.Call)
                and getattr(part.func, "id", "") == "isinstance"
                and isinstance(part.args[0], ast.Name)
            ):
                kind = self.resolve(part.args[1])
                if kind and kind[0] == "class":
                    self.scope.now[part.args[0].id] = one("inst", kind[1])

    def visit_Assert(self, node):
        yes, _ = self.split(node.test)
        self.narrow_types(node.test)
        if yes:
            self.releases &= yes

    def visit_Expr(self, node):
        self.visit(node.value)
        call = node.value
        if isinstance(call, ast.Call) and getattr(call.func, "id", "") == "require":
            for argument in call.args:
                if isinstance(argument, ast.Constant):
                    self.releases &= self.conditions.capability(argument.value)[0]

    def visit_Try(self, node):
        before = self.forgiven
        for handler in node.handlers:
            types = handler.type.elts if isinstance(handler.type, ast.Tuple) else [handler.type]
            self.forgiven |= {getattr(type_, "id", "BaseException") for type_ in types}
        self.block(node.body)
        self.forgiven = before
        for handler in node.handlers:
            if handler.type:
                self.visit(handler.type)
            if handler.name:
                self.scope.set(handler.name, UNKNOWN)
            self.block(handler.body)
        self.block(node.orelse)
        self.block(node.finalbody)

    def visit_For(self, node):
        self.assign(node.target, self.element(self.visit(node.iter)))
        self.block(node.body)
        self.block(node.orelse)

    def visit_While(self, node):
        yes, _ = self.split(node.test)
        self.narrowed(yes, node.body)
        self.block(node.orelse)

    def visit_With(self, node):
        for item in node.items:
            value = self.visit(item.context_expr)
            for kind, *rest in value:
                if kind == "inst":
                    self.available(item.context_expr, f"with {rest[0]}", self.api.member(rest[0], "__enter__"))
            if item.optional_vars is not None:
                entered = UNKNOWN if any(kind == "plain" for kind, *_ in value) else value
                self.assign(item.optional_vars, entered)
        self.block(node.body)

    def visit_Assign(self, node):
        value = self.visit(node.value)
        for target in node.targets:
            self.assign(target, value)
        if isinstance(node.targets[0], ast.Name) and isinstance(node.value, ast.Call | ast.UnaryOp | ast.BoolOp):
            sides = self.conditions.split(node.value, self.resolve, self.scope.conditions)
            if sides != (self.api.releases, self.api.releases):
                self.scope.conditions[node.targets[0].id] = sides

    def visit_AnnAssign(self, node):
        declared = self.annotation(node.annotation)
        value = self.visit(node.value) if node.value else UNKNOWN
        self.assign(node.target, declared or value)

    def visit_AugAssign(self, node):
        self.visit(node.value)
        if isinstance(node.target, ast.Name):
            self.scope.set(node.target.id, self.scope.get(node.target.id))
        elif isinstance(node.target, ast.Attribute):
            self.assign_attribute(node.target, UNKNOWN)
        else:
            self.visit(node.target)

    def assign(self, target: ast.expr, value: Value) -> None:
        if isinstance(target, ast.Name):
            self.scope.set(target.id, value)
        elif isinstance(target, ast.Starred):
            self.assign(target.value, UNKNOWN)
        elif isinstance(target, ast.Tuple | ast.List):
            (kind, *rest) = next(iter(value)) if len(value) == 1 else ("",)
            for i, part in enumerate(target.elts):
                fits = kind == "tuple" and len(rest[0]) == len(target.elts)
                self.assign(part, rest[0][i] if fits else self.element(value))
        elif isinstance(target, ast.Attribute):
            self.assign_attribute(target, value)
        else:
            self.visit(target)

    def assign_attribute(self, target: ast.Attribute, value: Value) -> None:
        if target.attr == "__class__" and isinstance(target.value, ast.Name):  # how a layer gets its own class
            self.visit(target.value)
            known = frozenset(("inst", rest[0]) for kind, *rest in value if kind == "class")
            self.scope.set(target.value.id, known)
            return
        owner = self.visit(target.value)
        if not owner:
            self.suspect(target)
        for kind, *rest in owner:
            if kind == "inst":
                what = f"{rest[0]}.{target.attr}"
                found = self.api.member_or_derived(rest[0], target.attr)
                self.available(target, what, found)
                fixed = {r for r, m in found.items() if m.kind not in ("read-write", "write-only", "callback")}
                if fixed & self.releases and not self.forgiven & MISSING:
                    self.problem(target, f"{what}: cannot be set in {self.names(fixed & self.releases)}")
            elif kind == "our":
                note(rest[0].defining, target.attr, value)

    def visit_Import(self, node):
        for alias in node.names:
            if alias.name.split(".")[0] in ("tensorrt", "tensorrt_rtx"):
                self.scope.set(alias.asname or alias.name.split(".")[0], one("module"))
            else:
                self.scope.set(alias.asname or alias.name.split(".")[0], UNKNOWN)

    def visit_ImportFrom(self, node):
        ours = node.level == 1 and self.source.module or (node.module or "").split(".")[0] == "helpers"
        for alias in node.names:
            value, name = UNKNOWN, alias.asname or alias.name
            if node.module == "tensorrt":
                value = self.from_module(node, alias.name)
            elif ours:
                module = (node.module or "").removeprefix("helpers").removeprefix(".") or alias.name
                self.note_import(module)
                if (module, alias.name) == ("trt", "trt"):
                    value = one("module")
                elif not (node.module or "").removeprefix("helpers"):
                    value = one("helpers", module)
                else:
                    scope = self.checker.modules.get(module)
                    value = (scope.ever.get(alias.name) or UNKNOWN) if scope else UNKNOWN
            self.scope.set(name, value)

    def note_import(self, module: str) -> None:
        self.checker.imported[module] = self.checker.imported.get(module, frozenset()) | self.releases

    def visit_FunctionDef(self, node):
        for default in [*node.args.defaults, *filter(None, node.args.kw_defaults), *node.decorator_list]:
            self.visit(default)
        self.scope.set(node.name, one("function", self.make_function(node, None)))

    visit_AsyncFunctionDef = visit_FunctionDef

    def make_function(self, node, owner: Ours | None) -> Function:
        function = self.checker.functions.get(node)
        if function is None:
            function = self.checker.functions[node] = Function(node, self.scope, self.source, self.releases, owner)
        function.scope, function.releases = self.scope, self.releases
        self.later.append(function)
        return function

    def visit_ClassDef(self, node):
        ours = self.checker.classes.setdefault(node, Ours([], []))
        ours.bases, ours.parents = [], []
        for base in node.bases:
            for kind, *rest in self.visit(base):
                if kind == "class":
                    ours.bases.append(rest[0])
                elif kind == "ourclass":
                    ours.parents.append(rest[0])
        for part in node.body:
            if isinstance(part, ast.FunctionDef | ast.AsyncFunctionDef):
                decorators = {ast.unparse(d) for d in part.decorator_list}
                function = self.make_function(part, ours if not decorators & {"staticmethod", "classmethod"} else None)
                is_property = decorators & {"property", "functools.cached_property", "cached_property"}
                ours.members[part.name] = ours.defining[part.name] = one(
                    "property" if is_property else "function", function
                )
            elif isinstance(part, ast.AnnAssign) and isinstance(part.target, ast.Name):
                ours.defining[part.target.id] = self.annotation(part.annotation)
                if part.value:
                    self.visit(part.value)
            else:
                saved = dict(self.scope.now)
                self.visit(part)
                self.scope.now = saved
        self.scope.set(node.name, one("ourclass", ours))

    def run_function(self, function: Function) -> None:
        node = function.node
        saved = self.scope, self.releases, self.forgiven, self.function
        self.scope, self.releases, self.forgiven, self.function = (
            Scope(function.scope),
            function.releases,
            frozenset(),
            function,
        )
        arguments = node.args
        parameters = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs]
        callback = self.callback_types(function)
        for position, parameter in enumerate(parameters):
            value = self.annotation(parameter.annotation)
            if function.owner and position == 0:
                value = one("our", function.owner)
            elif not value and callback is not None and position - 1 < len(callback):
                value = self.type_value(callback[position - 1])
            usual = one("inst", CONVENTIONS[parameter.arg]) if parameter.arg in CONVENTIONS else UNKNOWN
            self.scope.set(parameter.arg, value or function.given.get(parameter.arg) or usual)
        for parameter in filter(None, (arguments.vararg, arguments.kwarg)):
            self.scope.set(parameter.arg, UNKNOWN)
        if isinstance(node, ast.Lambda):
            function.result = self.visit(node.body)
        else:
            function.returned = []
            self.block(node.body)
            declared = self.annotation(node.returns) if node.returns else UNKNOWN
            results = None
            for index, value in enumerate(function.returned):
                results = value if index == 0 else merge(results, value)
            function.result = declared or results or UNKNOWN
        self.scope, self.releases, self.forgiven, self.function = saved

    def callback_types(self, function: Function) -> list[str] | None:
        """The types of the parameters where TensorRT calls a method that overrides its own."""
        for base in function.owner.bases if function.owner and not isinstance(function.node, ast.Lambda) else ():
            for member in self.api.member(base, function.node.name).values():
                if member.overloads and member.overloads[0] is not None and function.node.name != "__init__":
                    return [parameter.type for parameter in member.overloads[0]]
        return None

    def visit_Return(self, node):
        value = self.visit(node.value) if node.value else one("plain", "None")
        if self.function and value != one("plain", "None"):
            self.function.returned.append(value)

    def visit_Yield(self, node):
        value = self.visit(node.value) if node.value else UNKNOWN
        if self.function and value:
            self.function.returned.append(one("seq", value))
        return UNKNOWN

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


def _leaves(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)


def check(root: Path = ROOT) -> Checker:
    """Reads helpers/, the notebooks with and without the solutions, and what checks the exercises."""
    return Checker(sources(root)).run()


if __name__ == "__main__":
    done = check()
    print(f"{done.resolved} uses of TensorRT's API, {len(done.problems)} problems")
    sys.exit("\n".join(map(str, done.problems)) or 0)
