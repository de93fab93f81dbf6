"""Takes helpers along into your own project: ``tensorrt-workbook copy plan --to ../myproject/inference`` (chapter 12).

What a module imports, and what has to be installed for it, is read from its code. Modules of a folder are copied into a
folder of that name: ``commands.check`` becomes ``inference/commands/check``. Needs rich for the command line.

>>> closure(["atomic"])
['atomic']
>>> needs(["commands.copy"])
['rich']
"""

from __future__ import annotations

import argparse
import ast
import contextlib
import functools
import hashlib
import json
import keyword
import os
import pkgutil
import re
import sys
import sysconfig
from collections.abc import Container, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..atomic import open_regular, write_together

HERE = Path(__file__).resolve().parents[1]  # the package that all of them belong to
DATA = HERE.parent / "data"
NOTE = "copied.json"  # in the package: the SHA-256 of each file as it was copied
# Distributions on PyPI whose name is not that of what they make importable.
DISTRIBUTIONS = {"IPython": "ipython", "PIL": "pillow", "cuda": "cuda-bindings", "google": "protobuf"}
TENSORRT = "tensorrt-rtx"  # or tensorrt: helpers.trt chooses when it is imported
ALSO = {"lenet": ("onnxscript",)}  # what a package that a module imports needs for it
ANY_OF = {"buffers": ("pycuda", "cuda-bindings", "torch")}  # alternatives: one of them is enough
HEADER = """\
# From the TensorRT Workbook: helpers/{path}
# SPDX-License-Identifier: Apache-2.0
# Licensed under the Apache License, Version 2.0: https://www.apache.org/licenses/LICENSE-2.0
"""
INIT = '"""Helpers from the TensorRT Workbook."""\n'


@dataclass(frozen=True)
class Helper:
    """A module: its ``name`` with dots, ``path`` below the package, what it is for in one ``line``, its ``chapter``
    ("07", "" if none is named), the modules that it ``imports`` itself, the distributions that it ``needs``, the files
    of data/ that it reads, and the paths of those ``beside`` it."""

    name: str
    path: str
    line: str
    chapter: str
    imports: tuple[str, ...]
    needs: tuple[str, ...]
    data: tuple[str, ...]
    beside: tuple[str, ...] = ()


@functools.cache
def helpers(folder: Path = HERE) -> dict[str, Helper]:
    """Reads all modules of a folder, by name: ``runner``, and ``commands.check`` for that folder's ``__init__.py``."""
    files = sorted(path for path in folder.rglob("*.py") if path.parent != folder or path.stem[:2] != "__")
    paths = {".".join(path.relative_to(folder).with_suffix("").parts).removesuffix(".__init__"): path for path in files}
    return {name: _read(name, path, paths, folder) for name, path in paths.items()}


def find(name: str, folder: Path = HERE) -> str:
    """Returns the full name of a module that is given by its full or last name. Raises KeyError where there is none."""
    if name in helpers(folder):
        return name
    found = [full for full in helpers(folder) if full.endswith(f".{name}")]
    if len(found) != 1:
        raise KeyError(f"there is no helper {name!r}; tensorrt-workbook copy --list shows what there is")
    return found[0]


def closure(names: Iterable[str], folder: Path = HERE) -> list[str]:
    """Returns the modules, all that they import in turn, and the packages of those, sorted. Raises KeyError."""
    known, todo, found = helpers(folder), [find(name, folder) for name in names], set()
    while todo:
        name = todo.pop()
        if name not in found:
            found.add(name)
            todo += known[name].imports
            todo += [package for package in (name.rpartition(".")[0], f"{name}.__main__") if package in known]
    return sorted(found)


def needs(names: Iterable[str]) -> list[str]:
    """Returns what these modules, and all that they import, need installed, as names on PyPI. Raises KeyError."""
    return list(dict.fromkeys(need for name in closure(names) for need in helpers()[name].needs))


