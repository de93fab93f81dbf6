"""``check`` with thousands of damaged and hostile models: each gets a verdict, and nothing else happens.

``mutations.damaged`` makes a model from the seed and the number of the try. It lies in a folder with external data, a
pipe, and links that lead to a secret file outside. One model in ten is built as well.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections import Counter
from pathlib import Path

import numpy as np
from mutations import damaged
from report_schema import assert_schema

from helpers.commands.check import check, check_worker
from helpers.commands.check.report import MOST
from helpers.worker import Worker

TIMEOUT, MEMORY = 10.0, 2 << 30
SPARE = 10.0  # seconds: for the end of a child that is killed, on a machine with other work


def run(count: int, seed: int, until: float) -> str:
    """Checks up to ``count`` models. Returns a line about them; raises AssertionError with the number of a try."""
    counts: Counter[str] = Counter()
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as folder, check_worker() as worker:
        secret = _hostile_folder(Path(folder))
        for number in range(count):
            if time.monotonic() >= until:
                break
            how, content = damaged(f"{seed} {number}")
            try:
                counts.update(_try(content, number % 10 == 9, secret, worker))
            except Exception as fault:
                raise AssertionError(f"try {number} of seed {seed} ({how}): {type(fault).__name__}: {fault}") from fault
        starts = worker.starts
    models = counts["models"]
    if models >= 100:  # else the food is not worth much
        assert counts["reached the parser"] >= models / 3, counts
        assert min(counts["convertible"], counts["not convertible"], counts["not a usable model"]) > models / 20, counts
    kinds = ("convertible", "not convertible", "not a usable model", "built", "crashes", "limits")
    said = ", ".join(f"{counts[kind]:,} {kind}" for kind in kinds)
    return f"check: {models:,} models in {time.monotonic() - start:.0f} s: {said}; {starts} workers"


def _hostile_folder(folder: Path) -> Path:
    """Makes the model's folder and returns a secret file, which lies outside."""
    home, secret = folder / "model", folder / "secret.bin"
    home.mkdir()
    np.full(4096, 7, np.float32).tofile(secret)
    np.ones(4096, np.float32).tofile(home / "weights.bin")
    if os.name == "posix":
        for name, target in {"link.bin": secret, "left-out": secret, "zero": "/dev/zero", "up": ".."}.items():
            (home / name).symlink_to(target)
        os.mkfifo(home / "pipe")
    return secret


def _try(content: bytes, build: bool, secret: Path, worker: Worker) -> list[str]:
    """Checks one model. Returns what is to be counted of it."""
    home = secret.parent / "model"
    (home / "model.onnx").write_bytes(content)
    before = sorted(os.listdir(home))
    os.utime(secret, (1, 1))
    start = time.monotonic()
    report = check(home / "model.onnx", build=build, timeout=TIMEOUT, memory=MEMORY, worker=worker)
    assert time.monotonic() - start < TIMEOUT + SPARE, "it took too long"
    assert os.stat(secret).st_atime == 1, "a file outside the folder was read"
    assert sorted(os.listdir(home)) == before, "something was written beside the model"
    assert_schema(report)
    said = [report.summary, *(f"{problem.where}: {problem.what}" for problem in report.problems)]
    assert "fails in Python" not in "".join(said), said[:3]
    lists = [report.inputs, report.outputs, report.operators, report.external, report.opsets]
    assert max(map(len, lists)) <= MOST
    assert len(report.problems) <= 5 * MOST
    page, text = report.to_html(), str(report)
    assert "<img" not in page
    assert "\x1b" not in page + text
    assert len(page + text) < 400_000
    counted = ["models", report.verdict]
    counted += ["built"] if report.built else []
    counted += ["reached the parser"] if report.verdict != "not a usable model" else []
    counted += ["crashes"] if "crashes TensorRT (" in "".join(said) else []
    counted += ["limits"] if " limit of " in "".join(said) else []
    return counted
