"""model_facts.py and trial.py of ``check``, called here: what they read, and what they send to whoever asks."""

from __future__ import annotations

import json
import os

import numpy as np
import onnx
import pytest
import small_models as small

from helpers.commands.check import model_facts, node_trial, reading, trial
from helpers.commands.check.model_facts import facts
from helpers.commands.check.reading import read_model
from helpers.commands.check.report import MOST
from helpers.model_files import all_tensors
from helpers.trt import has

builds = pytest.mark.skipif(not has("build"), reason="needs a TensorRT that builds here")


def facts_of(model: onnx.ModelProto, folder) -> dict:
    (folder / "m.onnx").write_bytes(model.SerializeToString())
    return facts(str(folder / "m.onnx"))


@pytest.fixture
def folder(tmp_path):
    """A model's folder with weights, and with links to a secret outside."""
    folder = tmp_path / "model"
    folder.mkdir()
    np.full(4, np.inf, np.float32).tofile(tmp_path / "secret.bin")
    np.full(4, np.nan, np.float32).tofile(folder / "weights.bin")
    for name in ("link.bin", "left-out"):
        (folder / name).symlink_to("../secret.bin")
    (folder / "sub").mkdir()
    return folder


# External data


@pytest.mark.parametrize("location", ["../secret.bin", "link.bin", "left-out"])
@pytest.mark.parametrize("place", small.external_everywhere(""))
def test_no_file_outside_the_folder_is_read(place, location, folder, monkeypatch):
    monkeypatch.setattr(model_facts, "_check", lambda path: pytest.fail("onnx.checker opens such files"))
    found = facts_of(small.external_everywhere(location)[place], folder)
    assert {file["name"]: file["wrong"] for file in found["external"]}[location] == "outside"
    assert found["weights"]["inf"] == 0  # of which the secret is full


@pytest.mark.parametrize("place", small.external_everywhere(""))
def test_weights_count_wherever_they_stand(place, folder):
    found = facts_of(small.external_everywhere("weights.bin")[place], folder)
    assert found["weights"]["nan"] >= 4
    assert found["weights"]["nan"] % 4 == 0
    assert found["suspicious"]["nan"][0] in ("w", "No Op registered for Foo")
    assert [file["wrong"] for file in found["external"]] == [""]


@pytest.mark.parametrize(
    ("location", "entries", "wrong"),
    [
        ("weights.bin", {}, ""),
        ("./weights.bin", {"offset": 4, "length": 12}, ""),
        ("none.bin", {}, "missing"),
        ("a" * 5000, {}, "missing"),
        ("sub", {}, "special"),
        (".", {}, "special"),
        ("pipe", {}, "special"),
        ("", {}, "outside"),
        ("weights.bin\0x", {}, "outside"),
        ("weights.bin", {"length": 17}, "short"),
        ("weights.bin", {"offset": 16, "length": 1}, "short"),
        ("weights.bin", {"offset": "9" * 18}, "short"),
        ("weights.bin", {"offset": "9" * 30}, "short"),
        ("weights.bin", {"offset": "-1"}, "short"),
        ("weights.bin", {"length": "x"}, "short"),
        ("weights.bin", {"length": "-1"}, "short"),
    ],
)
def test_what_is_wrong_with_a_file(location, entries, wrong, folder):
    if location == "pipe":
        pytest.importorskip("resource", reason="a pipe with a name")
        os.mkfifo(folder / "pipe")
    found = facts_of(small.model([], constants=[small.in_file(location, **entries)]), folder)
    assert [file["wrong"] for file in found["external"]] == [wrong]
    assert found["weights"]["nan"] == (0 if wrong else 3 if entries else 4)


def test_a_tensor_is_read_as_far_as_its_shape_says(folder):
    np.ones(100, np.float32).tofile(folder / "shared.bin")
    constants = [small.in_file("shared.bin"), small.in_file("shared.bin", length=400)]
    assert facts_of(small.model([], constants=constants), folder)["weights"]["values"] == 8


def test_external_data_without_a_place_is_refused(folder):
    nowhere = small.TensorProto(name="w", data_type=small.FLOAT, dims=[4], data_location=small.TensorProto.EXTERNAL)
    found = facts_of(small.model([], constants=[nowhere]), folder)
    assert [(file["name"], file["wrong"]) for file in found["external"]] == [("", "outside")]


