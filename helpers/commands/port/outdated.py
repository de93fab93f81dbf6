"""Finds outdated TensorRT calls in the syntax tree of a program. ``port`` (chapter 12) makes the report.

A name counts where the object that it is asked of is known, or where no other library has it. Code behind a test of the
version, ``hasattr`` or ``except AttributeError`` is found too, but marked as guarded. Standard library only.
"""

from __future__ import annotations

import ast
import dataclasses
import re
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass

from ..api_names import Name, find, names
from .receivers import Receivers, Thing

# Names of removed members that other libraries or one's own classes have too: these need a receiver that is known.
_COMMON = re.compile(
    "add_(convolution|deconvolution|padding|pooling)|build_engine|cell_state|compute_precision|components_per_element|"
    "data_length|free|get_(algorithm|batch|batch_size|location|quantile|shape|strides)|hidden_.*|input_mode|"
    "kernel_size|max_batch_size|max_seq_length|num_fields|num_output_channels|parse_buffer|(read|write)_.*_cache|"
    "register_(in|out)put|seq_lengths|tensor_format|timing_msec|vectorized_dim|workspace_size"
)
_UNMISTAKABLE = {"execute_async", "set_shape_input"}  # though a plugin class has a method of the same name
# What is asked of these is a setting of the same name.
_SETTINGS = re.compile("self|cls|args?|opts?|options|flags|FLAGS|cfg|params|hparams|kwargs")
_MANAGERS = ("Builder", "INetworkDefinition", "OnnxParser", "Runtime", "ICudaEngine", "IExecutionContext")
_CAPABILITY = ("has", "require", "missing")  # helpers.trt


@dataclass(frozen=True)
class Finding:
    """One outdated thing. ``level``: "gone", "changed" (it works no more as it did) or "advice" (it still works)."""

    line: int  # of the file, or of the cell
    name: str
    level: str
    when: str  # the release in which it went or changed
    use: str
    advice: str = ""
    guarded: bool = False  # only runs where a test says that it may
    cell: int = 0  # of a notebook, counted from 1


