"""The README's lines for a project of one's own: copied as it says, they build and, on a GPU, find what is there."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from helpers.commands import main
from helpers.trt import has

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def project(tmp_path_factory):
    """A project with what the README's command copies, its lines, and a picture."""
    folder = tmp_path_factory.mktemp("myproject")
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(r"tensorrt-workbook (copy detector .*) --to \.\./myproject/inference", readme)
    (lines,) = re.findall(r"```python\n(.*?)```", readme, re.DOTALL)
    assert main([*command.split(), "--to", str(folder / "inference")]) == 0
    assert len([line for line in lines.splitlines() if line]) <= 12
    (folder / "find.py").write_text(lines + "print(*sorted(found.classes))\n", encoding="utf-8")
    shutil.copy(ROOT / "data" / "yolox_nano.onnx", folder)
    shutil.copy(ROOT / "data" / "scenes" / "validation_001.jpg", folder / "picture.jpg")
    return folder


def run(folder, code):
    """Runs code in the project, where the workbook itself cannot be found."""
    start = f"import sys; sys.path[:] = [p for p in sys.path if p != {str(ROOT)!r}]; sys.path.insert(0, '.')\n"
    return subprocess.run(
        [sys.executable, "-I", "-c", start + code], cwd=folder, capture_output=True, text=True, timeout=280
    )


@pytest.mark.skipif(not has("build"), reason="needs a TensorRT that builds")
@pytest.mark.skipif(has("gpu"), reason="runs whole where there is a GPU")
def test_the_lines_of_the_readme_build_a_plan(project):
    lines = (project / "find.py").read_text(encoding="utf-8")
    until = lines.index("found = Detector")
    done = run(project, lines[:until] + "print(len(plan) > 1e6, picture.shape)")
    assert done.stdout.startswith("True ("), done.stderr


@pytest.mark.skipif(not has("gpu", "build"), reason="needs a GPU")
def test_the_lines_of_the_readme_find_what_is_in_the_picture(project):
    from helpers.workbook.scenes import load_scenes

    done = run(project, (project / "find.py").read_text(encoding="utf-8"))
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [str(n) for n in sorted(load_scenes().boxes(1).classes)]
    assert (project / "found.png").is_file()
