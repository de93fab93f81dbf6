"""make bench, or python -m tools.bench [OUT]: every usual way to run a network, checked, then timed.

Two parts, which ``--only`` chooses from: "networks" (LeNet and ResNet-50, checked against PyTorch) and "detector"
(chapter 13's pipeline, frames in and boxes out, checked against ONNX Runtime). What is not measured is taken over from
data/bench.json.

Needs a GPU, PyCUDA, cuda-bindings and PyTorch (a CPU build will do). WORKBOOK_TORCH_PYTHON names the Python whose
PyTorch has CUDA, for the rows of PyTorch, and in which pixeltable-yolox and torchvision can be imported, for those of
the detector; TensorRT and PyTorch share weights and inputs by file, never a process.
Leaves OUT/bench.json, with machine, versions and date, OUT/bench.png and OUT/bench_detector.png; prints the tables.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import date
from functools import partial
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from helpers.trt import FLAVOUR, VERSION, MissingCapability, require

try:
    require("gpu", "pycuda", "cuda_bindings")
except MissingCapability as error:
    sys.exit(f"The benchmark cannot run here: {error}")

import pycuda.autoprimaryctx  # noqa: F401  (makes the primary context current)

from helpers.device import driver, gpus
from helpers.engine import load_engine
from helpers.plan_cache import PlanCache
from helpers.precision import relative_error
from helpers.runner import Runner
from helpers.workbook.detector_plans import detector_plan

from . import detector, methods, prepare, report
from .timing import in_turns, one_at_a_time, run_times

TOLERANCE = {"float32": 5e-3, "float16": 2e-2}  # of the largest logit; float32 runs in TF32 unless told otherwise
MAPPED = 24  # batches per call of Runner.map


def bench_case(folder: Path, case: prepare.Case, engine) -> list[dict]:
    """The rows of one case that run in this process. Raises AssertionError where a method gives wrong logits."""
    images, expected = prepare.load_case(folder, case)
    hand = methods.ByHand(engine, images)
    with Runner(engine) as run, Runner(engine, graphs=0) as plain:
        calls = {
            "by hand, CUDA graph": hand.replay,
            "by hand": hand.loop,
            **methods.runner_modes(run, plain, images),
            "allocate per call": methods.allocate_per_call(engine, images),
        }
        several = {f"Runner.map, {n} streams": methods.mapped(run, images, n, MAPPED) for n in (2, 3)}
        one_by_one = {"Runner, one by one": lambda: [run(image=images) for _ in range(MAPPED)][-1]["logits"]}
        errors = {}
        for name, call in {**calls, **several, **one_by_one}.items():
            errors[name] = relative_error(call(), expected)
            assert errors[name] < TOLERANCE[case.precision], f"{case}, {name}: off by {errors[name]:.2g}"
        host = in_turns(calls)
        for name, times in in_turns({**several, **one_by_one}, seconds=0.2).items():
            host[name] = {key: round(v / MAPPED, 2) if key != "runs" else v for key, v in times.items()}
        host["Runner"]["python"] = methods.python_cost(run, images)
        gpu = one_at_a_time(
            {
                "by hand": methods.gpu_clock(hand.gpu, hand.stream),
                "Runner": methods.gpu_clock(methods.on_the_gpu(run, images), run.stream),
            }
        )
    return [
        {**asdict(case), "method": name, "error": errors[name], "host": host[name], "gpu": gpu.get(name)}
        for name in host
    ]


def onnxruntime_rows(folder: Path, cases: list[prepare.Case]) -> list[dict]:
    import onnxruntime

    rows = []
    for case in cases:
        if case.precision == "float32":  # on a CPU float16 is emulated
            images, expected = prepare.load_case(folder, case)
            session = onnxruntime.InferenceSession(
                folder / f"{case.network}-float32.onnx", providers=["CPUExecutionProvider"]
            )
            call = {"ONNX Runtime, CPU": lambda s=session, x=images: s.run(None, {"image": x})[0]}
            for name, times in in_turns(call, rounds=3, seconds=0.05).items():
                error = relative_error(call[name](), expected)
                rows.append({**asdict(case), "method": name, "error": error, "host": times, "gpu": None})
    return rows


def polygraphy_rows(folder: Path, cases: list[prepare.Case]) -> tuple[list[dict], str]:
    """LeNet through Polygraphy's TrtRunner, or why there are no rows."""
    rows = []
    for case in cases:
        if (case.network, case.precision) == ("LeNet", "float32"):
            result = folder / "polygraphy.json"
            command = [sys.executable, "-m", "tools.bench.polygraphy_side", str(folder / "LeNet-float32.plan")]
            done = subprocess.run([*command, str(folder / case.data), str(result)], capture_output=True, timeout=120)
            if done.returncode:
                last = done.stderr.decode(errors="replace").strip().splitlines()[-1:]
                return rows, f"ended with {done.returncode} on TensorRT {VERSION}: {' '.join(last)[:200]}"
            told = json.loads(result.read_text())
            row = {"method": f"Polygraphy {told['version']}", "error": told["error"], "host": told["host"]}
            rows.append({**asdict(case), **row, "gpu": None})
    return rows, ""


