"""The list of plans built here: a file of the user's, for many writers, that may be lost but never fooled."""

import hashlib
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from helpers import trust

posix = pytest.mark.skipif(os.name != "posix", reason="permissions as POSIX has them")


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(trust, "_warned", set())
    return tmp_path / "state"


def test_a_plan_is_trusted_once_it_is_remembered_and_to_the_byte():
    assert not trust.is_trusted(b"plan")
    assert trust.remember(b"plan") == hashlib.sha256(b"plan").hexdigest()
    assert trust.is_trusted(b"plan")
    assert trust.is_trusted(hashlib.sha256(b"plan").hexdigest())
    assert not trust.is_trusted(b"plam")


def test_a_plan_is_noted_once():
    for _ in range(3):
        trust.remember(b"plan")
    trust.remember(b"another")
    assert trust.path().read_text().split() == [trust.sha256(b"plan"), trust.sha256(b"another")]


def test_forgetting_and_remembering_again():
    trust.remember(b"plan")
    trust.remember(b"another")
    trust.forget(b"plan")
    trust.forget(b"never seen")
    assert not trust.is_trusted(b"plan")
    assert trust.is_trusted(b"another")
    trust.remember(b"plan")
    assert trust.is_trusted(b"plan")


@posix
def test_only_the_user_can_read_and_write_the_list(own_state):
    old = os.umask(0)
    try:
        trust.remember(b"plan")
    finally:
        os.umask(old)
    assert stat.S_IMODE(trust.path().stat().st_mode) == 0o600
    assert stat.S_IMODE(own_state.stat().st_mode) == 0o700


@posix
def test_a_list_that_others_can_write_proves_nothing(caplog):
    trust.remember(b"plan")
    trust.path().chmod(0o666)
    assert not trust.is_trusted(b"plan")
    assert "others can write" in caplog.text
    before = trust.path().read_text()
    trust.remember(b"another")
    assert trust.path().read_text() == before
    trust.path().chmod(0o600)
    assert trust.is_trusted(b"plan")


@posix
@pytest.mark.skipif(getattr(os, "geteuid", int)() != 0, reason="only root can give a file away")
def test_a_list_of_another_user_proves_nothing(caplog):
    trust.remember(b"plan")
    os.chown(trust.path(), 1234, -1)
    assert not trust.is_trusted(b"plan")
    assert "belongs to another user" in caplog.text


def test_lines_that_are_no_digest_and_a_line_cut_short_do_no_harm():
    trust.remember(b"plan")
    with trust.path().open("ab") as file:
        file.write(b"\xff\x00 garbage\n" + trust.sha256(b"cut").encode()[:30])
    assert trust.is_trusted(b"plan")
    trust.remember(b"another")
    assert trust.is_trusted(b"another")
    assert not trust.is_trusted("garbage")
    assert not trust.is_trusted("")


def test_a_list_that_cannot_be_written_costs_a_warning_and_not_the_build(tmp_path, monkeypatch, caplog):
    (tmp_path / "file").write_text("a file where the folder should be")
    monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "file" / "state"))
    for _ in range(3):
        assert trust.remember(b"plan") == trust.sha256(b"plan")
    assert [record.levelname for record in caplog.records] == ["WARNING"]
    assert "trusted=True" in caplog.text
    assert not trust.is_trusted(b"plan")
    with pytest.raises(OSError, match="Not a directory"):
        trust.forget(b"plan")


def test_a_full_disk_costs_a_warning_and_not_the_build(monkeypatch, caplog):
    trust.remember(b"plan")
    monkeypatch.setattr(os, "write", lambda handle, data: len(data) // 2)
    trust.remember(b"another")
    assert "disk is full" in caplog.text
    assert not trust.is_trusted(b"another")
    assert trust.is_trusted(b"plan")


def test_a_user_without_a_home(monkeypatch, caplog):
    def nobody():
        raise RuntimeError("Could not determine home directory.")

    for name in ("WORKBOOK_STATE", "XDG_STATE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(Path, "home", nobody)
    assert trust.remember(b"plan") == trust.sha256(b"plan")
    assert "home directory" in caplog.text
    assert not trust.is_trusted(b"plan")


@pytest.mark.skipif(sys.platform == "win32", reason="XDG folders")
def test_the_list_lies_outside_the_project(monkeypatch, tmp_path):
    monkeypatch.delenv("WORKBOOK_STATE")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "xdg"))
    assert trust.path().parent == tmp_path / "xdg" / "tensorrt-workbook"
    # A relative one would take the list from whatever project is the current folder.
    monkeypatch.setenv("XDG_STATE_HOME", "here")
    assert trust.path().parent == tmp_path / ".local" / "state" / "tensorrt-workbook"


def test_many_processes_write_at_once():
    script = "import sys; from helpers import trust\nfor i in range(100): trust.remember(f'{sys.argv[1]} {i}'.encode())"
    writers = [subprocess.Popen([sys.executable, "-c", script, str(n)]) for n in range(6)]
    assert [writer.wait(60) for writer in writers] == [0] * 6
    # Whoever reads while another line is being written may take that one for cut short, and leaves an empty line.
    lines = trust.path().read_text().split()
    assert sorted(lines) == sorted(trust.sha256(f"{n} {i}".encode()) for n in range(6) for i in range(100))


def test_it_needs_only_the_standard_library():
    script = "import sys, helpers.trust; assert not {'numpy', 'tensorrt', 'tensorrt_rtx'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
