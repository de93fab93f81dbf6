"""Two processes save plans under one name again and again and are killed, while a third one loads: what is there always
loads, and is one of theirs."""

import itertools
import json
import os
import random
import re
import signal
import sys
import tempfile
import time
from pathlib import Path

from plan_fixtures import in_a_child, made_up

from helpers import trust
from helpers.atomic import ABANDONED
from helpers.plan import PlanNotFound, load_plan, read_sidecar, save_plan

PLANS = [made_up(0), made_up(1), made_up(2, 50_000), made_up(3, 50_000)]  # also two of the same size


def run(count: int, seed: int, until: float) -> str:
    """Kills up to ``count`` processes, at moments derived from ``seed``, and says how it went in one line."""
    if not hasattr(os, "fork"):
        return "kills: not on this system, which has no fork"
    seconds = max(0.0, until - time.monotonic())
    with tempfile.TemporaryDirectory() as folder:  # a process of its own: one with threads is not to be forked
        script = f"import fuzz_kills; fuzz_kills.kill({count}, {seed}, {seconds})"
        return in_a_child(script, Path(folder), seconds + 120).strip()


def kill(count: int, seed: int, seconds: float) -> None:
    """What :func:`run` has done in a process of its own; prints the line."""
    folder, start = Path(sys.argv[1]), time.monotonic()
    path, kills, found = folder / "plans" / "a.plan", 0, {"old": 0, "new": 0, "none so far": 0}
    for plan in PLANS:
        trust.remember(plan)
    save_plan(path, PLANS[0])
    reader = fork(lambda: read(path, folder / "loads"))
    try:
        for number in itertools.count():
            if kills >= count or time.monotonic() - start > seconds:
                break
            kills += 2
            try:
                # Now and then where there is no plan yet. Nobody reads there meanwhile.
                fresh = number % 10 == 9
                found[
                    one_round(path.with_name(f"{number}.plan") if fresh else path, random.Random(f"{seed} {number}"))
                ] += 1
            except Exception as fault:
                raise AssertionError(f"kill {kills} (seed {seed}): {fault!r}") from fault
        assert os.waitpid(reader, os.WNOHANG) == (0, 0), "the reader was refused a plan"
    finally:
        (folder / "stop").touch()
    assert os.waitpid(reader, 0)[1] == 0, "the reader was refused a plan"
    loads = int((folder / "loads").read_text())
    swept = sweep(path)
    print(
        f"kills: {kills:,} in {time.monotonic() - start:.0f} s, then {json.dumps(found)}; {loads:,} loads meanwhile; "
        f"{swept:,} unfinished files swept"
    )


def fork(work) -> int:
    """The id of a child that does the work; its exit status says whether that went well."""
    child = os.fork()
    if child:
        return child
    try:
        work()
        os._exit(0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        sys.stderr.flush()
    finally:
        os._exit(1)


def read(path: Path, count: Path) -> None:
    loads = 0
    while not count.with_name("stop").exists():
        assert load_plan(path) in PLANS
        loads += 1
    count.write_text(str(loads))


def one_round(path: Path, chance: random.Random) -> str:
    """Two writers, killed one after the other; says whose plan is there afterwards."""
    old = load_plan(path) if path.exists() else None
    new = [plan for plan in PLANS if plan != old]

    def write():
        while True:
            save_plan(path, chance.choice(new), options={"a": chance.random()})

    writers = [fork(write) for _ in range(2)]
    for writer in writers:
        time.sleep(chance.random() * 0.05)
        os.kill(writer, signal.SIGKILL)
        ended = os.waitstatus_to_exitcode(os.waitpid(writer, 0)[1])
        assert ended == -signal.SIGKILL, "a writer could not save"
        try:
            plan = load_plan(path)  # after the first kill, while the second one goes on
        except PlanNotFound:
            assert old is None
            plan = None
        assert plan in [old, *new]
    if plan is None:
        return "none so far"
    assert read_sidecar(path).sha256 == trust.sha256(plan)
    return "old" if plan == old else "new"


def sweep(path: Path) -> int:
    """Looks for what does not belong there, and how many of the unfinished files a later save deletes: all that are
    old, and only those of its own name."""
    left = [file for file in path.parent.iterdir() if re.fullmatch(r"\..*\.[0-9a-f]{16}\.part", file.name)]
    others = {file.name for file in path.parent.iterdir()} - {file.name for file in left}
    assert all(re.fullmatch(r"(a|\d+)\.plan(\.json)?", name) for name in others), f"what is that: {others}"
    save_plan(path, PLANS[0])
    assert all(file.exists() for file in left), "somebody may still be writing these"
    for file in left:
        os.utime(file, (time.time() - 2 * ABANDONED,) * 2)
    save_plan(path, PLANS[1])
    ours = [file for file in left if file.name.startswith(".a.plan.")]
    assert {file for file in left if not file.exists()} == set(ours), "the old ones of this name, and no others"
    assert load_plan(path) == PLANS[1]
    return len(ours)
