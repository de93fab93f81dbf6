"""Finds out which TensorRT object an expression in a program is, by reading, without running it.

Behind the command ``port`` (chapter 12). Follows imports of TensorRT, assignments, ``with``, attributes of ``self``,
the results of the file's own functions and what they are given. A name that may be two things is none.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..api_names import names

_MODULE = re.compile(r"tensorrt(_rtx|_lean|_dispatch|_bindings)?(?![\w.])")
_OWN = re.compile(r"(^|\.)trt$")  # `from helpers.trt import trt`: a module of one's own that chooses the flavour
# What well-known calls return, whatever they are called on: no other library has methods of these names.
_RESULTS = {
    "create_network": "INetworkDefinition",
    "create_builder_config": "IBuilderConfig",
    "create_optimization_profile": "IOptimizationProfile",
    "build_cuda_engine": "ICudaEngine",
    "build_engine_with_config": "ICudaEngine",
    "build_serialized_network": "IHostMemory",
    "deserialize_cuda_engine": "ICudaEngine",
    "create_execution_context": "IExecutionContext",
    "create_execution_context_without_device_memory": "IExecutionContext",
    "get_plugin_registry": "IPluginRegistry",
}
# The same for calls whose names are common: only on these classes.
_TYPED = {
    ("Builder", "build_engine"): "ICudaEngine",
    ("CaffeParser", "parse"): "IBlobNameToTensor",
    ("IBlobNameToTensor", "find"): "ITensor",
    ("INetworkDefinition", "add_input"): "ITensor",
    ("INetworkDefinition", "get_input"): "ITensor",
    ("INetworkDefinition", "get_output"): "ITensor",
    ("INetworkDefinition", "get_layer"): "ILayer",
    ("INetworkDefinition", "add_convolution"): "IConvolutionLayer",
    ("INetworkDefinition", "add_deconvolution"): "IDeconvolutionLayer",
    ("INetworkDefinition", "add_pooling"): "IPoolingLayer",
    ("INetworkDefinition", "add_padding"): "IPaddingLayer",
    ("INetworkDefinition", "add_normalization"): "INormalizationLayer",
    ("INetworkDefinition", "add_loop"): "ILoop",
    ("INetworkDefinition", "add_if_conditional"): "IIfConditional",
}
_ATTRIBUTES = {("IExecutionContext", "engine"): "ICudaEngine", ("INetworkDefinition", "builder"): "Builder"}
# A parameter of such a name, or what an unknown function returned for it, is taken for what its name says.
_BY_NAME = {"builder": "Builder", "engine": "ICudaEngine", "context": "IExecutionContext"}
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_SCOPE = (*_FUNCTION, ast.Lambda, ast.ClassDef)
_TELLING = (
    *(ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.withitem, ast.For, ast.comprehension),
    *(ast.arg, ast.Return, ast.Call),
)
_NAMESAKES = 20  # functions of one name that are looked at: a call is compared with each of them


@dataclass(frozen=True)
class Thing:
    """A module, class or object of TensorRT, as ``what`` says. ``name``: the class's, "" for the module."""

    what: str
    name: str = ""


OTHER = Thing("other")  # certainly not TensorRT's, or now this and now that
UNKNOWN = Thing("unknown")  # what some function returned


