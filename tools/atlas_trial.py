"""Tries a case of the operator atlas: parses it, builds it, and runs it where that can be (tools/atlas.py).

It can end the process: a ``helpers.worker.Worker`` calls it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from helpers.builder import BuildError, BuildOptions, create_config
from helpers.commands.check.trial import parse
from helpers.logger import errors, get_logger
from helpers.onnx_parser import parse_onnx
from helpers.runner import Runner
from helpers.trt import MissingCapability, has, trt

TOLERANCE = 1e-2  # of the largest magnitude in an output: 8.6 computes in TF32 and FP16
NARROW = 2**31  # INT64 becomes INT32 in 8.6; ONNX's tests of extreme values say nothing about models


def try_model(model: bytes, inputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray] | None) -> dict:
    """What becomes of a model: ``outcome`` is "refused", "parsed", "built" or "wrong", ``reason`` says why.

    ``inputs``, by name, also give the values of shape inputs. Where this machine can run plans and ``expected`` has the
    outputs by name, the plan is run: "wrong" if it computes something else, and ``compared`` is true. ``broken`` is
    true where the run failed: after that CUDA may be of no use in this process.
    """
    result = {"outcome": "refused", "reason": None, "compared": False, "broken": False}
    parsed = parse(model)
    if parsed["message"] is not None:
        return {**result, "reason": parsed["message"]}
    values = {name: inputs[name].ravel().tolist() for name in parsed["shape_inputs"] if name in inputs}
    plan, reason = _build(model, {name: (value, value, value) for name, value in values.items()})
    if plan is None:
        return {**result, "outcome": "parsed", "reason": reason}
    result["outcome"] = "built"
    if expected is None or not has("gpu") or not comparable(inputs, expected):
        return result
    try:
        difference = differs(plan, inputs, expected)
    except (KeyError, TypeError, ValueError, NotImplementedError, MissingCapability):  # Runner lacks something
        return result
    except Exception:  # it failed on the GPU: nothing is known of the result
        return {**result, "broken": True}
    return {**result, "outcome": "wrong" if difference else "built", "reason": difference or None, "compared": True}


def _build(model: bytes, profile: Mapping) -> tuple[bytes | None, str]:
    # Where tactics are timed, the first that works answers the question; only what has none is looked at in earnest.
    reason = ""
    quantized = b"uantizeLinear" in model and "INT8" in dir(trt.BuilderFlag)  # 8.6 builds Q/DQ only with this flag
    for level in (0, None) if has("timing_cache") else (None,):
        options = BuildOptions(profiles=[profile] if profile else [], optimization_level=level)
        if quantized:
            options = replace(options, flags=("INT8",))
        try:
            network = parse_onnx(model)
            config = create_config(network.builder, network, options)
            with get_logger().capture() as messages:
                plan = network.builder.build_serialized_network(network, config)
        except (BuildError, ValueError, OSError, TypeError) as error:
            reason = str(error)
            continue
        if plan is not None:
            return bytes(plan), ""
        reason = "\n".join(line for line in errors(messages) if "cudaError 35" not in line) or "no reason was logged"
    return None, reason


def comparable(inputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray]) -> bool:
    """Whether the outputs can be compared: infinities, NaN and very large integers are nobody's everyday values."""
    for array in (*inputs.values(), *expected.values()):
        if array.dtype.kind not in "fiub":
            return False
        if array.dtype.kind == "f" and not np.all(np.isfinite(array)):
            return False
        if array.dtype.kind in "iu" and array.size and np.abs(array.astype(np.float64)).max() >= NARROW:
            return False
    return True


def differs(
    plan: Any, inputs: Mapping[str, np.ndarray], expected: Mapping[str, np.ndarray], backend: Any = None
) -> str:
    """How the outputs differ from the expected ones; "" if they do not. Raises what :class:`Runner` raises."""
    with Runner(plan, trusted=True, graphs=0, backend=backend) as run:
        given = {
            name: np.ascontiguousarray(inputs[name], spec.dtype) for name, spec in run.specs.items() if spec.is_input
        }
        found = run(given)
        found = {name: np.array(array) for name, array in found.items()}
    for name, wanted in expected.items():
        if name in found and found[name].shape != wanted.shape:
            return f"computes {name} of shape {found[name].shape}, not {wanted.shape}"
        if name in found and wanted.size:
            distance = np.abs(found[name].astype(np.float64) - wanted.astype(np.float64))
            largest = max(np.abs(wanted.astype(np.float64)).max(), 1e-3)
            if not np.all(distance <= TOLERANCE * largest):  # NaN is not
                return f"computes another {name}"
    return ""
