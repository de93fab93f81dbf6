"""The set-up: what it chooses for which machine, what it does when something fails, and that its files agree."""

import ast
import errno
import importlib.util
import json
import os
import re
import select
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from helpers.device import Driver, Gpu

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "tools" / "setup_env.py"
H100 = Gpu("NVIDIA H100", (9, 0), 80 << 30)
GTX_1080 = Gpu("NVIDIA GeForce GTX 1080", (6, 1), 8 << 30)


def load(path: Path):
    spec = importlib.util.spec_from_file_location("setup_env", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


setup_env = load(SCRIPT)
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = PYPROJECT["project"]
CONSTRAINTS = (ROOT / "constraints.txt").read_text()


# What it chooses


@pytest.mark.parametrize(
    ("driver", "platform", "extras"),
    [
        (None, "linux", ("cpu", "test")),
        (None, "win32", ("cpu", "test")),
        (None, "darwin", ("cpu", "test")),  # the extra itself leaves TensorRT out there
        (Driver((12, 4), (H100,)), "linux", ("gpu-cu12", "test")),
        (Driver((13, 0), (H100,)), "linux", ("gpu-cu13", "test")),
        (Driver((14, 1), (H100,)), "win32", ("gpu-cu13", "test")),  # drivers run what was made for older CUDA
        (Driver((13, 0), (GTX_1080, H100)), "linux", ("gpu-cu13", "test")),
        (Driver((13, 0), ()), "linux", ("cpu", "test")),
        (Driver((11, 4), (H100,)), "linux", ("cpu", "test")),
        (Driver((12, 4), (GTX_1080,)), "linux", ("cpu", "test")),
    ],
)
def test_the_driver_decides_what_is_installed(driver, platform, extras):
    plan = setup_env.make_plan(driver, platform)
    assert plan.extras == extras
    assert set(extras) <= set(PROJECT["optional-dependencies"])
    editable = [step for step in plan.steps if "-e" in step.arguments]
    assert [step.arguments[1] for step in editable] == [f"{ROOT}[{','.join(extras)}]"]
    assert editable[0].failed is None


@pytest.mark.parametrize(
    ("driver", "platform", "remark"),
    [
        (None, "darwin", "no TensorRT for macOS"),
        (Driver((13, 0), ()), "linux", "shows no GPU"),
        (Driver((11, 4), (H100,)), "linux", "stops at CUDA 11.4"),
        (Driver((12, 4), (GTX_1080,)), "linux", "GTX 1080 is older"),
    ],
)
def test_what_is_unusual_is_said_in_one_line(driver, platform, remark):
    (line,) = setup_env.make_plan(driver, platform).remarks
    assert remark in line


def test_usual_machines_get_no_remark():
    for driver in (None, Driver((12, 4), (H100,)), Driver((13, 0), (H100,))):
        assert setup_env.make_plan(driver, "linux").remarks == ()


def test_only_linux_without_a_gpu_tries_the_cpu_build_of_pytorch_first():
    def indexed(driver, platform):
        steps = setup_env.make_plan(driver, platform).steps
        return [number for number, step in enumerate(steps) if setup_env.CPU_INDEX in step.arguments]

    assert indexed(None, "linux") == [0]
    assert indexed(None, "win32") == indexed(None, "darwin") == indexed(Driver((13, 0), (H100,)), "linux") == []
    step = setup_env.make_plan(None, "linux").steps[0]
    assert step.failed == ""  # silently: the default index has PyTorch too
    assert step.arguments[step.arguments.index("--retries") + 1] == "0"


def test_pycuda_is_a_step_of_its_own_that_may_fail():
    *_, last = setup_env.make_plan(Driver((13, 0), (H100,)), "linux").steps
    assert last.arguments == ("pycuda",)
    assert "cuda-bindings" in last.failed
    assert "doctor" in last.failed
    assert "\n" not in last.failed
    assert not any("pycuda" in step.arguments for step in setup_env.make_plan(None, "linux").steps)


def test_without_a_cuda_toolkit_pycuda_is_not_even_tried():
    plan = setup_env.make_plan(Driver((13, 0), (H100,)), "linux", toolkit=False)
    assert not any("pycuda" in step.arguments for step in plan.steps)
    (remark,) = plan.remarks
    assert "cuda-bindings" in remark
    assert "doctor" in remark
    assert setup_env.make_plan(None, "linux", toolkit=False).remarks == ()
    # When the toolkit comes later, there is something to do.
    later = setup_env.make_plan(Driver((13, 0), (H100,)), "linux")
    assert setup_env.fingerprint(plan) != setup_env.fingerprint(later)


def test_cuda_12_gets_the_pytorch_that_its_extra_names():
    assert re.search(r"^torch==", setup_env.pins(CONSTRAINTS, ("gpu-cu13", "test")), re.MULTILINE)
    kept = setup_env.pins(CONSTRAINTS, ("gpu-cu12", "test")).splitlines()
    assert [line for line in CONSTRAINTS.splitlines() if line not in kept] == [
        line for line in CONSTRAINTS.splitlines() if line.startswith("torch==")
    ]


# What it does: in a copy, with a pip that notes what it is told


PIP = """
import json, os, subprocess, sys, time
if os.environ["PIP_USER"] != "0":
    sys.exit("ERROR: Can not perform a '--user' install")
def turn(word):
    with open(os.environ["PIP_TURNS"], "a") as turns:
        turns.write(word + " ")
if "PIP_WAITS" in os.environ:  # for this file, with a child that ends only by force
    code = "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print(flush=True); time.sleep(100)"
    compiler = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, close_fds=False)
    compiler.stdout.readline()
    try:
        turn("begin")
        while not os.path.exists(os.environ["PIP_WAITS"]):
            time.sleep(0.01)
    except KeyboardInterrupt:
        turn("cancelled")
        os._exit(1)
    compiler.kill()
    turn("end")
with open(os.environ["PIP_CALLS"], "a") as calls:
    calls.write(json.dumps(sys.argv[1:]) + "\\n")
fails = os.environ.get("PIP_FAILS")
if fails and any(argument.endswith(fails) for argument in sys.argv):
    print("Collecting something")
    sys.exit("ERROR: No matching distribution found for something")
print("Downloading torch-2.13.0-cp311-cp311-manylinux_2_28_x86_64.whl (526.6 MB)")
print("Downloading six-1.17.0-py2.py3-none-any.whl (11 kB)")
"""


class Copy:
    """A copy of what the set-up reads, with a .venv whose pip only notes what it is told."""

    def __init__(self, folder: Path, calls: Path):
        self.folder, self.calls = folder, calls
        self.venv = folder / ".venv"
        self.stamp = self.venv / "workbook.json"
        self.gate, self.turns = calls.with_name("gate"), calls.with_name("turns")

    def start(self, *pass_fds: int) -> subprocess.Popen:
        """The set-up, up to where pip works, which it does until ``self.gate`` is there; or waits for another one."""
        environment = {**os.environ, "PIP_CALLS": str(self.calls), "CUDA_VISIBLE_DEVICES": ""}
        environment |= {"PIP_WAITS": str(self.gate), "PIP_TURNS": str(self.turns)}
        command = [sys.executable, str(self.folder / "tools" / "setup_env.py")]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        process = subprocess.Popen(command, env=environment, pass_fds=pass_fds, **pipes)
        process.first_line = process.stdout.readline()
        if "Another" not in process.first_line:
            deadline = time.monotonic() + 60
            while "begin" not in self.taken() and time.monotonic() < deadline:
                time.sleep(0.01)
        return process

    def taken(self) -> list[str]:
        """The turns of those pips that wait for ``self.gate``."""
        return self.turns.read_text().split() if self.turns.exists() else []

    def run(self, code: str | None = None, **environment: str) -> subprocess.CompletedProcess:
        """The set-up, or ``code`` with its module at hand as ``setup_env``."""
        script = str(self.folder / "tools" / "setup_env.py")
        if code is None:
            command = [sys.executable, script]
        else:
            folder = str(self.folder / "tools")
            command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {folder!r}); import setup_env\n{code}"]
        environment = {**os.environ, "PIP_CALLS": str(self.calls), "CUDA_VISIBLE_DEVICES": "", **environment}
        return subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=False)

    def pip_calls(self) -> list[list[str]]:
        """What pip was told since the last question."""
        if not self.calls.exists():
            return []
        calls = [json.loads(line) for line in self.calls.read_text().splitlines()]
        self.calls.unlink()
        return calls