def torch_rows(folder: Path, cases: list[prepare.Case]) -> tuple[list[dict], dict | str]:
    python = os.environ.get("WORKBOOK_TORCH_PYTHON", sys.executable)
    (folder / "cases.json").write_text(json.dumps([asdict(case) for case in cases]))
    script = Path(__file__).with_name("torch_side.py")
    clean = {key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "LD_LIBRARY_PATH")}
    done = subprocess.run([python, str(script), str(folder)], capture_output=True, text=True, timeout=240, env=clean)
    if done.returncode:
        return [], f"no rows: {(done.stderr.strip().splitlines() or ['no message'])[-1][:300]}"
    told = json.loads((folder / "torch.json").read_text())
    return told["rows"], told["about"]


def _milliseconds(call: Callable[[], Any]) -> float:
    """The median of five calls, in milliseconds."""
    return round(float(np.median(run_times(call, 5))) / 1e3, 1)


def python_layer(folder: Path, build_seconds: dict[str, float]) -> dict:
    """What happens once: imports, builds, plans out of the cache, plans loaded."""
    result = {"build s": {name: round(seconds, 1) for name, seconds in build_seconds.items()}}
    for module in ("helpers.trt", "helpers.runner"):
        begin = perf_counter()
        subprocess.run([sys.executable, "-c", f"import {module}"], check=True)
        result[f"start Python and import {module} ms"] = round((perf_counter() - begin) * 1e3, 1)
    for path in sorted(folder.glob("*.plan")):
        what = f"{path.stem} ({path.stat().st_size / 1e6:.1f} MB) ms"
        cached = partial(PlanCache(folder / "cache").get_or_build, path.with_suffix(".onnx"), {"bench": path.stem})
        cached(path.read_bytes)  # the first call puts it there
        result[f"plan from the cache {what}"] = _milliseconds(partial(cached, path.read_bytes))
        result[f"load engine {what}"] = _milliseconds(partial(load_engine, path.read_bytes()))
    return result


def networks(folder: Path, names: Sequence[str]) -> dict:
    """Returns all of bench.json but the detector's part."""
    cases = prepare.cases(names)
    builds, rows = {}, []
    for (name, precision), group in groupby(cases, key=lambda case: (case.network, case.precision)):
        if not (folder / f"{name}-{precision}.onnx").exists():
            prepare.write_network(folder, name)
        builds[f"{name} {precision}"] = prepare.write_plan(folder, name, precision)
        engine = load_engine((folder / f"{name}-{precision}.plan").read_bytes())
        for case in group:
            rows += bench_case(folder, case, engine)
            print(case, flush=True)
        del engine
    pytorch, about_torch = torch_rows(folder, cases)
    polygraphy, about_polygraphy = polygraphy_rows(folder, cases)
    rows += pytorch + onnxruntime_rows(folder, cases) + polygraphy
    return {
        **here(),
        "versions": {**versions(), "PyTorch": about_torch, "Polygraphy": about_polygraphy or "see rows"},
        "units": "microseconds; host: NumPy in, NumPy out; gpu: between two events",
        "python layer": python_layer(folder, builds),
        "rows": rows,
    }


def here() -> dict:
    """When and on what machine."""
    return {
        "date": date.today().isoformat(),
        "machine": {
            "gpu": gpus()[0].name,
            "compute capability": list(gpus()[0].compute_capability),
            "driver's CUDA": list(driver().cuda_version),
            "cpu": platform.processor() or platform.machine(),
            "cores": os.cpu_count(),
        },
    }


def versions() -> dict[str, str]:
    return {
        "TensorRT": f"{FLAVOUR} {VERSION}",
        "Python": platform.python_version(),
        "NumPy": np.__version__,
    }


def detector_clock(run: Runner, given: np.ndarray) -> Callable[[], float]:
    return methods.gpu_clock(methods.on_the_gpu(run, given), run.stream)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("out", type=Path, nargs="?", default=Path("build/bench"))
    parser.add_argument("--only", choices=("networks", "detector"), help="measure only this part (default: both)")
    parser.add_argument("--network", action="append", choices=prepare.NETWORKS, help="only this one (default: all)")
    options = parser.parse_args()
    folder = options.out
    folder.mkdir(parents=True, exist_ok=True)
    result = json.loads((prepare.DATA / "bench.json").read_text())
    if options.only != "detector":
        result |= networks(folder, options.network or prepare.NETWORKS)
        write(result, folder)
        report.show(result, folder / "bench.png")
    if options.only != "networks":
        measured = detector.measure(folder, Runner, detector_plan, detector_clock)
        result["detector"] = {**here(), "versions": versions(), **measured}
        write(result, folder)
        report.show_detector(result["detector"], folder / "bench_detector.png")


def write(result: dict, folder: Path) -> None:
    """Keeps the numbers before a figure is drawn of them, which takes its time."""
    (folder / "bench.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
