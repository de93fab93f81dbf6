"""Who may import whom: nobody here breaks a rule, and a breach of each is found."""

import json

import pytest

from tools.checks.imports import problems


def test_nobody_breaks_a_rule():
    assert problems() == []


HOUSE = {
    "helpers/__init__.py": "",
    "helpers/__main__.py": "from .commands import run\n",
    "helpers/engine.py": "import json\nimport numpy as np\nfrom . import plan\nfrom .plan import load\n",
    "helpers/plan.py": "def load():\n    import onnx\n",
    "helpers/commands/__init__.py": "from .. import engine\nimport rich\nrun = 1\n",
    "helpers/workbook/__init__.py": "",
    "helpers/workbook/needs.py": "import IPython\nfrom ..engine import plan\n",
    "tools/record.py": "from helpers.workbook import needs\n",
}


@pytest.mark.parametrize(
    ("file", "line", "said"),
    [
        ("helpers/plan.py", "import onnx", "helpers.plan imports onnx: at the top"),
        ("helpers/plan.py", "from torch.nn import Module", "helpers.plan imports torch.nn.Module: at the top"),
        ("helpers/plan.py", "class A:\n    import onnx", "helpers.plan imports onnx: at the top"),
        ("helpers/plan.py", "from tools.record import needs", "nothing in helpers/ needs"),
        ("helpers/commands/__init__.py", "def f():\n    import tools.record", "nothing in helpers/ needs"),
        ("helpers/plan.py", "def f():\n    from .commands import run", "without the rooms beside it"),
        ("helpers/plan.py", "from .workbook.needs import a", "without the rooms beside it"),
        ("helpers/commands/__init__.py", "from ..workbook import needs", "not each other"),
        ("helpers/workbook/needs.py", "def f():\n    from ..commands import run", "not each other"),
        (
            "helpers/plan.py",
            "from .engine import np",
            "a circle of imports: helpers.engine → helpers.plan → helpers.engine",
        ),
        ("helpers/plan.py", "def f():\n    from . import engine", "a circle of imports"),
        ("notebooks/01_a.ipynb", "from tools.record import needs", "01_a.ipynb imports tools"),
    ],
)
def test_a_breach_is_found(tmp_path, file, line, said):
    for name, text in HOUSE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "notebooks").mkdir()
    assert problems(tmp_path) == []
    path = tmp_path / file
    if path.suffix == ".ipynb":
        cell = {"cell_type": "code", "id": "a", "source": f"x = 1\n{line}", "metadata": {}, "outputs": []}
        path.write_text(json.dumps({"cells": [cell], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}))
    else:
        path.write_text(f"{HOUSE[file]}{line}\n")
    assert said in "\n".join(problems(tmp_path))
    assert len(problems(tmp_path)) <= 2, "the breach, and a circle where it makes one"


def test_what_only_type_checkers_read_is_no_import(tmp_path):
    for name, text in HOUSE.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "helpers" / "plan.py").write_text("if TYPE_CHECKING:\n    import onnx\n    from .engine import np\n")
    assert problems(tmp_path) == []