@pytest.fixture
def copy(tmp_path):
    folder = tmp_path / "a workbook"
    helpers = [f"helpers/{name}.py" for name in ("__init__", "device", "commands/__init__", "commands/doctor")]
    for name in ("tools/setup_env.py", "pyproject.toml", "constraints.txt", *helpers):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder / ".venv"], check=True, timeout=60)
    packages = next((folder / ".venv").glob("[Ll]ib/**/site-packages"))
    (packages / "pip").mkdir()
    (packages / "pip" / "__init__.py").write_text("")
    (packages / "pip" / "__main__.py").write_text(PIP)
    return Copy(folder, tmp_path / "calls")


def test_a_second_run_does_nothing_and_says_nothing(copy):
    first = copy.run()
    assert first.returncode == 0, first.stderr
    *_, workbook = copy.pip_calls()
    assert workbook[:2] == ["install", "-c"]
    assert workbook[-2:] == ["-e", f"{copy.folder}[cpu,test]"]
    assert copy.stamp.exists()

    second = copy.run()
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert copy.pip_calls() == []


def test_progress_is_a_few_lines_that_name_large_downloads(copy):
    lines = copy.run().stdout.splitlines()
    assert "    downloading torch, 526.6 MB" in lines
    assert not any("six" in line for line in lines)
    assert len(lines) <= 8
    assert "six-1.17.0" in (copy.venv / "setup.log").read_text()


