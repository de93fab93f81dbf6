"""Runs what could take this process down in a child process that may die, within limits (chapter 08).

``Worker().call("package.module:function", argument)`` runs the function in a child and returns what it returned. If
the child crashes, hangs, or eats memory, the call raises an exception, and the next one gets a fresh child. The child
imports nothing from the current folder, where a stranger's model may lie, unless this package itself lies right in it.
Standard library only; on macOS and Windows the limit on memory needs psutil.

The parent's side comes first: :class:`Worker`, which starts, watches and ends the child. Then comes how the two talk,
and last the child's side, :func:`serve`, which takes calls until the parent is gone. All memory here is host memory.

>>> with Worker(timeout=10) as worker:
...     worker.call("math:sqrt", 2.25)
1.5
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
import time
import traceback
import weakref
from typing import IO, Any

from .search_path import elsewhere

POLL = 0.02  # seconds between two looks at the child's memory
GRACE = 5.0  # seconds after which a child ends by itself that nobody stopped at its limit
LARGEST_REPLY = 64 << 20  # bytes of JSON, which become some times as many in the parent, outside the child's limit


class Worker:
    """One child process that runs functions, one at a time, and is replaced whenever it had to be given up.

    timeout        seconds that a function may take; see :meth:`call` for a limit that covers all that a call does
    memory         bytes of resident memory that the child may hold (None: no limit). Not address space: CUDA
                   reserves far more of that than it uses. A result may take 64 MiB as JSON (LARGEST_REPLY)
    preload        "module:function", called without arguments in every fresh child, so that slow imports do not
                   count as part of a call; if it fails, the call fails, and the next one starts another child
    start_timeout  seconds that starting a child and ``preload`` may take

    Use it in a ``with`` statement, or call :meth:`close`; the child also ends with this process. Threads take turns.
    """

    def __init__(
        self,
        timeout: float = 60.0,
        memory: int | None = None,
        preload: str | None = None,
        start_timeout: float = 120.0,
    ):
        self.timeout, self.memory, self.preload, self.start_timeout = timeout, memory, preload, start_timeout
        self.starts = 0  # children so far
        self.peak = 0  # bytes of resident memory that the last call was seen to hold
        self._lock = threading.Lock()
        self._process: subprocess.Popen | None = None
        self._finalizer: weakref.finalize | None = None

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *exception) -> None:
        self.close()

    @property
    def pid(self) -> int | None:
        """The child's process id; None before the first call and after the child was given up."""
        return self._process.pid if self._process else None

    def call(
        self, function: str, *arguments: Any, timeout: float | None = None, memory: int | None = None, **named: Any
    ) -> Any:
        """Runs ``function``, given as "module:function", in the child and returns its result.

        Arguments can be whatever pickle takes. The result must be what JSON takes, and comes back as JSON would give
        it (tuples as lists): unpickling what a crashing process wrote would not be safe.

        ``timeout`` in seconds and ``memory`` in bytes replace the worker's own limits for this call. This ``timeout``
        covers the whole call: waiting for its turn, starting a child and ``preload`` if need be, and the function. So
        a caller with a deadline gives the time that is left; if that is 0 or less, nothing is started.

        Raises WorkerRaised, WorkerDied, WorkerTimeout or WorkerMemory. Whatever else interrupts the call, such as
        Ctrl-C, kills the child too.
        """
        whole = None if timeout is None else _Clock(timeout)
        memory = self.memory if memory is None else memory
        while not self._lock.acquire(timeout=-1 if whole is None else min(whole.left(), threading.TIMEOUT_MAX)):
            pass  # left() raises when the time is over
        try:
            if self._process is None or self._process.poll() is not None:
                self._start(whole or _Clock(self.start_timeout), memory)
            return self._ask(function, arguments, named, whole or _Clock(self.timeout), memory)
        finally:
            self._lock.release()

    def close(self) -> None:
        """Ends the child. A later call starts a new one."""
        if self._finalizer is not None:
            self._finalizer()
        self._process = self._finalizer = None

    def _start(self, clock: _Clock, memory: int | None) -> None:
        self.close()
        path = elsewhere([entry for entry in sys.path if isinstance(entry, str)])
        code = f"import sys; sys.path[:] = {path!r}; from {serve.__module__} import serve; serve()"
        # What Python imports before it comes to this code must not be from the current folder either.
        safe = ["-P"] if sys.version_info >= (3, 11) else []
        before = os.pathsep.join(elsewhere(os.environ.get("PYTHONPATH", "").split(os.pathsep)))
        self._process = subprocess.Popen(
            [sys.executable, *safe, "-c", code],
            env={**os.environ, "PYTHONPATH": before},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            start_new_session=True,  # one group to kill, and Ctrl-C comes to this process alone
        )
        self._finalizer = weakref.finalize(self, _end, self._process)
        self.starts += 1
        if self.preload:
            try:
                self._ask(self.preload, (), {}, clock, memory)
            except BaseException:
                self.close()  # no later call may meet a child that was not made ready
                raise

    def _ask(self, function: str, arguments: tuple, named: dict, clock: _Clock, memory: int | None) -> Any:
        process = self._process
        assert process is not None  # it has just been started
        request = pickle.dumps((clock.left() + GRACE, pickle.dumps((function, arguments, named))))
        replies: queue.SimpleQueue = queue.SimpleQueue()
        # Pipes cannot be waited for with a time limit on every system; a thread can.
        threading.Thread(target=_talk, args=(process, request, replies), daemon=True).start()
        try:
            reply = self._wait(process, replies, clock, memory)
        except BaseException:
            self.close()
            raise
        if reply is None:
            raise WorkerDied(self._cause_of_death(process))
        try:
            kind, content = json.loads(reply)
            raised: WorkerError | None = WorkerRaised(*content) if kind == "raised" else None
            if kind == "large":
                raised = WorkerMemory(f"its result is larger than the limit of {LARGEST_REPLY >> 20} MiB for results")
        except (ValueError, TypeError, IndexError, RecursionError) as error:
            self.close()
            raise WorkerDied("it sent an unreadable reply") from error
        if raised is not None:
            raise raised
        return content

    def _wait(
        self, process: subprocess.Popen, replies: queue.SimpleQueue, clock: _Clock, memory: int | None
    ) -> bytes | None:
        self.peak = 0
        while True:
            reply, arrived = None, False
            with contextlib.suppress(queue.Empty):
                reply, arrived = replies.get(timeout=min(clock.left(), POLL)), True
            used = resident_memory(process.pid)
            self.peak = max(self.peak, used)
            if arrived:
                return reply
            if memory is not None and used > memory:
                raise WorkerMemory(f"stopped at the memory limit of {memory / 2**30:.3g} GiB")

    def _cause_of_death(self, process: subprocess.Popen) -> str:
        try:
            code = process.wait(GRACE)
        except subprocess.TimeoutExpired:
            return "it closed its pipe"
        finally:
            self.close()
        if code < 0:
            with contextlib.suppress(ValueError):
                return signal.Signals(-code).name
        return f"exit code {code}" if abs(code) < 256 else f"exit code {code & 0xFFFFFFFF:#x}"


