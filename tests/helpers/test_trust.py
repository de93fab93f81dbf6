"""The list of plans built here: a file of the user's, for many writers, that may be lost but never fooled."""

import hashlib
import os
import stat
import subprocess
import sys
import tempfile
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


@pytest.fixture
def umask():
    """A function that sets it, until the end of the test."""
    old = os.umask(0o022)
    yield os.umask
    os.umask(old)


@pytest.fixture
def owner(monkeypatch):
    """A function that gives one place another owner, as far as Python sees it."""

    def give(path: Path, uid: int):
        for name in ("lstat", "fstat"):
            real = getattr(os, name)

            def pretended(which, real=real, **named):
                status = real(which, **named)
                if not os.path.samestat(status, os.stat(path)):
                    return status
                return os.stat_result([*status[:4], uid, *status[5:]])

            monkeypatch.setattr(os, name, pretended)

    return give


def refused(caplog, reason: str) -> None:
    """What is on the list counts no more, nothing can be noted or taken off, and one warning each says why."""
    assert not trust.is_trusted(b"plan")
    assert not trust.is_trusted(b"plan")
    trust.remember(b"another")
    assert [record.levelname for record in caplog.records] == ["WARNING", "WARNING"]
    assert all(reason in record.message for record in caplog.records), caplog.text
    with pytest.raises((OSError, RuntimeError), match=reason):
        trust.forget(b"plan")


