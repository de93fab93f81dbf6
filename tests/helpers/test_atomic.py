"""Files that are written whole or not at all: what an error, a kill, a full disk or a neighbour leaves."""

import contextlib
import errno
import os
import socket
import stat
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from helpers import atomic
from helpers.atomic import locked, open_regular, staged, write_atomically, write_together

posix = pytest.mark.skipif(os.name != "posix", reason="permissions, pipes and locks as POSIX has them")


@pytest.fixture
def umask():
    """A function that sets it, until the end of the test."""
    old = os.umask(0o022)
    yield os.umask
    os.umask(old)


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def part(path: Path, digits: str = "0123456789abcdef") -> Path:
    return path.with_name(f".{path.name}.{digits}.part")


class TestWriting:
    def test_it_makes_the_folder_and_leaves_nothing_else(self, tmp_path):
        for data in (b"one", b"two"):
            write_atomically(str(tmp_path / "new" / "folder" / "a"), data)
            assert (tmp_path / "new" / "folder" / "a").read_bytes() == data
        assert names(tmp_path / "new" / "folder") == ["a"]

    def test_the_data_is_on_the_disk_before_it_has_its_name(self, tmp_path, monkeypatch):
        """Else a power cut could leave an empty file under the right name."""
        done = []

        def fsync(handle):
            done.append(("fsync", os.fstat(handle).st_ino, os.fstat(handle).st_size))

        def replace(part, path, real=os.replace):
            done.append(("replace", os.stat(part).st_ino, os.stat(part).st_size))
            real(part, path)

        monkeypatch.setattr(os, "fsync", fsync)
        monkeypatch.setattr(os, "replace", replace)
        write_atomically(tmp_path / "a", b"12345")
        inode = (tmp_path / "a").stat().st_ino
        assert done == [("fsync", inode, 5), ("replace", inode, 5)]

    @pytest.mark.parametrize("call", ["fsync", "replace"])
    @pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left"), KeyboardInterrupt()], ids=repr)
    def test_an_error_leaves_what_was_there(self, tmp_path, monkeypatch, call, error):
        def fail(*args):
            raise error

        (tmp_path / "a").write_bytes(b"old")
        monkeypatch.setattr(os, call, fail)
        for name in ("a", "b"):
            with pytest.raises(type(error)):
                write_atomically(tmp_path / name, b"new")
        assert names(tmp_path) == ["a"]
        assert (tmp_path / "a").read_bytes() == b"old"

    def test_two_at_once_do_not_use_the_same_name(self, tmp_path):
        with staged(tmp_path / "a", b"one") as one, staged(tmp_path / "a", b"two") as two:
            assert (one.read_bytes(), two.read_bytes()) == (b"one", b"two")
            os.replace(two, tmp_path / "a")
        assert names(tmp_path) == ["a"]

    @posix
    def test_nothing_is_written_through_what_somebody_put_in_the_way(self, tmp_path, monkeypatch):
        monkeypatch.setattr(atomic.secrets, "token_hex", lambda n: "0" * 16)
        (tmp_path / "theirs").write_bytes(b"precious")
        part(tmp_path / "a", "0" * 16).symlink_to(tmp_path / "theirs")
        with pytest.raises(FileExistsError):
            write_atomically(tmp_path / "a", b"new")
        assert (tmp_path / "theirs").read_bytes() == b"precious"
        assert part(tmp_path / "a", "0" * 16).is_symlink()


