"""Makes .venv and installs the workbook: what this machine can use, pinned by constraints.txt. Standard library only.

Run by ``make lab``, ``make test`` and the others; on Windows: ``py tools/setup_env.py``. A second run starts at once.
"""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))
VENV = ROOT / ".venv"
PYTHON = VENV / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
STAMP = VENV / ".workbook"
PYTORCH_CPU = "https://download.pytorch.org/whl/cpu"


def choose_extras(cuda_version: tuple[int, int] | None, platform: str) -> list[str]:
    """The extras of pyproject.toml for the driver's CUDA version (None: no driver) on this platform."""
    if platform == "darwin":
        return ["test"]
    if cuda_version is None:
        return ["cpu", "test"]
    return ["gpu-cu13" if cuda_version >= (13, 0) else "gpu-cu12", "test"]


def commands(cuda_version: tuple[int, int] | None, platform: str, torch: str) -> list[tuple[list[str], str | None]]:
    """The arguments for pip, in order, each with what to say if it fails; None means that set-up fails with it."""
    constrained = ["install", "--quiet", "--constraint", str(ROOT / "constraints.txt")]
    steps: list[tuple[list[str], str | None]] = []
    if cuda_version is None and platform == "linux":
        # The default index has only the CUDA build for Linux, which is gigabytes. If the CPU index cannot be reached,
        # the default one still does.
        steps.append(
            (["install", "--quiet", "--no-deps", "--retries=0", "--timeout=10", "--index-url", PYTORCH_CPU, torch], "")
        )
    extras = ",".join(choose_extras(cuda_version, platform))
    steps.append(([*constrained, "--editable", f"{ROOT}[{extras}]"], None))
    if cuda_version is not None and platform != "darwin":
        cure = "PyCUDA could not be compiled, cuda-bindings is used instead; `python -m helpers doctor` tells the cure."
        steps.append(([*constrained, f"{ROOT}[pycuda]"], cure))
    return steps


def fingerprint(extras: list[str]) -> str:
    parts = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt", "tools/setup_env.py")]
    return hashlib.sha256(b"\0".join([*parts, repr((extras, sys.version_info[:2], str(ROOT))).encode()])).hexdigest()


def main() -> None:
    if sys.version_info < (3, 10):  # noqa: UP036  (this file also has to tell those with an older Python)
        sys.exit(f"Python 3.10 or later is needed, this is {sys.version.split()[0]}: make lab PYTHON=python3.12")
    from helpers.device import driver

    found = driver()
    cuda_version = found.cuda_version if found and found.gpus else None
    wanted = fingerprint(choose_extras(cuda_version, sys.platform))
    if STAMP.exists() and STAMP.read_text() == wanted:
        return
    if sys.platform == "darwin":
        print("There is no TensorRT for macOS: you can read the stored outputs, the TensorRT cells do not run.")
    print(f"Setting up {VENV.name} (this takes some minutes, once) …", flush=True)
    STAMP.unlink(missing_ok=True)
    if subprocess.run([sys.executable, "-m", "venv", str(VENV)], capture_output=True).returncode:
        sys.exit("`python3 -m venv` failed. On Debian and Ubuntu: sudo apt install python3-venv")
    torch = re.search(r"^torch==\S+", (ROOT / "constraints.txt").read_text(), re.MULTILINE).group()
    for arguments, cure in commands(cuda_version, sys.platform, torch):
        result = subprocess.run([str(PYTHON), "-m", "pip", *arguments], capture_output=True, text=True)
        if result.returncode and cure is None:
            tail = "\n".join((result.stdout + result.stderr).strip().splitlines()[-12:])
            sys.exit(f"pip failed:\n{tail}")
        if result.returncode and cure:
            print(cure)
    STAMP.write_text(wanted)
    print("Done.", flush=True)


if __name__ == "__main__":
    main()
