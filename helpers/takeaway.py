"""Takes helpers along into your own project: ``tensorrt-workbook copy plan --to ../myproject/inference`` (chapter 12).

What a module imports, and what has to be installed for it, is read from its code. Needs rich for the command line.

>>> closure(["takeaway"])
['atomic', 'takeaway']
>>> needs(["takeaway"])
['rich']
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import keyword
import os
import pkgutil
import re
import sys
import sysconfig
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .atomic import write_together

HERE = Path(__file__).resolve().parent
DATA = HERE.parent / "data"
# Distributions on PyPI whose name is not that of what they make importable.
DISTRIBUTIONS = {"IPython": "ipython", "PIL": "pillow", "cuda": "cuda-bindings", "google": "protobuf"}
TENSORRT = "tensorrt-rtx"  # or tensorrt: helpers.trt chooses when it is imported
ALSO = {"lenet": ("onnxscript",)}  # what a package that a module imports needs for it
ANY_OF = {"buffers": ("pycuda", "cuda-bindings", "torch")}  # alternatives: one of them is enough
HEADER = """\
# From the TensorRT Workbook: helpers/{name}.py
# SPDX-License-Identifier: Apache-2.0
# Licensed under the Apache License, Version 2.0: https://www.apache.org/licenses/LICENSE-2.0
"""
INIT = '"""Helpers from the TensorRT Workbook."""\n'


@dataclass(frozen=True)
class Helper:
    """A module: its ``name``, what it is for in one ``line``, its ``chapter`` ("07", "" if none is named), the modules
    that it ``imports`` itself, the distributions that it ``needs``, and the files of data/ that it reads."""

    name: str
    line: str
    chapter: str
    imports: tuple[str, ...]
    needs: tuple[str, ...]
    data: tuple[str, ...]


@functools.cache
def helpers() -> dict[str, Helper]:
    """All modules that can be copied, by name."""
    paths = sorted(path for path in HERE.glob("*.py") if not path.stem.startswith("__"))
    return {path.stem: _read(path) for path in paths}


def closure(names: Iterable[str]) -> list[str]:
    """The modules and all that they import in turn, sorted. Raises KeyError for one that is not there."""
    known, todo, found = helpers(), list(names), set()
    while todo:
        name = todo.pop()
        if name not in known:
            raise KeyError(f"there is no helper {name!r}; tensorrt-workbook copy --list shows what there is")
        if name not in found:
            found.add(name)
            todo += known[name].imports
    return sorted(found)


def needs(names: Iterable[str]) -> list[str]:
    """What has to be installed for these modules and all that they import, as names on PyPI. Raises KeyError."""
    return list(dict.fromkeys(need for name in closure(names) for need in helpers()[name].needs))


def copy(names: Iterable[str], to: Path, force: bool = False) -> list[Path]:
    """Copies the modules with what they import into the package ``to``, all of them or nothing. Returns what it wrote.

    Makes the folder and its ``__init__.py`` if need be. Files of data/ that a module reads go to data/ beside the
    folder, where it looks for them: beside the folder that is meant, if ``to`` is a link. What is there already and
    equal stays. Raises KeyError for a module that is not there, ValueError for a folder that cannot be a package or
    (unless ``force``) would be imported in place of another, FileExistsError (unless ``force``) that names all files
    which would be overwritten, and OSError; then nothing has changed.
    """
    folder = Path(os.path.realpath(to))
    if folder == HERE:
        raise ValueError(f"{to} is where the helpers come from: name a folder of your own project")
    _check_name(Path(to), folder, force)
    files: dict[Path, bytes] = {}
    for name in closure(names):
        source = (HERE / f"{name}.py").read_text(encoding="utf-8")
        if not source.startswith(HEADER.format(name=name)):  # a copy may be copied on
            source = HEADER.format(name=name) + source
        files[folder / f"{name}.py"] = source.encode()
        for file in helpers()[name].data:
            files[folder.parent / "data" / file] = (DATA / file).read_bytes()
    if not (folder / "__init__.py").exists():
        files[folder / "__init__.py"] = INIT.encode()
    files = {path: content for path, content in files.items() if not _holds(path, content)}
    taken = [path for path in files if os.path.lexists(path)]  # also a link that leads nowhere
    if taken and not force:
        raise FileExistsError(f"already there, and different: {', '.join(map(str, taken))}; --force overwrites")
    new = {parent for path in files for parent in path.parents if not parent.exists()}
    try:
        write_together(files)
    except BaseException:
        for parent in sorted(new, reverse=True):  # a folder goes before the one that it is in
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise
    return list(files)


def _check_name(to: Path, folder: Path, force: bool) -> None:
    """Raises ValueError where ``to`` cannot be imported, or is imported in the place of something else."""
    name = to.name if to.name not in ("", "..") else folder.name  # a link is imported by its own name
    if not name.isidentifier() or keyword.iskeyword(name):
        raise ValueError(f"{name!r} cannot be imported as a package: use letters, digits and _, no keyword")
    if force or (folder.parent / "__init__.py").exists():  # inside a package it has a longer name
        return
    if name in sys.stdlib_module_names:
        owner = "a module of Python itself"
    elif name in _packages():
        owner = "a package that is installed, or that a helper needs"
    else:
        return
    raise ValueError(
        f"{name!r} is {owner}, and whatever imports it in your project would get this folder: take another name, or "
        "--force"
    )


def _packages() -> set[str]:
    """What is imported under these names is needed by a helper, or installed where this runs."""
    needed = {*DISTRIBUTIONS, "tensorrt", *(need.replace("-", "_") for need in needs(helpers()))}
    places = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
    return needed | {module.name for module in pkgutil.iter_modules(places)}


def main(arguments: argparse.Namespace) -> int:
    """Does what ``tensorrt-workbook copy`` was asked for: ``modules``, ``to``, ``force`` and ``list``.

    Returns 0 if all is there now, 1 if the request is wrong or something stands in the way, 2 if a file or folder
    cannot be read or written. With 1 and 2 nothing was copied.
    """
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    if arguments.list:
        console.print(_table())
        return 0
    if not arguments.modules or not arguments.to:
        return _complain("say which modules, and --to which folder; or --list")
    try:
        written = copy(arguments.modules, arguments.to, arguments.force)
    except (KeyError, ValueError, FileExistsError) as error:
        return _complain(error.args[0] if isinstance(error, KeyError) else str(error))
    except OSError as error:
        return _complain(str(error), 2)
    for path in written:
        console.print(f"wrote {path}", markup=False)
    if not written:
        console.print("all there already")
    console.print(f"needs {', '.join(needs(arguments.modules)) or 'nothing but Python'}", markup=False)
    if TENSORRT in needs(arguments.modules):
        console.print("(with a GPU: tensorrt in place of tensorrt-rtx)")
    for name in closure(arguments.modules):
        if name in ANY_OF:
            console.print(f"(for {name}, one of {', '.join(ANY_OF[name])} is enough)", markup=False)
    return 0


def _complain(text: str, status: int = 1) -> int:
    print(f"nothing was copied: {text}", file=sys.stderr)
    return status


def _table():
    from rich.table import Table

    table = Table("Module", "Chapter", "What it is for", "Needs", box=None, pad_edge=False)
    for helper in helpers().values():
        table.add_row(helper.name, helper.chapter, helper.line, ", ".join(needs([helper.name])))
    return table


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


def _read(path: Path) -> Helper:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree) or path.stem
    line = re.sub(r" \([^)]*chapter[^)]*\)", "", re.split(r"\.\s|\.$", docstring)[0].replace("\n", " "))
    chapter = re.search(r"[Cc]hapters?\s(\d\d)", docstring)
    for_types_only = {
        node
        for test in ast.walk(tree)
        if isinstance(test, ast.If) and ast.unparse(test.test).endswith("TYPE_CHECKING")
        for part in test.body
        for node in ast.walk(part)
    }
    imports: set[str] = set()
    packages: list[str] = []
    for node in ast.walk(tree):
        imports.update(_relative(node))
        if node not in for_types_only:
            packages += _absolute(node)
    packages = [name for name in packages if name not in sys.stdlib_module_names and name != "__future__"]
    distributions = [TENSORRT] if path.stem == "trt" else []
    distributions += [DISTRIBUTIONS.get(name, name) for name in packages]
    distributions += ALSO.get(path.stem, ())
    data = [file.name for file in sorted(DATA.glob("*")) if file.is_file() and file.name in _strings(tree)]
    imports &= {module.stem for module in HERE.glob("*.py")}
    return Helper(
        path.stem,
        " ".join(line.replace("``", "").split()),
        chapter[1] if chapter else "",
        tuple(sorted(imports)),
        tuple(dict.fromkeys(distributions)),
        tuple(data),
    )


def _relative(node: ast.AST) -> Iterator[str]:
    """The helpers that a statement or expression imports, now or later, or names for import in another process."""
    if isinstance(node, ast.ImportFrom) and node.level == 1:
        yield from [node.module.split(".")[0]] if node.module else [alias.name for alias in node.names]
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("import_module", "importlib.import_module"):
        name = node.args[0]
        if isinstance(name, ast.Constant) and str(name.value).startswith("."):
            yield str(name.value).split(".")[1]
    elif isinstance(node, ast.JoinedStr) and len(node.values) > 1:  # f"{__package__}.trial"
        start, rest = node.values[:2]
        if isinstance(start, ast.FormattedValue) and ast.unparse(start.value) == "__package__":
            yield re.findall(r"\w+", ast.unparse(rest))[0]


def _absolute(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module.split(".")[0]]
    return []


def _strings(tree: ast.Module) -> set[str]:
    """The string constants, without directories: names of files among them. Docstrings do not name any alone."""
    nodes = ast.walk(tree)
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {text.rsplit("/", 1)[-1] for text in texts}
