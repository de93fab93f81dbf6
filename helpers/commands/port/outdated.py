"""Finds outdated TensorRT calls in the syntax tree of a program. ``port`` (chapter 12) makes the report.

A name counts where the object that it is asked of is known, or where no other library has it. What only runs behind a
test (``guards``) is found too, but marked as guarded. Standard library only.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Iterator, Sequence

from ..api_names import find, names
from . import commands
from .finding import Finding, gone
from .guards import Guards
from .made import Made
from .receivers import Receivers
from .things import COMMON, Thing

_UNMISTAKABLE = {"execute_async", "set_shape_input"}  # though a plugin class has a method of the same name
# What is asked of these is a setting of the same name.
_SETTINGS = re.compile("self|cls|args?|opts?|options|flags|FLAGS|cfg|params|hparams|kwargs")
_MANAGERS = ("Builder", "INetworkDefinition", "OnnxParser", "Runtime", "ICudaEngine", "IExecutionContext")
# What can only be read now: class and attribute -> how it is called, when that came, what to write, and why.
_READ_ONLY = {
    ("ITensor", "dtype"): (
        "ITensor.dtype =", "11 (still in 10.16)",
        "network.add_cast(tensor, trt.float16), or the type given to add_input", "The type can only be read now."),
    ("IExecutionContext", "active_optimization_profile"): (
        "active_optimization_profile =", "10.13 (still in 8.6)",
        "context.set_optimization_profile_async(0, stream_handle)", "It can only be read now."),
}  # fmt: skip
_SET = ("Builder", "IBuilderConfig")  # whose settings are set by names that are made at run time
_DEPENDING = {  # packages that call TensorRT themselves, each in its own releases
    "torch2trt": "a release of torch2trt for your TensorRT, or torch.onnx.export and a plan of your own",
    "torch2trt_dynamic": "torch.onnx.export and a plan of your own",
    "onnx_tensorrt": "trt.OnnxParser, or the release of onnx-tensorrt for your TensorRT",
}


class Program:
    """One program. ``trees`` are its parts: one for a script, one for each code cell of a notebook.

    >>> tree = ast.parse("from tensorrt import BuilderFlag as Flag; Flag.FP16")
    >>> [finding.name for finding in Program([tree]).findings(tree, "")]
    ['BuilderFlag.FP16']
    """

    def __init__(self, trees: Sequence[ast.AST]):
        self._things = Receivers(trees)
        self._made = Made(trees, self._things)
        self._told: set[str] = set()  # what is said once
        self._guards = Guards(trees, self._things)

    def findings(self, tree: ast.AST, source: str) -> list[Finding]:
        """Returns what is outdated in ``tree``, one of the parts, by line; each name once a line.

        ``source`` is the text of that part, in which flags in strings of several lines are looked for.
        """
        found: dict[tuple[int, str], Finding] = {}
        lines = source.split("\n")
        for node in ast.walk(tree):
            in_strings = commands.in_code(node, next(self._things.parents(node), None), self._made.is_command, lines)
            for finding in filter(None, [*self._of(node), *in_strings]):
                if (finding.line, finding.name) not in found:
                    guarded = finding.guarded or self._guards.stand_around(node)
                    found[finding.line, finding.name] = dataclasses.replace(finding, guarded=guarded)
        return [found[key] for key in sorted(found)]

    def _of(self, node: ast.AST) -> Iterator[Finding | None]:
        """Yields what is outdated in the node itself, without the nodes inside it."""
        match node:
            case ast.Attribute():
                yield self._member(node)
            case ast.Import() | ast.ImportFrom():
                yield from (_imported(node, alias) for alias in node.names)
                yield self._depending(node)
            case ast.Call():
                yield self._call(node)
                yield self._load(node)
                yield from self._by_text(node)
            case ast.With() | ast.AsyncWith():
                yield from (self._managed(item.context_expr) for item in node.items)
            case ast.Subscript():
                yield self._binding(node)
            case ast.BinOp():
                yield self._shift(node)
            case ast.Expr(value=ast.Call(func=ast.Attribute() as func)):
                yield self._ignored(func)

    def _depending(self, node: ast.Import | ast.ImportFrom) -> Finding | None:
        """Looks for a package that calls TensorRT itself; says so once."""
        path = node.module or "" if isinstance(node, ast.ImportFrom) and not node.level else ""
        roots = [path or alias.name for alias in node.names] if path or isinstance(node, ast.Import) else []
        first = next((name for name in (root.split(".")[0] for root in roots) if name in _DEPENDING), None)
        if first is None or first in self._told:
            return None
        self._told.add(first)
        advice = f"{first} calls TensorRT itself, and its older releases by names that are gone."
        return Finding(node.lineno, first, "advice", "", _DEPENDING[first], advice)

    def _is(self, node: ast.AST, name: str) -> bool:
        return self._things.of(node) == Thing("object", name)

    def _member(self, node: ast.Attribute) -> Finding | None:
        owner, attr, line = self._things.of(node.value) or self._given_type(node), node.attr, _end(node)
        if attr == "set_shape_input" and self._of_profile(node):
            return None
        if owner is None:
            return self._by_name_alone(node)
        if owner.what == "module":
            entry = names().get(attr) or names().get(f"tensorrt.{attr}")
            return gone(line, entry) if entry else _of_headers(attr, line)
        if owner.what == "class" and names()[owner.name].gone:
            return None  # said of the class already
        if isinstance(node.ctx, ast.Store) and (owner.name, attr) in _READ_ONLY:
            name, when, use, advice = _READ_ONLY[owner.name, attr]
            return Finding(line, name, "changed", when, use, advice)
        entries = [names().get(f"{name}.{attr}") for name in owner.classes]
        entry = min(entries, key=lambda entry: entry is not None and entry.gone)  # gone only if it is from all of them
        if entry is None and owner.name.endswith("Layer"):
            entry = names().get(f"ILayer.{attr}")
        return gone(line, entry) if entry else _of_headers(f"{owner.name}.{attr}", line)

    def _of_profile(self, node: ast.Attribute) -> bool:
        """Says whether a call has a name and three lists of values, as a profile's set_shape_input; a context's has two
        arguments."""
        parent = next(self._things.parents(node), None)
        return isinstance(parent, ast.Call) and len(parent.args) + len(parent.keywords) > 2

    def _given_type(self, node: ast.Attribute) -> Thing | None:
        """Returns what ``x`` is in ``x.dtype = trt.int8`` or ``x.precision = trt.int8``; None for self and the like."""
        owner = {"dtype": "ITensor", "precision": "ILayer"}.get(node.attr)
        parent = next(self._things.parents(node), None)
        if not owner or not isinstance(parent, ast.Assign) or _SETTINGS.fullmatch(getattr(node.value, "id", "")):
            return None
        given = self._things.of(parent.value.value) if isinstance(parent.value, ast.Attribute) else None
        return Thing("object", owner) if given in (Thing("module"), Thing("class", "DataType")) else None

    def _by_name_alone(self, node: ast.Attribute) -> Finding | None:
        last = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        if "_" not in node.attr or COMMON.fullmatch(node.attr) or _SETTINGS.fullmatch(last):
            return None
        entries = [entry for entry in find(node.attr) if entry.member == node.attr and entry.owner]
        entries = [entry for entry in entries if entry.kind not in ("value", "C++ only")]
        old = [entry for entry in entries if entry.gone]
        if not old or (len(old) < len(entries) and not (node.attr in _UNMISTAKABLE and self._things.about_tensorrt)):
            return None
        return gone(_end(node), max(old, key=lambda entry: len(entry.releases)))

    def _call(self, node: ast.Call) -> Finding | None:
        func, line = node.func, _end(node.func)
        keywords = {keyword.arg for keyword in node.keywords}
        match func:
            case ast.Name(id="len") if len(node.args) == 1 and self._is(node.args[0], "ICudaEngine"):
                return gone(line, names()["ICudaEngine.__len__"], "len(engine)")
            case ast.Attribute(attr="execute" | "execute_async") if {"bindings", "batch_size"} & keywords:
                known = self._things.of(func.value)
                return None if known else gone(line, names()[f"IExecutionContext.{func.attr}"])
            case ast.Attribute(attr="create_network") if node.args and _number(node.args[0]) not in (None, 0, 1):
                text = f"create_network({ast.unparse(node.args[0])})"
                use = "1 << int(trt.NetworkDefinitionCreationFlag.NAME), where the name exists"
                advice = names()["NetworkDefinitionCreationFlag.EXPLICIT_BATCH"].advice
                return Finding(line, text, "changed", "10 and 11: the bits have moved", use, advice)
            case ast.Attribute(attr="add_quantize" | "add_dequantize") if self._is(func.value, "INetworkDefinition"):
                if len(node.args) + len(keywords) < 3 and None not in keywords:
                    text, use = f"{func.attr}(x, scale)", f"network.{func.attr}(x, scale, type)"
                    advice = "The type is needed now; 8.6 takes none."
                    return Finding(line, text, "changed", "11.4 (still in 10.16)", use, advice)
        return None

    def _load(self, node: ast.Call) -> Finding | None:
        """Looks at a plan that is loaded before the plugins are registered, where there is a sign that it has some."""
        loads = isinstance(node.func, ast.Attribute) and node.func.attr == "deserialize_cuda_engine"
        if not loads or not self._made.may_have_plugins:
            return None
        use = 'trt.init_libnvinfer_plugins(logger, "") before it, if the plan has plugins'
        advice = "Making an OnnxParser registers TensorRT's own plugins; loading a plan in another process does not."
        return Finding(_end(node.func), "deserialize_cuda_engine", "advice", "", use, advice)

    def _by_text(self, node: ast.Call) -> Iterator[Finding | None]:
        """Looks at setattr and getattr with a name that stands in the program, as if it were written with a dot."""
        if not isinstance(node.func, ast.Name) or node.func.id not in ("setattr", "getattr") or len(node.args) < 2:
            return
        receiver, key = node.args[:2]
        said = self._made.texts(key)
        context = ast.Store() if node.func.id == "setattr" else ast.Load()
        for text, line in said:
            finding = self._member(ast.Attribute(receiver, text, context, lineno=line, end_lineno=line))
            asks = node.func.id == "getattr" and len(node.args) > 2  # it has an answer where the name is gone
            yield dataclasses.replace(finding, guarded=asks) if finding else None
        thing = self._things.of(receiver)
        if not said and thing and thing.what == "object" and thing.name in _SET:
            use = "the names that are set, one by one: port does not see them"
            yield Finding(node.lineno, f"{node.func.id}({thing.name}, …)", "advice", "", use)

    def _managed(self, node: ast.expr) -> Finding | None:
        """Looks at what is given to ``with``."""
        thing = self._things.of(node)
        if not thing or thing.what != "object" or thing.name not in _MANAGERS:
            return None
        use = "an ordinary assignment: TensorRT warns, and nothing is freed at the end of the block"
        return Finding(node.lineno, f"with {thing.name}", "advice", "", use)

    def _binding(self, node: ast.Subscript) -> Finding | None:
        by_name = isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str)
        if not by_name or not self._is(node.value, "ICudaEngine"):
            return None
        return gone(node.lineno, names()["ICudaEngine.get_binding_index"], "engine[name]")

    def _shift(self, node: ast.BinOp) -> Finding | None:
        """Looks for ``1 << trt.BuilderFlag.FP16``: a shift by a member of an enum."""
        if not isinstance(node.op, ast.LShift) or not isinstance(node.right, ast.Attribute):
            return None
        owner = self._things.of(node.right.value)
        if not owner or owner.what != "class" or names()[owner.name].kind != "enum":
            return None
        value = f"{owner.name}.{node.right.attr}"
        use = f"1 << int(trt.{value})"
        return Finding(_end(node.right), f"1 << {value}", "changed", "8.6 or before", use, "A TypeError.")

    def _ignored(self, func: ast.Attribute) -> Finding | None:
        """Looks at a call that is a statement of its own: nobody sees what it returns."""
        if func.attr not in ("parse", "parse_from_file") or not self._is(func.value, "OnnxParser"):
            return None
        advice = "It returns False for a model that it cannot read; what follows then fails elsewhere."
        use = f"if not parser.{func.attr}(…): read parser.get_error(i).desc()"
        return Finding(_end(func), f"{func.attr} ignored", "advice", "", use, advice)


def _end(node: ast.expr) -> int:
    """Returns the line in which an expression ends, and the name of an attribute stands."""
    return node.end_lineno or node.lineno


def _of_headers(name: str, line: int) -> Finding | None:
    """Finds what Python lost before 8, of which only C++'s headers tell: ``Builder.default_device_type``."""
    owner, _, attr = name.rpartition(".")
    if attr == "destroy":  # C++ alone had it
        return None
    scope = f"nvinfer1::{'I' * (owner in _MANAGERS and owner[0] != 'I')}{owner}".removesuffix("::") + "::"
    for spelling in (attr, f"get_{attr}", f"set_{attr}") if owner else (attr,):
        for entry in find(f"{scope}{spelling}"):
            if entry.name.startswith(scope) and entry.name.count("::") == scope.count("::"):
                found = gone(line, entry, name)
                return dataclasses.replace(found, use=entry.use or "nothing of this name") if found else None
    return None


def _imported(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> Finding | None:
    path = f"{'.' * node.level}{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
    if path == "pycuda.autoinit":
        use = "pycuda.driver.Device(0).retain_primary_context(), or cuda-bindings"
        advice = "It works, but makes a CUDA context of its own, which PyTorch and other libraries do not share."
        return Finding(alias.lineno, path, "advice", "", use, advice)
    first, *rest = path.split(".")
    entry = names()[first] if first in ("uff", "graphsurgeon") else None
    if first == "tensorrt":
        member = rest[0] if rest else ""
        entry = names().get(path) or names().get(member) or names().get(f"tensorrt.{member}")
    return gone(alias.lineno, entry)


def _number(node: ast.AST) -> int | None:
    """Returns the value of a number or a shift of numbers, such as 1 << 1; None for all else, and beyond 64 bits."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift):
        left, right = _number(node.left), _number(node.right)
        number = None if left is None or right is None or right > 63 else left << right
    else:
        number = node.value if isinstance(node, ast.Constant) and isinstance(node.value, int) else None
    return None if number is None or number >> 64 else number
