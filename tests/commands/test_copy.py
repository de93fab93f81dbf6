"""Helpers that travel: each copied alone, imported with only what it declares, and running its own example."""

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import commands
from helpers.commands import copy as takeaway
from helpers.commands import main

HELPERS = Path(__file__).parents[2] / "helpers"
NAMES = sorted(name for name in takeaway.helpers() if not name.endswith("__main__"))
ALONE = Path(__file__).with_name("copied_alone.py")


def run_alone(folder, name, declared):
    environment = {**os.environ, "MPLBACKEND": "agg", "WORKBOOK_STATE": str(folder / "state")}
    return subprocess.run(
        [sys.executable, "-I", str(ALONE), "inference", name, *declared],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


@pytest.mark.parametrize("name", NAMES)
def test_every_module_works_alone_with_what_it_declares(name, tmp_path):
    assert takeaway.copy([name], tmp_path / "inference")
    done = run_alone(tmp_path, name, takeaway.needs([name]))
    assert done.returncode == 0, done.stderr
    assert "failed 0" in done.stdout, done.stdout
    has_own_code = len(ast.parse((HELPERS / takeaway.helpers()[name].path).read_text()).body) > 1
    if takeaway.helpers()[name].path[-11:] != "__init__.py" and has_own_code:
        assert "examples 0" not in done.stdout, f"{name} has no example"


def test_the_guard_refuses_what_is_not_declared(tmp_path):
    takeaway.copy(["workbook.figures"], tmp_path / "inference")
    done = run_alone(tmp_path, takeaway.find("figures"), ["numpy"])
    assert "No module named 'matplotlib'" in done.stdout
    assert "failed 0" not in done.stdout
    done = run_alone(tmp_path, takeaway.find("figures"), [])
    assert "No module named 'numpy'" in done.stderr


def test_a_failing_example_is_noticed(tmp_path):
    takeaway.copy(["atomic"], tmp_path / "inference")
    path = tmp_path / "inference" / "atomic.py"
    path.write_text(path.read_text().replace("'{}'\n", "'[]'\n"))
    assert "failed 1" in run_alone(tmp_path, "atomic", []).stdout


def test_the_list_knows_every_module():
    paths = {path.relative_to(HELPERS).as_posix() for path in HELPERS.rglob("*.py")} - {"__init__.py", "__main__.py"}
    assert {helper.path for helper in takeaway.helpers().values()} == paths
    for helper in map(takeaway.helpers().get, NAMES):
        assert helper.line
        assert len(helper.chapter) in (0, 2)
    assert takeaway.helpers()["plan"].chapter == "06"


def test_exactly_what_is_imported():
    assert takeaway.closure(["atomic"]) == ["atomic"]
    assert takeaway.closure(["progress"]) == ["device", "progress", "trt"]
    plan = {"atomic", "device", "model_files", "plan", "trt", "trust"}
    assert set(takeaway.closure(["plan"])) == plan
    assert {"buffers", "engine", "plan", "runner", "tensors"} < set(takeaway.closure(["runner"]))
    assert "trt" in takeaway.closure(["doctor"]), "imported by its name at run time"
    check = {"commands", "commands.check", "commands.check.__main__", "commands.check.judge", "commands.check.trial"}
    assert check | {"worker"} < set(takeaway.closure(["check"])), "trial is named for another process"
    assert set(takeaway.closure(["runner"])) == {
        *("advice", "atomic", "buffers", "device", "engine", "logger"),
        *("model_files", "plan", "runner", "tensors", "trt", "trust"),
    }


def test_modules_for_another_process_are_named_in_full():
    """``copy`` reads f"{__package__}.trial", and cannot see which module f"{__package__}.{name}" means."""
    for path in HELPERS.rglob("*.py"):
        assert not re.search(r"\{__package__\}\.\{", path.read_text()), f"{path}: write the module's name out"


def test_what_has_to_be_installed():
    assert takeaway.needs(["atomic"]) == []
    assert takeaway.needs(["trt"]) == ["tensorrt-rtx"]
    assert {"numpy", "tqdm", "tensorrt-rtx"} <= set(takeaway.needs(["builder"]))
    assert {"cuda-bindings", "pycuda"} <= set(takeaway.needs(["runner"]))
    assert {"onnx", "protobuf"} <= set(takeaway.needs(["onnx_parser"])), "imported inside a function"
    assert "pandas" not in takeaway.needs(["runner"])
    assert set(takeaway.needs(["lenet"])) >= {"torch", "onnx", "onnxscript"}


def test_a_copy_has_a_licence_header_and_is_otherwise_the_same(tmp_path):
    takeaway.copy(["trust"], tmp_path / "inference")
    text = (tmp_path / "inference" / "trust.py").read_text()
    header, source = text.split("\n", 3)[:3], text.split("\n", 3)[3]
    assert "SPDX-License-Identifier: Apache-2.0" in header[1]
    assert source == (HELPERS / "trust.py").read_text()
    assert ast.get_docstring(ast.parse(text))


def test_data_files_travel_too(tmp_path):
    names = [name for name, helper in takeaway.helpers().items() if helper.data]
    for name in names:
        written = takeaway.copy([name], tmp_path / name / "inference")
        for file in takeaway.helpers()[name].data:
            assert tmp_path / name / "data" / file in written


def test_an_existing_package_keeps_its_init_and_equal_files(tmp_path):
    package = tmp_path / "inference"
    package.mkdir()
    (package / "__init__.py").write_text("mine = 1\n")
    assert takeaway.copy(["trust"], package) == [package / "trust.py"]
    assert takeaway.copy(["trust", "atomic"], package) == [package / "atomic.py"]
    assert (package / "__init__.py").read_text() == "mine = 1\n"


def test_nothing_is_overwritten_without_force(tmp_path, capsys):
    package = tmp_path / "inference"
    package.mkdir()
    (package / "plan.py").write_text("mine\n")
    assert main(["copy", "plan", "--to", str(package)]) == 1
    assert "plan.py" in (error := capsys.readouterr().err)
    assert "--force" in error
    assert [path.name for path in package.iterdir()] == ["plan.py"], "nothing half-written"
    assert (package / "plan.py").read_text() == "mine\n"
    assert main(["copy", "plan", "--to", str(package), "--force"]) == 0
    assert "mine" not in (package / "plan.py").read_text()


def test_a_failed_write_leaves_nothing(tmp_path):
    package = tmp_path / "inference"
    (package / "trust.py").mkdir(parents=True)
    with pytest.raises(OSError, match="trust"):
        takeaway.copy(["atomic", "trust"], package, force=True)
    assert [path.name for path in package.iterdir()] == ["trust.py"]


def test_a_failed_write_leaves_no_new_folders(tmp_path, capsys):
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "data").write_text("mine")  # where whatis needs a folder
    assert main(["copy", "whatis", "--to", str(tmp_path / "project" / "inference")]) in (1, 2)
    assert "data" in capsys.readouterr().err
    assert [path.name for path in (tmp_path / "project").iterdir()] == ["data"]
    (tmp_path / "file").write_text("mine")
    assert main(["copy", "atomic", "--to", str(tmp_path / "file" / "new" / "inference")]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "file" in line


def test_a_package_that_is_a_link_gets_its_data_where_it_looks_for_it(tmp_path):
    (tmp_path / "other" / "my-package.v1").mkdir(parents=True)
    (tmp_path / "project").mkdir()
    (tmp_path / "project" / "inference").symlink_to(Path("..") / "other" / "my-package.v1", target_is_directory=True)
    written = takeaway.copy(["whatis"], tmp_path / "project" / "inference")
    assert tmp_path / "other" / "data" / "names.json" in written
    assert not (tmp_path / "project" / "data").exists()
    done = run_alone(tmp_path / "project", "commands.whatis", takeaway.needs(["whatis"]))
    assert "failed 0" in done.stdout, done.stdout + done.stderr


@pytest.mark.parametrize(
    "name", ["copy", "json", "logging", "numpy", "onnx", "tensorrt", "tensorrt_rtx", "cuda", "pip"]
)
def test_no_package_hides_one_that_others_import(name, tmp_path, capsys, monkeypatch):
    (tmp_path / "installed" / "pip").mkdir(parents=True)
    (tmp_path / "installed" / "pip" / "__init__.py").touch()
    monkeypatch.setattr(takeaway.sysconfig, "get_path", lambda kind: str(tmp_path / "installed"))
    project = tmp_path / "project"
    assert main(["copy", "atomic", "--to", str(project / name)]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert repr(name) in line
    assert "--force" in line
    assert not project.exists()
    assert main(["copy", "atomic", "--to", str(project / name), "--force"]) == 0
    assert main(["copy", "atomic", "--to", str(project / name / name)]) == 0, "inside a package it hides nothing"
    monkeypatch.chdir(project / name)
    assert main(["copy", "device", "--to", "."]) == 1


def test_what_stands_in_the_place_of_a_file_is_neither_replaced_nor_written_through(tmp_path, capsys):
    package, elsewhere = tmp_path / "inference", tmp_path / "elsewhere"
    package.mkdir()
    (package / "plan.py").symlink_to(elsewhere)  # leads nowhere
    (package / "device.py").symlink_to(tmp_path / "mine.py")
    (tmp_path / "mine.py").write_text("mine\n")
    if hasattr(os, "mkfifo"):
        os.mkfifo(package / "trt.py")
    before = {path.name for path in package.iterdir()}
    assert main(["copy", "plan", "--to", str(package)]) == 1
    error = capsys.readouterr().err
    assert all(name in error for name in before)
    assert {path.name for path in package.iterdir()} == before
    (package / "trt.py").unlink(missing_ok=True)
    assert main(["copy", "plan", "--to", str(package), "--force"]) == 0
    assert not elsewhere.exists()
    assert (tmp_path / "mine.py").read_text() == "mine\n"
    assert not any(path.is_symlink() for path in package.iterdir())


def test_what_is_there_and_equal_stays_also_behind_a_link(tmp_path):
    takeaway.copy(["atomic"], tmp_path / "one")
    (tmp_path / "two").mkdir()
    (tmp_path / "two" / "atomic.py").symlink_to(tmp_path / "one" / "atomic.py")
    (tmp_path / "two" / "__init__.py").symlink_to(tmp_path / "mine.py")
    with pytest.raises(FileExistsError, match="__init__"):  # it leads nowhere yet
        takeaway.copy(["atomic"], tmp_path / "two")
    (tmp_path / "mine.py").touch()
    assert takeaway.copy(["atomic"], tmp_path / "two") == []


@pytest.mark.parametrize("command", ["check", "port", "whatis", "doctor", "copy"])
def test_a_copied_command_works_as_here(command, tmp_path):
    takeaway.copy([command], tmp_path / "inference")
    asked = {
        "check": [HELPERS.parent / "data" / "lenet.onnx"],
        "port": [HELPERS / "plan.py"],
        "whatis": ["build_engine"],
        "doctor": [],
        "copy": ["atomic", "--to", tmp_path / "project" / "again"],
    }[command]
    done = [
        subprocess.run(
            [sys.executable, "-m", f"{package}.commands.{command}", *map(str, asked)],
            cwd=folder,
            capture_output=True,
            text=True,
            timeout=120,
        )
        for package, folder in (("inference", tmp_path), ("helpers", HELPERS.parent))
    ]
    assert done[0].returncode == done[1].returncode == 0, done[0].stderr
    if command not in ("copy", "doctor"):
        assert done[0].stdout == done[1].stdout


def test_the_status_says_what_has_changed_on_which_side(tmp_path, capsys, monkeypatch):
    package = tmp_path / "inference"
    takeaway.copy(["plan"], package)
    assert set(takeaway.status(package).values()) == {"same"}
    assert commands.main(["copy", "--status", "--to", str(package)]) == 0
    (package / "trt.py").write_text("mine\n")
    (package / "device.py").unlink()
    newer = {"atomic": b"newer", "trt": b"newer"}
    original = takeaway.content_of
    monkeypatch.setattr(takeaway, "content_of", lambda name: newer.get(name) or original(name))
    states = takeaway.status(package)
    assert states["atomic.py"] == "changed here"
    assert states["trt.py"] == "changed on both sides"
    assert states["device.py"] == "gone there"
    assert states["plan.py"] == "same"
    assert commands.main(["copy", "--status", "--to", str(package)]) == 1
    assert "changed on both sides" in capsys.readouterr().out
    (package / "plan.py").write_text("mine\n")
    assert takeaway.status(package)["plan.py"] == "changed there"
    note = json.loads((package / takeaway.NOTE).read_text())
    (package / takeaway.NOTE).write_text(
        json.dumps({**note, "old.py": "0" * 64, "../x.py": "0" * 64, __file__: "0" * 64})
    )
    (package / "old.py").write_text("")
    states = takeaway.status(package)
    assert states["old.py"] == "gone here"
    assert not {"../x.py", __file__} & states.keys()


def test_a_file_of_the_projects_own_that_is_called_like_the_note_stays(tmp_path):
    (tmp_path / "inference").mkdir()
    mine = tmp_path / "inference" / takeaway.NOTE
    mine.write_text('{"mine": 1}')
    with pytest.raises(FileExistsError, match="copied.json"):
        takeaway.copy(["atomic"], tmp_path / "inference")
    assert mine.read_text() == '{"mine": 1}'
    takeaway.copy(["atomic"], tmp_path / "inference", force=True)
    takeaway.copy(["trust"], tmp_path / "inference")
    assert set(takeaway.status(tmp_path / "inference")) == {"atomic.py", "trust.py"}


@pytest.mark.parametrize("note", [None, "[1]", "{", '{"a.py": 1}'])
def test_the_status_of_a_folder_without_a_note(note, tmp_path, capsys):
    if note is not None:
        (tmp_path / takeaway.NOTE).write_text(note)
    assert commands.main(["copy", "--status", "--to", str(tmp_path)]) == 2
    assert "no usable copied.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["plans", "--to", "x"], "no helper 'plans'"),
        (["plan", "--to", "my-inference"], "cannot be imported as a package"),
        (["plan", "--to", str(HELPERS)], "where the helpers come from"),
        (["plan", "--to", "class"], "cannot be imported as a package"),
        (["plan"], "--to which folder"),
        (["plan", "--to", ""], "--to which folder"),
        (["--to", "x"], "which modules"),
    ],
)
def test_wrong_arguments(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["copy", *arguments]) == 1
    assert message in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_command_line(capsys, tmp_path):
    assert main(["copy", "runner", "--to", str(tmp_path / "inference")]) == 0
    shown = capsys.readouterr().out
    assert str(tmp_path / "inference" / "runner.py") in shown
    assert "needs numpy" in shown
    assert "one of pycuda, cuda-bindings, torch" in shown
    assert "with a GPU: tensorrt" in shown
    assert main(["copy", "--list"]) == 0
    shown = capsys.readouterr().out
    assert all(name in shown for name in ("runner", "check", "port", "whatis", "doctor", "copy"))
    assert "operator_trials" not in shown, "it comes with check"


def test_a_table_beside_a_module_goes_with_it_into_the_package(tmp_path):
    package = tmp_path / "inference"
    takeaway.copy(["builder"], package)
    assert (package / "advice.json").read_bytes() == (HELPERS / "advice.json").read_bytes()
    assert not (tmp_path / "data").exists()
    assert takeaway.status(package)["advice.json"] == "same"
    (package / "advice.json").write_text("{}")
    assert takeaway.status(package)["advice.json"] == "changed there"
    with pytest.raises(FileExistsError, match=r"advice\.json"):
        takeaway.copy(["builder"], package)