@pytest.mark.parametrize("name", ["pyproject.toml", "constraints.txt", "tools/setup_env.py"])
def test_the_environment_of_an_older_checkout_is_brought_up_to_date(copy, name):
    content = (copy.folder / name).read_text()
    with open(copy.folder / name, "a") as file:  # without the commands of today, for example
        file.write("# as it was once\n")
    copy.run()
    copy.pip_calls()
    (copy.folder / name).write_text(content)
    assert "Ready." in copy.run().stdout
    assert copy.pip_calls()[-1][-2:] == ["-e", f"{copy.folder}[cpu,test]"]  # writes the commands of pyproject.toml too


def test_pips_settings_of_the_user_send_nothing_elsewhere(copy):
    done = copy.run(PIP_USER="1")
    assert done.returncode == 0, done.stderr


posix = pytest.mark.skipif(os.name != "posix", reason="there is no lock and no SIGTERM on Windows")


@posix
def test_of_two_set_ups_the_second_waits_and_finds_everything_done(copy):
    first = copy.start()
    second = copy.start()
    assert second.first_line == "Another set-up is at work here: waiting for it.\n"
    copy.gate.touch()
    assert first.communicate(timeout=60)[0].endswith("Ready.\n")
    assert second.communicate(timeout=60) == ("", "")
    assert (first.returncode, second.returncode) == (0, 0)
    assert copy.taken() == ["begin", "end"] * len(setup_env.make_plan(None, sys.platform).steps)


@posix
def test_a_pip_whose_set_up_was_killed_is_waited_for(copy):
    first = copy.start()
    first.kill()
    first.communicate(timeout=60)
    second = copy.start()
    assert second.first_line == "Another set-up is at work here: waiting for it.\n"
    assert copy.taken() == ["begin"]
    copy.gate.touch()
    assert second.communicate(timeout=60)[0].endswith("Ready.\n")
    turns = copy.taken()
    assert len(turns) > 2
    assert turns == ["begin", "end"] * (len(turns) // 2)  # never two at a time


@posix
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_an_interrupted_set_up_ends_pip_and_its_children(copy, name):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # in the background, children would ignore it
    alive, held = os.pipe()  # readable when nobody holds the other end any more
    try:
        process = copy.start(held)
    finally:
        signal.signal(signal.SIGINT, before)
        os.close(held)
    process.send_signal(getattr(signal, name))
    _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert error.strip() == "Set-up was interrupted: the next run goes on where it stopped."
    with open(alive, "rb") as pipe:
        assert select.select([pipe], [], [], 60)[0]
        assert pipe.read() == b""
    assert copy.taken() == ["begin", "cancelled"]
    assert not copy.stamp.exists()


@posix
def test_why_pip_cannot_be_unpacked_is_said(copy):
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))\n"  # a disk full of pip
    shutil.rmtree(copy.venv)
    done = copy.run(limit + "try:\n    setup_env.make_venv()\nexcept setup_env.SetupError as error:\n    print(error)")
    assert "ensurepip" in done.stdout
    assert os.strerror(errno.EFBIG) in done.stdout, done.stdout + done.stderr


