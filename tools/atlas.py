"""The operator atlas: what the installed TensorRT makes of every ONNX operator, measured with ONNX's own test models.

python tools/atlas.py [--workers N] [--operator NAME …] [--seconds S]   measures, and puts a column into data/atlas.json

The cases are those of ``tools/atlas_cases.py``: small models of a node, in the types and opsets that models have.
Each is parsed and built, in a worker process, since some end it, and run where there is a GPU for it, to compare with
what ONNX says. What does not build, or computes something else, is tried again with all inputs but the first as
constants, and with all inputs: TensorRT wants axes, shapes and the like at build time.

The file is JSON with one line per operator:

    "ReduceMax": {"TensorRT 8.6.1": {"uses": {"FLOAT": "bb", "FLOAT axes:input": "ww"}, "reason": "…"}, …}

For each release a *use* (``helpers.commands.check.uses``: type, rank, telling attributes and inputs) has one letter for
each of its cases, the first of the outcome's name in ``LETTERS``. ``reason`` is what was said most often where a case
did not build as it is. ``runs`` says of each release on what and when it was measured, with how many
cases, and of how many the outputs were ``compared`` in the last run (0 where no plan can be run).
"""

from __future__ import annotations

import argparse
import json
import math
import re
import sys
import time
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from helpers.atomic import write_atomically  # noqa: E402
from helpers.commands.check import check_worker  # noqa: E402
from helpers.commands.check.atlas import ATLAS, BEST_FIRST, LETTERS, read_atlas  # noqa: E402
from helpers.device import gpus  # noqa: E402
from helpers.worker import Worker, WorkerDied, WorkerError  # noqa: E402
from tools.atlas_cases import Case, cases, in_turn  # noqa: E402

TIMEOUT = 120.0  # seconds for one case
RANDOM = {
    "Bernoulli",
    "Dropout",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
}


def judge(worker: Worker, case: Case) -> tuple[str | None, str | None, bool]:
    """The outcome of one case, why it does not build as it is, and whether its outputs were compared. The outcome is
    None where the trial itself failed."""
    outcome, why, expected, compared = None, None, None, False
    if case.expected is not None and case.operator not in RANDOM:
        expected = dict(zip([value.name for value in case.model.graph.output], case.expected, strict=True))
    for number, model in enumerate(case.variants()):
        try:
            tried = worker.call("tools.atlas_trial:try_model", model, case.inputs, expected, timeout=TIMEOUT)
        except WorkerDied as error:
            return "crashed", why or f"crashes ({error.cause})", compared
        except WorkerError as error:
            return outcome, why or str(error), compared
        if tried["broken"]:
            worker.close()
        compared |= tried["compared"]
        if tried["outcome"] == "built":
            return ("constant" if number else "built"), why, compared
        why = why or tried["reason"]
        outcome = min(outcome or "crashed", tried["outcome"], key=BEST_FIRST.index)
    return outcome, why, compared


def measure(todo: list[Case], workers: int, seconds: float) -> tuple[dict[str, dict], dict[str, Counter], int]:
    """Letters by operator and use, reasons by operator, and how many cases were compared, with a progress bar. After
    ``seconds`` no further case is begun."""
    from tqdm import tqdm

    found: dict[str, dict] = defaultdict(lambda: defaultdict(str))
    reasons: dict[str, Counter] = defaultdict(Counter)
    compared = 0
    idle: SimpleQueue[Worker] = SimpleQueue()
    for _ in range(workers):
        idle.put(check_worker())

    end = time.monotonic() + seconds

    def one(case: Case) -> tuple[Case, tuple[str | None, str | None, bool]]:
        if time.monotonic() > end:
            return case, (None, None, False)
        worker = idle.get()
        try:
            return case, judge(worker, case)
        finally:
            idle.put(worker)

    with ThreadPoolExecutor(workers) as pool:
        for case, (outcome, reason, ran) in tqdm(pool.map(one, todo), total=len(todo), unit="model"):
            if outcome:
                found[case.operator][case.use] += LETTERS[outcome]
                reasons[case.operator][_short(reason)] += reason is not None
                compared += ran
    while not idle.empty():
        idle.get().close()
    return found, reasons, compared


def _short(reason: str | None) -> str:
    """The last line of TensorRT's own, without the node and without advice."""
    lines = [" ".join(line.split()) for line in (reason or "").splitlines()]
    own = [line for line in lines if line and not re.match(r"TRT\d+: ", line) and "cudaError 35" not in line]
    return re.sub(r"^(model: |node '.*?'( \(\w+\))?: )?(Assertion failed: )?", "", own[-1])[:160] if own else ""


def merge(atlas: dict, name: str, about: dict, found: dict[str, dict], reasons: dict[str, Counter]) -> dict:
    """The atlas with this run's columns; operators that were not measured keep what they have."""
    operators = {operator: dict(row) for operator, row in atlas["operators"].items()}
    for operator, uses in found.items():
        column: dict = {"uses": dict(sorted(uses.items()))}
        said = [reason for reason, count in reasons[operator].most_common() if reason and count]
        operators.setdefault(operator, {})[name] = {**column, "reason": said[0]} if said else column
    measured = [row[name]["uses"].values() for row in operators.values() if name in row]
    about = {**about, "cases": sum(len(letters) for uses in measured for letters in uses)}
    return {"runs": {**atlas["runs"], name: about}, "operators": operators}


def dumps(atlas: dict) -> str:
    """JSON with one line per operator, so that a difference can be read."""
    lines = [
        f"  {json.dumps(name)}: {json.dumps(row, sort_keys=True)}" for name, row in sorted(atlas["operators"].items())
    ]
    runs = json.dumps(atlas["runs"], indent=2, sort_keys=True).replace("\n", "\n ")
    return '{\n "runs": ' + runs + ',\n "operators": {\n' + ",\n".join(lines) + "\n }\n}\n"


def main() -> None:
    import onnx

    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, default=2, help="processes side by side (default: 2)")
    parser.add_argument("--operator", action="append", help="only this operator; may be given several times")
    parser.add_argument("--seconds", type=float, default=math.inf, help="begin no further case after so long")
    parser.add_argument("--out", type=Path, default=ATLAS, help="the file (default: data/atlas.json)")
    options = parser.parse_args()
    with check_worker() as worker:
        name = worker.call("helpers.commands.check.trial:warm_up", timeout=worker.start_timeout)["tensorrt"]
    todo = in_turn(cases(set(options.operator) if options.operator else None))
    found, reasons, compared = measure(todo, options.workers, options.seconds)
    device = gpus()[0].name if gpus() else "no GPU, built ahead of time"
    about = {"date": date.today().isoformat(), "device": device, "onnx": onnx.__version__, "compared": compared}
    write_atomically(options.out, dumps(merge(read_atlas(options.out), name, about, found, reasons)).encode())
    total = Counter("".join("".join(uses.values()) for uses in found.values()))
    counts = ", ".join(f"{outcome} {total[letter]}" for outcome, letter in LETTERS.items())
    print(
        f"{name} · {len(found)} operators · {counts} · not tried "
        f"{len(todo) - total.total()} · compared with ONNX's outputs {compared}"
    )


if __name__ == "__main__":
    main()
