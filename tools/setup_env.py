"""Makes the environment in .venv: chooses what to install by the NVIDIA driver that it finds, and installs it.

``make lab``, ``make test`` and the other targets call this first. A second run finds everything in place and ends at
once. It needs nothing but a Python of 3.10 or later; the code down to ``main`` also has to be readable for older
ones, so that they can be told.
"""

import contextlib
import hashlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[1]
VENV = ROOT / ".venv"
PYTHONS = ((3, 10), (3, 14))  # oldest and newest for which constraints.txt names releases with wheels
CPU_INDEX = "https://download.pytorch.org/whl/cpu"
LARGE = 40  # MB: downloads that are worth a line

sys.path.insert(0, str(ROOT))  # for helpers, of which only what needs nothing installed is imported


class SetupError(Exception):
    """Set-up cannot go on; the message says why and what to do."""


class Step(NamedTuple):
    """One ``pip install``. ``failed``: what to say if it fails and set-up goes on (None: set-up stops)."""

    what: str
    arguments: tuple
    failed: "str | None" = None


class Plan(NamedTuple):
    """What to install: the machine in words, the extras of pyproject.toml, remarks for the user, and the steps."""

    machine: str
    extras: tuple
    remarks: tuple
    steps: tuple


def make_plan(driver, platform: str, toolkit: bool = True) -> Plan:
    """What to install on a machine with this ``helpers.device.Driver`` (or None) and this ``sys.platform``.

    ``toolkit``: whether there is a CUDA toolkit, to compile PyCUDA with.
    """
    from helpers.commands.doctor import OLDEST_CUDA, OLDEST_GPU

    machine, extra, remarks = "without a GPU", "cpu", ()
    if platform == "darwin":
        machine = "with macOS"
        remarks = (
            "NVIDIA makes no TensorRT for macOS: read the stored outputs of the notebooks here, or run them on Linux "
            "or Windows.",
        )
    elif driver and not driver.gpus:
        remarks = ("The NVIDIA driver shows no GPU: going on as without one.",)
    elif driver and driver.cuda_version[0] < OLDEST_CUDA:
        version = ".".join(map(str, driver.cuda_version))
        remarks = (
            f"The NVIDIA driver stops at CUDA {version}, TensorRT needs {OLDEST_CUDA}: going on as without a GPU. "
            "Update the driver, then run the same command again.",
        )
    elif driver and max(gpu.compute_capability for gpu in driver.gpus) < OLDEST_GPU:
        remarks = (f"{driver.gpus[0].name} is older than TensorRT supports: going on as without a GPU.",)
    elif driver:
        cuda = "12" if driver.cuda_version[0] == 12 else "13"
        machine, extra = f"with {driver.gpus[0].name} (CUDA {cuda})", f"gpu-cu{cuda}"

    steps = []
    if extra == "cpu" and platform == "linux":
        # PyPI's PyTorch for Linux brings 3 GB of CUDA along. Where this index cannot be reached, that is what we take.
        index = ("--index-url", CPU_INDEX, "--retries", "0", "--timeout", "15")
        steps.append(Step("PyTorch for the CPU", (*index, "--no-deps", "torch"), failed=""))
    extras = (extra, "test")
    steps.append(Step("the workbook with " + " and ".join(extras), ("-e", f"{ROOT}[{','.join(extras)}]")))
    if extra.startswith("gpu"):
        instead = "going on with cuda-bindings. `.venv/bin/python -m helpers doctor` says how to get it."
        if toolkit:
            failed = f"PyCUDA could not be compiled: {instead}"
            steps.append(Step("PyCUDA, which is compiled here: some minutes", ("pycuda",), failed))
        else:
            remarks = (f"PyCUDA cannot be compiled without a CUDA toolkit: {instead}",)
    return Plan(machine, extras, remarks, tuple(steps))


def pins(constraints: str, extras: tuple) -> str:
    """The lines of constraints.txt that hold for these extras."""
    if "gpu-cu12" not in extras:
        return constraints
    # The pinned PyTorch is one for CUDA 13; the extra itself says which one fits CUDA 12.
    return re.sub(r"^torch==.*\n", "", constraints, flags=re.MULTILINE)


def fingerprint(plan: Plan, venv: Path = VENV) -> "dict[str, str]":
    """What a finished set-up was made from; another value means that there is something to do."""
    texts = [(ROOT / name).read_bytes() for name in ("pyproject.toml", "constraints.txt", "tools/setup_env.py")]
    return {
        "dependencies": hashlib.sha256(b"\0".join(texts)).hexdigest(),
        "steps": "; ".join(step.what for step in plan.steps),
        "folder": str(ROOT),  # a moved folder has to be installed again
        "python": os.path.realpath(venv_python(venv)),  # an upgrade of the system can take this away
    }


