"""helpers/worker.py: whatever a function does in the worker, the caller gets an answer in time, and another worker."""

from __future__ import annotations

import ast
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from types import SimpleNamespace

import pytest

from helpers.commands import copy as takeaway
from helpers.worker import LARGEST_REPLY, Worker, WorkerDied, WorkerMemory, WorkerRaised, WorkerTimeout, resident_memory

CALLS = "worker_calls"
REPOSITORY = Path(__file__).parents[2]
posix = pytest.mark.skipif(os.name != "posix", reason="signals and process groups of POSIX")
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@pytest.fixture(scope="module")
def worker():
    with Worker(timeout=20) as worker:
        yield worker


def alive(pid: int) -> bool:
    """Whether the process runs; a zombie that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def gone_within(pid: int, seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while alive(pid) and time.monotonic() < deadline:
        time.sleep(0.02)
    return not alive(pid)


def test_result_of_a_call(worker):
    assert worker.call(f"{CALLS}:add", 2, b=3) == 5
    assert worker.call(f"{CALLS}:add", "ä" * 300_000, "b") == "ä" * 300_000 + "b"  # more than a pipe holds
    assert worker.call(f"{CALLS}:process_id") == worker.pid != os.getpid()


def test_a_call_is_cheap(worker):
    worker.call(f"{CALLS}:add", 1)
    start = time.perf_counter()
    for i in range(100):
        assert worker.call(f"{CALLS}:add", i) == i + 1
    assert (time.perf_counter() - start) / 100 < 0.02


def test_output_of_a_call_goes_nowhere(worker, capfd):
    assert worker.call(f"{CALLS}:shout", "noise") == 0
    assert capfd.readouterr() == ("", "")


def test_exceptions_come_back_and_the_child_stays(worker):
    pid = worker.call(f"{CALLS}:process_id")
    with pytest.raises(WorkerRaised, match="ValueError: this function raises") as caught:
        worker.call(f"{CALLS}:fail")
    assert caught.value.type == "ValueError"
    assert "in fail" in caught.value.traceback
    with pytest.raises(WorkerRaised, match="not JSON serializable"):
        worker.call(f"{CALLS}:unspeakable")
    with pytest.raises(WorkerRaised, match="ModuleNotFoundError"):
        worker.call("no_such_module:function")
    with pytest.raises(WorkerRaised, match="AttributeError"):
        worker.call(f"{CALLS}:no_such_function")
    with pytest.raises(WorkerRaised, match="SystemExit: 7"):
        worker.call(f"{CALLS}:give_up")
    assert worker.call(f"{CALLS}:process_id") == pid


class OnlyHere:
    pass


def test_an_argument_that_the_child_cannot_make_is_no_death(worker, monkeypatch):
    monkeypatch.setattr(OnlyHere, "__module__", "__main__")
    monkeypatch.setattr(sys.modules["__main__"], "OnlyHere", OnlyHere, raising=False)
    with pytest.raises(WorkerRaised, match="AttributeError.*OnlyHere"):
        worker.call(f"{CALLS}:add", OnlyHere())


def test_no_limit_is_a_limit_too(worker):
    assert worker.call(f"{CALLS}:add", 1, timeout=float("inf")) == 2


@posix
@pytest.mark.parametrize("name", ["SIGSEGV", "SIGFPE", "SIGABRT", "SIGKILL"])
def test_death_by_signal_is_named_and_the_child_replaced(worker, name):
    with pytest.raises(WorkerDied, match=name) as caught:
        worker.call(f"{CALLS}:die", name)
    assert caught.value.cause == name
    assert worker.pid is None
    assert worker.call(f"{CALLS}:add", 1) == 2


def test_death_by_exit(worker):
    with pytest.raises(WorkerDied, match="exit code 3"):
        worker.call(f"{CALLS}:leave", 3)
    assert worker.call(f"{CALLS}:add", 1) == 2


def test_a_child_that_dies_between_calls_is_replaced(worker):
    worker.call(f"{CALLS}:add", 1)
    worker._process.kill()
    worker._process.wait(5)
    assert worker.call(f"{CALLS}:add", 1) == 2


def test_junk_on_the_pipe_is_a_death(worker):
    with pytest.raises(WorkerDied):
        worker.call(f"{CALLS}:write_junk")
    assert worker.call(f"{CALLS}:add", 1) == 2


def test_a_result_has_its_own_limit_of_memory(worker):
    assert len(worker.call(f"{CALLS}:letters", LARGEST_REPLY - 100)) == LARGEST_REPLY - 100 < 100e6
    pid = worker.pid
    with pytest.raises(WorkerMemory, match="larger than the limit of 64 MiB"):
        worker.call(f"{CALLS}:letters", LARGEST_REPLY)
    assert worker.call(f"{CALLS}:process_id") == pid


def test_no_more_is_read_than_a_result_may_have_whatever_is_announced(worker):
    with pytest.raises(WorkerDied, match="unreadable reply"):
        worker.call(f"{CALLS}:announce", LARGEST_REPLY + 1)
    assert worker.call(f"{CALLS}:add", 1) == 2


@pytest.mark.parametrize("call", [("sleep", 600), pytest.param(("hold_the_gil",), marks=posix)])
def test_hanging_calls_are_stopped_in_time(worker, call):
    worker.call(f"{CALLS}:add", 1)
    pid, start = worker.pid, time.monotonic()
    with pytest.raises(WorkerTimeout, match="time limit of 0.5 s"):
        worker.call(f"{CALLS}:{call[0]}", *call[1:], timeout=0.5)
    assert 0.4 < time.monotonic() - start < 5
    assert not alive(pid)
    assert worker.call(f"{CALLS}:add", 1) == 2


@linux
def test_memory_is_stopped_at_the_limit(worker):
    with pytest.raises(WorkerMemory, match="0.25 GiB"):
        worker.call(f"{CALLS}:eat", memory=1 << 28)
    assert 1 << 28 < worker.peak < 1 << 29
    assert worker.call(f"{CALLS}:add", 1, memory=1 << 28) == 2


@linux
def test_address_space_is_not_limited(worker):
    assert worker.call(f"{CALLS}:reserve", 1 << 38, memory=1 << 28) == 1 << 38


@linux
def test_resident_memory():
    assert 1 << 20 < resident_memory(os.getpid()) < 1 << 34
    assert resident_memory(2**22 + 1) == 0


@linux
def test_resident_memory_where_there_is_no_proc(monkeypatch):
    asked = SimpleNamespace(Process=lambda pid: SimpleNamespace(memory_info=lambda: SimpleNamespace(rss=100 + pid)))
    monkeypatch.setitem(sys.modules, "psutil", asked)
    assert resident_memory(2**22 + 1) == 0  # here /proc knows that it is gone
    monkeypatch.setattr(sys, "platform", "darwin")
    assert resident_memory(2**22 + 1) == 101 + 2**22
    monkeypatch.setattr(asked, "Process", lambda pid: 1 / 0)
    assert resident_memory(2**22 + 1) == 0


@linux
def test_what_the_child_started_is_killed_with_it(tmp_path):
    with Worker() as worker:
        pid = worker.call(f"{CALLS}:start_a_child")
        assert alive(pid)
    assert gone_within(pid, 5)
    with Worker(timeout=2) as worker, pytest.raises(WorkerTimeout):
        worker.call(f"{CALLS}:start_a_child_and_hang", str(tmp_path / "pid"))
    assert gone_within(int((tmp_path / "pid").read_text()), 5)


@linux
def test_first_in_line_when_memory_is_short(worker):
    worker.call(f"{CALLS}:add", 1)
    assert Path(f"/proc/{worker.pid}/oom_score_adj").read_text().strip() == "1000"


@posix
def test_no_core_file():
    import resource

    if resource.getrlimit(resource.RLIMIT_CORE)[1] == 0:
        pytest.skip("core files are forbidden here, so a child inherits that")
    raised = "import resource as r; r.setrlimit(r.RLIMIT_CORE, (r.getrlimit(r.RLIMIT_CORE)[1],) * 2)"
    out, err = program(f"{raised}; worker.close(); print(worker.call('worker_calls:core_limit'))").communicate(
        timeout=30
    )
    assert out.splitlines()[1:] == ["[0, 0]"], err


@posix
def test_core_files_are_switched_off_whatever_the_limit_was():
    said = "import resource; resource.setrlimit = lambda *new: print(new == (resource.RLIMIT_CORE, (0, 0)))"
    code = f"{said}; from helpers import worker; worker._expect_the_worst()"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, timeout=30)
    assert done.stdout == "True\n", done.stderr


def test_preload_runs_in_every_child_outside_the_time_limit():
    with Worker(timeout=0.5, preload=f"{CALLS}:slow_start") as worker:
        assert worker.call(f"{CALLS}:started") == 1
        with pytest.raises(WorkerDied):
            worker.call(f"{CALLS}:leave", 1)
        assert worker.call(f"{CALLS}:started") == 1
        assert worker.starts == 2
    with Worker(preload=f"{CALLS}:sleep_long", start_timeout=0.3) as worker, pytest.raises(WorkerTimeout):
        worker.call(f"{CALLS}:add", 1)


def test_a_given_limit_covers_the_start_and_the_call():
    with Worker(preload=f"{CALLS}:sleep_long") as worker:
        with pytest.raises(WorkerTimeout, match="limit of 0.3 s"):
            worker.call(f"{CALLS}:add", 1, timeout=0.3)
        assert (worker.starts, worker.pid) == (1, None)
    with Worker(preload=f"{CALLS}:slow_start") as worker, pytest.raises(WorkerTimeout, match="limit of 1.3 s"):
        worker.call(f"{CALLS}:sleep", 1.1, timeout=1.3)  # with the 0.7 s of the start it is too long


@pytest.mark.parametrize("timeout", [0, -3.5])
def test_where_no_time_is_left_nothing_is_started(timeout):
    with Worker() as worker, pytest.raises(WorkerTimeout):
        worker.call(f"{CALLS}:add", 1, timeout=timeout)
    assert worker.starts == 0


@linux
def test_a_given_memory_limit_covers_the_start():
    with Worker(preload=f"{CALLS}:eat") as worker, pytest.raises(WorkerMemory, match="0.25 GiB"):
        worker.call(f"{CALLS}:add", 1, memory=1 << 28)


def test_a_child_whose_preload_failed_is_not_used():
    with Worker(preload=f"{CALLS}:fail") as worker:
        for _ in range(2):
            with pytest.raises(WorkerRaised, match="this function raises"):
                worker.call(f"{CALLS}:add", 1)
    assert worker.starts == 2


def test_threads_take_turns():
    results = {}
    with Worker() as worker:

        def call(number: int) -> None:
            results[number] = worker.call(f"{CALLS}:sleep", number / 100)

        threads = [threading.Thread(target=call, args=(number,)) for number in range(8, 0, -1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert results == {number: number / 100 for number in range(1, 9)}
        assert worker.starts == 1


def test_waiting_for_a_turn_counts_and_disturbs_nobody(worker):
    worker.call(f"{CALLS}:add", 1)
    results, pid = [], worker.pid
    long = threading.Thread(target=lambda: results.append(worker.call(f"{CALLS}:sleep", 1.5)))
    long.start()
    while not worker._lock.locked():
        time.sleep(0.01)
    with pytest.raises(WorkerTimeout, match="limit of 0.2 s"):
        worker.call(f"{CALLS}:add", 1, timeout=0.2)
    long.join(30)
    assert results == [1.5]
    assert worker.call(f"{CALLS}:process_id") == pid


PROGRAM = """
import sys
sys.path.insert(0, {tests!r})
from helpers.worker import Worker
worker = Worker()
print(worker.call("worker_calls:process_id"), flush=True)
{action}
"""


def program(action: str) -> subprocess.Popen:
    source = PROGRAM.format(tests=str(REPOSITORY / "tests" / "shared"), action=action)
    return subprocess.Popen([sys.executable, "-c", source], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


@linux
@pytest.mark.parametrize("action", ["", "worker.close(); print(worker.call('worker_calls:process_id'))", "1 / 0"])
def test_the_child_ends_with_the_parent(action):
    out, _ = program(action).communicate(timeout=30)
    for pid in out.split():
        assert gone_within(int(pid), 5)


@linux
def test_ctrl_c_in_the_parent_kills_the_child():
    parent = program("worker.call('worker_calls:sleep', 600)")
    pid = int(parent.stdout.readline())
    time.sleep(0.5)
    parent.send_signal(signal.SIGINT)
    _, err = parent.communicate(timeout=10)
    assert "KeyboardInterrupt" in err
    assert gone_within(pid, 5)


@linux
@pytest.mark.parametrize(
    ("action", "seconds"),
    [
        ("worker.call('worker_calls:sleep', 600)", 5),
        ("import helpers.worker as w; w.GRACE = 0.5; worker.call('worker_calls:hold_the_gil', timeout=1)", 8),
    ],
    ids=["in Python", "in native code"],
)
def test_killing_the_parent_ends_a_hanging_child(action, seconds):
    parent = program(action)
    pid = int(parent.stdout.readline())
    time.sleep(0.3)
    parent.kill()
    parent.communicate(timeout=10)
    assert gone_within(pid, seconds)


STRANGER = """
import os, sys
sys.path.append({tests!r})
from {package}.worker import Worker
os.chdir({folder!r})
sys.path[:0] = ["", ".", {folder!r}, {link!r}]
os.environ["PYTHONPATH"] = os.pathsep.join(["", ".", {folder!r}])
with Worker() as worker:
    print(worker.call("worker_calls:search_path"))
    print(worker.call("{function}"))
