"""helpers/check.py with damaged models that are built as well: tests/test_check_fuzz.py, the slower half."""

from __future__ import annotations

import itertools

from test_check_fuzz import SECONDS, SEED, fuzz, pytestmark  # noqa: F401  (pytest reads pytestmark)


def test_damaged_models_are_built():
    counts = fuzz(itertools.count(SEED + 1_000_000_000), build=True)
    assert counts["models"] >= 2 * SECONDS
    assert counts["reached the parser"] >= counts["models"] / 2
    assert counts["built"] > counts["models"] / 20
