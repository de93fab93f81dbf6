"""Checks the code with mypy against each TensorRT that the README claims: ``python -m tools.check_types [RELEASE...]``.

A use of TensorRT must be there in every release in which it may run: ``hasattr(trt.BuilderFlag, "FP16")``,
``has("weak_typing")``, ``require`` and ``%%needs`` leave only some of them. In helpers/ every error counts. Notebooks
and exercises have no type hints: there, only errors about TensorRT count, and names that no class of a release has.
"""

from __future__ import annotations

import ast
import functools
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from unittest.mock import patch

from helpers import trt
from tools.checks.chapter_code import ROOT, Module, modules
from tools.distil_api import RELEASES
from tools.stubs import PRIVATE, Stub, write

FOLDER = ROOT / "build" / "types"
# Of other libraries only what has stubs, as NumPy, is followed; test_types.py checks the helpers with all of them.
CONFIG = """\
[mypy]
python_version = 3.10
check_untyped_defs = true
follow_imports = skip
ignore_missing_imports = true
warn_unreachable = true
show_column_numbers = true
disable_error_code = var-annotated
"""
ONLY_WHERE = re.compile(r"^Import it only where ``has\(\"(\w+)\"\)", re.MULTILINE)
ASKED = re.compile(
    r"(?<!assert not )\b(?:(?:has|get)attr\(trt(?:\.([\w.]+))?, |_has\()['\"](?:(\w+)\.)?([A-Z]\w+)['\"]"
)
LENIENT = re.compile(r'\| None"; expected|\[(assignment|func-returns-value|no-redef)\]$')
MISSING = "_NotInThisRelease"


def check(releases: Iterable[str] = RELEASES, more: Iterable[Module] = ()) -> dict[str, list[str]]:
    """What is wrong in each release, with its place, in the workbook and in modules given besides."""
    chapters = {FOLDER / "chapters" / f"{module.name}.py": module for module in (*modules(), *more)}
    commands = [_prepare(release, chapters) for release in releases]
    with ThreadPoolExecutor(2) as pool:
        said = pool.map(_mypy, commands)
        return {release: _problems(release, text, chapters) for release, text in zip(releases, said, strict=True)}


def unknown_names(more: Iterable[Module] = ()) -> list[str]:
    """What code asks for with hasattr or getattr, and no release has: the answer would always be no."""
    stubs = [Stub(release) for release in RELEASES]
    texts = {module.name: module.text for module in (*modules(), *more)}
    for path in (ROOT / "helpers").rglob("*.py"):
        texts[path.relative_to(ROOT).as_posix()] = path.read_text(encoding="utf-8")
    asked = {(place, a or b, name) for place, text in sorted(texts.items()) for a, b, name in ASKED.findall(text)}
    return [f"{place}: {owner}.{name}" for place, owner, name in asked if not any(s.has(owner, name) for s in stubs)]


@functools.cache
def capabilities(release: str) -> dict[str, bool | None]:
    """What ``has`` answers in a release on any machine, as helpers/trt.py says; None where the machine matters."""
    module = SimpleNamespace(**{n: SimpleNamespace(**dict.fromkeys(m)) for n, m in Stub(release).classes.items()})
    flavour = "tensorrt_rtx" if release.startswith("RTX") else "tensorrt"

    def ask(there: bool) -> dict[str, bool]:
        gpus = [SimpleNamespace(compute_capability=(8, 0))] * there
        with patch.multiple(trt, trt=module, FLAVOUR=flavour, gpus=lambda: gpus, _installed=lambda name: there):
            return {name: capability.is_there() for name, capability in trt.CAPABILITIES.items()}

    poor, rich = ask(False), ask(True)
    return {name: answer if answer == rich[name] else None for name, answer in poor.items()}


def _lacking(release: str) -> set[str]:
    return {name for name, answer in capabilities(release).items() if answer is False}