class Program:
    """``trees``: the parts of one program, one for a script, one for each code cell of a notebook.

    >>> tree = ast.parse("from tensorrt import BuilderFlag as Flag; Flag.FP16")
    >>> [finding.name for finding in Program([tree]).findings(tree)]
    ['BuilderFlag.FP16']
    """

    def __init__(self, trees: Sequence[ast.AST]):
        self._things = Receivers(trees)
        self._versions: dict[str, ast.AST] = {  # names for the version, or for what a test of it said
            target.id: node.value
            for tree in trees
            for node in ast.walk(tree)
            if isinstance(node, ast.Assign) and _says(node.value, "__version__")
            for target in node.targets
            if isinstance(target, ast.Name)
        }
        self._tests: dict[ast.AST, tuple[bool, Collection[ast.AST]]] = {}

    def findings(self, tree: ast.AST) -> list[Finding]:
        """What is outdated in ``tree``, one of the parts, by line; each name once a line."""
        found: dict[tuple[int, str], Finding] = {}
        for node in ast.walk(tree):
            for line, finding in self._of(node):
                if (line, finding.name) not in found:
                    guarded = self._guarded(node)
                    found[line, finding.name] = dataclasses.replace(finding, line=line, guarded=guarded)
        return [found[key] for key in sorted(found)]

    def _of(self, node: ast.AST) -> Iterator[tuple[int, Finding]]:
        if isinstance(node, ast.Attribute):
            finding = self._member(node)
            if finding:
                yield node.end_lineno or node.lineno, finding
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            for alias in node.names:
                finding = _imported(node, alias)
                if finding:
                    yield alias.lineno, finding
        elif isinstance(node, ast.Call):
            finding = self._call(node)
            if finding:
                yield node.func.end_lineno or node.func.lineno, finding
        elif isinstance(node, (ast.With, ast.AsyncWith)):
            for item in node.items:
                thing = self._things.of(item.context_expr)
                if thing and thing.what == "object" and thing.name in _MANAGERS:
                    use = "an ordinary assignment: TensorRT warns, and nothing is freed at the end of the block"
                    yield item.context_expr.lineno, Finding(0, f"with {thing.name}", "advice", "", use)
        elif isinstance(node, ast.Subscript) and self._is(node.value, "ICudaEngine"):
            if isinstance(node.slice, ast.Constant) and isinstance(node.slice.value, str):
                yield node.lineno, _gone(names()["ICudaEngine.get_binding_index"], "engine[name]")
        elif isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift) and isinstance(node.right, ast.Attribute):
            owner = self._things.of(node.right.value)
            if owner and owner.what == "class" and names()[owner.name].kind == "enum":
                value = f"{owner.name}.{node.right.attr}"
                use = f"1 << int(trt.{value})"
                yield (
                    node.right.end_lineno or node.right.lineno,
                    Finding(0, f"1 << {value}", "changed", "8.6 or before", use, "A TypeError."),
                )
        elif isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
            func = node.value.func
            methods = ("parse", "parse_from_file")
            if isinstance(func, ast.Attribute) and func.attr in methods and self._is(func.value, "OnnxParser"):
                advice = "It returns False for a model that it cannot read; what follows then fails elsewhere."
                use = f"if not parser.{func.attr}(…): read parser.get_error(i).desc()"
                yield func.end_lineno or func.lineno, Finding(0, f"{func.attr} ignored", "advice", "", use, advice)

    def _is(self, node: ast.AST, name: str) -> bool:
        return self._things.of(node) == Thing("object", name)

    def _member(self, node: ast.Attribute) -> Finding | None:
        owner, attr = self._things.of(node.value), node.attr
        if owner is None and attr in ("dtype", "precision") and self._given_type(node):
            owner = Thing("object", "ITensor" if attr == "dtype" else "ILayer")
        if owner is None:
            return self._by_name_alone(node)
        if owner.what == "module":
            entry = names().get(attr) or names().get(f"tensorrt.{attr}")
            return _gone(entry) if entry and entry.gone else None
        if owner.name and names()[owner.name].gone and owner.what == "class":
            return None  # said of the class already
        stored = isinstance(node.ctx, ast.Store)
        if owner.name == "ITensor" and attr == "dtype" and stored:
            use = "network.add_cast(tensor, trt.float16), or the type given to add_input"
            return Finding(
                0, "ITensor.dtype =", "changed", "11 (still in 10.16)", use, "The type can only be read now."
            )
        if owner.name == "IExecutionContext" and attr == "active_optimization_profile" and stored:
            use = "context.set_optimization_profile_async(0, stream_handle)"
            return Finding(0, f"{attr} =", "changed", "10.13 (still in 8.6)", use, "It can only be read now.")
        entry = names().get(f"{owner.name}.{attr}")
        if entry is None and owner.name.endswith("Layer"):
            entry = names().get(f"ILayer.{attr}")
        return _gone(entry) if entry and entry.gone else None

    def _given_type(self, node: ast.Attribute) -> bool:
        """Whether something that is not self is assigned one of TensorRT's types, as in layer.precision = trt.int8."""
        parent = next(self._things.parents(node))
        if not isinstance(parent, ast.Assign) or _SETTINGS.fullmatch(getattr(node.value, "id", "")):
            return False
        value = parent.value
        owner = self._things.of(value.value) if isinstance(value, ast.Attribute) else None
        return owner is not None and owner.name in ("", "DataType") and owner.what != "object"

    def _by_name_alone(self, node: ast.Attribute) -> Finding | None:
        entries = [
            n for n in find(node.attr) if n.member == node.attr and n.owner and n.kind not in ("value", "C++ only")
        ]
        last = node.value.attr if isinstance(node.value, ast.Attribute) else getattr(node.value, "id", "")
        if not entries or "_" not in node.attr or _COMMON.fullmatch(node.attr) or _SETTINGS.fullmatch(last):
            return None
        if not (all(entry.gone for entry in entries) or node.attr in _UNMISTAKABLE):
            return None
        return _gone(max((entry for entry in entries if entry.gone), key=lambda entry: len(entry.releases)))

    def _call(self, node: ast.Call) -> Finding | None:
        func = node.func
        if not isinstance(func, ast.Attribute):
            length = isinstance(func, ast.Name) and func.id == "len" and len(node.args) == 1
            of_engine = length and self._is(node.args[0], "ICudaEngine")
            return _gone(names()["ICudaEngine.__len__"], "len(engine)") if of_engine else None
        keywords = {keyword.arg for keyword in node.keywords}
        if func.attr == "execute" and {"bindings", "batch_size"} & keywords and self._things.of(func.value) is None:
            return _gone(names()["IExecutionContext.execute"])
        if func.attr == "create_network" and node.args and _number(node.args[0]) not in (None, 0, 1):
            entry = names()["NetworkDefinitionCreationFlag.EXPLICIT_BATCH"]
            text = f"create_network({ast.unparse(node.args[0])})"
            use = "1 << int(trt.NetworkDefinitionCreationFlag.NAME), where the name exists"
            return Finding(0, text, "changed", "10 and 11: the bits have moved", use, entry.advice)
        two = len(node.args) + len(keywords) < 3 and None not in keywords
        if two and func.attr in ("add_quantize", "add_dequantize") and self._is(func.value, "INetworkDefinition"):
            text, use = f"{func.attr}(x, scale)", f"network.{func.attr}(x, scale, type)"
            return Finding(0, text, "changed", "11.4 (still in 10.16)", use, "The type is needed now; 8.6 takes none.")
        return None

    def _guarded(self, node: ast.AST) -> bool:
        """Whether ``node`` runs only after a test of a name, or on the old side of a test of the version."""
        for parent in self._things.parents(node):
            if parent not in self._tests:  # which may stand around thousands of nodes
                self._tests[parent] = self._test(parent)
            everything, old = self._tests[parent]
            if everything or node in old:
                return True
            node = parent
        return False

    def _test(self, node: ast.AST) -> tuple[bool, Collection[ast.AST]]:
        """What ``node`` says of the code inside: whether all of it is guarded, and else which of its parts are."""
        if isinstance(node, ast.Try):
            return any(handler.type and _says(handler.type, "AttributeError") for handler in node.handlers), ()
        if isinstance(node, ast.BoolOp):
            return any(map(_asks, ast.walk(node))), ()
        if not isinstance(node, (ast.If, ast.IfExp)):
            return False, ()
        new = self._new(node.test)
        side = node.body if new is False else node.orelse
        old = () if new is None else set(side) if isinstance(side, list) else {side}
        return any(map(_asks, ast.walk(node.test))), old

    def _new(self, test: ast.AST, follow: bool = True) -> bool | None:
        """True for a test that newer versions pass, False for one that older versions pass, None for any other.

        ``follow``: whether a name may stand for the test that it was given; once, or ``a = not a`` would never end.
        """
        if isinstance(test, ast.UnaryOp) and isinstance(test.op, ast.Not):
            new = self._new(test.operand, follow)
            return None if new is None else not new
        if follow and isinstance(test, ast.Name) and test.id in self._versions:
            return self._new(self._versions[test.id], follow=False)
        if not isinstance(test, ast.Compare):
            return None
        about = _says(test.left, "__version__") or any(
            isinstance(part, ast.Name) and part.id in self._versions for part in ast.walk(test.left)
        )
        return isinstance(test.ops[0], (ast.Gt, ast.GtE)) if about else None


