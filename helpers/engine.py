"""Makes an engine of a plan, or says why that cannot be (chapters 06 and 07).

>>> str(EngineError("the plan could not be deserialized", [])).splitlines()[0]
'the plan could not be deserialized'
>>> load_engine("lenet.plan").num_io_tensors  # doctest: +SKIP
2
"""

from __future__ import annotations

import functools
import os

from . import trust
from .logger import Message, explained, get_logger
from .plan import PlanUntrusted, load_plan, plan_bytes
from .trt import require, trt


class EngineError(RuntimeError):
    """A plan could not be deserialized, or an engine not be run. ``messages`` holds what TensorRT logged meanwhile."""

    def __init__(self, what: str, messages: list[Message]):
        self.messages = messages
        super().__init__(explained(what, messages))


@functools.lru_cache(maxsize=1)
def runtime() -> trt.Runtime:
    """Returns the runtime of this process. It outlives the engines that it made, as TensorRT asks.

    Raises MissingCapability on a machine without a GPU that this TensorRT can use.
    """
    require("gpu")  # without a driver some runtimes crash the process instead of saying so
    made = trt.Runtime(get_logger())
    # Version-compatible plans carry a lean runtime, which is host code; load_engine lets only trusted plans in.
    made.engine_host_code_allowed = True
    return made


def load_engine(plan: str | os.PathLike | bytes, *, trusted: bool = False) -> trt.ICudaEngine:
    """Deserializes a plan, given as a file or as bytes, into an engine.

    A file is checked with :func:`helpers.plan.load_plan`. Bytes (or any other buffer) must begin with a plan's header,
    and be a plan that was built here, since a plan is executable code; ``trusted=True`` says that you know where it
    comes from.
    Raises PlanError for what is no plan or a file that does not fit, PlanUntrusted, TypeError for anything else, above
    all the None of a failed build, OSError for a file that this user must not read, MissingCapability, or EngineError
    with what TensorRT logged.
    """
    engines = runtime()
    if isinstance(plan, (str, os.PathLike)):
        label, plan = str(plan), load_plan(plan, trusted=trusted)
    else:
        label, plan = "the plan", plan_bytes(plan)
        if not (trusted or trust.is_trusted(plan)):
            raise PlanUntrusted(
                "this plan was not built here, and a plan is executable code: say trusted=True if you know its source"
            )
    with get_logger().capture() as messages:
        engine = engines.deserialize_cuda_engine(plan)
    if engine is None:
        raise EngineError(f"{label} could not be deserialized", messages)
    return engine
