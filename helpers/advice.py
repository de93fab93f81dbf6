"""Advises what to do about what TensorRT and the tools around it say: cause and cure, by a stable id (chapter 08).

``tensorrt-workbook explain "MESSAGE"`` prints it, ``check`` and the exceptions of these helpers name the id.
Standard library only.

>>> advice_for("CUDA initialization failure with error: 35").id
'TRT051'
"""

from __future__ import annotations

import re
from typing import NamedTuple

FOLD = "fold constants first: polygraphy surgeon sanitize MODEL.onnx --fold-constants -o FOLDED.onnx, or onnxsim"
REWRITE = (
    "write it with other operators in PyTorch and export again, replace the node with onnx-graphsurgeon, or cut the "
    "model there and run the rest elsewhere"
)


class Advice(NamedTuple):
    """One thing that goes wrong, and what people do about it.

    id        stable, such as "TRT012": it is never given to anything else
    cause     one sentence
    cure      one sentence: what to do
    chapter   the notebook that treats it, without .ipynb
    patterns  regular expressions; a message that one of them fits, in whatever case, is of this kind
    """

    id: str
    cause: str
    cure: str
    chapter: str
    patterns: tuple[str, ...] = ()


def advice_for(message: str) -> Advice | None:
    """Returns the advice about a message, or None where nothing is known. The first that fits is taken."""
    for advice in ADVICE:
        if any(re.search(pattern, message, re.IGNORECASE) for pattern in advice.patterns):
            return advice
    return None


def by_id(id: str) -> Advice:
    """Returns the advice of an id. Raises KeyError for an id that does not exist."""
    return _BY_ID[id]


def advice_line(message: str) -> str:
    """Returns one line of advice about a message, for the end of an exception's text; "" where nothing is known.

    >>> advice_line("CUDA initialization failure with error: 35").endswith("(tensorrt-workbook explain TRT051)")
    True
    """
    advice = advice_for(message)
    return f"{advice.id}: {advice.cure} (tensorrt-workbook explain {advice.id})" if advice else ""


ADVICE: tuple[Advice, ...] = (
    Advice(
        "TRT001",
        "An integer Div or Mod has a divisor that becomes 0, often from a size or a stride, and TensorRT divides "
        "while it builds.",
        "Fold constants with ONNX Runtime or onnxsim to see the zero, and mend the export.",
        "08_will_it_convert",
        ("SIGFPE",),
    ),
    Advice(
        "TRT002",
        "The model kills TensorRT; a model must not be able to do that.",
        "Halve the model with onnx.utils.extract_model and check the halves to find the node; report it to NVIDIA.",
        "08_will_it_convert",
        ("crashes TensorRT",),
    ),
    Advice(
        "TRT003",
        "The check, or a part of it, took longer than its time limit.",
        "Give it more time (--timeout), or check parts of the model (onnx.utils.extract_model).",
        "08_will_it_convert",
        ("time limit",),
    ),
    Advice(
        "TRT004",
        "The check, or a part of it, took more memory than its limit.",
        "Give it more memory (--memory), or look for a tensor that is larger than it should be.",
        "08_will_it_convert",
        ("memory limit",),
    ),
    Advice(
        "TRT005",
        "TensorRT needs the values of this input when it builds, and the graph computes them.",
        f"{FOLD[0].upper()}{FOLD[1:]}; or export with fixed values (in PyTorch: Python numbers in place of tensors, or "
        "without dynamic_shapes for that axis).",
        "08_will_it_convert",
        (
            "must resolve to a build-time constant",
            "must be an initializer",
            "must be a constant",
            "as a build-time constant",
        ),
    ),
    Advice(
        "TRT006",
        "TensorRT has no such operator, and no plugin of that name is loaded.",
        f"{REWRITE[0].upper()}{REWRITE[1:]}; where the full TensorRT runs, load the plugin's library before parsing.",
        "08_will_it_convert",
        ("Plugin not found", "No importer registered", "getPluginCreator"),
    ),
    Advice(
        "TRT007",
        "The parser's importer for this operator gives up without saying why.",
        f"{REWRITE[0].upper()}{REWRITE[1:]}.",
        "08_will_it_convert",
        ("refuses it: false$",),
    ),
    Advice(
        "TRT008",
        "TensorRT has no such type, such as strings or complex numbers.",
        "Do that part before or after the network, and export the rest.",
        "08_will_it_convert",
        ("convertDtype", "Failed to convert ONNX da[tn]"),
    ),
    Advice(
        "TRT009",
        "An operation gets two types, and a strongly typed network converts neither.",
        "Add a Cast in the graph, or .to(dtype) in PyTorch, so that both sides have one type.",
        "10_precision",
        (
            "must have same input types",
            "must have the same type",
            "types of Float and",
            "have the same data ?type",
        ),
    ),
    Advice(
        "TRT010",
        "The network has dynamic shapes, and the build was given no optimization profile for them.",
        "Give build_plan a profile, profiles=[{name: (min, opt, max)}] with a shape for each.",
        "09_dynamic_shapes",
        ("optimization profile",),
    ),
    Advice(
        "TRT011",
        "TensorRT has no kernel for this layer with these types, or on these GPUs.",
        f"{REWRITE[0].upper()}{REWRITE[1:]}.",
        "08_will_it_convert",
        ("no runners that implement it", "Could not find any implementation"),
    ),
    Advice(
        "TRT012",
        "The model keeps its weights in a second file (external data), and that file is not beside it.",
        "Copy the file beside the model, or export with external_data=False.",
        "03_onnx_parser",
        ("Failed to import initializer", "external data", "is not in "),
    ),
    Advice(
        "TRT013",
        "The GPU has no memory left.",
        "Free memory of the GPU, or lower workspace in BuildOptions.",
        "02_builder",
        ("out of memory",),
    ),
    Advice(
        "TRT051",
        "TensorRT finds no NVIDIA driver, or one that is older than its CUDA needs.",
        "Call tensorrt-workbook doctor: it says which driver this machine has, and which one is needed.",
        "00_start",
        ("CUDA initialization failure", "cudaError ?35"),
    ),
)
_BY_ID = {advice.id: advice for advice in ADVICE}