def _asks(node: ast.AST) -> bool:
    """Whether this is a call that asks for a name of TensorRT or a capability: hasattr, or has of helpers.trt."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
        return False
    if node.func.id == "hasattr":
        name = node.args[-1] if node.args else None
        return not isinstance(name, ast.Constant) or (isinstance(name.value, str) and bool(find(name.value)))
    return node.func.id in _CAPABILITY


def _says(node: ast.AST, text: str) -> bool:
    """Whether a name or a string in ``node`` holds ``text``. (ast.dump fails with numbers of thousands of digits.)"""
    said = (getattr(part, field, None) for part in ast.walk(node) for field in ("id", "attr", "value"))
    return any(isinstance(name, str) and text in name for name in said)


def _gone(entry: Name, said: str = "") -> Finding:
    return Finding(0, said or entry.name, "gone", entry.went, entry.use, entry.advice)


def _imported(node: ast.Import | ast.ImportFrom, alias: ast.alias) -> Finding | None:
    path = f"{'.' * node.level}{node.module}.{alias.name}" if isinstance(node, ast.ImportFrom) else alias.name
    if path == "pycuda.autoinit":
        use = "pycuda.driver.Device(0).retain_primary_context(), or cuda-bindings"
        advice = "It works, but makes a CUDA context of its own, which PyTorch and other libraries do not share."
        return Finding(0, path, "advice", "", use, advice)
    first, _, rest = f"{path}.".partition(".")
    entry = names()[first] if first in ("uff", "graphsurgeon") else None
    if first == "tensorrt":
        entry = names().get(path) or names().get(rest.split(".")[0]) or names().get(f"tensorrt.{rest.split('.')[0]}")
    return _gone(entry) if entry and entry.gone else None


def _number(node: ast.AST) -> int | None:
    """The value of a number or of a shift of numbers, such as 1 << 1; None for all else, and beyond 64 bits."""
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.LShift):
        left, right = _number(node.left), _number(node.right)
        number = None if left is None or right is None or right > 63 else left << right
    else:
        number = node.value if isinstance(node, ast.Constant) and isinstance(node.value, int) else None
    return None if number is None or number >> 64 else number