def test_no_trial_looks_for_external_data_in_the_current_folder(folder):
    for place in ("function", "branch in a function", "Constant", "tensors", "graphs", "sparse value"):
        (folder / "m.onnx").write_bytes(small.external_everywhere("weights.bin")[place].SerializeToString())
        facts(str(folder / "m.onnx"))
        single = node_trial.cut_node(str(folder / "m.onnx"), 0)
        assert list(all_tensors(single)), place
        assert [tensor for tensor in all_tensors(single) if tensor.data_location == tensor.EXTERNAL] == [], place
        assert b"weights.bin" not in single.SerializeToString(), place


# Constants


@pytest.mark.parametrize(
    ("dims", "words"),
    [
        ([1 << 62] * 20, "constant 'w' holds 4 values; its shape says more than 2**64"),
        ([5], "constant 'w' holds 4 values; its shape says 5"),
        ([2] * 200_000, "constant 'w' has 200,000 axes; no tensor has more than 64"),
        ([-1], r"constant 'w' has the impossible shape (-1,)"),
    ],
    ids=["overflow", "too many", "axes", "negative"],
)
def test_constants_that_do_not_fit_their_shape(dims, words, folder):
    model = small.weights([1, 2, 3, 4])
    model.graph.initializer[0].dims[:] = dims
    assert facts_of(model, folder)["misfits"] == [words]


def test_large_constants_are_emptied_wherever_they_stand(folder):
    constant = small.constant("c", np.ones(4000), np.float32)
    model = small.model([small.node("Constant", [], ["c"], value=constant), small.node("Add", ["x", "c"], ["y"])])
    model.graph.initializer.append(small.constant("i", np.full(4000, np.inf), np.float32))
    found = facts_of(model, folder)
    assert (found["weights"]["values"], found["weights"]["inf"]) == (8000, 4000)
    assert read_model(str(folder / "m.onnx")).model.ByteSize() < 1000
    assert found["external"] == []  # emptied is not the same as kept elsewhere


# Operators


def test_operators_of_inner_graphs_are_counted(folder):
    inner = small.helper.make_graph([small.node("Sigmoid", ["x"], ["z"])], "inner", [], [])
    deeper = small.helper.make_graph([small.node("Foo", ["x"], ["z"], domain="ours", many=[inner, inner])], "g", [], [])
    model = small.model([small.node("Foo", ["x"], ["y"], domain="ours", one=deeper)], domains=[small.OURS])
    rows = facts_of(model, folder)["operators"]
    assert sorted([row[1], row[3], row[4]] for row in rows) == [["Foo", 2, [0]], ["Sigmoid", 2, []]]


# What is sent to the caller


def many(kind: str, count: int) -> onnx.ModelProto:
    nodes, outputs, inputs = [small.node("Relu", ["x"], ["y"])], None, None
    if kind == "outputs":
        outputs = [small.value("y", small.FLOAT, [1, 4])] * count
    elif kind == "inputs":
        inputs = [small.value(name, small.FLOAT, [1, 4]) for name in ["x", *(f"i{i}" for i in range(1, count))]]
    elif kind == "no_outputs":
        nodes += [small.node("Foo", ["x"], [], domain="ours")] * count
    elif kind == "operators":
        nodes += [small.node(f"Foo{i}", ["x"], [f"f{i}"], domain="ours") for i in range(1, count)]
    elif kind == "zero_divisions":
        nodes += [small.node("Div", ["zero", "zero"], [f"f{i}"]) for i in range(count)]
    model = small.model(nodes, inputs, outputs, [small.constant("zero", [0])], domains=[small.OURS])
    if kind == "external":
        model.graph.initializer.extend(small.in_file(f"f{i}") for i in range(count))
    elif kind == "opsets":
        model.opset_import.extend(small.helper.make_opsetid(f"d{i}", 1) for i in range(2, count))
    elif kind == "doubles":
        model.graph.initializer.extend(small.constant(f"d{i}", [1], np.float64) for i in range(count))
    elif kind == "nan":
        model.graph.initializer.extend(small.constant(f"n{i}", [np.nan], np.float32) for i in range(count))
    return model


