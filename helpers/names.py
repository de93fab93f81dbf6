"""Which names a notebook's statements read, bind and may change, found without running them.

Chapter 00 tells of cells that need a GPU; ``helpers.dependencies`` asks here what such a cell builds on. Reading code
cannot tell everything: where it is unsure whether an object is changed, it says yes.

>>> read_statements(["y = f(x)"])[0][0].binds
frozenset({'y'})
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable
from dataclasses import dataclass

# Calls that are known to leave their arguments, or the object that they belong to, as they are.
_PURE_FUNCTION = re.compile(
    "print|len|display|repr|str|int|float|bool|bytes|list|tuple|dict|set|sorted|reversed|min|max|sum|abs|round|"
    "isinstance|type|enumerate|zip|range|any|all|hash|id|getattr|hasattr|format|Path"
)
_PURE_METHOD = re.compile(
    "argmax|argmin|argsort|astype|sum|mean|std|min|max|copy|reshape|transpose|tobytes|tolist|item|numpy|items|keys|"
    "values|get|index|count|split|splitlines|strip|join|format|replace|startswith|endswith|lower|upper|decode|encode|"
    "read_bytes|read_text|exists|stat|get_layer|get_input|get_output|get_tensor_name|get_tensor_shape"
)
_WITHOUT_MEMORY = ("plt", "get_ipython")  # a figure is shown and closed at the end of its cell; magics are IPython's


@dataclass(frozen=True)
class Statement:
    """One top-level statement of a cell. An import of several names counts as several statements."""

    text: str
    reads: frozenset[str]  # names that must exist when it runs
    later: frozenset[str]  # names that the functions it defines read when they are called
    binds: frozenset[str]
    certain: frozenset[str]  # those of `binds` that are bound in any case, not only in one branch
    changes: frozenset[str]  # names whose objects it may change in place
    modules: frozenset[str]  # modules that it imports, by their full names
    strings: frozenset[str]  # the string constants in it


def read_statements(sources: Iterable[str]) -> list[list[Statement]]:
    """The statements of each cell of a notebook, in order, from their Python code. What does not parse has none."""
    reader = _Reader()
    return [_read_cell(reader, source) for source in sources]


def _read_cell(reader: _Reader, source: str) -> list[Statement]:
    try:
        tree = ast.parse(source)
    except SyntaxError:
        return []
    lines = source.splitlines()
    statements = []
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            for alias in node.names:
                single: ast.stmt = ast.Import([alias])
                if isinstance(node, ast.ImportFrom):
                    single = ast.ImportFrom(node.module, [alias], node.level)
                statements.append(reader.read(single, ast.unparse(single)))
        else:
            first = min([node.lineno, *(d.lineno for d in getattr(node, "decorator_list", []))])
            statements.append(reader.read(node, "\n".join(lines[first - 1 : node.end_lineno])))
    return statements


def _root(node: ast.AST) -> str | None:
    """``network`` for ``network.get_layer(0).get_output(0).name``; None where there is no name at the root."""
    while isinstance(node, ast.Attribute | ast.Subscript | ast.Starred | ast.Call | ast.Await):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None


class _Reader(ast.NodeVisitor):
    """Visits in the order of evaluation. Remembers imports, aliases and functions from one statement to the next."""

    def __init__(self, outer: _Reader | None = None):
        self.imported: set[str] = outer.imported if outer else set()
        self.aliases: dict[str, set[str]] = outer.aliases if outer else {}
        self.effects: dict[str, set[str]] = outer.effects if outer else {}
        self._start()

    def _start(self) -> None:
        self.reads, self.later, self.binds, self.changes = set[str](), set[str](), set[str](), set[str]()
        self.modules, self.strings, self.globals = set[str](), set[str](), set[str]()
        self.discarded: ast.AST | None = None

    def read(self, node: ast.stmt, text: str) -> Statement:
        self._start()
        self.visit(node)
        changes = set(self.changes)
        for name in self.changes:  # a layer is part of its network, a parser fills one
            changes |= self.aliases.get(name, set())
        certain = set() if isinstance(node, ast.If | ast.For | ast.While | ast.Try) else self.binds
        sets = (self.reads, self.later, self.binds, certain, changes, self.modules, self.strings)
        return Statement(text, *map(frozenset, sets))

    def _visit_all(self, *nodes: ast.AST | None | list) -> None:
        for node in nodes:
            if isinstance(node, list):
                self._visit_all(*node)
            elif node is not None:
                self.visit(node)

    def _alias(self, target: ast.AST, value: ast.AST) -> None:
        """Notes that what ``target`` names may belong to the objects that ``value`` was made from."""
        parts = [value]
        if isinstance(value, ast.Call):
            parts += [*value.args, *(keyword.value for keyword in value.keywords)]
        roots = {root for part in parts if (root := _root(part)) and root not in self.imported}
        roots |= {further for root in roots for further in self.aliases.get(root, ())}
        for node in ast.walk(target):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                self.aliases[node.id] = roots - {node.id}

    # Names
    def visit_Name(self, node):
        if isinstance(node.ctx, ast.Store):
            self.binds.add(node.id)
        elif node.id not in self.binds:
            self.reads.add(node.id)
        if isinstance(node.ctx, ast.Del):
            self.changes.add(node.id)

    def visit_Constant(self, node):
        if isinstance(node.value, str):
            self.strings.add(node.value)

    def visit_Import(self, node):
        self._import({alias.asname or alias.name.split(".")[0] for alias in node.names}, node, "")

    def visit_ImportFrom(self, node):
        self._import({alias.asname or alias.name for alias in node.names}, node, f"{node.module or ''}.")
        self.modules.add(node.module or "")

    def _import(self, names, node, prefix):
        self.binds |= names
        self.imported |= names
        self.modules |= {prefix + alias.name for alias in node.names}

    def visit_Global(self, node):
        self.globals.update(node.names)

    # Assignments, in the order in which Python evaluates them
    def visit_Assign(self, node):
        self._visit_all(node.value, node.targets)
        for target in node.targets:
            self._alias(target, node.value)

    def visit_AnnAssign(self, node):
        self._visit_all(node.value, node.annotation)
        if node.value is not None:
            self.visit(node.target)
            self._alias(node.target, node.value)

    def visit_AugAssign(self, node):
        self.visit(node.value)
        root = _root(node.target)
        if root:
            self.changes.add(root)
            self.reads |= {root} - self.binds
        self.visit(node.target)

    def visit_NamedExpr(self, node):
        self._visit_all(node.value, node.target)

    def visit_For(self, node):
        self._visit_all(node.iter, node.target)
        self._alias(node.target, node.iter)
        self._visit_all(node.body, node.orelse)

    def visit_withitem(self, node):
        self._visit_all(node.context_expr, node.optional_vars)
        self._alias(node.optional_vars or ast.Pass(), node.context_expr)

    def visit_ExceptHandler(self, node):
        self._visit_all(node.type)
        self.binds |= {node.name} - {None}
        self._visit_all(node.body)

    # Changes in place
    def _store_into(self, node):
        root = _root(node)
        if root and not isinstance(node.ctx, ast.Load):
            self.changes.add(root)
        self.generic_visit(node)

    visit_Attribute = visit_Subscript = _store_into

    def visit_Expr(self, node):
        self.discarded = node.value.value if isinstance(node.value, ast.Await) else node.value
        self.visit(node.value)

    def visit_Call(self, node):
        root, discarded = _root(node.func), node is self.discarded
        imported = root in self.imported
        method = node.func.attr if isinstance(node.func, ast.Attribute) else None
        pure = (_PURE_METHOD if method else _PURE_FUNCTION).fullmatch(method or root or "")
        # Of a call into an imported module, only one for its effect counts: np.random.seed(0).
        if method and root and not pure and (not imported or discarded) and root not in _WITHOUT_MEMORY:
            self.changes.add(root)
        if not pure and (discarded or not imported):
            arguments = [*node.args, *(keyword.value for keyword in node.keywords)]
            self.changes |= {a.id for a in arguments if isinstance(a, ast.Name)} - self.imported
        if isinstance(node.func, ast.Name):
            self.changes |= self.effects.get(node.func.id, set())
        self.generic_visit(node)

    # Scopes
    def _comprehension(self, node):
        outside = set(self.binds)
        for generator in node.generators:
            self._visit_all(generator.iter, generator.target, generator.ifs)
        self._visit_all(*([node.key, node.value] if isinstance(node, ast.DictComp) else [node.elt]))
        self.binds = outside

    visit_ListComp = visit_SetComp = visit_DictComp = visit_GeneratorExp = _comprehension

    def _function(self, node):
        arguments = node.args
        everything = [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs, arguments.vararg, arguments.kwarg]
        parameters = [argument for argument in everything if argument is not None]
        self._visit_all(getattr(node, "decorator_list", []), arguments.defaults, arguments.kw_defaults)
        self._visit_all([parameter.annotation for parameter in parameters], getattr(node, "returns", None))
        inner = _Reader(self)
        inner.binds = {parameter.arg for parameter in parameters}
        inner._visit_all(node.body)
        local = inner.binds - inner.globals
        self.later |= (inner.reads | inner.later) - local
        self.modules |= inner.modules
        self.strings |= inner.strings
        changes = (inner.changes - local) | (inner.globals & inner.binds)
        if isinstance(node, ast.Lambda):
            self.changes |= changes  # it may be called at any time
        else:
            self.binds.add(node.name)
            self.effects[node.name] = changes
            self.binds |= inner.globals & inner.binds

    visit_FunctionDef = visit_AsyncFunctionDef = visit_Lambda = _function

    def visit_ClassDef(self, node):
        self._visit_all(node.decorator_list, node.bases, [keyword.value for keyword in node.keywords])
        inner = _Reader(self)
        inner._visit_all(node.body)
        self.reads |= inner.reads - self.binds
        self.later |= inner.later
        self.modules |= inner.modules
        self.strings |= inner.strings
        self.binds.add(node.name)
        self.effects[node.name] = inner.changes - inner.binds
