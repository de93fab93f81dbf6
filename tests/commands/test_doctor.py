"""`tensorrt-workbook doctor`, and how light `import helpers` is."""

import importlib.metadata
import os
import subprocess
import sys

import pytest

from helpers import device
from helpers.commands import doctor
from helpers.device import Driver, Gpu
from helpers.trt import CAPABILITIES, FLAVOUR, VERSION, has

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
H100 = Gpu("NVIDIA H100 80GB HBM3", (9, 0), 79 * 2**30)


def python(*arguments: str, **environment: str) -> subprocess.CompletedProcess:
    command = [sys.executable, *arguments]
    return subprocess.run(
        command, cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, timeout=60, check=False
    )


def rows() -> dict[str, doctor.Row]:
    return {row.what.split(":")[0]: row for row in doctor.report()}


@pytest.fixture
def machine(monkeypatch):
    """``machine(driver)``: doctor sees this driver instead of the real one."""

    def pretend(found: Driver | None) -> None:
        monkeypatch.setattr(doctor, "driver", lambda: found)
        monkeypatch.setattr(doctor, "gpus", lambda: found.gpus if found else ())

    return pretend


def test_it_says_what_is_really_here():
    found = rows()
    assert found["Python"].value == ".".join(map(str, sys.version_info[:3]))
    assert found["TensorRT"] == doctor.Row("TensorRT", f"{FLAVOUR} {VERSION}", True)
    assert found["PyTorch"].value == importlib.metadata.version("torch")
    gpus = [row.value for row in doctor.report() if row.what.startswith("GPU")]
    assert len(gpus) == len(device.gpus())


def test_every_capability_has_its_row():
    found = rows()
    shown = {"pycuda": "PyCUDA", "cuda_bindings": "cuda-bindings"}
    for name in CAPABILITIES:
        assert found[shown.get(name, name)].ok == has(name), name


def test_what_is_not_ok_says_what_to_do_and_nothing_else_does(machine):
    for found in (None, Driver((13, 0), ()), Driver((11, 4), (H100,)), Driver((13, 0), (H100,))):
        machine(found)
        for row in doctor.report():
            assert bool(row.todo) == (not row.ok), row


def test_gpus_are_named_with_their_compute_capability(machine):
    machine(Driver((13, 0), (H100, Gpu("NVIDIA GeForce GTX 1080", (6, 1), 8 * 2**30))))
    found = rows()
    assert found["NVIDIA driver"].value == "up to CUDA 13.0"
    assert found["GPU 0"] == doctor.Row("GPU 0", "NVIDIA H100 80GB HBM3, compute capability 9.0, 79 GiB", True)
    assert "compute capability 6.1" in found["GPU 1"].value
    assert "7.5" in found["GPU 1"].todo


def test_a_driver_that_is_too_old_or_shows_no_gpu(machine):
    machine(Driver((11, 4), ()))
    found = rows()
    assert "update the driver: TensorRT 10.13.2 and later need" in found["NVIDIA driver"].todo
    assert "CUDA_VISIBLE_DEVICES" in found["GPU"].todo


@pytest.fixture
def toolkit(machine, monkeypatch, tmp_path):
    """``toolkit(compiler, *files)``: a machine with a GPU, and only these files of a CUDA toolkit on the PATH."""

    def pretend(compiler: bool, *files: str):
        machine(Driver((13, 0), (H100,)))
        monkeypatch.setattr(doctor, "_version", lambda distribution: None)
        bin_ = tmp_path / "cuda" / "bin"
        for file in [bin_ / "g++"] * compiler + [tmp_path / "cuda" / name for name in files]:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.touch(mode=0o755)
        monkeypatch.setenv("PATH", str(bin_))
        monkeypatch.setattr(doctor, "USUAL_TOOLKIT", tmp_path / "usual")
        monkeypatch.delenv("CUDA_HOME", raising=False)
        monkeypatch.delenv("CUDA_PATH", raising=False)
        return tmp_path / "cuda"

    return pretend


