"""A short run of each fuzz_*.py; `make fuzz` is the long one."""

from pathlib import Path

import fuzz
import pytest


@pytest.mark.parametrize("area", fuzz.SHORT)
def test_a_short_run(area):
    said = fuzz.run(area, fuzz.SHORT[area], seed=1, seconds=60)
    print(said)
    assert said.startswith(f"{area}: ")
    assert "\n" not in said


def test_the_areas_are_the_files():
    files = {path.stem.removeprefix("fuzz_") for path in Path(__file__).parent.glob("fuzz_*.py")}
    assert files == fuzz.LONG.keys() == fuzz.SHORT.keys()