class WorkerError(RuntimeError):
    """A call in a worker has no result; the subclasses say why."""


class WorkerRaised(WorkerError):
    """The function raised. ``type`` is the exception's name, ``text`` its message, ``traceback`` the child's."""

    def __init__(self, type: str, text: str, traceback: str = ""):
        super().__init__(f"{type}: {text}")
        self.type, self.text, self.traceback = type, text, traceback


class WorkerDied(WorkerError):
    """The child died. ``cause`` says of what: "SIGSEGV", or "exit code 1"."""

    def __init__(self, cause: str):
        super().__init__(f"the worker process died ({cause})")
        self.cause = cause


class WorkerTimeout(WorkerError):
    """The call took longer than its time limit, which the message names; a child that was at work was killed."""


class WorkerMemory(WorkerError):
    """The child held more resident memory than its limit and was killed, or its result was larger than LARGEST_REPLY.
    The message names the limit."""


def resident_memory(pid: int) -> int:
    """Returns how many bytes of resident memory a process holds; 0 for one that is gone, or where nothing can tell."""
    try:
        with open(f"/proc/{pid}/statm", "rb") as file:
            return int(file.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError):
        if sys.platform == "linux":
            return 0
    try:
        import psutil

        return psutil.Process(pid).memory_info().rss
    except Exception:  # not installed, or the process is gone
        return 0


