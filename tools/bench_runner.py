"""A short benchmark of the Runner against a loop written by hand: LeNet, host to host, one stream (chapter 07).

Needs a GPU and PyCUDA. ``python tools/bench_runner.py OUT.json`` prints a table and writes it with the machine's data.
"""

import argparse
import json
from datetime import date
from pathlib import Path
from time import perf_counter

import numpy as np
import pycuda.autoprimaryctx  # noqa: F401  (makes the primary context current)
import pycuda.driver as cuda

from helpers.builder import build_plan
from helpers.device import gpus
from helpers.engine import load_engine
from helpers.onnx_parser import parse_onnx
from helpers.runner import Runner
from helpers.trt import FLAVOUR, VERSION

DATA = Path(__file__).resolve().parents[1] / "data"
PROFILE = {"image": ((1, 1, 28, 28), (64, 1, 28, 28), (256, 1, 28, 28))}


def by_hand(engine, images):
    """The loop that chapter 07 writes: page-locked memory, one stream, everything allocated before."""
    context, stream = engine.create_execution_context(), cuda.Stream()
    context.set_optimization_profile_async(0, stream.handle)
    context.set_input_shape("image", images.shape)
    host_in, host_out = cuda.pagelocked_empty(images.shape, np.float32), cuda.pagelocked_empty((len(images), 10), "f4")
    device_in, device_out = cuda.mem_alloc(host_in.nbytes), cuda.mem_alloc(host_out.nbytes)
    context.set_tensor_address("image", int(device_in))
    context.set_tensor_address("logits", int(device_out))

    def call():
        host_in[:] = images
        cuda.memcpy_htod_async(device_in, host_in, stream)
        context.execute_async_v3(stream.handle)
        cuda.memcpy_dtoh_async(host_out, device_out, stream)
        stream.synchronize()
        return host_out

    return call


def microseconds(call, runs=2000, warm_up=200):
    times = []
    for _ in range(warm_up + runs):
        begin = perf_counter()
        call()
        times.append((perf_counter() - begin) * 1e6)
    return {f"p{p}": round(float(np.percentile(times[warm_up:], p)), 1) for p in (50, 90, 99)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path)
    args = parser.parse_args()
    engine = load_engine(build_plan(parse_onnx(DATA / "lenet.onnx"), profiles=[PROFILE]))
    rows = []
    with np.load(DATA / "mnist.npz") as mnist, Runner(engine) as run:
        digits = mnist["test_images"][:, None].astype(np.float32) / 255
        for batch in (1, 64, 256):
            images = digits[:batch]
            loop = by_hand(engine, images)
            np.testing.assert_array_equal(run(image=images)["logits"], loop())
            for name, call in (
                ("by hand", loop),
                ("Runner", lambda x=images: run(image=x)),
                ("Runner, views", lambda x=images: run(image=x, views=True)),
            ):
                rows.append({"batch": batch, "what": name, **microseconds(call)})
                print(rows[-1])
    machine = {"gpu": gpus()[0].name, "tensorrt": f"{FLAVOUR} {VERSION}", "date": date.today().isoformat()}
    args.out.write_text(json.dumps({**machine, "unit": "microseconds, host to host", "rows": rows}, indent=1) + "\n")


if __name__ == "__main__":
    main()
