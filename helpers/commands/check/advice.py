"""Advises what to do about what TensorRT says of a model (chapter 08). Standard library only.

>>> propose_profile({"image": ["batch", 3, 224, 224]})
{'image': ((1, 3, 224, 224), (8, 3, 224, 224), (32, 3, 224, 224))}
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

FOLD = "fold constants first: polygraphy surgeon sanitize MODEL.onnx --fold-constants -o FOLDED.onnx, or onnxsim"
REWRITE = (
    "write it with other operators in PyTorch and export again, replace the node with onnx-graphsurgeon, or cut the "
    "model there and run the rest elsewhere (chapter 08)"
)
BESIDE = "export with external_data=False, or copy the file beside the model"

# A pattern in a parser's or builder's message -> what people do. The first that fits is taken.
KNOWN: list[tuple[str, str]] = [
    (
        "SIGFPE",
        "look for an integer Div or Mod whose divisor becomes 0, often from a size or a stride; fold constants with "
        "ONNX Runtime or onnxsim to see it, and mend the export",
    ),
    (
        "crashes TensorRT",
        "a model must not be able to do that, so report it to NVIDIA; to find the node, halve the model with "
        "onnx.utils.extract_model and check the halves",
    ),
    ("time limit", "give it more time (--timeout), or check parts of it (onnx.utils.extract_model)"),
    ("memory limit", "give it more memory (--memory), or look for a tensor that is larger than it should be"),
    (
        "must resolve to a build-time constant|must be an initializer|must be a constant|as a build-time constant",
        f"TensorRT needs this input when it builds: {FOLD}; or export with fixed values (in PyTorch: Python numbers "
        "in place of tensors, or without dynamic_shapes for that axis)",
    ),
    (
        "Plugin not found|No importer registered|getPluginCreator",
        f"TensorRT has no such operator, and no plugin of that name: {REWRITE}; where the full TensorRT runs, load the "
        "plugin's library before parsing",
    ),
    ("refuses it: false$", f"its importer for this operator gives up without saying why: {REWRITE}"),
    (
        "convertDtype|Failed to convert ONNX da[tn]",
        "TensorRT has no such type (strings, complex numbers): do that part before or after the network, and export "
        "the rest",
    ),
    (
        "must have same input types|must have the same type|types of Float and|have the same data ?type",
        "types are mixed: add a Cast in the graph, or .to(dtype) in PyTorch, so that both sides have one type",
    ),
    (
        "no optimization profile|optimization profile",
        "give build_plan a profile for the dynamic inputs, such as the one proposed here",
    ),
    (
        "no runners that implement it|Could not find any implementation",
        f"TensorRT has no kernel for this layer with these types or on these GPUs: {REWRITE}",
    ),
    ("Failed to import initializer|external data|is not in ", BESIDE),
    ("cudaError|out of memory", "free memory of the GPU, or lower workspace in BuildOptions"),
]
OTHERWISE = f"try another opset (torch.onnx.export(..., opset_version=17 or later)), {FOLD}; or {REWRITE}"

# The name of a dynamic axis -> (min, opt, max). The first that fits is taken.
AXES: list[tuple[str, tuple[int, int, int]]] = [
    ("batch|^n$|^bs$|^b$", (1, 8, 32)),
    ("seq|len|token|time|past|^t$|^s$", (1, 128, 512)),
    ("height|width|^h$|^w$", (64, 224, 512)),
]
FIRST_AXIS, IMAGE_AXIS, OTHER_AXIS = (1, 8, 32), (64, 224, 512), (1, 16, 64)


def advice(message: str) -> str:
    """Returns what people do about a message of TensorRT's parser or builder, as one sentence."""
    for pattern, sentence in KNOWN:
        if re.search(pattern, message, re.IGNORECASE):
            return sentence
    return OTHERWISE


def propose_profile(inputs: Mapping[str, Sequence[int | str] | None]) -> dict[str, tuple]:
    """Proposes an optimization profile for the inputs that have dynamic axes: name -> (min, opt, max) shapes.

    ``inputs``: name -> shape, with a string for each dynamic axis; None for an unknown rank. Axes of one name get one
    range everywhere. The ranges are guesses by name and place: say what your program will really use.
    """
    ranges: dict[str, tuple[int, int, int]] = {}
    profile = {}
    for name, shape in inputs.items():
        if not shape or all(isinstance(axis, int) for axis in shape):
            continue
        columns = []
        for place, axis in enumerate(shape):
            if isinstance(axis, int):
                columns.append((axis,) * 3)
            elif axis == "?":
                columns.append(_guess("", place, len(shape)))
            else:
                columns.append(ranges.setdefault(axis, _guess(axis, place, len(shape))))
        profile[name] = tuple(zip(*columns, strict=True))
    return profile


def _guess(axis: str, place: int, rank: int) -> tuple[int, int, int]:
    for pattern, guess in AXES:
        if re.search(pattern, axis, re.IGNORECASE):
            return guess
    if place == 0:
        return FIRST_AXIS
    return IMAGE_AXIS if rank == 4 and place >= 2 else OTHER_AXIS