@posix
class TestPermissions:
    def test_a_new_file_gets_those_that_the_user_wants(self, tmp_path, umask):
        for mask, expected in ((0o027, 0o640), (0o077, 0o600), (0, 0o666)):
            umask(mask)
            write_atomically(tmp_path / f"{mask}", b"x")
            assert mode(tmp_path / f"{mask}") == expected

    @pytest.mark.parametrize("kept", [0o600, 0o644, 0o664, 0o400, 0o755])
    def test_a_file_that_is_replaced_keeps_its_own(self, tmp_path, kept, umask):
        (tmp_path / "a").write_bytes(b"old")
        (tmp_path / "a").chmod(kept)
        write_atomically(tmp_path / "a", b"new")
        assert (tmp_path / "a").read_bytes() == b"new"
        assert mode(tmp_path / "a") == kept

    def test_at_no_moment_can_more_people_read_it(self, tmp_path, monkeypatch, umask):
        umask(0)
        (tmp_path / "a").write_bytes(b"old")
        (tmp_path / "a").chmod(0o600)
        modes = []

        def opened(path, flags, asked=0o777, real=os.open, **named):
            handle = real(path, flags, asked, **named)
            modes.append(stat.S_IMODE(os.fstat(handle).st_mode))
            return handle

        monkeypatch.setattr(os, "open", opened)
        write_atomically(tmp_path / "a", b"new")
        assert modes == [0o600]

    def test_what_is_put_back_has_its_own(self, tmp_path, monkeypatch):
        (tmp_path / "a").write_bytes(b"old")
        (tmp_path / "a").chmod(0o600)
        fail_at(monkeypatch, 2)
        with pytest.raises(OSError, match="rename 2"):
            write_together({tmp_path / "a": b"1", tmp_path / "b": b"2"})
        assert mode(tmp_path / "a") == 0o600

    def test_a_file_system_without_permissions(self, tmp_path, monkeypatch):
        def fchmod(*args):
            raise PermissionError("not here")

        (tmp_path / "a").write_bytes(b"old")
        monkeypatch.setattr(os, "fchmod", fchmod)
        write_atomically(tmp_path / "a", b"new")
        assert (tmp_path / "a").read_bytes() == b"new"


@posix
class TestWhatIsNoFile:
    @pytest.mark.parametrize("linked", [False, True])
    @pytest.mark.parametrize("kind", ["pipe", "socket", "folder", "device"])
    def test_it_is_not_replaced(self, tmp_path, monkeypatch, kind, linked):
        monkeypatch.chdir(tmp_path)  # a socket's name must be short
        there = tmp_path / "there"
        if kind == "pipe":
            os.mkfifo(there)
        elif kind == "folder":
            there.mkdir()
        elif kind == "socket":
            with socket.socket(socket.AF_UNIX) as made:
                made.bind("there")
        else:
            there = Path("/dev/null")
        path = tmp_path / "link" if linked or kind == "device" else there
        if path != there:
            path.symlink_to(there)
        before = names(tmp_path), os.lstat(path).st_ino
        with pytest.raises(OSError, match=rf"is a .* and not a file: .*{path.name}"):
            write_atomically(path, b"x")
        with pytest.raises(OSError, match="and not a file"):
            write_together({tmp_path / "other": b"x", path: b"x"})
        if kind != "socket":
            with pytest.raises(OSError, match="and not a file"):
                open_regular(path)
        assert (names(tmp_path), os.lstat(path).st_ino) == before

    def test_a_link_is_replaced_and_what_it_leads_to_stays(self, tmp_path, umask):
        (tmp_path / "theirs").write_bytes(b"precious")
        (tmp_path / "theirs").chmod(0o666)
        for name, target in (("a", "theirs"), ("b", "nowhere")):
            (tmp_path / name).symlink_to(target)
            write_atomically(tmp_path / name, b"new")
            assert not (tmp_path / name).is_symlink()
            assert mode(tmp_path / name) == 0o644
        assert (tmp_path / "theirs").read_bytes() == b"precious"
        assert names(tmp_path) == ["a", "b", "theirs"]

    def test_what_is_opened_is_what_is_looked_at(self, tmp_path, monkeypatch):
        """A look at the name first would leave time to exchange what has it; opening a pipe would wait for a writer."""
        (tmp_path / "a").write_bytes(b"data")
        with open_regular(tmp_path / "a") as file:
            assert file.read() == b"data"

        def opened(path, *args, real=os.open, **named):
            Path(path).unlink()
            os.mkfifo(path)
            return real(path, *args, **named)

        monkeypatch.setattr(os, "open", opened)
        handles = len(os.listdir("/dev/fd"))
        with pytest.raises(OSError, match="pipe"):
            open_regular(tmp_path / "a")
        assert len(os.listdir("/dev/fd")) == handles


