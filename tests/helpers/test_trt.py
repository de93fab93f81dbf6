"""The choice of TensorRT, and the named capabilities."""

import os
import subprocess
import sys

import pytest

import helpers.trt
from helpers import device
from helpers.trt import (
    CAPABILITIES,
    FLAVOUR,
    NAME,
    VERSION,
    MissingCapability,
    _imports,
    has,
    is_this_version,
    missing,
    require,
    runs_other_versions,
    runs_plans_of,
    trt,
)


def run(code: str, **environment) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code], env=os.environ | environment, capture_output=True, text=True, timeout=60
    )


def test_the_module_is_the_flavour_that_it_says():
    assert trt.__name__ == FLAVOUR
    assert trt.__version__ == VERSION


def test_without_a_gpu_rtx_is_chosen_and_builds():
    if device.gpus():
        pytest.skip("this machine has a GPU")
    assert FLAVOUR == "tensorrt_rtx"
    assert has("build", "ahead_of_time", "progress_monitor", "strong_typing")
    assert missing("gpu", "build", "weak_typing") == ["gpu", "weak_typing"]


def test_every_capability_has_an_answer():
    assert all(isinstance(has(name), bool) for name in CAPABILITIES)


def test_a_reader_is_told_the_name_of_this_tensorrt():
    title, version = NAME.rsplit(" ", 1)
    assert title == {"tensorrt": "TensorRT", "tensorrt_rtx": "TensorRT for RTX"}.get(FLAVOUR, title)
    assert version.count(".") == 2
    assert VERSION.startswith(version)


@pytest.mark.parametrize(
    ("flavour", "runs", "other_versions"),
    [("tensorrt", "tensorrt", False), ("tensorrt_rtx", "tensorrt_rtx", False), ("tensorrt_lean", "tensorrt", True)],
)
def test_whose_plans_each_flavour_runs(monkeypatch, flavour, runs, other_versions):
    monkeypatch.setattr(helpers.trt, "FLAVOUR", flavour)
    assert [name for name in helpers.trt.NAMES if runs_plans_of(name)] == [runs]
    assert runs_other_versions() is other_versions


def test_a_version_is_this_one_in_as_many_numbers_as_are_known(monkeypatch):
    monkeypatch.setattr(helpers.trt, "VERSION", "8.6.1")
    assert is_this_version("8.6.1")
    assert is_this_version("8.6.0", 2)
    assert not is_this_version("8.6.0")
    assert not is_this_version("8.6.1.6")
    assert not is_this_version("8.60.1", 2)


def test_a_module_that_is_there_and_does_not_import_is_no_capability(tmp_path, monkeypatch):
    for name, text in (
        ("yolox_a", "import there_is_no_such_module"),
        ("yolox_b", "raise RuntimeError"),
        ("yolox_c", ""),
    ):
        (tmp_path / f"{name}.py").write_text(text)
    monkeypatch.syspath_prepend(tmp_path)
    assert [_imports(name) for name in ("yolox_a", "yolox_b", "yolox_c", "yolox_d")] == [False, False, True, False]


def test_an_unknown_capability_is_a_mistake_and_not_a_no():
    with pytest.raises(ValueError, match="gpuu"):
        has("gpuu")


def test_require_says_where_a_capability_can_be_had():
    lacking = [name for name in CAPABILITIES if not has(name)]
    with pytest.raises(MissingCapability) as error:
        require(*lacking)
    for name in lacking:
        assert CAPABILITIES[name].where in str(error.value)
        assert CAPABILITIES[name].purpose in str(error.value)


def test_the_environment_variable_is_checked():
    result = run("import helpers.trt", WORKBOOK_TENSORRT="tensorflow")
    assert "WORKBOOK_TENSORRT='tensorflow' is not one of" in result.stderr


def test_a_machine_without_any_tensorrt_is_told_what_to_install():
    code = (
        "import importlib.util as u; find = u.find_spec\n"
        "u.find_spec = lambda n, *a: None if n.startswith('tensorrt') else find(n, *a)\n"
        "import helpers.trt"
    )
    result = run(code, WORKBOOK_TENSORRT="")
    assert "pip install tensorrt-rtx" in result.stderr


def test_a_machine_without_a_driver_has_no_gpus():
    if device.driver() is None:
        assert device.gpus() == ()
    else:
        assert device.driver().cuda_version[0] >= 11
