"""The Polygraphy row, in a process of its own: with some TensorRT bindings its TrtRunner ends the process.

python -m tools.bench.polygraphy_side PLAN DATA RESULT
"""

import json
import sys
from pathlib import Path

import numpy as np
import polygraphy
from polygraphy.backend.common import BytesFromPath
from polygraphy.backend.trt import EngineFromBytes, TrtRunner

from helpers.precision import relative_error

from .timing import in_turns


def main(plan, data, result):
    with np.load(data) as file:
        images, expected = file["images"], file["logits"]
    with TrtRunner(EngineFromBytes(BytesFromPath(plan))) as runner:
        (name,) = [n for n, meta in runner.get_input_metadata().items()]

        def call():
            return next(iter(runner.infer({name: images}, check_inputs=False).values()))

        error = relative_error(call(), expected)
        times = in_turns({"call": call})["call"]
    Path(result).write_text(json.dumps({"error": error, "host": times, "version": polygraphy.__version__}))


if __name__ == "__main__":
    main(*sys.argv[1:])