def test_a_folder_that_was_moved_is_installed_again(copy):
    copy.run()
    copy.pip_calls()
    moved = Copy(copy.folder.rename(copy.folder.with_name("moved")), copy.calls)
    assert "Ready." in moved.run().stdout
    assert moved.pip_calls()[-1][-1].startswith(str(moved.folder))


def test_where_pip_fails_its_last_lines_are_shown_and_the_next_run_goes_on(copy):
    copy.run()
    with open(copy.folder / "constraints.txt", "a") as file:
        file.write("# another line\n")
    failed = copy.run(PIP_FAILS="[cpu,test]")
    assert failed.returncode == 1
    assert "ERROR: No matching distribution found for something" in failed.stderr
    assert "setup.log" in failed.stderr
    assert "Traceback" not in failed.stderr
    assert not copy.stamp.exists()  # also what was finished before is no longer

    copy.pip_calls()
    assert copy.run().returncode == 0
    assert copy.pip_calls() != []
    assert copy.stamp.exists()


def test_the_shown_lines_are_those_that_tell_something():
    printed = """Looking in indexes: http://127.0.0.1:9/simple
  Installing build dependencies: finished with status 'error'
  error: subprocess-exited-with-error

  × pip subprocess to install build dependencies did not run successfully.
  ╰─> [3 lines of output]
      WARNING: Retrying (Retry(total=0)) after connection broken by 'NewConnectionError'
      ERROR: No matching distribution found for setuptools>=77
      [end of output]
  note: This error originates from a subprocess, and is likely not a problem with pip.
"""
    told = setup_env.telling(printed.splitlines()).splitlines()
    assert told[-1] == "    ERROR: No matching distribution found for setuptools>=77"
    nine = setup_env.telling([f"line {number}" for number in range(9)])
    assert nine.splitlines() == ["", *(f"    line {n}" for n in range(4, 9))]
    assert setup_env.telling([]) == ""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tries PyTorch's own index")
def test_where_pytorchs_index_cannot_be_reached_nobody_hears_of_it(copy):
    done = copy.run(PIP_FAILS=setup_env.CPU_INDEX)
    assert done.returncode == 0
    assert "ERROR" not in done.stdout + done.stderr
    assert len(copy.pip_calls()) == 2


def test_where_pycuda_cannot_be_compiled_set_up_goes_on_and_says_so_in_one_line(copy):
    code = (
        "from collections import namedtuple\n"
        "Driver, Gpu = namedtuple('Driver', 'cuda_version gpus'), namedtuple('Gpu', 'name compute_capability')\n"
        "setup_env.set_up(setup_env.make_plan(Driver((13, 0), (Gpu('NVIDIA H100', (9, 0)),)), 'linux'))\n"
    )
    done = copy.run(code, PIP_FAILS="pycuda")
    assert done.returncode == 0, done.stderr
    assert [call[-1] for call in copy.pip_calls()] == [f"{copy.folder}[gpu-cu13,test]", "pycuda"]
    assert len([line for line in done.stdout.splitlines() if "PyCUDA could not be compiled" in line]) == 1
    assert copy.stamp.exists()


def test_a_link_to_another_environment_is_used_as_it_is(copy):
    other = copy.venv.rename(copy.folder.with_name("other"))
    copy.venv.symlink_to(other, target_is_directory=True)
    done = copy.run()
    assert (done.returncode, done.stdout) == (0, "")
    assert copy.pip_calls() == []


def test_an_environment_whose_python_is_gone_is_made_anew(copy):
    python = copy.venv / "bin" / "python"
    if not python.is_symlink():
        pytest.skip("environments hold copies of Python here")
    python.unlink()
    python.symlink_to("/nowhere/python3.9")
    done = copy.run("setup_env.make_venv()")
    assert done.returncode == 0, done.stderr
    version = subprocess.run([python, "-m", "pip", "--version"], capture_output=True, text=True, timeout=60, check=True)
    assert str(copy.venv) in version.stdout