class TestAbandonedFiles:
    def test_they_are_deleted_before_anything_is_written(self, tmp_path, monkeypatch):
        """A disk that they filled would otherwise stay full for ever."""
        old, young = part(tmp_path / "a"), part(tmp_path / "a", "f" * 16)
        for file in (old, young):
            file.write_bytes(b"half")
        os.utime(old, (0, 0))
        os.utime(young, (time.time() - atomic.ABANDONED / 2,) * 2)

        def full(handle):
            assert len(names(tmp_path)) == 2
            assert old.name not in names(tmp_path)
            raise OSError(errno.ENOSPC, "No space left")

        monkeypatch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space"):
            write_atomically(tmp_path / "a", b"new")
        assert names(tmp_path) == [young.name]  # somebody may still be writing it

    def test_nothing_else_is(self, tmp_path):
        for name in (
            ".a.part",
            ".a..part",
            ".a.backup.part",
            ".a.0123456789abcde.part",
            ".a.0123456789abcdef0.part",
            ".a.0123456789ABCDEF.part",
            ".a.0123456789abcdef.part.old",
            "a.0123456789abcdef.part",
            ".b.0123456789abcdef.part",
            ".a.b.0123456789abcdef.part",
            ".axb.0123456789abcdef.part",
        ):
            (tmp_path / name).write_bytes(b"mine")
            os.utime(tmp_path / name, (0, 0))
        part(tmp_path / "a").mkdir()
        os.utime(part(tmp_path / "a"), (0, 0))
        before = names(tmp_path)
        write_atomically(tmp_path / "a", b"new")
        write_atomically(tmp_path / "a.b", b"new")
        assert names(tmp_path) == sorted(set(before) - {".a.b.0123456789abcdef.part"} | {"a", "a.b"})

    @posix
    def test_a_link_with_such_a_name_leads_nowhere(self, tmp_path):
        (tmp_path / "mine").write_bytes(b"mine")
        os.utime(tmp_path / "mine", (0, 0))
        part(tmp_path / "a").symlink_to(tmp_path / "mine")
        write_atomically(tmp_path / "a", b"new")
        assert (tmp_path / "mine").read_bytes() == b"mine"
        assert part(tmp_path / "a").is_symlink()  # not of our making


def fail_at(monkeypatch, number: int, late: bool = False) -> None:
    """The rename with that number raises, before it or (as Ctrl-C may) after it; all others work."""
    calls = []

    def replace(*args, real=os.replace):
        calls.append(args)
        if len(calls) != number or late:
            real(*args)
        if len(calls) == number:
            raise OSError(f"rename {number} failed")

    monkeypatch.setattr(os, "replace", replace)