def test_the_cure_for_pycuda_names_compiler_and_toolkit(toolkit):
    toolkit(False)
    todo = rows()["PyCUDA"].todo
    assert todo.startswith("install a C++ compiler (Debian, Ubuntu: sudo apt install g++) and the CUDA toolkit")
    assert "pip install -c constraints.txt pycuda" in todo
    assert "conda-forge" in todo


def test_a_toolkit_without_headers_is_none(toolkit):
    toolkit(True, "bin/nvcc")
    assert doctor.cuda_toolkit() is None
    assert rows()["PyCUDA"].todo.startswith("install the CUDA toolkit with its headers")


def test_the_cure_for_pycuda_is_one_command_where_all_is_there(toolkit):
    root = toolkit(True, "bin/nvcc", "include/cuda.h")
    assert doctor.cuda_toolkit() == root
    assert rows()["PyCUDA"].todo.startswith(doctor._pip("pycuda"))


def test_a_toolkit_that_is_not_on_the_path_is_put_there(toolkit, monkeypatch, tmp_path):
    root = toolkit(True, "bin/nvcc", "include/cuda.h")
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "g++").touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    monkeypatch.setenv("CUDA_HOME", str(root))
    assert doctor.cuda_toolkit() == root
    assert rows()["PyCUDA"].todo.startswith(f"PATH={root}/bin:$PATH ")


def test_the_table_of_chapter_00():
    table = doctor.table()
    assert list(table.columns) == ["on this machine", "ok", "what to do"]
    assert len(table) == len(doctor.report())
    assert table.loc["TensorRT", "on this machine"] == f"{FLAVOUR} {VERSION}"


def test_the_command_prints_the_findings_and_succeeds_where_plans_can_be_built():
    done = python("-m", "helpers", "doctor", COLUMNS="120")
    assert done.returncode == (0 if has("build") else 1)
    assert f"{FLAVOUR} {VERSION}" in done.stdout
    assert all(name in done.stdout for name in CAPABILITIES if name not in doctor.CUDA_PACKAGES)
    assert done.stderr == ""


def test_without_a_tensorrt_the_command_says_what_to_do_and_fails():
    hide = (
        "import sys\n"
        "class Hide:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name.startswith('tensorrt'): raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, Hide())\n"
        "from helpers.commands import main\n"
        "sys.exit(main(['doctor']))\n"
    )
    done = python("-c", hide, COLUMNS="200", WORKBOOK_TENSORRT="")
    assert done.returncode == 1, done.stderr
    assert "No TensorRT is installed" in done.stdout
    assert "make lab" in done.stdout
    assert "Plans cannot be built here" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_wrong_choice_of_flavour_is_named():
    done = python("-m", "helpers", "doctor", COLUMNS="200", WORKBOOK_TENSORRT="tensorrt_lite")
    assert done.returncode == 1
    assert "WORKBOOK_TENSORRT asks for tensorrt_lite: unset it" in done.stdout


def test_on_macos_it_says_that_there_is_none(monkeypatch):
    monkeypatch.setattr(doctor.sys, "platform", "darwin")
    monkeypatch.delenv("WORKBOOK_TENSORRT", raising=False)
    assert "macOS" in doctor._how_to_get_tensorrt()


def test_a_command_is_asked_for():
    done = python("-m", "helpers")
    assert done.returncode == 2
    assert "COMMAND" in done.stderr
    assert "doctor" in python("-m", "helpers", "--help").stdout


def test_import_helpers_is_light():
    code = (
        "import sys, time; begin = time.perf_counter(); import helpers; seconds = time.perf_counter() - begin\n"
        "heavy = {name.partition('.')[0] for name in sys.modules} & {'tensorrt', 'tensorrt_rtx', 'torch', 'numpy'}\n"
        "print(seconds, *sorted(heavy))"
    )
    runs = [python("-c", code).stdout.split() for _ in range(3)]
    assert min(float(seconds) for seconds, *_ in runs) <= 0.15
    assert all(len(run) == 1 for run in runs), runs