class _Clock:
    """A time limit that runs from now on."""

    def __init__(self, limit: float):
        self.limit, self.end = limit, time.monotonic() + limit

    def left(self) -> float:
        """Returns the seconds until the limit. Raises WorkerTimeout if none are left."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise WorkerTimeout(f"stopped after the time limit of {self.limit:g} s")
        return left


def _talk(process: subprocess.Popen, request: bytes, replies: queue.SimpleQueue) -> None:
    reply = None
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(OSError, ValueError):  # it died, or was killed while we waited
        _write_message(process.stdin, request)
        reply = _read_message(process.stdout, LARGEST_REPLY)
    replies.put(reply)


def _write_message(pipe: IO[bytes], content: bytes) -> None:
    """Writes one message: its length in bytes, as 8 bytes, and its content. Raises OSError if the pipe is broken."""
    pipe.write(len(content).to_bytes(8, "little"))
    pipe.write(content)
    pipe.flush()


def _read_message(pipe: IO[bytes], largest: int | None = None) -> bytes | None:
    """Reads one message. Returns None if the pipe ended, and b"" without reading on if more than ``largest`` bytes are
    announced: the child is not trusted, so nor is the length that it announces."""
    head = pipe.read(8)
    size = int.from_bytes(head, "little")
    if len(head) < 8:
        return None
    if largest is not None and size > largest:
        return b""
    content = pipe.read(size)
    return content if len(content) == size else None


def _end(process: subprocess.Popen) -> None:
    """Kills a child and all that it started, and waits for it."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(process.pid, signal.SIGKILL)
    elif process.poll() is None:
        subprocess.run(["taskkill", "/F", "/T", "/PID", str(process.pid)], capture_output=True)
    process.kill()
    with contextlib.suppress(subprocess.TimeoutExpired):
        process.wait(GRACE)


def serve() -> None:
    """Runs, in the child, the calls that arrive on stdin, until stdin ends. What a call prints goes nowhere."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    _expect_the_worst()
    calls: queue.SimpleQueue = queue.SimpleQueue()

    def listen() -> None:
        while (request := _read_message(requests)) is not None:
            calls.put(request)
        os._exit(0)  # the parent is gone, and with it the reason for whatever is running

    threading.Thread(target=listen, daemon=True).start()
    with open(os.devnull, "w") as null:
        while True:
            limit, call = pickle.loads(calls.get())
            # Works even where native code never returns, and after the parent was killed.
            faulthandler.dump_traceback_later(min(limit, threading.TIMEOUT_MAX), exit=True, file=null)
            reply = _answer(call)
            faulthandler.cancel_dump_traceback_later()
            _write_message(replies, reply)


def _expect_the_worst() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash must not leave a core file beside the model
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where the whole machine runs out of memory, this process goes first


def _answer(call: bytes) -> bytes:
    try:
        function, arguments, named = pickle.loads(call)  # may raise: of the parent's __main__ the child has no class
        module, _, name = function.partition(":")
        result = getattr(importlib.import_module(module), name)(*arguments, **named)
        reply = json.dumps(["returned", result]).encode()
    except BaseException as error:
        raised = ["raised", [type(error).__name__, str(error), traceback.format_exc()]]
        reply = json.dumps(raised).encode()
    return reply if len(reply) <= LARGEST_REPLY else json.dumps(["large", len(reply)]).encode()
