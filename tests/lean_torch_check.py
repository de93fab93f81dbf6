"""Run by test_lean_gpu.py in another Python: a plan of TensorRT 8.6 on the 10.16 lean runtime, fed with CUDA tensors.

Usage: WORKBOOK_TENSORRT=tensorrt_lean python lean_torch_check.py FOLDER, which holds lenet.plan and digits.npz.
"""

import sys
from pathlib import Path

import numpy as np
import torch

from helpers.runner import Runner
from helpers.trt import FLAVOUR, VERSION

folder = Path(sys.argv[1])
with np.load(folder / "digits.npz") as file:
    images, expected = file["images"], file["logits"]

with Runner((folder / "lenet.plan").read_bytes(), backend="torch", trusted=True) as run:
    from_numpy = run(image=images)["logits"]
    there = torch.from_numpy(images).cuda()
    out = torch.empty(expected.shape, device="cuda")
    result = run(image=there, out={"logits": out})["logits"]
    assert result is out
    assert run._addresses == {"image": there.data_ptr(), "logits": out.data_ptr()}
    # The caller's own stream: the Runner has to wait for what is under way on it.
    with torch.cuda.stream(torch.cuda.Stream()):
        late = torch.zeros_like(there)
        for _ in range(50):
            late = late * 0 + there
        from_stream = run(image=late)["logits"]

for name, logits in (("NumPy", from_numpy), ("CUDA tensors", out.cpu().numpy()), ("own stream", from_stream)):
    np.testing.assert_array_equal(logits, expected, err_msg=name)
device = torch.cuda.get_device_name()
print(f"{FLAVOUR} {VERSION}, PyTorch {torch.__version__} on {device}: {len(images)} digits, bit-identical")
