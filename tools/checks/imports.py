"""Who may import whom in this house, and who does: :func:`problems` names each import that breaks a rule.

Import linters know packages and layers. They do not tell an import at the top of a module from one inside a function,
and that is the rule which keeps a copied helper light.
"""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.record.gated import read_code_cells

ROOT = Path(__file__).resolve().parents[2]
LIGHT = {*sys.stdlib_module_names, "numpy", "tensorrt", "tensorrt_rtx", "tensorrt_lean", "tensorrt_dispatch"}
START = {"helpers.__main__"}  # starts the commands, and so is none of what one copies


def problems(root: Path = ROOT) -> list[str]:
    """Every import that breaks a rule, and every circle of imports, as a sentence."""
    found, graph = [], {}
    modules = {_name(path, root): path for folder in ("helpers", "tools") for path in (root / folder).rglob("*.py")}
    for module, path in sorted(modules.items()):
        imports = list(_imports(module, path))
        graph[module] = {_known(target, modules) for target, _ in imports} - {None, module}
        found += [
            f"{module} imports {target}: {why}" for target, top in imports if (why := _breach(module, target, top))
        ]
    for path in sorted((root / "notebooks").glob("*.ipynb")):
        for cell in read_code_cells(path):
            if re.search(r"^\s*(from|import) tools\b", cell.source, re.MULTILINE):
                found.append(f"{path.name} imports tools: notebooks import helpers, which a reader can copy")
    return found + [f"a circle of imports: {' → '.join(circle)}" for circle in _circles(graph)]


def _breach(module: str, target: str, top: bool) -> str | None:
    room, other = _room(module), _room(target)
    if module.startswith("helpers") and other == "tools":
        return "nothing in helpers/ needs what only makes the workbook"
    if room == "copied" and other in ("commands", "workbook"):
        return "what one copies works without the rooms beside it"
    if {room, other} == {"commands", "workbook"}:
        return "commands and notebooks know helpers/*.py, and not each other"
    if room == "copied" and top and other is None and target.split(".")[0] not in LIGHT:
        return "at the top stand the standard library, NumPy, TensorRT and siblings: import it in a function"
    return None


def _room(module: str) -> str | None:
    parts = module.split(".")
    if parts[0] == "tools":
        return "tools"
    if parts[0] != "helpers" or module in START:
        return None
    return parts[1] if len(parts) > 1 and parts[1] in ("commands", "workbook") else "copied"


def _name(path: Path, root: Path) -> str:
    return ".".join(path.relative_to(root).with_suffix("").parts).removesuffix(".__init__")


def _known(target: str, modules: dict[str, Path]) -> str | None:
    """The module that is meant by a name out of it: helpers.trt by helpers.trt.has."""
    return next((name for name in (target, target.rpartition(".")[0]) if name in modules), None)


def _imports(module: str, path: Path) -> Iterator[tuple[str, bool]]:
    """What the module imports, by full name, and whether at its top. What only type checkers read does not count."""
    package = module if path.stem == "__init__" else module.rpartition(".")[0]
    tree = ast.parse(path.read_text(encoding="utf-8"))
    inside = {
        part
        for node in ast.walk(tree)
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda))
        for part in ast.walk(node)
    }
    unread = {
        part
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING")
        for part in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in unread:
            continue
        if isinstance(node, ast.Import):
            yield from ((alias.name, node not in inside) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")[: len(package.split(".")) - node.level + 1] if node.level else []
            base = ".".join([*parts, *filter(None, [node.module])])
            yield from ((f"{base}.{alias.name}", node not in inside) for alias in node.names)


def _circles(graph: dict[str, set]) -> list[list[str]]:
    """One circle for each set of modules that import each other."""
    circles, done = [], set()

    def visit(module: str, way: list[str]) -> None:
        if module in way:
            circle = way[way.index(module) :]
            if not any(set(circle) & set(other) for other in circles):
                circles.append([*circle, module])
        elif module not in done:
            for target in sorted(graph[module]):
                visit(target, [*way, module])
            done.add(module)

    for module in sorted(graph):
        visit(module, [])
    return circles