@pytest.mark.parametrize(
    "kind", ["outputs", "inputs", "no_outputs", "operators", "zero_divisions", "external", "opsets", "doubles", "nan"]
)
def test_lists_are_cut_and_say_so(kind, folder):
    found = facts_of(many(kind, MOST + 500), folder)
    rows = found["suspicious"][kind] if kind == "nan" else found[kind]
    assert len(rows) == MOST
    assert found["more"] == {kind: 500}
    assert len(json.dumps(found)) < 400_000
    assert facts_of(many(kind, MOST), folder)["more"] == {}


def test_names_and_shapes_are_cut_and_say_so(folder):
    model = small.model([small.node("F" * 5000, ["x"], ["y"], "n" * 100_000, domain="ours")], domains=[small.OURS])
    model.graph.input[0].name = "x" * 5000
    for _ in range(300):
        model.graph.input[0].type.tensor_type.shape.dim.add().dim_param = "a" * 5000
    found = facts_of(model, folder)
    assert len(json.dumps(found)) < 100_000
    assert found["inputs"][0]["name"] == "x" * 300 + "… (5,000 characters in all)"
    assert found["operators"][0][1] == "F" * 300 + "… (5,000 characters in all)"
    assert (len(found["inputs"][0]["shape"]), found["inputs"][0]["shape"][-1]) == (101, "…")


def test_names_that_are_not_utf8_become_text(folder):
    content = small.dynamic_axes().SerializeToString().replace(b"axes", b"\xff\xfexx")
    (folder / "m.onnx").write_bytes(content)
    found = facts(str(folder / "m.onnx"))
    assert found["inputs"][1]["name"] == "\ufffd\ufffdxx"
    json.dumps(found)


@builds
def test_errors_of_the_parser_are_told_once_for_all_nodes_alike(folder):
    nodes = [small.node("Foo", ["x"], [f"y{i}"], f"foo{i}", domain="ours") for i in range(2000)]
    nodes += [small.node(f"Bar{i}", ["x"], [f"z{i}"], domain="ours") for i in range(2000)]
    (folder / "m.onnx").write_bytes(small.model(nodes, domains=[small.OURS]).SerializeToString())
    parsed = trial.parse(str(folder / "m.onnx"))
    assert len(json.dumps(parsed)) < 500_000
    assert len(parsed["errors"]) <= MOST
    first = parsed["errors"][0]
    assert first["kind"] == "Foo"
    if first["operator"]:  # a parser that names operators has gone on after the first error
        assert (first["names"], first["count"], first["places"]) == (["'foo0'", "'foo1'", "'foo2'"], 2000, [0, 1, 2])
        assert parsed["more"] == 2001 - MOST


@builds
def test_a_parser_that_knows_only_numbers_of_nodes(folder, monkeypatch):
    """8.6 says "number 1" in place of the node's name, and nothing of its operator."""
    (folder / "m.onnx").write_bytes(small.network().SerializeToString())
    errors = [trial.NodeError("number 1", "", "why"), trial.NodeError("number 99", "", "where"), ("", "", "what")]

    def refuse(path):
        error = ValueError("refused")
        error.errors = errors
        raise error

    monkeypatch.setattr(trial, "parse_onnx", refuse)
    told = [(row["operator"], row["kind"], row["places"]) for row in trial.parse(str(folder / "m.onnx"))["errors"]]
    assert told == [("", "Relu", [1]), ("", "", []), ("", "", [])]


def test_a_name_that_means_two_things_in_inner_graphs_has_no_type():
    """Two branches may call different tensors alike; what the graph itself calls so is what counts there."""
    inner = {name: onnx.helper.make_graph(
        [small.node("Cast", ["x"], ["v"], to=kind), small.node("Size", ["v"], [name])], name, [],
        [small.value(name, small.INT64, [])],
        value_info=[small.value("v", kind, [1, 4]), small.value("x", small.FLOAT, [name]), small.value("w", kind, [2])],
    ) for name, kind in (("a", small.FLOAT), ("b", small.DOUBLE))}  # fmt: skip
    node = small.node("If", ["c"], ["y"], then_branch=inner["a"], else_branch=inner["b"])
    types = reading._types_in(small.model([node], [small.value("x", small.DOUBLE, [9])]).graph)
    assert types.keys() == {"x", "y", "a", "b"}
    assert types["x"].tensor_type.elem_type == small.DOUBLE