class TestTogether:
    @pytest.mark.parametrize("number", [1, 2, 3])
    @pytest.mark.parametrize("late", [False, True])
    def test_all_or_none(self, tmp_path, monkeypatch, number, late):
        files = {tmp_path / "a": b"1", tmp_path / "new" / "b": b"2", tmp_path / "c": b"3"}
        (tmp_path / "a").write_bytes(b"old a")
        (tmp_path / "c").write_bytes(b"old c")
        fail_at(monkeypatch, number, late)
        with pytest.raises(OSError, match=f"rename {number}"):
            write_together(files)
        found = {path: path.read_bytes() for path in files if path.exists()}
        old = {tmp_path / "a": b"old a", tmp_path / "c": b"old c"}
        assert found == (files if late and number == 3 else old)
        assert not [name for _, _, names in os.walk(tmp_path) for name in names if name.endswith(".part")]

    def test_none_has_its_name_before_all_are_on_the_disk(self, tmp_path, monkeypatch):
        real, calls = os.fsync, []

        def second_fails(handle):
            calls.append(handle)
            if len(calls) == 2:
                raise OSError(errno.ENOSPC, "No space left")
            real(handle)

        monkeypatch.setattr(os, "fsync", second_fails)
        with pytest.raises(OSError, match="No space"):
            write_together({tmp_path / "a": b"1", tmp_path / "b": b"2"})
        assert names(tmp_path) == []

    def test_nothing_at_all(self):
        write_together({})


@posix
class TestLock:
    def test_others_wait_and_say_so_at_the_end(self, tmp_path):
        with (
            locked(tmp_path / "a"),
            pytest.raises(TimeoutError, match=rf"another process .* locked: .*{tmp_path.name}/b'"),
            locked(tmp_path / "b", seconds=0.05),
        ):
            pytest.fail("both have it")
        with locked(tmp_path / "b", seconds=0):  # it was given back
            pass

    def test_it_is_given_back_after_an_error(self, tmp_path):
        handles = len(os.listdir("/dev/fd"))
        for _ in range(2):
            with contextlib.suppress(ZeroDivisionError), locked(tmp_path / "a", seconds=0):
                raise ZeroDivisionError
        assert len(os.listdir("/dev/fd")) == handles

    def test_another_folder_is_another_lock(self, tmp_path):
        (tmp_path / "b").mkdir()
        with locked(tmp_path / "a"), locked(tmp_path / "b" / "a", seconds=0):
            pass

    def test_it_comes_when_the_other_is_done(self, tmp_path):
        order, has_it = [], threading.Event()

        def first():
            with locked(tmp_path / "a"):
                has_it.set()
                time.sleep(0.1)
                order.append("first")

        thread = threading.Thread(target=first)
        thread.start()
        assert has_it.wait(60)
        with locked(tmp_path / "a", seconds=60):
            order.append("second")
        thread.join()
        assert order == ["first", "second"]

    def test_a_process_that_was_forked_meanwhile_does_not_keep_it(self, tmp_path):
        script = (
            "import os, sys, time; from pathlib import Path; from helpers.atomic import locked\n"
            "with locked(Path(sys.argv[1])):\n"
            "    child = os.fork()\n"
            "    if not child: time.sleep(60)\n"
            "with locked(Path(sys.argv[1]), seconds=0): print('free')\n"
            "os.kill(child, 9)"
        )
        done = subprocess.run(
            [sys.executable, "-c", script, str(tmp_path / "a")], capture_output=True, text=True, timeout=60
        )
        assert done.stdout == "free\n", done.stderr

    def test_a_process_that_is_killed_does_not_keep_it(self, tmp_path):
        script = (
            "import os, sys; from pathlib import Path; from helpers.atomic import locked\n"
            "with locked(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
        )
        subprocess.run([sys.executable, "-c", script, str(tmp_path / "a")], timeout=60)
        with locked(tmp_path / "a", seconds=0):
            pass

    @pytest.mark.parametrize("error", [OSError(errno.ENOLCK, "No locks available"), OSError(errno.EBADF, "Bad file")])
    def test_a_file_system_without_locks(self, tmp_path, monkeypatch, error):
        def flock(*args):
            raise error

        monkeypatch.setattr(atomic.fcntl, "flock", flock)
        done = []
        with locked(tmp_path / "a", seconds=0):
            done.append("written")
        assert done == ["written"]

    def test_a_system_without_locks(self, tmp_path, monkeypatch):
        monkeypatch.setattr(atomic, "fcntl", None)
        with locked(tmp_path / "a"), locked(tmp_path / "a"):
            pass
