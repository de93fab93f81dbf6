"""Plans, sidecars and cache entries that are damaged, exchanged or no files at all, and all ways of reading them: each
is refused by name, and no byte comes through that was not built here, but for a plan that is said to be trusted."""

import contextlib
import json
import logging
import os
import random
import shutil
import signal
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

from plan_fixtures import SPECIAL, in_a_child, limit_memory, made_up, make_special

from helpers import trust
from helpers.plan import PlanError, load_plan, read_header, read_sidecar, save_plan, sidecar
from helpers.plan_cache import PlanCache

PLAN, OTHER, FOREIGN = made_up(0), made_up(1), made_up(2)  # the last one was not built here
WAYS = ("load_plan", "load_plan, trusted", "read_header", "read_sidecar", "PlanCache")
POSIX = os.name == "posix"


def run(count: int, seed: int, until: float) -> str:
    """Damages up to ``count`` plans, in ways derived from ``seed``, and says how it went in one line."""
    seconds = max(0.0, until - time.monotonic())
    with tempfile.TemporaryDirectory() as folder:  # in a process of its own, with a limit on its memory
        script = f"import fuzz_plans; fuzz_plans.damage({count}, {seed}, {seconds})"
        return in_a_child(script, Path(folder), seconds + 120).strip()


def damage(count: int, seed: int, seconds: float) -> None:
    """What :func:`run` has done in a process of its own; prints the line."""
    folder, start, ends, tries = Path(sys.argv[1]), time.monotonic(), Counter(), 0
    logging.disable()
    os.fsync = lambda handle: None  # no power cut is tried here, and it takes most of the time
    cache = PlanCache(folder / "cache")
    entry = cache.folder / cache.key(b"model")
    for name, plan in ((b"model", PLAN), (b"other", OTHER)):
        cache.get_or_build(name, None, lambda plan=plan: plan)
        (cache.folder / cache.key(name)).rename(folder / name.decode())
    save_plan(folder / "foreign" / "engine.plan", FOREIGN)
    if POSIX:
        limit_memory()
    while tries < count and time.monotonic() - start < seconds:
        tries += 1
        chance = random.Random(f"{seed} {tries}")
        shutil.copytree(folder / chance.choice(["model", "model", "other", "foreign"]), entry)
        what = way = "nothing yet"
        try:
            what = " and ".join(harm(entry / "engine.plan", folder, chance) for _ in range(chance.choice([1, 1, 2])))
            for way in WAYS:
                with at_once():
                    ends[look(way, entry / "engine.plan", cache)] += 1
        except Exception as fault:
            raise AssertionError(f"plan {tries} (seed {seed}, {what}), {way}: {fault!r}") from fault
        cache.clear()
        assert not entry.exists(), f"plan {tries} (seed {seed}, {what}): still there"
    said = ", ".join(f"{number:,} {end}" for end, number in ends.most_common())
    print(f"plans: {tries:,} damaged in {time.monotonic() - start:.0f} s, read in {len(WAYS)} ways: {said}")


@contextlib.contextmanager
def at_once():
    """Ends the process if it takes long."""
    if POSIX:
        signal.alarm(60)
    yield
    if POSIX:
        signal.alarm(0)


def harm(path: Path, folder: Path, chance: random.Random) -> str:
    """Does something to the plan or its sidecar; says what."""
    file = chance.choice([path, sidecar(path)])
    ways = [flip, cut, extend, exchange, remove]
    ways += [special] * POSIX + ([fields, nest] if file != path else [size])
    way = chance.choice(ways if file.is_file() and file.stat().st_size < 1 << 20 else [remove])
    way(file, folder, chance)
    return f"{file.name}: {way.__name__}"


def flip(file, folder, chance):
    data = bytearray(file.read_bytes())
    for _ in range(chance.choice([1, 1, 8])):
        if data:
            data[chance.randrange(min(len(data), chance.choice([64, 1 << 20])))] ^= 1 << chance.randrange(8)
    file.write_bytes(data)


def cut(file, folder, chance):
    os.truncate(file, chance.randrange(file.stat().st_size + 1))


def extend(file, folder, chance):
    with file.open("ab") as opened:
        opened.write(chance.randbytes(chance.choice([1, 1000, 1 << 21])))


def exchange(file, folder, chance):
    shutil.copyfile(folder / chance.choice(["other", "foreign"]) / file.name, file)


def remove(file, folder, chance):
    shutil.rmtree(file) if file.is_dir() else file.unlink(missing_ok=True)


def special(file, folder, chance):
    make_special(file, chance.choice(SPECIAL))


def size(file, folder, chance):
    """Has the header say another size: sometimes the right one, of a file full of holes."""
    with file.open("r+b") as opened:
        length = chance.choice([0, 64, 4095, 1 << 40, (1 << 64) - 1])
        opened.seek(16)
        opened.write(length.to_bytes(8, "little"))
        if length == 1 << 40:
            opened.truncate(length)


def fields(file, folder, chance):
    """Has a field of the sidecar say something else, or another plan stand beside the one that it describes."""
    with contextlib.suppress(ValueError, RecursionError, TypeError):  # it has been damaged already
        known = json.loads(file.read_bytes())
        other = json.loads(Path(folder, chance.choice(["model", "other", "foreign"]), file.name).read_bytes())
        junk = [None, 0, 1 << 40, -1, 1e300, "", "text", [], {}, ["SM75"], [None], True, "\ud800", "0" * 64]
        name = chance.choice([*other, "before", "before"])
        known[name] = chance.choice([*junk, other, other | {"size": 1 << 40}, other.get(name)])
        file.write_text(json.dumps(known))


def nest(file, folder, chance):
    file.write_text(chance.choice(["[", '{"a":', '{"before":']) * chance.choice([10, 100_000]))


def look(way: str, path: Path, cache: PlanCache) -> str:
    """Reads it in one of the ways; says how it ended. Raises AssertionError if that is wrong."""
    if way == "PlanCache":
        builds = []
        for _ in range(2):
            assert cache.get_or_build(b"model", None, lambda: builds.append(PLAN) or PLAN) == PLAN
        assert len(builds) <= 1, "it was built again, and then again"
        return "built again" if builds else "right from the cache"
    try:
        if way == "load_plan":
            plan = load_plan(path)
            assert plan in (PLAN, OTHER), "it was not built here"
            assert trust.sha256(plan) in sidecar(path).read_text()
        elif way == "load_plan, trusted":
            plan = load_plan(path, trusted=True)
            if os.path.lexists(sidecar(path)):
                assert trust.sha256(plan) in sidecar(path).read_text()
        elif way == "read_header":
            assert read_header(path).size == path.stat().st_size
        else:
            assert json.dumps(read_sidecar(path).sha256) in sidecar(path).read_text()
    except PlanError as error:
        if "engine.plan" not in str(error):
            raise AssertionError(f"it is not named: {error}") from None
        return "refused"
    return "accepted"
