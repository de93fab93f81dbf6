"""The PyTorch rows of the benchmark, in a Python of their own: eager and as a CUDA graph.

python tools/bench/torch_side.py FOLDER: reads FOLDER/<network>.npz (weights) and FOLDER/cases.json, writes
FOLDER/torch.json. Needs PyTorch with CUDA and NumPy.
"""

import json
import sys
from pathlib import Path

import numpy as np
import torch

sys.path.insert(0, str(Path(__file__).resolve().parent))
from networks import NETWORKS  # noqa: E402
from timing import BUSY, in_turns, one_at_a_time  # noqa: E402
from torch_clock import gpu_clock  # noqa: E402


def load(name, folder, dtype):
    network = NETWORKS[name]().eval()
    with np.load(folder / f"{name}.npz") as file:
        network.load_state_dict({key: torch.from_numpy(file[key]) for key in file.files})
    return network.to("cuda", dtype, memory_format=torch.channels_last)


def methods(network, images):
    """Host to host: page-locked memory on both sides, as by hand in TensorRT; and the GPU work alone."""
    staging = torch.empty(images.shape, dtype=images.dtype, pin_memory=True)
    device = torch.empty_like(images, device="cuda", memory_format=torch.channels_last)
    stream = torch.cuda.Stream()
    with torch.cuda.stream(stream):
        for _ in range(3):
            logits = network(device)
        answer = torch.empty(logits.shape, dtype=logits.dtype, pin_memory=True)
        torch.cuda.synchronize()
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph, stream=stream):
            captured = network(device)

    def host_to_host(run):
        def call():
            staging.copy_(images)
            device.copy_(staging, non_blocking=True)
            answer.copy_(run(), non_blocking=True)
            torch.cuda.current_stream().synchronize()
            return answer

        return call

    def replay():
        graph.replay()
        return captured

    return {"PyTorch eager": lambda: network(device), "PyTorch CUDA graph": replay}, host_to_host


@torch.inference_mode()
def main(folder):
    torch.backends.cudnn.benchmark = True
    rows = []
    for case in json.loads((folder / "cases.json").read_text()):
        dtype = getattr(torch, case["precision"])
        # TensorRT's FP32 runs in TF32 unless told otherwise, so PyTorch may too.
        torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = True
        with np.load(folder / case["data"]) as file:
            images, expected = file["images"], file["logits"]
        network = load(case["network"], folder, dtype)
        runs, host_to_host = methods(network, torch.from_numpy(images).to(dtype))
        calls = {name: host_to_host(run) for name, run in runs.items()}
        errors = {
            name: float(np.abs(call().float().numpy() - expected).max() / np.abs(expected).max())
            for name, call in calls.items()
        }
        host, gpu = in_turns(calls), one_at_a_time({name: gpu_clock(run, BUSY) for name, run in runs.items()})
        rows += [
            {**case, "method": name, "error": errors[name], "host": host[name], "gpu": gpu[name]} for name in calls
        ]
    about = {"torch": torch.__version__, "python": sys.version.split()[0], "gpu": torch.cuda.get_device_name()}
    (folder / "torch.json").write_text(json.dumps({"about": about, "rows": rows}))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
