"""Tries what fuzz_*.py try, many more times than the tests do: ``make fuzz``, or ``python tests/fuzz/fuzz.py check``.

Each says in one line what it did; the first fault ends its part with the number of the try, and the exit status is 1.
"""

import argparse
import importlib
import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1] / "shared"))

# How often each is tried in the long mode, and in `make test` (test_fuzz.py).
LONG = {"check": 7_500, "plans": 2_400, "kills": 1_000, "runner": 16_800, "port": 30_000}
SHORT = {"check": 100, "plans": 200, "kills": 30, "runner": 1_000, "port": 500}


def run(area: str, count: int, seed: int, seconds: float) -> str:
    """One area's summary line. Raises AssertionError for what does not hold."""
    return importlib.import_module(f"fuzz_{area}").run(count, seed, time.monotonic() + seconds)


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("areas", nargs="*", metavar="AREA", help=f"of {', '.join(LONG)}; all of them by default")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=600, help="after which an area ends (600)")
    arguments = parser.parse_args()
    if unknown := set(arguments.areas) - LONG.keys():
        parser.error(f"there is no {', '.join(sorted(unknown))}")
    failed = False
    for area in arguments.areas or LONG:
        try:
            print(run(area, LONG[area], arguments.seed, arguments.seconds), flush=True)
        except AssertionError as fault:
            failed = True
            print(f"{area}: FAILED: {fault}", flush=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