class Receivers:
    """One program. ``trees`` are its parts: one for a script, one for each code cell of a notebook.

    >>> tree = ast.parse("import tensorrt\\nb = tensorrt.Builder(None)\\nb")
    >>> Receivers([tree]).of(tree.body[-1].value).name
    'Builder'
    """

    def __init__(self, trees: Sequence[ast.AST]):
        self._parents: dict[ast.AST, ast.AST] = {}
        self._scopes: dict[ast.AST, ast.AST | None] = {}  # the innermost around a node
        self._functions: dict[str, list[_Function]] = {}
        self._known: dict[tuple[ast.AST | None, str], Thing] = {}
        self._answers: dict[ast.AST, Thing | None] = {}  # of one round, in which what was known before it stays
        nodes = [node for tree in trees for node in ast.walk(tree)]
        for node in nodes:
            self._place(node)
        self.imports_tensorrt = any(thing != OTHER for thing in self._known.values())
        telling = [node for node in nodes if isinstance(node, _TELLING)]  # the few from which anything is learnt
        imported = dict(self._known)
        for _ in range(4):  # each round carries what is known one call further
            before, self._known = self._known, dict(imported)
            self._before, self._answers = before, {}
            for node in telling:
                self._learn(node)
            if self._known == before:
                break
        self._before, self._answers = self._known, {}

    def _place(self, node: ast.AST) -> None:
        """Notes what is inside the node and, if it is a function or an import, its names. The outer ones come first."""
        scope = node if isinstance(node, _SCOPE) else self._scopes.get(node)
        for child in ast.iter_child_nodes(node):
            self._parents[child], self._scopes[child] = node, scope
        if isinstance(node, _FUNCTION) and len(same := self._functions.setdefault(node.name, [])) < _NAMESAKES:
            same.append(node)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                bound = self._scope(node), alias.asname or alias.name.split(".")[0]
                self._known[bound] = self._imported(node, alias) or self._known.get(bound, OTHER)

    def of(self, node: ast.AST) -> Thing | None:
        """Returns what the expression ``node`` is, or None where that is not known."""
        if node in self._answers:  # each is asked for several times: of a chain of calls, twice as often per link
            return self._answers[node]
        found = None
        match node:
            case ast.Name() | ast.Attribute():
                found = self._named(node)
            case ast.Call():
                found = self._call(node)
            case ast.IfExp():
                found = self.of(node.body) or self.of(node.orelse)
            case ast.BoolOp():
                found = next(filter(None, map(self.of, node.values)), None)
            case ast.NamedExpr():
                found = self.of(node.value)
        self._answers[node] = found
        return found

    def _named(self, node: ast.Name | ast.Attribute) -> Thing | None:
        key = self._key(node)
        found = self._look_up(key) if key else None
        if found not in (None, UNKNOWN):
            return found if found != OTHER else None
        name = node.id if isinstance(node, ast.Name) else node.attr
        if isinstance(node, ast.Attribute) and (member := self._attribute(self.of(node.value), name)):
            return member
        if key and name == "trt":
            return Thing("module")
        return Thing("object", _BY_NAME[name]) if key and self.imports_tensorrt and name in _BY_NAME else None

    def parents(self, node: ast.AST) -> Iterator[ast.AST]:
        """Yields the nodes around ``node``, from the inside out."""
        around = self._parents.get(node)
        while around:
            yield around
            around = self._parents.get(around)

    def _attribute(self, base: Thing | None, attr: str) -> Thing | None:
        if base is None:
            return None
        if base.what == "object":
            return Thing("object", _ATTRIBUTES[base.name, attr]) if (base.name, attr) in _ATTRIBUTES else None
        if base.what == "module" and attr == "tensorrt":
            return base
        name = f"{base.name}.{attr}" if base.name else attr
        entry = names().get(name)
        return Thing("class", name) if entry and entry.kind in ("class", "enum") else None

    def _call(self, node: ast.Call) -> Thing | None:
        called, func = self.of(node.func), node.func
        if _imports(node):
            return Thing("module")
        if called and called.what == "class":
            return Thing("object", called.name)
        if isinstance(func, ast.Attribute):
            base = self.of(func.value)
            if base and base.what == "object":
                return _result(base, func.attr)
            if func.attr in _RESULTS and func.attr not in self._functions:
                return Thing("object", _RESULTS[func.attr])
        returned = {self._before.get((f, "return")) for f in self._called(node)} - {None, UNKNOWN}
        return returned.pop() if len(returned) == 1 and OTHER not in returned else None

    def _called(self, node: ast.Call) -> list[_Function]:
        """Returns the program's own functions that ``node`` may call."""
        func = node.func
        if isinstance(func, ast.Attribute) and isinstance(func.value, ast.Name) and func.value.id in ("self", "cls"):
            return self._functions.get(func.attr, [])
        return self._functions.get(func.id, []) if isinstance(func, ast.Name) else []

    def _scope(self, node: ast.AST, kind: tuple = _SCOPE) -> ast.AST | None:
        """Returns the innermost scope; all modules are one, None, since the cells of a notebook share their names."""
        scope = self._scopes.get(node)
        while scope is not None and not isinstance(scope, kind):
            scope = self._scopes.get(scope)
        return scope

    def _key(self, node: ast.AST) -> tuple[ast.AST | None, str] | None:
        if isinstance(node, ast.Name):
            return self._scope(node), node.id
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            return self._scope(node, (ast.ClassDef,)), f"self.{node.attr}"
        return None

    def _look_up(self, key: tuple[ast.AST | None, str]) -> Thing | None:
        scope, name = key
        if name.startswith("self."):
            return self._before.get(key)
        while (scope, name) not in self._before and scope is not None:
            scope = self._scope(scope)
        return self._before.get((scope, name))

    def _set(self, key: tuple[ast.AST | None, str] | None, thing: Thing | None) -> None:
        if key is None:
            return
        thing, before = thing or OTHER, self._known.get(key)
        if before in (None, UNKNOWN) or before == thing:
            self._known[key] = thing
        elif thing != UNKNOWN:
            self._known[key] = OTHER

    def _bind(self, target: ast.AST, value: ast.AST | None) -> None:
        if isinstance(value, ast.Constant) and value.value is None:
            return
        if isinstance(target, (ast.Tuple, ast.List)):
            values = value.elts if isinstance(value, (ast.Tuple, ast.List)) else []
            for number, part in enumerate(target.elts):
                self._bind(part, values[number] if len(values) == len(target.elts) else value)
            return
        thing = self.of(value) if value is not None and not isinstance(value, (ast.Tuple, ast.List)) else None
        own = isinstance(value, ast.Call) and (isinstance(value.func, ast.Name) or bool(self._called(value)))
        self._set(self._key(target), thing or (UNKNOWN if own or isinstance(value, ast.Name) else OTHER))

    def _learn(self, node: ast.AST) -> None:
        match node:
            case ast.Assign():
                for target in node.targets:
                    self._bind(target, node.value)
            case ast.AnnAssign() | ast.NamedExpr():
                self._bind(node.target, node.value)
            case ast.withitem(optional_vars=ast.expr() as target):
                self._bind(target, node.context_expr)
            case ast.For() | ast.comprehension():
                self._bind(node.target, None)
            case ast.arg(annotation=ast.expr() as annotation):
                if (annotated := self.of(annotation)) and annotated.what == "class":
                    self._set((self._scope(node), node.arg), Thing("object", annotated.name))
            case ast.Return(value=ast.expr() as value):
                if thing := self.of(value):
                    self._set((self._scope(node, _FUNCTION), "return"), thing)
            case ast.Call():
                for function in self._called(node):
                    self._pass(node, function)

    def _pass(self, call: ast.Call, function: _Function) -> None:
        parameters = [*function.args.posonlyargs, *function.args.args]
        if isinstance(call.func, ast.Attribute):
            parameters = parameters[1:]  # self
        given = list(zip((p.arg for p in parameters), call.args, strict=False))
        for name, value in [*given, *((keyword.arg, keyword.value) for keyword in call.keywords if keyword.arg)]:
            if thing := self.of(value):
                self._set((function, name), thing)

    def _imported(self, node: ast.Import | ast.ImportFrom, alias: ast.alias) -> Thing | None:
        if isinstance(node, ast.Import):
            return Thing("module") if _MODULE.fullmatch(alias.name.split(".")[0]) else None
        if _MODULE.fullmatch(node.module or "") and node.level == 0:
            return self._attribute(Thing("module"), alias.name)
        return Thing("module") if alias.name == "trt" and _OWN.search(node.module or "") else None


def _result(owner: Thing, method: str) -> Thing | None:
    """Returns what a method of an object returns."""
    if method == "__enter__":
        return owner
    found = _TYPED.get((owner.name, method)) or _RESULTS.get(method)
    if not found and owner.name == "INetworkDefinition" and method.startswith("add_"):
        found = _TYPED.get((owner.name, method.removesuffix("_nd")), "ILayer")
    if not found and owner.name.endswith("Layer") and method in ("get_input", "get_output"):
        found = "ITensor"
    return Thing("object", found) if found else None


def _imports(call: ast.Call) -> bool:
    """Says whether a call imports TensorRT, as importlib.import_module("tensorrt") does, by any name with "import"."""
    match call.args:
        case [ast.Constant(value=str(text)), *_] if _MODULE.match(text):
            parts = (call.func, getattr(call.func, "value", None))
            return any("import" in getattr(part, name, "") for part in parts for name in ("id", "attr"))
    return False
