"""Plans of this TensorRT on the runtimes of other releases, in another Python, fed with CUDA tensors of PyTorch.

TensorRT 8.6 stops at Python 3.11 and cannot share a process with a PyTorch for 3.12: the plan changes process instead.
Set WORKBOOK_TORCH_PYTHON to a Python that has PyTorch with CUDA, and WORKBOOK_RUNTIMES to a folder with one folder per
release, such as 10.16 and 11.4, into which its tensorrt_lean and tensorrt_dispatch wheels are installed.
"""

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from helpers.builder import build_plan
from helpers.onnx_parser import parse_onnx
from helpers.trt import has

ROOT = Path(__file__).resolve().parents[2]
PYTHON = os.environ.get("WORKBOOK_TORCH_PYTHON")
RUNTIMES = os.environ.get("WORKBOOK_RUNTIMES")

pytestmark = [
    pytest.mark.skipif(not has("gpu", "version_compatible"), reason="needs a GPU and version-compatible plans"),
    pytest.mark.skipif(not (PYTHON and RUNTIMES), reason="WORKBOOK_TORCH_PYTHON or WORKBOOK_RUNTIMES is not set"),
]
PLANS = {
    "compatible": ["VERSION_COMPATIBLE"],
    "without_lean_runtime": ["VERSION_COMPATIBLE", "EXCLUDE_LEAN_RUNTIME"],
    "ordinary": [],
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory, digits):
    """The plans, 200 digits, and the logits that the ordinary plan gives here."""
    from helpers.runner import Runner

    result = tmp_path_factory.mktemp("plans")
    profile = {"image": ((1, 1, 28, 28), (64, 1, 28, 28), (256, 1, 28, 28))}
    for name, flags in PLANS.items():
        plan = build_plan(parse_onnx(ROOT / "data" / "lenet.onnx"), profiles=[profile], flags=flags)
        (result / f"{name}.plan").write_bytes(plan)
        print(f"{name}: {len(plan):,} bytes")
    images = digits[0][:200]
    with Runner((result / "compatible.plan").read_bytes()) as run:
        np.savez(result / "digits.npz", images=images, logits=run(image=images)["logits"])
    return result


def ask(folder, release, flavour):
    environment = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "PYTHONNOUSERSITE")}
    environment |= {"WORKBOOK_TENSORRT": flavour, "PYTHONPATH": f"{ROOT}{os.pathsep}{Path(RUNTIMES) / release}"}
    script = ROOT / "tests" / "shared" / "other_version_check.py"
    done = subprocess.run([PYTHON, script, folder], env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    print(done.stdout)
    return json.loads(done.stdout.splitlines()[-1])["plans"]


@pytest.mark.parametrize("flavour", ["tensorrt_lean", "tensorrt_dispatch"])
def test_the_next_major_release_runs_a_version_compatible_plan(folder, flavour):
    plans = ask(folder, "10.16", flavour)
    assert plans["compatible"] == {
        "equal": dict.fromkeys(["NumPy", "CUDA tensors", "own stream", "DLPack", "map"], True)
    }
    assert "refused" in plans["ordinary"]


@pytest.mark.parametrize("flavour", ["tensorrt_lean", "tensorrt_dispatch"])
def test_the_one_after_it_refuses_every_plan(folder, flavour):
    plans = ask(folder, "11.4", flavour)
    assert [name for name, told in plans.items() if "refused" not in told] == []
