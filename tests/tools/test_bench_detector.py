"""tools/bench's detector: its pipelines find what ONNX Runtime finds, and a method that fails costs its own rows only.

A stand-in on the CPU takes the place of the Runner, and NumPy's NMS that of the plugin.
"""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from time import sleep

import numpy as np
import onnx
import pytest

from helpers.detector import Detections, nms
from helpers.detector_graph import with_decode, with_letterbox, with_uint8_input
from helpers.workbook.detector_plans import NETWORKS
from helpers.workbook.recordings import ROOT
from tools.bench import detector, report
from tools.bench import frames as shared
from tools.bench.detector import MODEL, SIZE, STEPS, OnCpu, Pipeline
from tools.bench.frames import Method, agreement, frames, in_batches, load, save, table


class StandIn(OnCpu):
    """Called as a Runner, and gives what the network of this name gives."""

    def __init__(self, name, graphs=8):
        network, model = NETWORKS[name], onnx.load(MODEL)
        if network.nms:
            model = with_decode(model, SIZE)
        if network.input == "pictures":
            model = with_uint8_input(model)
        if network.input == "picture":
            model = with_letterbox(model, SIZE)
        super().__init__(model)
        self.engine, self.kept = name, {}
        if network.input != "picture":
            given = self.specs[network.input]
            self.specs[network.input] = dataclasses.replace(given, maximum=(16, *given.maximum[1:]))

    def __call__(self, inputs=None, /, views=False, **named):
        outputs = self.outputs(super().__call__(inputs, **named))
        for name, array in outputs.items() if views else ():  # as a Runner does: each call overwrites them
            self.kept.setdefault((name, array.shape), array)[...] = array
            outputs[name] = self.kept[name, array.shape]
        return outputs

    @staticmethod
    def outputs(outputs):
        if "boxes" not in outputs:
            return outputs
        found = [nms(*pair) for pair in zip(outputs["boxes"], outputs["scores"], strict=True)]
        count = np.array([[len(one.scores)] for one in found], np.int32)
        rows = {field: [np.resize(getattr(one, field), (100, *one[i].shape[1:])) for one in found]
                for i, field in enumerate(Detections._fields)}  # fmt: skip
        return {"count": count, **{field: np.stack(arrays) for field, arrays in rows.items()}}


def once(calls, **_):
    """In the place of in_turns: no time is lost."""
    for call in calls.values():
        call()
    return {name: {"median": 1000.0, "low": 900.0, "high": 1200.0, "p99": 1200.0, "runs": 1} for name in calls}


@pytest.fixture(scope="module")
def pictures():
    return frames()[:3]


@pytest.fixture(scope="module")
def expected(pictures):
    return in_batches(Pipeline(OnCpu(MODEL)), 1)(pictures)


@pytest.mark.parametrize("name", ["fp16", "fp16-uint8", "fp16-uint8-nms", "fp16-letterbox-nms"])
def test_a_pipeline_does_on_the_cpu_what_its_network_leaves(name, pictures, expected):
    assert sum(len(one.scores) for one in expected) > 5
    pipeline = Pipeline(StandIn(name))
    found = in_batches(pipeline, 1)(pictures)
    assert agreement(found, expected) == 1
    for one, other in zip(found, expected, strict=True):
        assert np.allclose(one.scores, other.scores, atol=0.1 if "letterbox" in name else 1e-4)
    batch = 1 if "letterbox" in name else 2
    assert agreement(in_batches(pipeline, batch)(pictures), expected) == 1
    assert agreement(list(pipeline.map(pictures, batch, 2)), expected) == 1


def test_agreement_counts_boxes_without_a_partner_on_both_sides():
    box, other, label = np.array([[0, 0, 10, 10]], np.float32), np.array([[0, 0, 10, 8]], np.float32), np.array([3])
    one = Detections(box, np.ones(1, np.float32), label)
    nothing = Detections(box[:0], np.ones(0, np.float32), label[:0])
    assert agreement([one], [one]) == 1
    assert agreement([one, one], [one, nothing]) == pytest.approx(2 / 3)
    assert agreement([one._replace(boxes=other)], [one]) == 0
    assert agreement([one._replace(classes=label + 1)], [one]) == 0
    assert agreement([nothing], [nothing]) == 1
    with pytest.raises(ValueError, match="longer"):
        agreement([one], [one, one])


def test_what_is_wrong_or_fails_is_not_timed_and_costs_no_other_row(pictures, expected):
    def later(given, calls=[]):  # noqa: B006  (counts its calls)
        calls.append(given)
        if len(calls) > 1:
            raise RuntimeError("out of\n memory")
        return expected

    methods = [
        Method("right", 1, lambda _: sleep(2e-4) or expected, pictures, side="TensorRT"),
        Method("wrong", 1, lambda _: expected[1:] + expected[:1], pictures),
        Method("fails at once", 16, lambda _: expected[3], pictures),
        Method("fails later", 1, later, pictures),
    ]
    rows = table(methods, expected, rounds=1)
    assert rows[0]["agreement"] == 1
    assert rows[0]["fps"] > 0
    assert rows[0]["low"] <= rows[0]["ms"] <= rows[0]["high"]
    assert "agree with ONNX Runtime" in rows[1]["error"]
    assert rows[2]["error"].startswith("IndexError: ")
    assert rows[2]["frames"] == 16
    assert rows[3]["error"] == "RuntimeError: out of memory"
    assert not any("fps" in row for row in rows[1:])


