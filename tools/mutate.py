"""Spoils the helpers that guard something, one place at a time, and counts how often their own tests notice.

``make mutate`` takes a sample of all that Cosmic Ray would change (an operator, a comparison, a number, a condition, an
exception, a loop …), drawn by a seed. Each mutant runs the module's tests in a copy of the tree. A mutant that no test
notices is shown with its line: either a test is missing, or the change makes no difference (an equivalent mutant).

    python -m tools.mutate --sample 300 --seed 1 --modules plan trust
"""

from __future__ import annotations

import argparse
import ast
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
COPIED = ("helpers", "tools", "tests", "data", "notebooks", "conftest.py", "pyproject.toml", "constraints.txt")
LONGEST = 120.0  # seconds for the tests of one mutant; one that never ends has been noticed, too

# What guards something, and the test files in which a fault there should be seen.
GUARDS = {
    "atomic": ("helpers/test_atomic", "helpers/test_plan"),
    "engine": ("helpers/test_engine",),
    "workbook.exercises": ("workbook/test_exercises",),
    "model_files": ("helpers/test_model_files",),
    "workbook.edits": ("workbook/test_needs",),
    "workbook.needs": ("workbook/test_needs",),
    "plan": ("helpers/test_plan",),
    "plan_cache": ("helpers/test_plan_cache",),
    "workbook.recordings": ("workbook/test_recordings", "workbook/test_needs"),
    "runner": ("helpers/test_runner",),
    "search_path": ("helpers/test_worker", "commands/test_command_line"),
    "trust": ("helpers/test_trust",),
    "worker": ("helpers/test_worker",),
}


@dataclass(frozen=True)
class Mutant:
    """One change: of ``module``, at (line, column), by Cosmic Ray's ``operator`` at its ``occurrence``-th place."""

    module: str
    place: tuple[int, int]
    operator: str
    occurrence: int

    @property
    def path(self) -> Path:
        return _path(self.module)

    def source(self) -> str:
        """The whole module with this change in it."""
        from cosmic_ray.mutating import mutate_code
        from cosmic_ray.plugins import get_operator

        changed = mutate_code((ROOT / self.path).read_text(), get_operator(self.operator)(), self.occurrence)
        assert changed is not None
        return changed

    def __str__(self) -> str:
        before = (ROOT / self.path).read_text().splitlines()
        after = self.source().splitlines()
        first = next(i for i, (old, new) in enumerate(zip(before, after, strict=False)) if old != new)
        return f"{self.path}:{first + 1}  {before[first].strip()}\n{'→':>12}  {after[first].strip()}"


def _path(module: str) -> Path:
    return Path("helpers") / f"{module.replace('.', '/')}.py"


def mutants(module: str) -> Iterator[Mutant]:
    """All changes of one module, without those of annotations, which nothing evaluates."""
    from cosmic_ray.ast import ast_nodes, get_ast
    from cosmic_ray.plugins import get_operator, operator_names

    source = (ROOT / _path(module)).read_text()
    nodes, annotations = list(ast_nodes(get_ast(source))), _annotations(source)
    for name in operator_names():
        operator = get_operator(name)
        if operator.arguments() or name.endswith("/NoOp"):
            continue
        places = [start for node in nodes for start, _ in operator().mutation_positions(node)]
        for occurrence, place in enumerate(places):
            if not any(start <= place < end for start, end in annotations):
                yield Mutant(module, place, name, occurrence)


def draw(modules: list[str], count: int, seed: int) -> tuple[list[Mutant], int]:
    """A sample, and of how many. A place counts once: a "/" could become eleven other operators, all noticed alike."""
    everything = [mutant for module in modules for mutant in mutants(module)]
    chance = random.Random(seed)
    chance.shuffle(everything)
    one_each = {(m.module, m.place, m.operator.partition("_")[0]): m for m in everything}
    return chance.sample(list(one_each.values()), min(count, len(one_each))), len(one_each)