"""


@pytest.fixture
def stranger(tmp_path):
    """``stranger(package, function)``: what a worker gives whose current folder is that of a stranger, and on its path
    in every way there is. What the child imports from there leaves its name in ``stranger.ran``."""
    folder, link, ran = tmp_path / "stranger", tmp_path / "link", tmp_path / "ran"
    folder.mkdir()
    link.symlink_to(folder)
    for name in ("contextlib", "encodings", "json", "linecache", "pickle", "queue", "sitecustomize", "tempfile"):
        (folder / f"{name}.py").write_text(f"open({str(ran)!r}, 'a').write('{name} ')\n")
    (folder / "mine.py").write_text("def double(a=2):\n    return 2 * a\n")

    def start(package: str, function: str) -> subprocess.CompletedProcess:
        folders = {"tests": str(REPOSITORY / "tests" / "shared"), "folder": str(folder), "link": str(link)}
        source = STRANGER.format(package=package, function=function, **folders)
        command = [sys.executable, "-c", source]
        return subprocess.run(command, capture_output=True, text=True, cwd=start.home, timeout=60)

    start.folder, start.ran, start.home = folder, ran, REPOSITORY
    return start


@posix
def test_nothing_is_imported_from_the_current_folder(stranger):
    done = stranger("helpers", "json:dumps")
    assert not stranger.ran.exists(), stranger.ran.read_text()
    child = ast.literal_eval(done.stdout.splitlines()[0])
    assert child["safe"]
    assert str(REPOSITORY / "tests" / "shared") in child["path"]
    assert "" not in child["path"]
    assert not [entry for entry in child["path"] if Path(entry).exists() and Path(entry).samefile(stranger.folder)]
    done = stranger("helpers", "mine:double")
    assert "WorkerRaised: ModuleNotFoundError: No module named 'mine'" in done.stderr


@posix
def test_a_package_that_lies_right_here_may_call_what_lies_beside_it(stranger):
    for path in stranger.folder.glob("*.py"):
        path.unlink() if path.name != "mine.py" else None
    takeaway.copy(["worker"], stranger.folder / "inference")
    stranger.home = stranger.folder
    done = stranger("inference", "mine:double")
    assert done.stdout.splitlines()[1:] == ["4"], done.stderr


def test_only_the_standard_library_is_imported():
    code = "import sys; old = set(sys.modules); import helpers.worker; print(*{*sys.modules} - old)"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, timeout=30)
    new = {name.partition(".")[0] for name in out.stdout.split()}
    assert "helpers" in new
    assert not new - set(sys.stdlib_module_names) - {"helpers"}
