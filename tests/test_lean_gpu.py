"""CUDA tensors of PyTorch, without copies, through a version-compatible plan on a lean runtime in another Python.

TensorRT 8.6 stops at Python 3.11 and cannot share a process with a PyTorch for 3.12: the plan changes process instead.
Set WORKBOOK_LEAN_PYTHON to a Python that has PyTorch with CUDA and tensorrt_lean.
"""

import os
import subprocess
from pathlib import Path

import numpy as np
import pytest

from helpers.builder import build_plan
from helpers.onnx_parser import parse_onnx
from helpers.trt import has

ROOT = Path(__file__).resolve().parents[1]
PYTHON = os.environ.get("WORKBOOK_LEAN_PYTHON")

pytestmark = [
    pytest.mark.skipif(not has("gpu", "version_compatible"), reason="needs a GPU and version-compatible plans"),
    pytest.mark.skipif(not PYTHON, reason="WORKBOOK_LEAN_PYTHON is not set"),
]


def test_cuda_tensors_through_the_lean_runtime(tmp_path):
    from helpers.runner import Runner

    profile = {"image": ((1, 1, 28, 28), (64, 1, 28, 28), (256, 1, 28, 28))}
    plan = build_plan(parse_onnx(ROOT / "data" / "lenet.onnx"), profiles=[profile], flags=["VERSION_COMPATIBLE"])
    (tmp_path / "lenet.plan").write_bytes(plan)
    with np.load(ROOT / "data" / "mnist.npz") as mnist:
        images = mnist["test_images"][:200, None].astype(np.float32) / 255
    with Runner(plan) as run:
        logits = run(image=images)["logits"]
    np.savez(tmp_path / "digits.npz", images=images, logits=logits)

    environment = {k: v for k, v in os.environ.items() if k not in ("LD_LIBRARY_PATH", "PYTHONNOUSERSITE")}
    environment |= {"WORKBOOK_TENSORRT": "tensorrt_lean", "PYTHONPATH": os.environ.get("WORKBOOK_LEAN_PATH", str(ROOT))}
    result = subprocess.run(
        [PYTHON, str(ROOT / "tests" / "lean_torch_check.py"), str(tmp_path)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=180,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    print(result.stdout)
    assert "bit-identical" in result.stdout
