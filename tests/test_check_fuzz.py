"""helpers/check.py with thousands of damaged models: each gets a verdict, and this process lives (parsing only).

A seed makes a model, so that any of them can be made again: ``mutations.damaged(seed)``. WORKBOOK_FUZZ_SECONDS sets how
long it goes on (30 by default), WORKBOOK_FUZZ_SEED where it begins. tests/test_check_fuzz_build.py builds as well.
"""

from __future__ import annotations

import itertools
import os
import time
from collections import Counter

import pytest
from mutations import damaged
from test_check import assert_schema

from helpers.check import check, check_worker
from helpers.trt import has

SECONDS = float(os.environ.get("WORKBOOK_FUZZ_SECONDS", 30))
SEED = int(os.environ.get("WORKBOOK_FUZZ_SEED", 0))

pytestmark = [
    pytest.mark.skipif(not has("build"), reason="needs a TensorRT that builds here"),
    pytest.mark.timeout(SECONDS + 300),
]


def fuzz(seeds, build: bool, seconds: float = SECONDS) -> Counter:
    """Checks the models of the seeds until the time is over, and counts the verdicts."""
    counts: Counter[str] = Counter()
    end = time.monotonic() + seconds
    with check_worker() as worker:
        for seed in seeds:
            if time.monotonic() > end:
                break
            how, content = damaged(seed)
            where = f"seed {seed} ({how})"
            report = check(content, build=build, timeout=10, memory=2 << 30, worker=worker)
            assert_schema(report)
            for text in [report.summary, *(problem.what for problem in report.problems)]:
                assert "fails in Python" not in text, f"{where}: {text}"
            counts["models"] += 1
            counts[report.verdict] += 1
            counts["built"] += bool(report.built)
            counts["reached the parser"] += report.verdict != "not a usable model"
            whole = " ".join([report.summary, *(problem.what for problem in report.problems)])
            for words in ("crashes TensorRT (", "crashes onnx (", "time limit", "memory limit"):
                if words in whole:
                    counts[words.removesuffix(" (")] += 1
                    print(f"{where}: {report.summary[:150]}")
        counts["workers"] = worker.starts
    print(dict(counts))
    return counts


def test_damaged_models_are_classified():
    counts = fuzz(itertools.count(SEED), build=False)
    assert counts["models"] >= 20 * SECONDS
    assert counts["reached the parser"] >= counts["models"] / 2
    assert min(counts["convertible"], counts["not convertible"], counts["not a usable model"]) > counts["models"] / 20