def copy(names: Iterable[str], to: Path, force: bool = False) -> list[Path]:
    """Copies the modules with what they import into the package ``to``, all of them or nothing. Returns what it wrote.

    Makes the folder and its ``__init__.py`` if need be, and notes in ``copied.json`` what was copied, for
    :func:`status`. A file that a module reads beside itself, such as advice.json, goes with it. Files of data/ that it
    reads go to data/ beside the folder, where it looks for them: beside the folder that is meant, if ``to`` is a link.
    What is there already and equal stays. Raises KeyError for a module that is not there, ValueError for a folder that
    cannot be a package or (unless ``force``) would be imported in place of another, FileExistsError (unless ``force``)
    that names all files which would be overwritten, and OSError; then nothing has changed.
    """
    folder = Path(os.path.realpath(to))
    if folder == HERE:
        raise ValueError(f"{to} is where the helpers come from: name a folder of your own project")
    _check_name(Path(to), folder, force)
    files: dict[Path, bytes] = {}
    copied = {}
    for name in closure(names):
        for path, content in _contents_of(name).items():
            files[folder / path] = content
            copied[path] = hashlib.sha256(content).hexdigest()
        for file in helpers()[name].data:
            files[folder.parent / "data" / file] = (DATA / file).read_bytes()
    if not (folder / "__init__.py").exists():
        files[folder / "__init__.py"] = INIT.encode()
    files = {path: content for path, content in files.items() if not _holds(path, content)}
    taken = [path for path in files if os.path.lexists(path)]  # also a link that leads nowhere
    if os.path.lexists(folder / NOTE) and not _noted(folder):
        taken.append(folder / NOTE)  # a file of your own that is called so
    if taken and not force:
        raise FileExistsError(f"already there, and different: {', '.join(map(str, taken))}; --force overwrites")
    note = (json.dumps(_noted(folder) | copied, indent=1, sort_keys=True) + "\n").encode()
    if not _holds(folder / NOTE, note):
        files[folder / NOTE] = note
    new = {parent for path in files for parent in path.parents if not parent.exists()}
    try:
        write_together(files)
    except BaseException:
        for parent in sorted(new, reverse=True):  # a folder goes before the one that it is in
            with contextlib.suppress(OSError):
                parent.rmdir()
        raise
    return [path for path in files if path.name != NOTE]


def content_of(name: str) -> bytes:
    """Returns a module as it is copied: with a header that says where it is from and under which licence.

    Raises KeyError for a module that is not there.
    """
    path = helpers()[name].path
    source, header = (HERE / path).read_text(encoding="utf-8"), HEADER.format(path=path)
    return (source if source.startswith(header) else header + source).encode()  # a copy may be copied on


def _contents_of(name: str) -> dict[str, bytes]:
    """Returns a module as it is copied, and the files that it reads beside itself, by path."""
    helper = helpers()[name]
    return {helper.path: content_of(name), **{path: (HERE / path).read_bytes() for path in helper.beside}}


def status(folder: Path) -> dict[str, str]:
    """Compares the modules that were copied into a package, by path: "same", "changed there" (in the package),
    "changed here" (in the workbook), "changed on both sides", "gone there" or "gone here".

    Raises ValueError for a folder without a note of what was copied, OSError for a file that cannot be read.
    """
    noted = _noted(Path(folder))
    if not noted:
        raise ValueError(f"{folder} has no usable {NOTE}: nothing was copied there, or by an older version")
    here = {path: content for name in helpers() for path, content in _contents_of(name).items()}
    return {path: _state(Path(folder) / path, here.get(path), digest) for path, digest in sorted(noted.items())}


def _state(there: Path, here: bytes | None, digest: str) -> str:
    if not there.is_file():
        return "gone there"
    changed = hashlib.sha256(there.read_bytes()).hexdigest() != digest
    if here is None:
        return "gone here"
    newer = hashlib.sha256(here).hexdigest() != digest
    if changed and newer:
        return "changed on both sides"
    return "changed there" if changed else "changed here" if newer else "same"


