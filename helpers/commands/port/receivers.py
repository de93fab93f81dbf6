"""Finds out which TensorRT object an expression in a program is, by reading, without running it.

Behind the command ``port`` (chapter 12). Follows imports of TensorRT, assignments, ``with``, attributes of ``self``,
the results of the file's own functions and what they are given. A name that may be two things is none. What is given
from outside is known by what is asked of it, as add_input tells a network, or by a well-known name, such as engine.
"""

from __future__ import annotations

import ast
import itertools
import re
from collections.abc import Iterator, Sequence

from ..api_names import names
from .blocks import Blocks
from .things import ATTRIBUTES, BY_NAME, FOREIGN, LAYER, OTHER, RESULTS, UNKNOWN, Thing, result, stronger, telling

_MODULE = re.compile(r"tensorrt(_rtx|_lean|_dispatch|_bindings)?(?![\w.])")
# Imports of a program that has to do with TensorRT: in it, well-known names are taken for what they say.
_ABOUT = re.compile(r"(?<![a-z])trt|2trt|tensorrt")
_OWN = re.compile(r"(^|\.)trt$")  # `from helpers.trt import trt`: a module of one's own that chooses the flavour
_FUNCTION = (ast.FunctionDef, ast.AsyncFunctionDef)
_Function = ast.FunctionDef | ast.AsyncFunctionDef
_Key = tuple[ast.AST | None, str]  # a scope and a name in it, with "self." before an attribute of a class
_SCOPE = (*_FUNCTION, ast.Lambda, ast.ClassDef)
_TELLING = (
    *(ast.Assign, ast.AnnAssign, ast.NamedExpr, ast.withitem, ast.For, ast.comprehension),
    *(ast.arg, ast.Return, ast.Call),
)
_DEEPEST = 200  # nodes around a name that are looked through
_FURTHEST = 20  # assignments of which one is what the other gave
_NAMESAKES = 20  # functions of one name that are looked at: a call is compared with each of them


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
        self._known: dict[_Key, Thing] = {}
        self._asked: dict[_Key, set[str]] = {}  # the classes whose members are asked of a name
        self._blocks = Blocks()
        self._depth = 0
        self._answers: dict[ast.AST, Thing | None] = {}  # of one round, in which what was known before it stays
        self.about_tensorrt = False
        nodes = [node for tree in trees for node in ast.walk(tree)]
        for node in nodes:
            self._place(node)
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
        self._blocks.add(node)
        if isinstance(node, _FUNCTION) and len(same := self._functions.setdefault(node.name, [])) < _NAMESAKES:
            same.append(node)
        if isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                bound = self._scope(node), alias.asname or alias.name.split(".")[0]
                self._known[bound] = self._imported(node, alias) or self._known.get(bound, OTHER)
                path = f"{getattr(node, 'module', None) or ''}.{alias.name}"
                self.about_tensorrt |= bool(_ABOUT.search(path)) and "tensorflow" not in path
        if isinstance(node, ast.Attribute):
            if node.attr in telling() and (key := self.key(node.value)):
                self._asked.setdefault(key, set()).add(telling()[node.attr])
            self.about_tensorrt |= isinstance(node.value, ast.Name) and node.value.id == "trt" and node.attr in names()

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
        key = self.key(node)
        found = self._look_up(key)
        if found and (found in (OTHER, LAYER) or len(found.classes) > 1) and isinstance(node, ast.Name):
            found = self._last(node) or found
        if found not in (None, UNKNOWN):
            return found if found not in (OTHER, FOREIGN) else None
        name = node.id if isinstance(node, ast.Name) else node.attr
        if isinstance(node, ast.Attribute) and (member := self._attribute(self.of(node.value), name)):
            return member
        if key and name == "trt":
            return Thing("module")
        return self._guessed(node, key, name) if self.about_tensorrt else None

    def _last(self, node: ast.Name) -> Thing | None:
        """Returns what a name that is now this and now that was given last, if that is seen."""
        inside = itertools.islice(self.parents(node), _DEEPEST)
        around = itertools.takewhile(lambda parent: not isinstance(parent, _SCOPE), inside)
        value = self._blocks.last(node.id, around) if self._depth < _FURTHEST else None
        self._depth += 1
        found = self.of(value) if value else None
        self._depth -= 1
        return found

    def _guessed(self, node: ast.expr, key: _Key | None, name: str) -> Thing | None:
        """Returns what a name stands for by what is asked of it, else by what it says.

        ``x.network`` of anything counts as a network only where a network's member is asked of it.
        """
        asked = self._asked.get(key, set()) if key else set()
        if len(asked) == 1:
            return Thing("object", min(asked))
        if name not in BY_NAME:
            return None
        parent = self._parents.get(node)
        member = f"{BY_NAME[name]}.{parent.attr}" if isinstance(parent, ast.Attribute) else ""
        return Thing("object", BY_NAME[name]) if key or member in names() else None

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
            return Thing("object", ATTRIBUTES[base.name, attr]) if (base.name, attr) in ATTRIBUTES else None
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
                return result(base, func.attr)
            if func.attr in RESULTS and func.attr not in self._functions:
                return Thing("object", RESULTS[func.attr])
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

    def key(self, node: ast.AST) -> _Key | None:
        if isinstance(node, ast.Name):
            return self._scope(node), node.id
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id == "self":
            return self._scope(node, (ast.ClassDef,)), f"self.{node.attr}"
        return None

    def _look_up(self, key: _Key | None) -> Thing | None:
        if key is None:
            return None
        scope, name = key
        if name.startswith("self."):
            return self._before.get(key)
        while (scope, name) not in self._before and scope is not None:
            scope = self._scope(scope)
        return self._before.get((scope, name))

    def _set(self, key: _Key | None, thing: Thing) -> None:
        if key is not None:
            self._known[key] = stronger(self._known.get(key), thing)

    def _bind(self, target: ast.AST, value: ast.AST | None) -> None:
        if isinstance(value, ast.Constant) and not value.value:  # None, "", False: something else comes later
            return
        if isinstance(target, (ast.Tuple, ast.List)):
            values = value.elts if isinstance(value, (ast.Tuple, ast.List)) else []
            for number, part in enumerate(target.elts):
                self._bind(part, values[number] if len(values) == len(target.elts) else value)
            return
        self._set(self.key(target), self._value(value))

    def _value(self, value: ast.AST | None) -> Thing:
        """Returns what a name becomes that is given a value."""
        thing = self.of(value) if value is not None and not isinstance(value, (ast.Tuple, ast.List)) else None
        if thing or value is None:
            return thing or OTHER
        if isinstance(value, ast.Call):
            return FOREIGN if self._foreign(value) else UNKNOWN
        return UNKNOWN if isinstance(value, (ast.Name, ast.Attribute, ast.Subscript, ast.Await)) else OTHER

    def _foreign(self, call: ast.Call) -> bool:
        """Says whether a call makes an object of another library, or of a class of one's own: sqlite3.connect()."""
        func = call.func
        last = func.attr if isinstance(func, ast.Attribute) else getattr(func, "id", "")
        while isinstance(func, ast.Attribute):
            func = func.value
        module = isinstance(func, ast.Name) and func is not call.func and self._look_up(self.key(func)) == OTHER
        return module or last[:1].isupper()

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
                if self.of(node.iter) == Thing("object", "INetworkDefinition"):
                    self._set(self.key(node.target), Thing("object", "ILayer"))
                else:
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


def _imports(call: ast.Call) -> bool:
    """Says whether a call imports TensorRT, as importlib.import_module("tensorrt") does, by any name with "import"."""
    match call.args:
        case [ast.Constant(value=str(text)), *_] if _MODULE.match(text):
            parts = (call.func, getattr(call.func, "value", None))
            return any("import" in getattr(part, name, "") for part in parts for name in ("id", "attr"))
    return False
