"""Run by test_other_versions_gpu.py in another Python, with another release's runtime: does each plan load and agree?

python other_version_check.py FOLDER: FOLDER holds *.plan and digits.npz; prints one JSON object.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

from helpers.engine import EngineError
from helpers.runner import Runner
from helpers.trt import FLAVOUR, VERSION

folder = Path(sys.argv[1])
with np.load(folder / "digits.npz") as file:
    images, expected = file["images"], file["logits"]


class OnlyDlpack:
    """A tensor of which one sees nothing but DLPack."""

    def __init__(self, tensor):
        self.__dlpack__ = tensor.__dlpack__
        self.__dlpack_device__ = tensor.__dlpack_device__


def every_way(run):
    """Logits by the way in which the digits came to the engine."""
    there = torch.from_numpy(images).cuda()
    out = torch.empty(expected.shape, device="cuda")
    assert run(image=there, out={"logits": out})["logits"] is out
    assert run._addresses == {"image": there.data_ptr(), "logits": out.data_ptr()}, "a copy was made"
    # The caller's own stream: the Runner has to wait for what is under way on it.
    with torch.cuda.stream(torch.cuda.Stream()):
        late = torch.zeros_like(there)
        for _ in range(50):
            late = late * 0 + there
        from_stream = run(image=late)["logits"]
    return {
        "NumPy": run(image=images)["logits"],
        "CUDA tensors": out.cpu().numpy(),
        "own stream": from_stream,
        "DLPack": run(image=OnlyDlpack(there))["logits"],
        "map": np.concatenate([r["logits"] for r in run.map([images[:50], images[50:]])]),
    }


def attempt(plan):
    try:
        with Runner(plan.read_bytes(), backend="torch", trusted=True) as run:
            return {"equal": {way: bool((got == expected).all()) for way, got in every_way(run).items()}}
    except EngineError as error:
        return {"refused": str(error)}


plans = {plan.stem: attempt(plan) for plan in sorted(folder.glob("*.plan"))}
about = {"runtime": f"{FLAVOUR} {VERSION}", "torch": torch.__version__, "gpu": torch.cuda.get_device_name()}
print(json.dumps({**about, "plans": plans}))