def _noted(folder: Path) -> dict[str, str]:
    try:
        with open_regular(folder / NOTE) as file:
            noted = json.loads(file.read(1 << 20))
    except (OSError, ValueError, RecursionError):
        return {}
    pairs = noted.items() if isinstance(noted, dict) else ()
    inside = {path: digest for path, digest in pairs if not os.path.isabs(path) and ".." not in path.split("/")}
    return {path: digest for path, digest in inside.items() if re.fullmatch("[0-9a-f]{64}", str(digest))}


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
    """Returns the names under which what a helper needs, or what is installed here, is imported."""
    needed = {*DISTRIBUTIONS, "tensorrt", *(need.replace("-", "_") for need in needs(helpers()))}
    places = [sysconfig.get_path(kind) for kind in ("purelib", "platlib")]
    return needed | {module.name for module in pkgutil.iter_modules(places)}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``tensorrt-workbook copy``."""
    parser.description = (
        "Copies modules, with all that they import, into a package of your own, and says what has to be installed for "
        "them. Nothing is overwritten, and no name taken that others import, unless --force says so. The exit status "
        "is 0 if all is there now, 1 if the request is wrong or something stands in the way, 2 if a file or folder "
        "cannot be read or written; with --status it is 0 if nothing has changed since, else 1."
    )
    parser.add_argument("modules", nargs="*", metavar="MODULE", help="one or more of those that --list shows")
    parser.add_argument("--to", metavar="FOLDER", help="the package, made if need be: ../myproject/inference")
    parser.add_argument("--force", action="store_true", help="overwrite files that are there and different")
    parser.add_argument("--list", action="store_true", help="show what there is")
    parser.add_argument("--status", action="store_true", help="which copied modules have changed, there or here, since")


def run(arguments: argparse.Namespace) -> int:
    """Does what the arguments ask for. Returns the exit status; with 1 and 2 nothing was copied."""
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True)
    if arguments.list:
        console.print(_table())
        return 0
    if not arguments.to or not (arguments.modules or arguments.status):
        return _complain("say which modules, and --to which folder; or --status --to it, or --list")
    if arguments.status:
        return _show_status(console, Path(arguments.to))
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


def _show_status(console, folder: Path) -> int:
    try:
        states = status(folder)
    except (ValueError, OSError) as error:
        print(error, file=sys.stderr)
        return 2
    for path, state in states.items():
        console.print(f"{path:40} {state}", markup=False)
    return int(set(states.values()) != {"same"})


def _complain(text: str, status: int = 1) -> int:
    print(f"nothing was copied: {text}", file=sys.stderr)
    return status


def _table():
    from rich.table import Table

    table = Table("Module", "Chapter", "What it is for", "Needs", box=None, pad_edge=False)
    for helper in helpers().values():
        room, _, name = helper.name.rpartition(".")
        if "." in room or "." not in helper.name and helper.path.endswith("__init__.py"):
            continue  # part of a command, or only the folder that they are in
        table.add_row(name, helper.chapter, helper.line, ", ".join(needs([helper.name])))
    return table


def _holds(path: Path, content: bytes) -> bool:
    return path.is_file() and path.stat().st_size == len(content) and path.read_bytes() == content


def _read(name: str, path: Path, paths: Container[str], folder: Path) -> Helper:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    docstring = ast.get_docstring(tree) or path.stem
    first = re.split(r"\.\s|\.$", docstring)[0].replace("``", "").replace("\n", " ")
    chapter = re.search(r"[Cc]hapters?\s(\d\d)", docstring)
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    imports = {imported for node in ast.walk(tree) for imported in _relative(node, package) if imported in paths}
    needed = [TENSORRT] if name == "trt" else []
    needed += [DISTRIBUTIONS.get(top, top) for top in _installed(tree)]
    files, strings = sorted((folder.parent / "data").glob("*")), _strings(tree)
    beside = sorted(file for file in path.parent.glob("*.json") if file.name in strings)
    return Helper(
        name,
        path.relative_to(folder).as_posix(),
        " ".join(re.sub(r" \([^)]*chapter[^)]*\)", "", first).split()),
        chapter[1] if chapter else "",
        tuple(sorted(imports)),
        tuple(dict.fromkeys([*needed, *ALSO.get(name, ())])),
        tuple(file.name for file in files if file.is_file() and file.name in strings),
        tuple(file.relative_to(folder).as_posix() for file in beside),
    )


def _installed(tree: ast.Module) -> list[str]:
    """Returns the packages that a module imports from outside Python, save those for type checkers alone."""
    tests = [node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)]
    for_types = {node for test in tests for part in test.body for node in ast.walk(part)}
    found = [name for node in ast.walk(tree) if node not in for_types for name in _absolute(node)]
    return [name for name in found if name not in sys.stdlib_module_names]


def _relative(node: ast.AST, package: str) -> Iterator[str]:
    """Yields the modules, and names of them, that a node of the package imports, now or later or in another process."""
    if isinstance(node, ast.ImportFrom) and node.level:
        base = _absolute_name("." * node.level + (node.module or ""), package)
        yield base
        yield from (f"{base}.{alias.name}".lstrip(".") for alias in node.names)
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("import_module", "importlib.import_module"):
        name = node.args[0]
        if isinstance(name, ast.Constant) and str(name.value).startswith("."):
            yield _absolute_name(str(name.value), package)
    elif isinstance(node, ast.JoinedStr) and len(node.values) > 1:  # f"{__package__}.trial"
        start, rest = node.values[:2]
        if isinstance(start, ast.FormattedValue) and ast.unparse(start.value) == "__package__":
            for name in re.findall(r"\w+", str(rest.value) if isinstance(rest, ast.Constant) else "")[:1]:
                yield _absolute_name(f".{name}", package)


def _absolute_name(relative: str, package: str) -> str:
    """Names ``..trt`` as it is called below the package of all helpers: ``trt``, if ``package`` is ``commands``."""
    name = relative.lstrip(".")
    up = len(relative) - len(name) - 1
    parts = package.split(".") if package else []
    return ".".join([*parts[: len(parts) - up], *filter(None, [name])])


def _absolute(node: ast.AST) -> list[str]:
    if isinstance(node, ast.Import):
        return [alias.name.split(".")[0] for alias in node.names]
    if isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
        return [node.module.split(".")[0]]
    return []


def _strings(tree: ast.Module) -> set[str]:
    """Returns the string constants, without folders: names of files among them. Docstrings do not name any alone."""
    nodes = ast.walk(tree)
    texts = [node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    return {text.rsplit("/", 1)[-1] for text in texts}


if __name__ == "__main__":
    from . import program

    sys.exit(program(["copy", *sys.argv[1:]]))
