"""Plans for the tests of plans, files that are none, and a list of plans built here that is not the user's own."""

import functools
import os
import random
import socket
import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from helpers import trust
from helpers.builder import BuildOptions, create_config, create_network, keep
from helpers.trt import FLAVOUR, VERSION, has, trt

KERNEL = np.random.default_rng(0).standard_normal((4, 3, 3, 3), np.float32)


@pytest.fixture(autouse=True)
def own_state(tmp_path, monkeypatch):
    """Everything that the workbook keeps for a user lies below tmp_path for the length of a test."""
    monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "state"))
    monkeypatch.setattr(trust, "_warned", set())
    return tmp_path / "state"


def build(network, targets=("SM86",)):
    """The plan of a network as the library returns it. Not by ``build_plan``: it is on nobody's list."""
    options = BuildOptions(targets=targets if has("ahead_of_time") else ())
    return network.builder.build_serialized_network(network, create_config(network.builder, network, options))


def relu_network():
    """The smallest network that there is: float32 (1, 4) in and out."""
    network = create_network("relu")
    x = network.add_input("x", trt.float32, (1, 4))
    network.mark_output(network.add_activation(x, trt.ActivationType.RELU).get_output(0))
    return network


@functools.cache
def make_plan(maps=4, targets=("SM86",)) -> bytes:
    """The plan of one 3x3 convolution whose weights begin with those of KERNEL."""
    network = create_network(f"conv{maps}")
    x = network.add_input("x", trt.float32, (1, 3, 8, 8))
    conv = network.add_convolution_nd(x, maps, (3, 3), keep(network, np.resize(KERNEL, (maps, 3, 3, 3))))
    network.mark_output(conv.get_output(0))
    return bytes(build(network, targets))


@pytest.fixture(scope="session")
def plan() -> bytes:
    return make_plan()


@pytest.fixture(scope="session")
def other_plan() -> bytes:
    return make_plan(maps=5)


def made_up(seed: int, size: int = 4096) -> bytes:
    """Random bytes after the header of a plan that this TensorRT could have made. Enough for all that only loads."""
    magic = b"vtrt" if FLAVOUR == "tensorrt_rtx" else b"ftrt"
    version = bytes([*map(int, VERSION.split(".")[:4]), 0, 0, 0, 0][:4]) + bytes(4)
    header = magic + bytes(12) + struct.pack("<Q", size) + version + bytes(32)
    return header + random.Random(seed).randbytes(size - len(header))


def flipped(plan: bytes, where: int) -> bytes:
    """The plan with one bit of the byte at ``where`` turned over."""
    damaged = bytearray(plan)
    damaged[where] ^= 1
    return bytes(damaged)


def files(folder) -> list[str]:
    """The names of all files below a folder, hidden ones too."""
    return sorted(file.name for file in folder.rglob("*") if file.is_file())


_HANDLES = Path("/proc/self/fd")
SPECIAL = ("pipe", "device", "folder", "circle", "holes", *(["socket"] if _HANDLES.exists() else []))


def make_special(path: Path, kind: str) -> None:
    """Puts something that is no file, or one that is all holes, in the place of ``path``."""
    if kind == "holes":  # a terabyte that takes no room; what the file held stays at its beginning
        with path.open("ab") as file:
            file.truncate(1 << 40)
        return
    path.unlink()
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "socket":
        folder = os.open(path.parent, os.O_RDONLY)  # the path itself may be too long for a socket
        with socket.socket(socket.AF_UNIX) as made:
            made.bind(str(_HANDLES / str(folder) / path.name))
        os.close(folder)
    elif kind == "folder":
        path.mkdir()
    else:
        path.symlink_to(path)


def limit_memory(more: int = 1 << 30) -> None:
    """Lets this process, a child made for the purpose, have so many more bytes and then fail."""
    import resource

    pages = int(Path("/proc/self/statm").read_text().split()[0]) if Path("/proc/self/statm").exists() else 1 << 20
    most = pages * os.sysconf("SC_PAGE_SIZE") + more
    resource.setrlimit(resource.RLIMIT_AS, (most, most))


def in_a_child(script: str, folder: Path, seconds: float = 240) -> str:
    """What the script prints, in a Python that can import what the tests can, with the folder in sys.argv[1].
    Raises AssertionError with its traceback if it fails."""
    root = Path(__file__).parents[2]
    path = os.pathsep.join(map(str, (root, root / "tests" / "shared", root / "tests" / "fuzz")))
    environment = {**os.environ, "PYTHONPATH": path, "WORKBOOK_STATE": str(folder / "state")}
    command = [sys.executable, "-c", script, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout
