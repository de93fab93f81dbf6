"""Advises what to do about what TensorRT says of a model (chapter 08). Standard library only.

>>> advice("TensorRT's parser refuses it: false")[:12]
'its importer'
"""

from __future__ import annotations

import re

from .shapes import propose_profile  # noqa: F401 - as before

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


def advice(message: str) -> str:
    """Returns what people do about a message of TensorRT's parser or builder, as one sentence."""
    for pattern, sentence in KNOWN:
        if re.search(pattern, message, re.IGNORECASE):
            return sentence
    return OTHERWISE
