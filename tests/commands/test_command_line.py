"""helpers/commands: what the installed command takes and how it ends: safe in any folder, never with a traceback."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
from pathlib import Path

import pytest

from helpers import commands as command_line
from helpers.commands import check

REPOSITORY = Path(__file__).parents[2]
LENET = REPOSITORY / "data" / "lenet.onnx"
COMMAND = Path(sysconfig.get_path("scripts"), "tensorrt-workbook" + (".exe" if os.name == "nt" else ""))
posix = pytest.mark.skipif(os.name != "posix", reason="special files and signals of POSIX")
full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


def run(*arguments, command=(COMMAND,), **options) -> subprocess.CompletedProcess:
    options = {"capture_output": True, "text": True, "timeout": 100, **options}
    return subprocess.run([*map(str, command), *map(str, arguments)], **options)


def shell(line: str, **options) -> subprocess.CompletedProcess:
    return run(f"PATH={COMMAND.parent}:$PATH; {line}", command=("bash", "-c"), **options)


def test_the_command_is_installed():
    done = run("--help")
    assert done.stdout.startswith("usage: tensorrt-workbook ")
    assert (done.returncode, done.stderr) == (0, "")


# In the folder of a stranger

MODULES = ["argparse", "contextlib", "json", "linecache", "math", "numpy", "onnx", "pickle", "queue", "rich", "shutil"]
MODULES += ["sitecustomize", "tempfile", "tensorrt", "tensorrt_rtx", "typing", "usercustomize", "__future__"]


@pytest.fixture
def stranger(tmp_path):
    """A folder with a good model, and with modules that leave their names in ``ran`` beside it."""
    folder = tmp_path / "stranger"
    folder.mkdir()
    shutil.copy(LENET, folder / "model.onnx")
    for name in MODULES:
        (folder / f"{name}.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'a').write('{name} ')\n")
    return folder


@pytest.mark.parametrize(
    "command", [(COMMAND,), (sys.executable, "-m", "helpers")], ids=["installed", "python -m helpers"]
)
def test_nothing_of_the_current_folder_runs(stranger, command):
    if command == (COMMAND,):  # the other way cannot prevent that Python finds this one first
        (stranger / "helpers").mkdir()
        for name in ("__init__", "__main__", "check"):
            (stranger / "helpers" / f"{name}.py").write_text("open('../ran', 'a').write('helpers ')\n")
    elif sys.version_info < (3, 11):
        pytest.skip("Python 3.10 imports from the current folder before it comes to our first line")
    done = run("check", "model.onnx", command=command, cwd=stranger)
    ran = stranger.with_name("ran")
    assert not ran.exists(), ran.read_text()
    assert (done.returncode, done.stderr) == (0, "")
    assert "model.onnx" in done.stdout


def test_the_workbook_keeps_its_own_folder():
    code = "import sys; before = list(sys.path); import helpers.__main__; print(sys.path == before, before[0] == '')"
    assert run(code, command=(sys.executable, "-c"), cwd=REPOSITORY).stdout == "True True\n"


# Pages


@posix
@pytest.mark.parametrize("kind", ["fifo", "folder", "device", "link to a fifo", "link to a device"])
def test_a_page_replaces_no_special_file(tmp_path, kind, capsys):
    page = tmp_path / "page.html"
    target = tmp_path / "target" if kind.startswith("link") else page
    if "fifo" in kind:
        os.mkfifo(target)
    elif kind == "folder":
        target.mkdir()
    else:
        page, target = (page, Path(os.devnull)) if kind.startswith("link") else (Path(os.devnull),) * 2
    if target != page:
        page.symlink_to(target)
    before = os.lstat(page)
    with pytest.raises(SystemExit) as end:
        command_line.main(["check", str(LENET), "--html", str(page)])
    assert end.value.code == 2
    assert capsys.readouterr().err.endswith(f"argument --html: {page} is there already and is no file\n")
    assert (os.lstat(page).st_ino, os.lstat(page).st_mode) == (before.st_ino, before.st_mode)


def test_a_page_replaces_a_page_and_nothing_else(tmp_path, capsys):
    assert check._page(str(tmp_path / "new.html")) == str(tmp_path / "new.html")
    old, other = tmp_path / "old.html", tmp_path / "other.html"
    for content in (b"", b"  <!DOCTYPE html>\n<html>", b"<!doctype HTML>"):
        old.write_bytes(content)
        assert check._page(str(old)) == str(old)
    other.write_bytes(b"<html>no page of ours")
    with pytest.raises(SystemExit):
        command_line.main(["check", str(LENET), "--html", str(other)])
    assert "is no HTML page: it would be lost" in capsys.readouterr().err


@posix
def test_a_page_replaces_no_link(tmp_path, capsys):
    """/dev/stdout is one, to a page where the shell sends it there: root would lose the device."""
    (tmp_path / "old.html").write_bytes(b"<!DOCTYPE html>\n<html>")
    (tmp_path / "stdout").symlink_to("old.html")
    with pytest.raises(SystemExit) as end:
        command_line.main(["check", str(LENET), "--html", str(tmp_path / "stdout")])
    assert end.value.code == 2
    assert "stdout is a link: name the file itself" in capsys.readouterr().err
    assert (tmp_path / "stdout").is_symlink()


def test_a_file_that_cannot_be_read_is_not_replaced(tmp_path, monkeypatch, capsys):
    page = tmp_path / "page.html"
    page.write_text("secret")

    def refuse(path, mode):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    monkeypatch.setattr("builtins.open", refuse)  # root may read everything, so a mode would not do
    with pytest.raises(SystemExit):
        command_line.main(["check", str(LENET), "--html", str(page)])
    assert capsys.readouterr().err.endswith("is there already and cannot be read: Permission denied\n")


# Ends


@posix
@pytest.mark.parametrize("line", ["whatis max_workspace_size", "copy --list", "--help"])
def test_closed_standard_output(line):
    done = shell(f"tensorrt-workbook {line} >&-")
    assert done.returncode == 2
    assert done.stderr == "tensorrt-workbook: standard output is closed: there is nowhere to write to\n"


@posix
def test_closed_standard_error_and_input():
    done = shell("tensorrt-workbook whatis max_workspace_size 2>&- <&-")
    assert done.returncode == 0
    assert "max_workspace_size" in done.stdout
    assert shell("tensorrt-workbook no_such_command 2>&-").returncode == 2
    assert shell("tensorrt-workbook whatis max_workspace_size >&- 2>&-").returncode == 2


@full
@pytest.mark.parametrize("line", ["whatis max_workspace_size", "copy --list", "--help", "port --json x.py"])
def test_full_disk_under_standard_output(line, tmp_path):
    (tmp_path / "x.py").write_text("engine.max_batch_size\n" * 5000)
    # argparse keeps quiet about a help text that it cannot write, unless that comes to light when a buffer is emptied.
    done = shell(f"unset PYTHONUNBUFFERED; tensorrt-workbook {line} > /dev/full", cwd=tmp_path)
    assert done.returncode == 2
    assert done.stderr == "tensorrt-workbook: No space left on device\n"


@full
def test_full_disk_under_standard_error():
    assert shell("tensorrt-workbook no_such_command 2> /dev/full").returncode == 2


@posix
@pytest.mark.parametrize("line", ["port --json x.py", "copy --list"])  # print, and rich
def test_a_pipe_that_closes_early(line, tmp_path):
    (tmp_path / "x.py").write_text("engine.max_batch_size\n")
    done = shell(f"(sleep 0.2; tensorrt-workbook {line}; echo $? >&2) | true", cwd=tmp_path)
    assert done.stderr == "141\n"


@posix
def test_ctrl_c():
    code = "import sys, time, helpers.commands as m; m.main = lambda _: (print('here', flush=True), time.sleep(60));"
    command = [sys.executable, "-c", code + "sys.exit(m.program())"]
    process = subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout.readline() == "here\n"
    time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    assert process.communicate(timeout=30) == ("", "")
    assert process.returncode == 130


@pytest.mark.parametrize(
    ("error", "said"),
    [
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device"),
        (
            FileNotFoundError(errno.ENOENT, "No such file or directory", "names.json"),
            "names.json: No such file or directory",
        ),
        (FileNotFoundError("no usable temporary directory found"), "no usable temporary directory found"),
        (ModuleNotFoundError("No module named 'rich'"), "No module named 'rich'; it is in the workbook's environment"),
    ],
)
def test_what_stops_a_command_is_one_line(error, said, monkeypatch, capsys):
    def main(arguments):
        print("so far")
        raise error

    monkeypatch.setattr(command_line, "main", main)
    assert command_line.program() == 2
    out, err = capsys.readouterr()
    assert out == "so far\n"
    assert err.startswith(f"tensorrt-workbook: {said}")
    assert err.count("\n") == 1


def test_no_temporary_folder_is_no_traceback(tmp_path):
    done = run("check", LENET, env={**os.environ, "TMPDIR": str(tmp_path / "missing")})
    assert (done.returncode, done.stderr) == (0, "")


def test_without_standard_error_nothing_goes_to_standard_output_instead(monkeypatch, capsys):
    def main(arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(command_line, "main", main)
    monkeypatch.setattr(sys, "stderr", None)
    assert command_line.program() == 2
    assert capsys.readouterr().out == ""


def test_output_that_is_not_unicode():
    done = run("whatis", "名前", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.stdout.startswith("??: not a name that we know")
    assert (done.returncode, done.stderr) == (2, "")


def test_every_command_says_its_name_in_its_help(capsys):
    for command in command_line.COMMANDS:
        assert command_line.program([command, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"usage: tensorrt-workbook {command} ")
