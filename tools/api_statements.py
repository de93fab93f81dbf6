"""Statements, for tools/api_use.py: what they bind, and in which releases of TensorRT each of them may run."""

from __future__ import annotations

import ast

from tools.api_calls import Calls
from tools.api_expressions import MISSING
from tools.api_values import UNKNOWN, Function, Ours, Scope, Value, merge, note, one

# What a parameter of these names is where neither an annotation nor a call says so.
CONVENTIONS = {
    "builder": "Builder",
    "config": "IBuilderConfig",
    "context": "IExecutionContext",
    "engine": "ICudaEngine",
    "net": "INetworkDefinition",
    "network": "INetworkDefinition",
}


class Reader(Calls):
    """Walks through one source in the order in which it runs. ``visit`` of an expression returns its Value."""

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


def _leaves(body: list[ast.stmt]) -> bool:
    return bool(body) and isinstance(body[-1], ast.Return | ast.Raise | ast.Continue | ast.Break)