# Pythons that will not do


def run_as(copy: Copy, version: tuple[int, int], path: Path) -> subprocess.CompletedProcess:
    code = (
        f"sys.version_info = ({version[0]}, {version[1]}, 0, 'final', 0); import runpy\n"
        "runpy.run_path(setup_env.__file__, run_name='__main__')"
    )
    return copy.run(code, PATH=str(path))


@pytest.mark.parametrize(("version", "why"), [((3, 9), "too old"), ((3, 99), "too new")])
def test_a_python_that_will_not_do_says_so_in_one_line(copy, tmp_path, version, why):
    shutil.rmtree(copy.venv)
    done = run_as(copy, version, tmp_path / "empty")
    assert done.returncode == 1
    assert f"Python {version[0]}.{version[1]} ({sys.executable}) is {why}" in done.stderr
    assert "make lab PYTHON=" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_a_better_python_on_the_path_is_taken(copy, tmp_path):
    shutil.rmtree(copy.venv)
    bin_ = tmp_path / "bin"
    bin_.mkdir()
    stub = bin_ / "python3.12"
    stub.write_text(f'#!/bin/sh\necho "$0 $@" >>"{tmp_path}/called"\ncase "$1" in -c) exit 0;; esac\n')
    stub.chmod(0o755)
    done = run_as(copy, (3, 8), bin_)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "called").read_text().splitlines()[-1] == f"{stub} {copy.folder}/tools/setup_env.py"


def test_an_environment_that_is_there_needs_no_other_python(copy):
    done = run_as(copy, (3, 8), copy.folder / "empty")
    assert done.returncode == 0, done.stderr
    assert copy.stamp.exists()


def test_debians_missing_venv_module_is_named(copy, tmp_path):
    shutil.rmtree(copy.venv)
    (tmp_path / "ensurepip.py").write_text("raise ImportError('No module named ensurepip')")
    done = copy.run(PATH=str(tmp_path / "empty"), PYTHONPATH=str(tmp_path))
    assert done.returncode == 1
    assert "sudo apt install python{}.{}-venv".format(*sys.version_info) in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_pythons_that_are_too_old_can_still_read_the_script():
    ast.parse(SCRIPT.read_text(), feature_version=(3, 6))
    assert "from __future__ import annotations" not in SCRIPT.read_text()  # Python 3.6 does not know it


# The files agree


def requirements(*extras: str) -> list[Requirement]:
    """The dependencies of pyproject.toml with these extras; those that name the project itself are followed."""
    found = list(map(Requirement, PROJECT["dependencies"])) if not extras else []
    for extra in extras:
        for requirement in map(Requirement, PROJECT["optional-dependencies"][extra]):
            if requirement.name == PROJECT["name"]:
                found += requirements(*sorted(requirement.extras))
            else:
                found.append(requirement)
    return found


def pinned(python: str, platform: str) -> dict[str, str]:
    """The pins of constraints.txt that hold for ``python`` ("3.12") on ``platform`` (sys.platform)."""
    environment = {"python_version": python, "python_full_version": f"{python}.7", "sys_platform": platform}
    environment |= {"os_name": "nt" if platform == "win32" else "posix", "extra": ""}
    pins = {}
    for line in CONSTRAINTS.splitlines():
        if line and not line.startswith("#"):
            requirement = Requirement(line)
            if requirement.marker is None or requirement.marker.evaluate(environment):
                assert requirement.name not in pins, f"{requirement.name} is pinned twice for Python {python}"
                pins[canonicalize_name(requirement.name)] = str(requirement.specifier).removeprefix("==")
    return pins


