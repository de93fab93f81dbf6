"""Says what this machine has for the workbook, and what to do about what it lacks: ``tensorrt-workbook doctor``.

Chapter 00 shows it as a table. Nothing heavy is imported: versions of packages are read from their metadata. The
command line needs rich and :func:`table` pandas; :func:`report` needs neither, and no TensorRT either.

>>> [row.what for row in report()][:2]
['Python', 'NVIDIA driver']
"""

from __future__ import annotations

import argparse
import importlib
import importlib.metadata
import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING

from ..device import Gpu, driver, gpus

if TYPE_CHECKING:
    import pandas

OLDEST_PYTHON = (3, 10)
OLDEST_CUDA = 12  # of the driver: TensorRT 10.13.2 was the first without CUDA 11
OLDEST_GPU = (7, 5)  # the compute capability that TensorRT 10.5 and later ask for
PACKAGES = {"NumPy": "numpy", "ONNX": "onnx", "ONNX Runtime": "onnxruntime", "PyTorch": "torch"}
USUAL_TOOLKIT = Path("/usr/local/cuda")  # where NVIDIA's installer puts it, without putting it on the PATH
CUDA_PACKAGES = {"pycuda": "PyCUDA", "cuda_bindings": "cuda-bindings"}  # capability -> name


@dataclass(frozen=True)
class Row:
    """One finding: ``what``, its ``value`` here, whether it is ``ok``, and what ``todo`` ("" for nothing)."""

    what: str
    value: str
    ok: bool
    todo: str = ""


def report() -> list[Row]:
    """Returns all findings: Python, driver, GPUs, TensorRT and its capabilities, packages. Whatever is missing, nothing
    is raised."""
    return [*_machine(), *_tensorrt(), *_cuda_packages(), *_packages()]


def can_build() -> bool:
    """Says whether plans can be built here, with or without a GPU."""
    try:
        return _chosen_tensorrt().has("build")
    except Exception:  # a broken installation may raise anything at import; report() says what
        return False


def table() -> pandas.DataFrame:
    """Returns :func:`report` as a pandas DataFrame, a row for each finding, with ✓ or – in the column ``ok``."""
    import pandas as pd

    rows = [(row.what, row.value, "✓" if row.ok else "–", row.todo) for row in report()]
    return pd.DataFrame(rows, columns=["what", "on this machine", "ok", "what to do"]).set_index("what")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Describes ``tensorrt-workbook doctor``, which has no arguments."""
    parser.description = (
        "Says what this machine has for the workbook, and what to do about what is missing. "
        "The exit status is 0 where plans can be built, else 1."
    )


def run(arguments: argparse.Namespace | None = None) -> int:
    """Prints the findings and what to do. Returns the exit status: 0 where plans can be built, else 1."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, rows = Console(highlight=False), report()
    findings = Table("", "What", "On this machine", box=None, pad_edge=False)
    for row in rows:
        mark = Text("✓", "green") if row.ok else Text("–", "yellow")
        findings.add_row(mark, Text(row.what), Text(row.value))
    console.print(findings)
    todo: dict[str, list[str]] = {}
    for row in rows:
        if row.todo:
            todo.setdefault(row.todo, []).append(row.what.split(":")[0])
    if todo:
        console.print("\n[bold]What is missing, and what to do")
    for text, names in todo.items():
        console.print(Text(f"• {', '.join(names)}: {text}"), soft_wrap=True)
    buildable = can_build()
    if buildable and not gpus():
        console.print("\nPlans can be built here. Cells that need more show what they gave on a machine that has it.")
    elif not buildable:
        console.print("\n[bold]Plans cannot be built here.[/] The notebooks can be read: they hold their outputs.")
    return 0 if buildable else 1


def _machine() -> Iterator[Row]:
    version = sys.version_info[:3]
    newer = "" if version >= OLDEST_PYTHON else f"the workbook needs Python {_dotted(OLDEST_PYTHON)} or later"
    yield Row("Python", _dotted(version), not newer, newer)
    found = driver()
    if found is None:
        todo = "only needed to run engines; if this machine has an NVIDIA GPU, install its driver"
        yield Row("NVIDIA driver", "none", False, todo)
        return
    old = found.cuda_version[0] < OLDEST_CUDA
    todo = f"update the driver: TensorRT 10.13.2 and later need one for CUDA {OLDEST_CUDA} or later" if old else ""
    yield Row("NVIDIA driver", f"up to CUDA {_dotted(found.cuda_version)}", not old, todo)
    if not found.gpus:
        yield Row("GPU", "the driver shows none", False, "see what nvidia-smi says, and unset CUDA_VISIBLE_DEVICES")
    for number, gpu in enumerate(found.gpus):
        yield _gpu(number, gpu)


