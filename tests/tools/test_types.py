"""The helpers' type hints: mypy finds nothing in them, and does find what is wrong."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("mypy", reason='mypy is not installed: pip install -c constraints.txt -e ".[test]"')

ROOT = Path(__file__).resolve().parents[2]


def mypy(*arguments: str) -> tuple[int, str]:
    """Exit status and output; what mypy learns stays in the repository's .mypy_cache for the next time."""
    command = [sys.executable, "-m", "mypy", "--config-file", str(ROOT / "pyproject.toml"), *arguments]
    environment = {**os.environ, "MYPYPATH": str(ROOT)}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=240)
    return done.returncode, done.stdout + done.stderr


def test_the_helpers_pass():
    status, said = mypy()
    assert status == 0, said
    checked = re.search(r"no issues found in (\d+) source files", said)
    assert int(checked[1]) == len(list((ROOT / "helpers").rglob("*.py")))


MISTAKES = {  # a line that is wrong: mypy's word for it
    "TensorSpec(1)": "call-arg",
    "TensorSpec.no_such_method": "attr-defined",
    'load_plan(b"", trusted="yes")': "arg-type",
    'load_plan("lenet.plan").shape': "attr-defined",
    'figure(width="wide")': "arg-type",
    "Worker().call(1)": "arg-type",
    "gpus()[0].compute_capability + 1": "operator",
    "driver().gpus": "union-attr",
}


def test_mistakes_are_found(tmp_path):
    imports = [
        "from helpers.device import driver, gpus",
        "from helpers.workbook.figures import figure",
        "from helpers.plan import load_plan",
        "from helpers.tensors import TensorSpec",
        "from helpers.worker import Worker",
    ]
    script = tmp_path / "mistakes.py"
    script.write_text("\n".join([*imports, *MISTAKES]) + "\n")
    status, said = mypy(str(script))
    assert status == 1, said
    found = re.findall(r"mistakes\.py:(\d+): error: .*\[([\w-]+)\]$", said, re.MULTILINE)
    expected = set(enumerate(MISTAKES.values(), len(imports) + 1))  # line and kind
    assert expected <= {(int(line), kind) for line, kind in found}, said
    assert {int(line) for line, _ in found} == {line for line, _ in expected}, said  # and none in the imports


def test_docstrings_of_functions_begin_with_a_verb():
    """The third person of a verb ends in s, save for a few; what begins with a noun or with "What" does not."""
    wrong = []
    for path in sorted((ROOT / "helpers").rglob("*.py")):
        for node in ast.parse(path.read_text()).body:
            members = node.body if isinstance(node, ast.ClassDef) else [node]
            for function in (part for part in members if isinstance(part, ast.FunctionDef)):
                text = ast.get_docstring(function) or ""
                is_property = any(ast.unparse(decorator).endswith("property") for decorator in function.decorator_list)
                if text and not is_property and not re.match(r"[A-Z][a-z]+s\b", text) and function.name[0] != "_":
                    wrong.append(f"{path.relative_to(ROOT)}: {function.name}: {text.splitlines()[0]}")
    assert not wrong, "\n".join(wrong)