def venv_python(venv: Path = VENV) -> Path:
    return venv / ("Scripts/python.exe" if os.name == "nt" else "bin/python")


def is_finished(plan: Plan, venv: Path = VENV) -> bool:
    """True where the last set-up of ``venv`` reached its end and was made from the same things."""
    try:
        stamp = json.loads((venv / "workbook.json").read_text())
    except (OSError, ValueError):
        return False
    return stamp == fingerprint(plan, venv) and venv_python(venv).exists()


def can_make_venvs(python: str) -> bool:
    """True where ``python`` runs, has a version that we know, and can make virtual environments."""
    code = f"import sys, venv, ensurepip; sys.exit(not {PYTHONS[0]} <= sys.version_info[:2] <= {PYTHONS[1]})"
    try:
        return subprocess.run([python, "-c", code], stderr=subprocess.DEVNULL, timeout=60).returncode == 0
    except (OSError, subprocess.TimeoutExpired):
        return False


def other_python() -> "str | None":
    """Another Python that can make the environment: that of .venv, else the newest on the PATH."""
    names = [f"python3.{minor}" for minor in range(PYTHONS[1][1], PYTHONS[0][1] - 1, -1)]
    found = [str(venv_python()), *filter(None, map(shutil.which, names))]
    return next(filter(can_make_venvs, found), None)


def why_not(version: tuple, executable: str) -> str:
    """Why this Python cannot make the environment, and what to do."""
    name, oldest = f"Python {version[0]}.{version[1]} ({executable})", "{}.{}".format(*PYTHONS[0])
    again = "then run the same command again, or name another Python: make lab PYTHON=/path/to/python3"
    if version < PYTHONS[0]:
        return f"{name} is too old, the workbook needs {oldest} or later: install one, {again}"
    if version > PYTHONS[1]:
        newest = "{}.{}".format(*PYTHONS[1])
        return f"{name} is too new, the pinned packages stop at {newest}: install one of {oldest} to {newest}, {again}"
    package = f"python{version[0]}.{version[1]}-venv"
    return f"{name} has no venv module: install it (Debian, Ubuntu: sudo apt install {package}), {again}"


def run(command: "list[str]", said=lambda line: None, **options) -> "tuple[int, list[str]]":
    """Runs a child to its end: its exit status and the lines that it printed, each of which also goes to ``said``.

    The child inherits the lock, so that another set-up waits for it even if this process is killed. It gets a session
    of its own, so that we can end it with all its children if we are interrupted.
    """
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        encoding="utf-8",
        errors="replace",
        close_fds=False,
        start_new_session=True,
        **options,
    )
    lines = []
    try:
        for line in process.stdout:
            said(line)
            lines.append(line.rstrip())
        return process.wait(), lines
    except BaseException:
        end(process)
        raise


def end(process) -> None:
    """Ends a child with all its children, but first gives pip ten seconds to delete its temporary files."""
    if os.name != "posix":
        process.kill()
        process.wait()
        return
    try:
        os.killpg(process.pid, signal.SIGINT)
        process.wait(10)
    except (OSError, subprocess.TimeoutExpired):
        pass
    finally:  # also where somebody presses Ctrl-C twice
        with contextlib.suppress(OSError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def pip(step: Step, constraints: Path, log) -> bool:
    """Runs one step, with a line for every large download. Returns False where it failed and may; else raises."""
    from helpers.commands.doctor import cuda_toolkit

    say(f"  {step.what} …")
    command = [str(venv_python()), "-m", "pip", "install", "-c", str(constraints), *step.arguments]
    settings = {"PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_NO_INPUT": "1", "PIP_PROGRESS_BAR": "off", "PIP_USER": "0"}
    environment = {**os.environ, **settings}
    toolkit = cuda_toolkit()
    if toolkit:  # PyCUDA looks for the toolkit only beside the first nvcc on the PATH
        environment["PATH"] = os.pathsep.join([str(toolkit / "bin"), environment.get("PATH", os.defpath)])

    def said(line: str) -> None:
        log.write(line)
        download = re.match(r"\s*Downloading (\S+?)-[\d.]+\S* \(([\d.]+) ([MG])B\)", line)
        if download and float(download[2]) * (1000 if download[3] == "G" else 1) >= LARGE:
            say(f"    downloading {download[1].rsplit('/')[-1]}, {download[2]} {download[3]}B")

    log.write("$ " + " ".join(command) + "\n")
    code, lines = run(command, said, env=environment)
    if code == 0:
        return True
    if step.failed is not None:
        if step.failed:
            say("  " + step.failed)
        return False
    network = any(word in line for line in lines for word in ("connection broken", "timed out", "NewConnectionError"))
    raise SetupError(
        f"pip failed while it installed {step.what}. What it said last (all of it: {log.name}):"
        + telling(lines)
        + "\n  "
        + ("It could not reach the package index: is this machine online, or behind a proxy?\n  " if network else "")
        + "What was done so far is kept: put it right and run the same command again."
    )


def telling(lines: "list[str]") -> str:
    """The last lines of a child that tell something: pip repeats itself, and blames subprocesses."""
    noise = re.compile(r"\s*($|note:|\[|[×│╰]|error: subprocess-exited-with-error|WARNING: (Location|Retrying))")
    kept = dict.fromkeys(line.strip()[:200] for line in lines if not noise.match(line))
    return "".join(f"\n    {line}" for line in list(kept)[-5:])


def make_venv() -> None:
    """A working .venv: the one that is there, or a new one."""
    code = f"import sys, pip; sys.exit(not {PYTHONS[0]} <= sys.version_info[:2] <= {PYTHONS[1]})"
    if venv_python().exists():
        if subprocess.run([str(venv_python()), "-c", code], stderr=subprocess.DEVNULL).returncode == 0:
            return
        say("  .venv cannot be used any more (its Python or pip is gone or too old): making it anew")
    venv = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(VENV)]
    # venv would do this too, but keeps to itself why it failed: a full disk, for example.
    with_pip = [str(venv_python()), "-I", "-m", "ensurepip", "--default-pip"]
    for command in (venv, with_pip):
        code, lines = run(command)
        if code != 0:
            raise SetupError(f"{' '.join(command)} failed:" + telling(lines))