def _shadows(release: str, code: str) -> dict[Path, str]:
    """What mypy reads in place of some helpers: trt.py with a release's answers, and nothing of what is not for it."""
    result = {}
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        text = path.read_text(encoding="utf-8")
        only = ONLY_WHERE.search(text)
        if only and only[1] in _lacking(release):
            names = [node.name for node in ast.parse(text).body if isinstance(node, ast.FunctionDef | ast.ClassDef)]
            result[path] = "\n".join([f"class {MISSING}: ...", *(f"{name}: {MISSING}" for name in names), ""])
    has, asked = Stub(release).has, re.findall(r'\b_has\("(\w+)\.(\w+)"\)', code)
    answers = capabilities(release) | {f"{owner}.{name}": has(owner, name) for owner, name in asked}
    text = Path(trt.__file__).read_text(encoding="utf-8")
    for function, no, yes in (("has", "L[False]", "L[True]"), ("require", "NoReturn", "None")):
        lacking, there = ([name for name, answer in answers.items() if answer is side] for side in (False, True))
        # Any of the first three names may be the one that is missing.
        overloads = [f"({before}x: L{lacking}, /, *y: str) -> {no}" for before in ("", "a: str, ", "a: str, b: str, ")]
        overloads += [f"(*x: L{there}) -> {yes}", f"(*x: str) -> {'bool' if function == 'has' else 'None'}"]
        lines = "".join(f"\n@overload\ndef {function}{signature}: ..." for signature in overloads)
        text = text.replace(f"\ndef {function}(", f"{lines}\ndef {function}(", 1)
    head = "\nfrom typing import Literal as L, NoReturn, overload"
    return {**result, Path(trt.__file__): text.replace("\nimport os", f"{head}\nimport os", 1)}


def _prepare(release: str, chapters: Mapping[Path, Module]) -> tuple[Path, list[str]]:
    """Writes what mypy reads for a release, and returns where its stubs are, and its options."""
    folder = FOLDER / release.replace(" ", "-")
    write(release, folder)
    texts = {FOLDER / "mypy.ini": CONFIG, **{path: module.text for path, module in chapters.items()}}
    options = ["--config-file", str(FOLDER / "mypy.ini"), "--cache-dir", f".mypy_cache/{folder.name}"]
    for path, text in _shadows(release, "".join(texts.values())).items():
        texts[folder / path.name] = text
        options += ["--shadow-file", path.relative_to(ROOT).as_posix(), str(folder / path.name)]
    for path, text in texts.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    return folder, [*options, "helpers", *map(str, chapters)]


def _mypy(prepared: tuple[Path, list[str]]) -> str:
    stubs, options = prepared
    command = [sys.executable, "-m", "mypy", "--no-error-summary", *options]
    environment = {**os.environ, "MYPYPATH": str(stubs)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    if done.returncode > 1:
        raise RuntimeError(done.stdout + done.stderr)
    return done.stdout


def _problems(release: str, said: str, chapters: Mapping[Path, Module]) -> list[str]:
    stub, lacking = Stub(release), _lacking(release)
    classes = "|".join(map(re.escape, [*stub.classes, *PRIVATE, MISSING]))
    ours = re.compile(rf'"(type\[)?({classes})\]?"|"trt\.\w+"|Module (".*" )?has no attribute')
    problems = []
    for where, line, column, text in re.findall(r"^(.+?):(\d+):(\d+): error: (.*)$", said, re.MULTILINE):
        module = chapters.get(ROOT / where)
        cell, number = module.find(int(line)) if module else (None, 0)
        if text.endswith("[unreachable]"):
            if cell and column == "1" and text.startswith("Statement"):
                problems.append(f"{cell.place}:{number}: mypy takes the rest of the chapter for unreachable")
        elif not cell:
            problems.append(f"{where}:{line}: {text}")
        elif ours.search(text) and not (LENIENT.search(text) or cell.needs & lacking or number in cell.forgiven):
            problems.append(f"{cell.place}:{number}: {text}")
    gone = _names_of_all() - stub.names()
    for cell in (cell for module in chapters.values() for cell in module.cells if not cell.needs & lacking):
        problems += [f"{cell.place}:{line}: nothing has .{name}" for line, name in cell.attributes if name in gone]
    return problems


@functools.cache
def _names_of_all() -> set[str]:
    """The names with an underscore that something has in any release: hardly anything else is called so."""
    return {name for release in RELEASES for name in Stub(release).names() if "_" in name.strip("_")}


if __name__ == "__main__":
    found = check(sys.argv[1:] or RELEASES)
    lines = [f"{release}: {problem}" for release, problems in found.items() for problem in problems]
    lines += [f"no release has {name}" for name in unknown_names()]
    print(f"{len(found)} releases of TensorRT, {len(lines)} problems")
    sys.exit("\n".join(lines) or 0)