def _gpu(number: int, gpu: Gpu) -> Row:
    value = f"{gpu.name}, compute capability {_dotted(gpu.compute_capability)}, {gpu.memory / 2**30:.0f} GiB"
    old = gpu.compute_capability < OLDEST_GPU
    needed = f"which need compute capability {_dotted(OLDEST_GPU)}"
    todo = f"too old for TensorRT 10.5 and later, {needed}: work as without a GPU"
    return Row(f"GPU {number}", value, not old, todo if old else "")


def _dotted(version: Iterable[int]) -> str:
    return ".".join(map(str, version))


def _chosen_tensorrt() -> ModuleType:
    return importlib.import_module("..trt", __package__)


def _tensorrt() -> Iterator[Row]:
    try:
        chosen = _chosen_tensorrt()
    except Exception as error:  # whatever a missing or broken installation raises
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        yield Row("TensorRT", f"none that can be used ({reason})", False, _how_to_get_tensorrt())
        return
    yield Row("TensorRT", f"{chosen.FLAVOUR} {chosen.VERSION}", True)
    for name, capability in chosen.CAPABILITIES.items():
        if name in CUDA_PACKAGES:
            continue
        ok = chosen.has(name)
        todo = "" if ok else f"needs {capability.where}"
        if name == "build" and not ok:
            todo = _how_to_get_tensorrt()
        yield Row(f"{name}: {capability.purpose}", "yes" if ok else "no", ok, todo)


def _how_to_get_tensorrt() -> str:
    wanted = os.environ.get("WORKBOOK_TENSORRT")
    if wanted:
        return f"the environment variable WORKBOOK_TENSORRT asks for {wanted}: unset it, or install that"
    if sys.platform == "darwin":
        return "NVIDIA makes no TensorRT for macOS: work on Linux or Windows"
    found = driver()
    extra = f"gpu-cu{min(max(found.cuda_version[0], 12), 13)}" if found and found.gpus else "cpu"
    return "run make lab, or: " + _pip(f'-e ".[{extra}]"')


def _cuda_packages() -> Iterator[Row]:
    found = driver()
    for name in CUDA_PACKAGES.values():
        version = _version(name.lower())
        if version:
            yield Row(name, version, True)
        elif not found or not found.gpus:
            yield Row(name, "not installed", False, "needs an NVIDIA GPU")
        elif name == "PyCUDA":
            yield Row(name, "not installed", False, _how_to_get_pycuda())
        else:
            cuda = found.cuda_version[0]
            yield Row(name, "not installed", False, _pip(f'"cuda-bindings>={cuda},<{cuda + 1}"'))


def cuda_toolkit() -> Path | None:
    """Returns the folder of a CUDA toolkit with compiler and headers: that of nvcc on the PATH, or the usual one.

    None where there is none.
    """
    nvcc = shutil.which("nvcc")
    roots = [Path(nvcc).parents[1]] if nvcc else []
    roots += [Path(os.environ[name]) for name in ("CUDA_HOME", "CUDA_PATH") if os.environ.get(name)]
    for root in [*roots, USUAL_TOOLKIT]:
        compiler = root / "bin" / ("nvcc.exe" if os.name == "nt" else "nvcc")
        if compiler.exists() and (root / "include" / "cuda.h").exists():
            return root
    return None


def _how_to_get_pycuda() -> str:
    """Says what is lacking here: PyCUDA is compiled on the spot."""
    lacking, toolkit = [], cuda_toolkit()
    if not any(map(shutil.which, ("c++", "g++", "clang++", "cl"))):
        lacking.append("a C++ compiler (Debian, Ubuntu: sudo apt install g++)")
    if not toolkit:
        lacking.append("the CUDA toolkit with its headers (Debian, Ubuntu: sudo apt install nvidia-cuda-toolkit)")
    first = f"install {' and '.join(lacking)}, then: " if lacking else ""
    nvcc = shutil.which("nvcc")
    path = f"PATH={toolkit}/bin:$PATH " if toolkit and not (nvcc and Path(nvcc).parents[1] == toolkit) else ""
    conda = "; or take it ready-made from conda-forge (environment.yml); until then cuda-bindings does its work"
    return first + path + _pip("pycuda") + conda


def _packages() -> Iterator[Row]:
    for name, distribution in PACKAGES.items():
        version = _version(distribution)
        yield Row(name, version or "not installed", bool(version), "" if version else _pip("-e ."))


def _version(distribution: str) -> str | None:
    try:
        return importlib.metadata.version(distribution)
    except importlib.metadata.PackageNotFoundError:
        return None


def _pip(what: str) -> str:
    python = os.path.relpath(sys.executable) if Path(sys.executable).is_relative_to(Path.cwd()) else sys.executable
    return f"{python} -m pip install -c constraints.txt {what}"


if __name__ == "__main__":
    from . import program

    sys.exit(program(["doctor", *sys.argv[1:]]))
