"""Specifications of the exercises of chapter 03, the ONNX parser."""

from pathlib import Path

import onnx

from helpers.onnx_parser import OnnxParseError, parse_onnx
from helpers.workbook.exercises import exercise, expect, started

LENET = Path(__file__).resolve().parents[2] / "data" / "lenet.onnx"


@exercise(
    "03.1",
    "Export with an input `digits`, an output `scores` and a dynamic batch.",
    "Names and dynamic dimensions are decided at export. TensorRT takes them as they are: -1 is a dimension left open.",
)
def export(path):
    started(Path(path).is_file())
    network = parse_onnx(path)
    inputs = [network.get_input(i) for i in range(network.num_inputs)]
    outputs = [network.get_output(i) for i in range(network.num_outputs)]
    expect(
        [x.name for x in inputs] == ["digits"],
        "input 'digits'",
        [x.name for x in inputs],
        "give input_names=['digits']",
    )
    expect(
        [y.name for y in outputs] == ["scores"],
        "output 'scores'",
        [y.name for y in outputs],
        "give output_names=['scores']",
    )
    shape = tuple(inputs[0].shape)
    expect(
        shape[0] == -1,
        "a dynamic batch, (-1, 1, 28, 28)",
        shape,
        "the batch was fixed at export: name dimension 0 in dynamic_shapes",
    )
    expect(shape == (-1, 1, 28, 28), (-1, 1, 28, 28), shape, "only dimension 0 is dynamic")
    external = [t.name for t in onnx.load(path, load_external_data=False).graph.initializer if t.data_location == 1]
    expect(not external, "one self-contained file", f"{len(external)} tensors outside", "save with external_data=False")


@exercise(
    "03.2",
    "Write a check that says what is wrong with a model, and is not fooled by an empty one.",
    "parse() answers True for an empty file and for text: no error is not yet a network.",
)
def problems(function):
    good = LENET.read_bytes()
    answer = function(good)
    started(answer is not None)
    expect(isinstance(answer, list), "a list of texts", type(answer).__name__, "collect the descriptions in a list")
    expect(answer == [], "[] for a good model", answer, "only report what the parser calls an error")
    model = onnx.load_model_from_string(good)
    model.graph.node[-1].op_type = "Jemm"  # the last: the layers before it are in the network all the same
    got = function(model.SerializeToString())
    expect(
        got, "a description for the unknown operator Jemm", got, "loop over parser.num_errors and parser.get_error(i)"
    )
    expect(
        all(isinstance(text, str) for text in got),
        "texts",
        [type(text).__name__ for text in got],
        "a ParserError is an object: its text is error.desc()",
    )
    try:
        parse_onnx(model.SerializeToString())
    except OnnxParseError as error:
        said = [entry.description for entry in error.errors]
        expect(
            all(any(text in line for line in got) for text in said),
            said,
            got,
            "put every error's own desc() in the list",
        )
    for name, content in (("an empty file", b""), ("a web page", b"<html>404</html>")):
        got = function(content)
        expect(got, f"a complaint about {name}", got, "parse() says True here: look at network.num_layers as well")