@pytest.mark.parametrize("platform", ["linux", "win32"])
@pytest.mark.parametrize("python", ["3.10", "3.11", "3.12", "3.13", "3.14"])
def test_every_dependency_is_pinned_to_a_release_that_pyproject_allows(python, platform):
    pins = pinned(python, platform)
    extras = sorted(set(PROJECT["optional-dependencies"]) - {"gpu-cu12"})  # which has a PyTorch of its own
    for requirement in requirements() + requirements(*extras):
        name = canonicalize_name(requirement.name)
        if name != "cuda-bindings":  # follows the CUDA of the driver
            assert pins[name] in requirement.specifier, requirement
    assert all(pins[name] for name in ("tensorrt-cu12", "tornado", "ipython"))


def test_the_oldest_python_is_the_same_everywhere():
    oldest = "{}.{}".format(*setup_env.PYTHONS[0])
    assert PROJECT["requires-python"] == f">={oldest}"
    workflow = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())
    assert workflow["jobs"]["cpu"]["strategy"]["matrix"]["python"][0] == oldest


def test_conda_takes_the_gpu_packages_and_pip_the_rest_and_nothing_twice():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    assert environment["name"] == PROJECT["name"]
    assert environment["channels"] == ["conda-forge"]
    *conda, pip = environment["dependencies"]
    names = {re.match(r"[\w-]+", entry)[0]: entry for entry in conda}
    assert {"python", "pip", "pycuda", "cuda-version"} == set(names)
    oldest, newest = setup_env.PYTHONS
    assert oldest <= tuple(map(int, names["python"].partition("=")[2].split("."))) <= newest

    (line,) = pip["pip"]
    extras = re.fullmatch(r"-e \.\[([\w,-]+)\]", line)[1].split(",")
    by_pip = {canonicalize_name(requirement.name) for requirement in requirements() + requirements(*extras)}
    assert not by_pip & set(names)
    assert {"tensorrt-cu12", "cuda-bindings", "pytest"} <= by_pip
    cuda = names["cuda-version"].partition("=")[2]
    assert f"gpu-cu{cuda}" in extras


def test_make_sets_up_before_everything_else():
    makefile = (ROOT / "Makefile").read_text()
    targets = dict(re.findall(r"^([a-z-]+):(.*)$", makefile, re.MULTILINE))
    assert {"lab", "test", "record", "browser-test"} <= set(targets)
    assert all("setup" in needs for name, needs in targets.items() if name != "setup")
    assert "notebooks/00_start.ipynb" in makefile


def test_ci_does_what_make_test_does():
    script = ROOT / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert "make test" in script.read_text()
    jobs = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text())["jobs"]
    assert {"self-hosted", "gpu"} <= set(jobs["gpu"]["runs-on"])
    assert jobs["gpu"]["if"] == "github.event_name == 'workflow_dispatch'"
    ran = {name: [step["run"] for step in job["steps"] if "run" in step] for name, job in jobs.items()}
    assert "make test" in ran["cpu"]
    assert ran["gpu"] == ["make test"]
    targets = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert {line.split()[1] for lines in ran.values() for line in lines if line.startswith("make ")} <= targets
    pytest_options = PYPROJECT["tool"]["pytest"]["ini_options"]
    assert "notebooks" in pytest_options["testpaths"]
    assert "--nbval-lax" in pytest_options["addopts"]


def test_the_readme_speaks_of_files_that_are_there_and_of_the_pinned_releases():
    readme = (ROOT / "README.md").read_text()
    for link in re.findall(r"\]\(([^)#]+)\)", readme):
        assert "://" in link or (ROOT / link).exists(), link
    pins = pinned("3.12", "linux")
    assert pins["tensorrt-rtx"].startswith(re.search(r"\| TensorRT for RTX ([\d.]+)", readme)[1])
    assert re.search(r"\| TensorRT " + re.escape(".".join(pins["tensorrt-cu13"].split(".")[:2])) + r"\b", readme)
    assert "Apache License" in (ROOT / "LICENSE").read_text()


@pytest.mark.parametrize("path", sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")), ids=lambda path: path.stem)
def test_the_readme_lists_the_chapter_with_its_title_and_minutes(path):
    opening = "".join(json.loads(path.read_text())["cells"][0]["source"])
    number, title = re.match(r"# (\d+) · (.+)", opening).groups()
    minutes = re.search(r"\*\*Minutes:\*\* (\d+)", opening)[1]
    assert f"| {number} | [{title}](notebooks/{path.name}) | {minutes} |" in (ROOT / "README.md").read_text()