def test_detections_come_back_from_a_file(tmp_path, expected):
    save(tmp_path / "found.npz", expected, images=np.ones(2))
    found, more = load(tmp_path / "found.npz")
    assert agreement(found, expected) == 1
    assert more["images"].tolist() == [1, 1]


def test_all_rows_of_the_detector(tmp_path, monkeypatch, pictures):
    monkeypatch.setattr(detector, "frames", lambda: pictures)
    monkeypatch.setattr(detector, "build_missing", lambda names: {"int8": "no kernel"})
    monkeypatch.setattr(detector, "in_turns", once)
    monkeypatch.setattr(shared, "in_turns", once)
    monkeypatch.setenv("WORKBOOK_TORCH_PYTHON", str(tmp_path / "no python"))
    measured = detector.measure(tmp_path, StandIn, lambda name: name, lambda run, given: lambda: 800.0)
    assert {row["plan"] for row in measured["rows"]} == {*STEPS}
    failed = [row for row in measured["rows"] if "error" in row]
    assert [row["error"] for row in failed] == ["RuntimeError: its plan could not be built: no kernel"]
    names = {(row["method"], row["frames"]) for row in measured["rows"] if "fps" in row}
    assert {
        ("ONNX Runtime, CPU", 16),
        ("FP32", 1),
        ("Detector.map, 3 streams", 1),
        ("FP16, no graphs", 16),
        ("FP16, EfficientNMS", 16),
        ("FP16, EfficientNMS, Runner.map, 2 streams", 16),
        ("FP16, letterbox on the GPU", 1),
        ("FP16, letterbox on the GPU, no graphs", 1),
    } <= names
    assert ("FP16, letterbox on the GPU", 16) not in names
    assert measured["PyTorch"].startswith("no rows: ")
    assert {row["frames"] for row in measured["network ms per batch"]} == {1, 16}
    json.dumps(measured)


def row(method, frames, fps, side="TensorRT", **more):
    return {"method": method, "frames": frames, "side": side, "fps": fps, "ms": 1e3 / fps, "agreement": 1.0,
            "low": 900 / fps, "high": 1100 / fps, **more}  # fmt: skip


RESULT = {
    "machine": {},
    "versions": {},
    "PyTorch": "no rows: none",
    "cpu parts ms": {},
    "network ms per batch": [
        {"plan": "fp16-uint8-nms", "frames": 16, "host": 4.0, "mapped": 3.3, "gpu": 3.2},
        {"plan": "PyTorch CUDA graph", "frames": 16, "gpu": 2.0},
    ],
    "rows": [
        row("FP16", 1, 600),
        row("FP16, letterbox on the GPU", 1, 900),
        row("FP16, letterbox on the GPU, Runner.map, 3 streams", 1, 1500, streams=3),
        row("PyTorch eager", 1, 90, "PyTorch"),
        row("PyTorch CUDA graph, letterbox on the GPU", 1, 500, "PyTorch"),
        row("PyTorch CUDA graph, letterbox on the CPU", 1, 400, "PyTorch"),
        row("FP16", 16, 2000),
        {"method": "INT8", "frames": 1, "side": "TensorRT", "error": "no kernel"},
    ],
}


def test_goals_compare_calls_of_one_frame_with_the_fastest_of_pytorch():
    assert [ratio for _, ratio, _ in report.detector_goals(RESULT)] == [1.8, 10, 1.25]
    without = report.detector_goals({"rows": [], "network ms per batch": []})
    assert [ratio for _, ratio, _ in without] == [None] * 3


def test_the_report_tells_every_row_and_draws_those_with_a_number(tmp_path, capsys):
    from PIL import Image

    report.show_detector(RESULT, tmp_path / "bench.png")
    said = capsys.readouterr().out
    assert "no kernel" in said
    assert "1.800" in said
    width, height = Image.open(tmp_path / "bench.png").size
    assert 700 < width <= 900
    assert height > 200
    texts = [label.get_text() for ax in report.draw_detector(RESULT).axes for label in ax.get_yticklabels()]
    assert "INT8" not in texts
    assert texts[0] == "FP16, letterbox on the GPU, Runner.map, 3 streams"


def test_pytorchs_side_says_what_it_lacks(tmp_path):
    code = "import sys; sys.modules['yolox'] = None; import runpy; "
    code += "runpy.run_module('tools.bench.detector_torch', run_name='__main__')"
    done = subprocess.run([sys.executable, "-c", code, tmp_path], cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1].startswith("PyTorch's rows of the detector need pixeltable-yolox")


def test_what_was_measured_is_whole():
    measured = json.loads((ROOT / "data" / "bench.json").read_text()).get("detector")
    if measured is None:
        pytest.skip("the detector has not been measured yet")
    assert {row["side"] for row in measured["rows"]} == {"TensorRT", "PyTorch", "ONNX Runtime"}
    assert {row["plan"] for row in measured["rows"] if "plan" in row} == {*STEPS}
    for one in measured["rows"]:
        assert "error" in one or (one["agreement"] >= shared.RIGHT and 0 < one["low"] <= one["ms"] <= one["high"])
    assert all(ratio is not None and ratio > 0 for _, ratio, _ in report.detector_goals(measured))
    assert {"date", "machine", "versions", "cpu parts ms"} <= measured.keys()
