"""The operator atlas: what the installed TensorRT makes of every ONNX operator, measured with ONNX's own test models.

python tools/atlas.py [--workers N] [--operator NAME …] [--seconds S]   measures, and puts a column into data/atlas.json

The onnx wheel ships a small model with inputs for each case of each operator. Those of a single node are parsed and
built, each in a worker process, since some end it. What does not build is tried again with all inputs but the first as
constants, and with all inputs: TensorRT wants axes, shapes and the like at build time.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from queue import SimpleQueue

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from helpers.atomic import write_atomically  # noqa: E402
from helpers.commands.check import check_worker  # noqa: E402
from helpers.commands.check.atlas import ATLAS, OUTCOMES, read_atlas  # noqa: E402
from helpers.device import gpus  # noqa: E402
from helpers.worker import Worker, WorkerDied, WorkerError  # noqa: E402

TIMEOUT = 120.0  # seconds for one build


@dataclass(frozen=True)
class Case:
    """One test model of a single node: as it is, and with some, then all of its inputs as constants."""

    name: str
    operator: str
    variants: tuple[bytes, ...]


def cases(operators: set[str] | None = None) -> Iterator[Case]:
    """The cases of the installed onnx, by name; of these operators only, if any are given."""
    import onnx
    from onnx.backend.test import __file__ as package

    for folder in sorted((Path(package).parent / "data" / "node").iterdir()):
        model = onnx.load(folder / "model.onnx")
        if len(model.graph.node) != 1 or model.graph.node[0].domain not in ("", "ai.onnx"):
            continue
        operator = model.graph.node[0].op_type
        if operators is None or operator in operators:
            variants = [model.SerializeToString()]
            for first in (1, 0):
                _make_constant(model, first, folder / "test_data_set_0")
                variants.append(model.SerializeToString())
            yield Case(folder.name, operator, tuple(dict.fromkeys(variants)))


def in_turn(found: Iterator[Case]) -> list[Case]:
    """The first case of every operator, then the second of each, and so on: stopped early, none has been left out."""
    seen: Counter = Counter()
    ranked = []
    for case in found:
        seen[case.operator] += 1
        ranked.append((seen[case.operator], case))
    return [case for _, case in sorted(ranked, key=lambda pair: pair[0])]


def _make_constant(model, first: int, data: Path) -> None:
    """Turns the model's inputs from number ``first`` on into initializers with the values of ONNX's own test."""
    import onnx

    for position, value in reversed(list(enumerate(model.graph.input))[first:]):
        if value.type.HasField("tensor_type"):
            tensor = onnx.TensorProto.FromString((data / f"input_{position}.pb").read_bytes())
            tensor.name = value.name
            model.graph.initializer.append(tensor)
            del model.graph.input[position]


def judge(worker: Worker, case: Case) -> tuple[str, str | None]:
    """The outcome of one case, and why it does not build as it is."""
    outcome, why = "refused", None
    for number, model in enumerate(case.variants):
        try:
            reason = worker.call("helpers.commands.check.trial:parse", model, timeout=TIMEOUT)["message"]
            if reason is None:
                reason = worker.call("helpers.commands.check.trial:build", model, timeout=TIMEOUT)["message"]
                if reason is None:
                    return "constant" if number else "built", why
                outcome = "parsed" if outcome == "refused" else outcome
        except WorkerDied as error:
            outcome, reason = "crashed", f"crashes ({error.cause})"
        except WorkerError as error:
            reason = str(error)
        why = why or reason
    return outcome, why


def measure(todo: list[Case], workers: int, seconds: float) -> tuple[dict[str, Counter], dict[str, Counter]]:
    """Counts and reasons by operator, with a progress bar. After ``seconds`` no further case is begun."""
    from tqdm import tqdm

    counts, reasons = defaultdict(Counter), defaultdict(Counter)
    idle: SimpleQueue[Worker] = SimpleQueue()
    for _ in range(workers):
        idle.put(check_worker())

    end = time.monotonic() + seconds

    def one(case: Case) -> tuple[Case, tuple[str | None, str | None]]:
        if time.monotonic() > end:
            return case, (None, None)
        worker = idle.get()
        try:
            return case, judge(worker, case)
        finally:
            idle.put(worker)

    with ThreadPoolExecutor(workers) as pool:
        for case, (outcome, reason) in tqdm(pool.map(one, todo), total=len(todo), unit="model"):
            if outcome:
                counts[case.operator][outcome] += 1
            if reason:
                reasons[case.operator][_short(reason)] += 1
    while not idle.empty():
        idle.get().close()
    return counts, reasons


def _short(reason: str) -> str:
    """The last line, which is the parser's own, without line numbers of its sources."""
    return " ".join(reason.splitlines()[-1].split())[:160]


def merge(atlas: dict, name: str, about: dict, counts: dict[str, Counter], reasons: dict[str, Counter]) -> dict:
    """The atlas with this run's columns; operators that were not measured keep what they have."""
    atlas = {"runs": {**atlas["runs"], name: about}, "operators": dict(atlas["operators"])}
    for operator, count in counts.items():
        column = {outcome: count[outcome] for outcome in OUTCOMES if count[outcome]}
        if reasons[operator]:
            column["reason"] = reasons[operator].most_common(1)[0][0]
        atlas["operators"][operator] = {**atlas["operators"].get(operator, {}), name: column}
    return atlas


def dumps(atlas: dict) -> str:
    """JSON with one line per operator, so that a difference can be read."""
    lines = [f"  {json.dumps(name)}: {json.dumps(row)}" for name, row in sorted(atlas["operators"].items())]
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
    counts, reasons = measure(todo, options.workers, options.seconds)
    total = sum(counts.values(), Counter())
    device = gpus()[0].name if gpus() else "no GPU, built ahead of time"
    about = {"date": date.today().isoformat(), "device": device, "onnx": onnx.__version__, "cases": total.total()}
    write_atomically(options.out, dumps(merge(read_atlas(options.out), name, about, counts, reasons)).encode())
    print(name, "·", len(counts), "operators ·", ", ".join(f"{key} {total[key]}" for key in OUTCOMES))


if __name__ == "__main__":
    main()
