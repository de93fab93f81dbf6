"""helpers/workbook/detector_plans.py: models and options by name, plans from the cache."""

import functools

import numpy as np
import onnx
import pytest

from helpers import trust
from helpers.trt import MissingCapability, has
from helpers.workbook import detector_plans
from helpers.workbook.detector_plans import (
    NETWORKS,
    build_options,
    buildable,
    detector_model,
    detector_plan,
    head,
    main,
)
from helpers.workbook.scenes import OnnxRunner, load_scenes, prepare

model_of = functools.cache(detector_model)  # INT8 takes two seconds
needs_build = pytest.mark.skipif(not has("ahead_of_time"), reason="needs a TensorRT that builds without a GPU")


@pytest.fixture(scope="module")
def batch():
    return prepare(load_scenes().pictures[0])[0]


@pytest.mark.parametrize("name", [name for name, network in NETWORKS.items() if not network.nms])
def test_models_answer_as_the_trained_one(name, batch):
    run = OnnxRunner(model_of(name))
    expected = OnnxRunner(detector_plans.MODEL)(batch)["predictions"]
    if NETWORKS[name].input == "pictures":
        batch = batch[:, ::-1].transpose(0, 2, 3, 1).astype(np.uint8)
    answer = run(batch)["predictions"]
    assert np.abs(answer - expected).max() < {"INT8": 2, "FP16": 0.2}.get(NETWORKS[name].types, 1e-5)


@pytest.mark.parametrize("name", [name for name, network in NETWORKS.items() if network.nms])
def test_with_nms_there_are_four_outputs_of_known_size(name):
    model = model_of(name)
    shapes = {o.name: [d.dim_value for d in o.type.tensor_type.shape.dim][1:] for o in model.graph.output}
    assert shapes == {"count": [1], "boxes": [100, 4], "scores": [100], "classes": [100]}
    onnx.checker.check_model(onnx.shape_inference.infer_shapes(model))


def test_int8_leaves_the_head_in_floating_point():
    model = onnx.load(detector_plans.MODEL)
    kept = set(head(model))
    assert 30 < sum(node.op_type == "Conv" for node in model.graph.node if node.name in kept) < 60
    made = model_of("int8")
    quantized = {output for node in made.graph.node if node.op_type == "DequantizeLinear" for output in node.output}
    convolutions = [node for node in made.graph.node if node.op_type == "Conv"]
    assert all((node.name in kept) != (node.input[1] in quantized) for node in convolutions)


@pytest.mark.parametrize("name", NETWORKS)
def test_options_fit_the_models_input(name):
    ((given, (low, best, high)),) = build_options(name).profiles[0].items()
    (value,) = model_of(name).graph.input
    fixed = [axis.dim_value for axis in value.type.tensor_type.shape.dim]
    assert given == value.name
    assert all(not size or size == n for shape in (low, best, high) for size, n in zip(fixed, shape, strict=True))


def test_where_types_are_a_permission_the_model_stays_in_fp32(monkeypatch):
    monkeypatch.setattr(detector_plans, "has", lambda *names: True)
    assert build_options("fp16").flags == ("FP16",)
    assert build_options("int8").flags == ("FP16", "INT8")
    assert build_options("fp32").clear_flags == ("TF32",)
    assert build_options("fp16-uint8").optimization_level == 0
    assert build_options("fp16-uint8").tactic_sources == ()
    assert {t.data_type for t in detector_model("fp16").graph.initializer} <= {1, 7}


@needs_build
@pytest.mark.parametrize("variable", ["WORKBOOK_STATE", "WORKBOOK_PLANS"])
def test_a_plan_is_built_once(tmp_path, monkeypatch, variable):
    monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "state"))
    monkeypatch.setenv(variable, str(tmp_path / "kept"))
    plan = detector_plan("fp16-uint8")
    monkeypatch.setattr(detector_plans, "build_plan", lambda *_: pytest.fail("it was built again"))
    assert detector_plan("fp16-uint8") == plan


@needs_build
def test_kept_plans_outlive_the_state_and_may_be_run_at_once(tmp_path, monkeypatch):
    monkeypatch.setenv("WORKBOOK_PLANS", str(tmp_path / "kept"))
    monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "one"))
    plan = detector_plan("fp16")
    monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "other"))
    assert not trust.is_trusted(plan)
    monkeypatch.setattr(detector_plans, "build_plan", lambda *_: pytest.fail("it was built again"))
    assert detector_plan("fp16") == plan
    assert trust.is_trusted(plan)
    assert [path.suffix for path in sorted((tmp_path / "kept").glob("fp16-*"))].count(".plan") == 1


@needs_build
def test_the_command_builds_and_tells_what_cannot_be(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path))
    assert main(["fp16"]) == 0
    assert main(["fp16", "fp16-uint8-nms"]) == (0 if has("plugins") else 1)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("fp16: ")
    assert lines[0].split(" in ")[0] == lines[1].split(" in ")[0]
    assert "FAILED" in lines[2] or has("plugins")


def test_the_command_lists_and_refuses(capsys):
    assert main([]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == list(NETWORKS)
    with pytest.raises(SystemExit):
        main(["fp17"])
    assert "fp16-letterbox-nms" in capsys.readouterr().err


@pytest.mark.skipif(has("plugins"), reason="this TensorRT has plugins")
def test_nms_needs_plugins():
    assert not any(NETWORKS[name].nms for name in buildable())
    with pytest.raises(MissingCapability, match="plugins"):
        detector_plan("fp16-uint8-nms")


def test_another_name():
    with pytest.raises(ValueError, match="no network 'fp8'; there are fp32"):
        detector_plan("fp8")