def _annotations(source: str) -> list[tuple[tuple[int, int], tuple[int, int]]]:
    found = []
    for node in ast.walk(ast.parse(source)):
        for field in ("annotation", "returns"):
            part = getattr(node, field, None)
            if part is not None:
                found.append(((part.lineno, part.col_offset), (part.end_lineno, part.end_col_offset)))
    return found


def survives(mutant: Mutant, tree: Path) -> bool:
    """Whether the module's tests pass in a copy of the tree that has the change."""
    place = tree / mutant.path
    original = place.read_bytes()
    try:
        place.write_text(mutant.source())
        return _passes(_pytest([f"tests/{name}.py" for name in GUARDS[mutant.module]]), tree)
    finally:
        place.write_bytes(original)


def _pytest(tests: list[str]) -> list[str]:
    return [sys.executable, "-B", "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-p", "no:xdist", *tests]


def _passes(command: list[str], tree: Path, limit: float = LONGEST) -> bool:
    with tempfile.TemporaryDirectory() as scratch:
        settings = {"PYTHONPATH": str(tree), "TMPDIR": scratch, "WORKBOOK_STATE": scratch}
        process = subprocess.Popen(
            command,
            cwd=tree,
            env=os.environ | settings,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            return process.wait(limit) == 0
        except subprocess.TimeoutExpired:
            return False
        finally:
            if process.poll() is None:
                os.killpg(process.pid, 9)
                process.wait()


def run(chosen: list[Mutant], jobs: int, until: float) -> tuple[int, list[Mutant]]:
    """Tries the mutants until the time is over; how many were tried, and those that survived."""
    waiting: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    for mutant in chosen:
        waiting.put(mutant)
    tried, survivors = [], []

    def work(tree: Path) -> None:
        while time.monotonic() < until:
            try:
                mutant = waiting.get_nowait()
            except queue.Empty:
                return
            alive = survives(mutant, tree)
            tried.append(mutant)
            if alive:
                survivors.append(mutant)
                print(f"{len(tried):4} survived: {mutant}", flush=True)

    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees = [_copy(Path(folder) / str(job)) for job in range(jobs)]
        tests = {f"tests/{name}.py" for mutant in chosen for name in GUARDS[mutant.module]}
        if not _passes(_pytest(sorted(tests)), trees[0], limit=5 * LONGEST):
            raise SystemExit("these tests fail without any mutant: mend that first")
        threads = [threading.Thread(target=work, args=(tree,)) for tree in trees]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    return len(tried), survivors


def _copy(tree: Path) -> Path:
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, tree / name, ignore=shutil.ignore_patterns("__pycache__", "work"))
        else:
            shutil.copy2(ROOT / name, tree / name)
    return tree


def main() -> int:
    """Prints each survivor and one line at the end; the exit status is 0 if at least 90 % were noticed."""
    parser = argparse.ArgumentParser(prog="python -m tools.mutate", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--sample", type=int, default=300, help="how many mutants (300)")
    parser.add_argument("--seed", type=int, default=1, help="which ones are drawn (1)")
    parser.add_argument("--seconds", type=float, default=3600, help="when to stop (3600)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="how many at a time (one a core)")
    parser.add_argument("--modules", nargs="+", choices=GUARDS, default=list(GUARDS), metavar="MODULE")
    arguments = parser.parse_args()
    chosen, places = draw(arguments.modules, arguments.sample, arguments.seed)
    begin = time.monotonic()
    tried, survivors = run(chosen, arguments.jobs, begin + arguments.seconds)
    killed = tried - len(survivors)
    print(
        f"mutants: {tried:,} of {places:,} tried (seed {arguments.seed}) in {time.monotonic() - begin:.0f} s: "
        f"{killed:,} noticed, {len(survivors):,} not ({killed / max(tried, 1):.1%})"
    )
    return 0 if killed >= 0.9 * tried else 1


if __name__ == "__main__":
    sys.exit(main())