class TestWhoCanWriteTheList:
    """As with ssh's keys: what others can write, or exchange for something else, proves nothing."""

    @posix
    @pytest.mark.parametrize("mask", [0, 0o002, 0o022, 0o077])
    def test_it_is_made_for_the_user_alone(self, monkeypatch, umask, mask, tmp_path):
        monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "new" / "parent" / "state"))
        umask(mask)
        assert trust.make_state_folder() == trust.make_state_folder() == trust.path().parent
        trust.remember(b"plan")
        assert stat.S_IMODE(trust.path().stat().st_mode) == 0o600
        for folder in ("new", "new/parent", "new/parent/state"):
            assert stat.S_IMODE((tmp_path / folder).stat().st_mode) == 0o700
        assert trust.is_trusted(b"plan")

    def test_remembering_makes_the_folder(self, own_state):
        trust.remember(b"plan")
        assert own_state.is_dir()
        assert trust.is_trusted(b"plan")

    @posix
    @pytest.mark.parametrize("mode", [0o666, 0o620, 0o602, 0o660])
    def test_a_list_that_others_can_write(self, caplog, mode):
        trust.remember(b"plan")
        before = trust.path().read_text()
        trust.path().chmod(mode)
        refused(caplog, f"others can write {trust.path()}")
        assert trust.path().read_text() == before
        trust.path().chmod(0o755)  # others may read it, as much as they like
        assert trust.is_trusted(b"plan")

    @posix
    def test_a_list_of_another_user(self, caplog, owner):
        trust.remember(b"plan")
        owner(trust.path(), os.geteuid() + 1)
        refused(caplog, "belongs to another user")

    @posix
    @pytest.mark.skipif(getattr(os, "geteuid", int)() != 0, reason="only root can give a file away")
    def test_a_list_and_a_folder_that_really_belong_to_another_user(self, own_state, caplog):
        trust.remember(b"plan")
        os.chown(trust.path(), 1234, -1)
        assert not trust.is_trusted(b"plan")
        os.chown(trust.path(), 0, -1)
        assert trust.is_trusted(b"plan")
        os.chown(own_state, 1234, -1)
        assert not trust.is_trusted(b"plan")
        assert caplog.text.count("belongs to another user") == 2

    @posix
    def test_a_list_of_roots(self, owner, monkeypatch):
        trust.remember(b"plan")
        owner(trust.path(), 0)
        user = os.geteuid() or 1234  # somebody who is not root
        monkeypatch.setattr(os, "geteuid", lambda: user)
        assert trust.is_trusted(b"plan")

    @posix
    @pytest.mark.parametrize("below", ["state", ".", "links"])
    def test_a_folder_or_a_parent_of_another_user(self, tmp_path, monkeypatch, caplog, owner, below):
        (tmp_path / "links").mkdir()
        (tmp_path / "links" / "way").symlink_to(tmp_path)
        monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "links" / "way" / "state"))
        trust.remember(b"plan")
        assert trust.is_trusted(b"plan")
        owner(tmp_path / below, os.geteuid() + 1)
        refused(caplog, "belongs to another user")

    @posix
    @pytest.mark.parametrize("mode", [0o777, 0o707, 0o1777])
    def test_a_folder_that_others_can_write(self, own_state, caplog, mode):
        """As one that was made with umask 0: somebody may exchange the list, or (sticky) put one there."""
        trust.remember(b"plan")
        own_state.chmod(mode)
        refused(caplog, f"others can write in {own_state}")

    @posix
    def test_a_parent_that_others_can_write(self, tmp_path, caplog):
        trust.remember(b"plan")
        tmp_path.chmod(0o777)
        refused(caplog, f"others can write in {tmp_path}")

    @posix
    def test_a_sticky_parent_lets_nobody_exchange_what_is_ours(self, tmp_path):
        trust.remember(b"plan")
        tmp_path.chmod(0o1777)
        assert trust.is_trusted(b"plan")

    @posix
    def test_a_link_above_may_lead_into_a_sticky_folder(self, tmp_path, monkeypatch):
        (tmp_path / "shared").mkdir()
        (tmp_path / "shared").chmod(0o1777)
        (tmp_path / "link").symlink_to("shared")
        monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "link" / "state"))
        trust.remember(b"plan")
        assert trust.is_trusted(b"plan")

    def test_two_may_make_the_folder_at_the_same_moment(self, own_state, monkeypatch):
        trust.make_state_folder()
        is_dir, too_early = type(own_state).is_dir, [own_state]

        def look(folder):
            return is_dir(folder) if folder not in too_early else bool(too_early.clear())

        monkeypatch.setattr(type(own_state), "is_dir", look)
        assert trust.make_state_folder() == own_state

    @posix
    @pytest.mark.parametrize(
        ("members", "primary", "lets_in"),
        [([], ["me"], False), (["me"], [], False), (["root"], ["me"], False)]
        + [([], ["me", "she"], True), (["she"], ["me"], True), ([], [], True), (None, ["me"], True)],
    )
    def test_a_group_of_the_users_own_lets_nobody_in(self, own_state, monkeypatch, members, primary, lets_in):
        """A umask of 002 makes folders that it can write, on Debian, Ubuntu and Fedora among others."""
        import grp
        import pwd

        def group(gid):
            if members is None:
                raise KeyError(gid)
            return grp.struct_group(["group", "x", gid, members])

        def user(name, gid):
            return pwd.struct_passwd([name, "x", 1, gid, "", "/", "/bin/sh"])

        trust.remember(b"plan")
        gid = own_state.stat().st_gid
        monkeypatch.setattr(grp, "getgrgid", group)
        monkeypatch.setattr(pwd, "getpwuid", lambda uid: user("me", gid))
        monkeypatch.setattr(pwd, "getpwall", lambda: [*(user(name, gid) for name in primary), user("he", gid + 1)])
        for place in (own_state, own_state.parent):
            place.chmod(0o775)
            assert trust.is_trusted(b"plan") != lets_in
            place.chmod(0o755)
            assert trust.is_trusted(b"plan")

    @posix
    def test_what_lies_above_the_home_directory_does_not_count(self, tmp_path, monkeypatch):
        trust.remember(b"plan")
        tmp_path.chmod(0o777)
        monkeypatch.setenv("HOME", str(tmp_path / "state"))
        assert trust.is_trusted(b"plan")
        (tmp_path / "link").symlink_to(tmp_path / "state")
        monkeypatch.setenv("HOME", str(tmp_path / "link"))
        assert trust.is_trusted(b"plan")

    @posix
    def test_a_link_in_the_place_of_the_list(self, own_state, tmp_path, caplog):
        """To a file of our own, such as the checksums in an archive that a stranger made."""
        trust.remember(b"plan")
        trust.path().rename(tmp_path / "SHA256SUM")
        trust.path().symlink_to(tmp_path / "SHA256SUM")
        before = (tmp_path / "SHA256SUM").read_text()
        refused(caplog, "is a link")
        assert (tmp_path / "SHA256SUM").read_text() == before

    @posix
    def test_a_link_in_the_place_of_the_folder(self, own_state, tmp_path, caplog):
        """One of ours may lead where only we can write."""
        trust.remember(b"plan")
        (tmp_path / "open").mkdir()
        own_state.rename(tmp_path / "open" / "there")
        own_state.symlink_to("open/there")
        assert trust.is_trusted(b"plan")
        (tmp_path / "open").chmod(0o777)
        refused(caplog, f"others can write in {tmp_path}")

    @posix
    def test_links_that_lead_in_a_circle(self, own_state, tmp_path, caplog):
        own_state.symlink_to(tmp_path / "circle")
        (tmp_path / "circle").symlink_to(own_state)
        refused(caplog, "symbolic links")

    @posix
    def test_what_is_no_file(self, own_state, caplog):
        own_state.mkdir()
        os.mkfifo(trust.path(), 0o600)
        refused(caplog, "is not a file")
        trust.path().unlink()
        trust.path().mkdir(0o700)
        assert not trust.is_trusted(b"plan")

    def test_a_list_without_end(self, own_state, monkeypatch, caplog):
        trust.remember(b"plan")
        monkeypatch.setattr(trust, "LIMIT", len(trust.path().read_bytes()))
        assert trust.is_trusted(b"plan")
        with trust.path().open("ab") as file:
            file.truncate(1 << 40)  # takes no room
        refused(caplog, "is longer than")

    def test_a_list_in_the_current_folder(self, tmp_path, monkeypatch, caplog):
        """A relative path, from a .env file say, would take it from the folder of whatever project is at hand."""
        trust.remember(b"plan")
        monkeypatch.chdir(tmp_path)
        monkeypatch.setenv("WORKBOOK_STATE", "state")
        refused(caplog, "relative path 'state'")
        with pytest.raises(RuntimeError, match="absolute"):
            trust.make_state_folder()

    @posix
    @pytest.mark.skipif(getattr(os, "geteuid", int)() != 0, reason="only root can become somebody else")
    def test_a_neighbour_cannot_exchange_the_list(self, monkeypatch, umask):
        """Root is the user here, and nobody the neighbour, who can reach the folder although the umask was 0."""
        umask(0)
        with tempfile.TemporaryDirectory() as folder:
            os.chmod(folder, 0o755)
            monkeypatch.setenv("WORKBOOK_STATE", f"{folder}/new/state")
            trust.remember(b"plan")
            neighbour = os.fork()
            if not neighbour:
                try:
                    os.setgid(65534)
                    os.setuid(65534)
                    os.rename(f"{folder}/new/state", f"{folder}/new/old")
                except PermissionError:
                    os._exit(7)
                os._exit(0)
            assert os.waitstatus_to_exitcode(os.waitpid(neighbour, 0)[1]) == 7
            assert trust.is_trusted(b"plan")


def test_lines_that_are_no_digest_and_a_line_cut_short_do_no_harm():
    trust.remember(b"plan")
    with trust.path().open("ab") as file:
        for line in ("#{}", "{}  a.plan", "--{}", " {}"):
            file.write(line.format(trust.sha256(b"commented")).encode() + b"\n")
        file.write(b"\xff\x00 garbage\n" + trust.sha256(b"cut").encode()[:30])
    assert trust.is_trusted(b"plan")
    assert not trust.is_trusted(b"commented")
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