@contextlib.contextmanager
def lock():
    """One set-up at a time in this folder, so that `make lab` and `make test` may be started together.

    The lock lasts until also the last child has ended that ``run`` started. There is none on Windows.
    """
    try:
        import fcntl
    except ImportError:  # Windows
        yield
        return
    folder = os.open(ROOT, os.O_RDONLY)
    os.set_inheritable(folder, True)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("Another set-up is at work here: waiting for it.")
        fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(folder)


def set_up(plan: Plan) -> None:
    """Installs what the plan says into .venv, and leaves the stamp that says so at the very end."""
    stamp = VENV / "workbook.json"
    with contextlib.suppress(FileNotFoundError):
        stamp.unlink()
    say(f"Setting up .venv for a machine {plan.machine}: some minutes the first time, and 2 to 8 GB of disk.")
    for remark in plan.remarks:
        say("  " + remark)
    make_venv()
    constraints = VENV / "constraints.txt"
    constraints.write_text(pins((ROOT / "constraints.txt").read_text(encoding="utf-8"), plan.extras), encoding="utf-8")
    with open(VENV / "setup.log", "w", encoding="utf-8") as log:
        for step in plan.steps:
            pip(step, constraints, log)
    part = stamp.with_suffix(".part")
    part.write_text(json.dumps(fingerprint(plan), indent=1))
    part.replace(stamp)
    say("Ready.")


def say(line: str) -> None:
    print(line, flush=True)


def with_other_python() -> int:
    """Runs this script with a Python that will do: in this same process where that is possible, for signals."""
    other = other_python()
    if other is None:
        raise SetupError(why_not(sys.version_info[:2], sys.executable))
    command = [other, str(Path(__file__).resolve())]
    if os.name == "posix":
        os.execv(other, command)
    return subprocess.call(command)


def main() -> int:
    if VENV.is_symlink() and venv_python().exists():
        return 0  # somebody else's environment, shared on purpose: used as it is, never changed
    # This script is also read by Pythons that are too old for the workbook.
    if not PYTHONS[0] <= sys.version_info[:2] <= PYTHONS[1]:  # noqa: UP036
        return with_other_python()
    from helpers.device import driver  # needs Python 3.7, so only now

    found = driver()
    toolkit = False
    if found:
        from helpers.commands.doctor import cuda_toolkit

        toolkit = bool(cuda_toolkit())
    plan = make_plan(found, sys.platform, toolkit)
    if is_finished(plan):
        return 0
    if not venv_python().exists() and not can_make_venvs(sys.executable):
        return with_other_python()
    with lock():
        if not is_finished(plan):  # another set-up may have done it while we waited
            set_up(plan)
    return 0


if __name__ == "__main__":
    for name in ("SIGTERM", "SIGHUP"):  # like Ctrl-C, so that pip is ended too; but nohup is respected
        if signal.getsignal(getattr(signal, name, signal.SIGINT)) is signal.SIG_DFL:
            signal.signal(getattr(signal, name), signal.default_int_handler)
    try:
        sys.exit(main())
    except (SetupError, OSError) as error:
        sys.exit(f"Set-up failed: {error}")
    except KeyboardInterrupt:
        sys.exit("\nSet-up was interrupted: the next run goes on where it stopped.")
