"""Functions that tests call in a worker: the bad ones among them on purpose."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time


def add(a, b=1):
    return a + b


def process_id() -> int:
    return os.getpid()


def shout(text: str) -> int:
    """Writes to standard output in every way there is: none may reach the parent or its pipe."""
    print(text, flush=True)
    os.write(1, text.encode())
    os.write(2, text.encode())
    subprocess.run([sys.executable, "-c", f"print({text!r})"])
    return len(sys.stdin.read())


def fail():
    raise ValueError("this function raises")


def unspeakable():
    return object()


def give_up():
    sys.exit(7)


def leave(code: int):
    os._exit(code)


def die(name: str):
    signal.signal(getattr(signal, name), signal.SIG_DFL) if name != "SIGKILL" else None
    os.kill(os.getpid(), getattr(signal, name))
    time.sleep(60)


def sleep(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


def hold_the_gil():
    """Hangs in native code that keeps Python's lock, so that no thread of the child runs."""
    import ctypes

    ctypes.PyDLL(None).sleep(600)


def eat(step: int = 8 << 20):
    """Takes memory, and touches it, until somebody stops it (at 4 GiB: itself)."""
    held = []
    while len(held) * step < 4 << 30:
        held.append(b"x" * step)
        time.sleep(0.001)
    return len(held)


def reserve(size: int) -> int:
    """Reserves address space without using it, as CUDA does."""
    import mmap

    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x4000  # MAP_NORESERVE
    with mmap.mmap(-1, size, flags=flags) as reserved:
        time.sleep(0.1)
        return len(reserved)


def write_junk():
    """What a process with damaged memory may do: a nonsense length on every descriptor that it has."""
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, b"\xff" * 64)
        except OSError:
            continue
    os._exit(0)


def announce(size: int):
    """Announces a reply of this size on every descriptor that it has, and sends none."""
    for descriptor in range(3, 64):
        try:
            os.write(descriptor, size.to_bytes(8, "little"))
        except OSError:
            continue
    time.sleep(600)


def search_path() -> dict:
    return {"path": sys.path, "safe": getattr(sys.flags, "safe_path", True)}


def core_limit() -> list[int]:
    import resource

    return list(resource.getrlimit(resource.RLIMIT_CORE))


def letters(number: int) -> str:
    return "x" * number


def start_a_child() -> int:
    """Starts a process that outlives this call, and hangs."""
    return subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"]).pid


def start_a_child_and_hang(path: str):
    with open(path, "w") as file:
        file.write(str(start_a_child()))
    time.sleep(600)


def recorder_before_parser(path: str):
    """Frees a network that had an error recorder before its parser was made: TensorRT for RTX 1.7 dies of it."""
    from helpers.builder import create_network
    from helpers.logger import ErrorRecorder, get_logger
    from helpers.trt import trt

    network = create_network()
    network.error_recorder = ErrorRecorder()
    parser = trt.OnnxParser(network, get_logger())
    parser.parse_from_file(path)
    del parser, network


_starts = 0


def slow_start():
    global _starts
    time.sleep(0.7)
    _starts += 1


def started() -> int:
    return _starts


def sleep_long():
    time.sleep(600)
