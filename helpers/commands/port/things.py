"""What the calls and attributes of TensorRT's objects give, and what well-known names stand for: the tables behind
``receivers``, which follows a program (chapter 12). Standard library only.

>>> result(Thing("object", "Builder"), "create_network").name
'INetworkDefinition'
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache

from ..api_names import names

# What well-known calls return, whatever they are called on: no other library has methods of these names.
RESULTS = {
    "create_network": "INetworkDefinition",
    "create_builder_config": "IBuilderConfig",
    "create_optimization_profile": "IOptimizationProfile",
    "build_cuda_engine": "ICudaEngine",
    "build_engine_with_config": "ICudaEngine",
    "build_serialized_network": "IHostMemory",
    "deserialize_cuda_engine": "ICudaEngine",
    "create_execution_context": "IExecutionContext",
    "create_execution_context_without_device_memory": "IExecutionContext",
    "get_plugin_registry": "IPluginRegistry",
}
# The same for calls whose names are common: only on these classes.
_TYPED = {
    ("Builder", "build_engine"): "ICudaEngine",
    ("CaffeParser", "parse"): "IBlobNameToTensor",
    ("IBlobNameToTensor", "find"): "ITensor",
    ("INetworkDefinition", "add_input"): "ITensor",
    ("INetworkDefinition", "get_input"): "ITensor",
    ("INetworkDefinition", "get_output"): "ITensor",
    ("INetworkDefinition", "get_layer"): "ILayer",
    ("INetworkDefinition", "add_rnn_v2"): "IRNNv2Layer",
    ("INetworkDefinition", "add_loop"): "ILoop",
    ("INetworkDefinition", "add_if_conditional"): "IIfConditional",
}
ATTRIBUTES = {("IExecutionContext", "engine"): "ICudaEngine", ("INetworkDefinition", "builder"): "Builder"}
# A parameter of such a name, or what an unknown function returned for it, is taken for what its name says.
BY_NAME = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "profile": "IOptimizationProfile",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
}
# Names of members that other libraries or one's own classes have too: these tell nothing of what they are asked of.
COMMON = re.compile(
    "add_(convolution|deconvolution|padding|pooling)|build_engine|cell_state|compute_precision|components_per_element|"
    "data_length|free|get_(algorithm|batch|batch_size|location|quantile|shape|strides)|hidden_.*|input_mode|"
    "kernel_size|max_batch_size|max_seq_length|num_fields|num_output_channels|parse_buffer|(read|write)_.*_cache|"
    "register_(in|out)put|seq_lengths|tensor_format|timing_msec|vectorized_dim|workspace_size"
)
# What tells that something is of a class, if no other class has it. Keras has get_layer, load_weights, set_shape too.
_TELLING = re.compile(
    r"add_\w+|(un)?mark_output|num_(bindings|io_tensors)|execute_async_v\d|execute_v2|create_(builder|execution)_\w+|"
    r"(binding|is|(get|set)\w*)_(binding|tensor|profile|input)\w*|build_(cuda|serialized)_\w+|platform_has_\w+"
)


@dataclass(frozen=True)
class Thing:
    """A module, class or object of TensorRT, as ``what`` says. ``name``: the class's, "" for the module.

    A name that is now this layer and now that is of several ``classes``; their names stand in ``name`` with | between.
    """

    what: str
    name: str = ""

    @property
    def classes(self) -> list[str]:
        return self.name.split("|")


LAYER = Thing("object", "ILayer")  # any
# From the weakest to the strongest: what is known of a name may only grow stronger.
UNKNOWN = Thing("unknown")  # what some function returned
FOREIGN = Thing("foreign")  # what another library's function returned, or one's own class
OTHER = Thing("other")  # certainly not TensorRT's, or now this and now that
_STRENGTH = {UNKNOWN: 1, FOREIGN: 2, OTHER: 4}


def stronger(before: Thing | None, thing: Thing) -> Thing:
    """Returns what a name is that was taken for ``before``, and is ``thing`` in another place.

    One certain assignment wins over what some function returned. Two certain ones that differ make it OTHER; of layers,
    one of several classes.
    """
    if before is None or before == thing:
        return thing
    one, two = _STRENGTH.get(before, 3), _STRENGTH.get(thing, 3)
    if one != two:
        return before if one > two else thing
    layers = all(known.what == "object" and known.name.endswith("Layer") for known in (before, thing))
    return _of_both(before, thing) if layers else OTHER


def _of_both(one: Thing, two: Thing) -> Thing:
    """Returns what a name is that is now this and now that layer: of ILayer and another, the other."""
    return Thing("object", "|".join(sorted({*one.classes, *two.classes} - {LAYER.name})))


def result(owner: Thing, method: str) -> Thing | None:
    """Returns what a method of an object returns."""
    if method == "__enter__":
        return owner
    found = _TYPED.get((owner.name, method)) or RESULTS.get(method)
    if not found and owner.name == "INetworkDefinition" and method.startswith("add_"):
        layer = method.removeprefix("add").removesuffix("_nd").replace("_", "")
        found = _layers().get(f"i{layer}layer", "ILayer")
    if not found and owner.name.endswith("Layer") and method in ("get_input", "get_output"):
        found = "ITensor"
    return Thing("object", found) if found else None


@cache
def _layers() -> dict[str, str]:
    """Returns the classes of layers: i…layer, in small letters -> class."""
    return {name.lower(): name for name, entry in names().items() if entry.kind == "class" and name.endswith("Layer")}


@cache
def telling() -> dict[str, str]:
    """Returns the members by which an object is known, each with the class that it belongs to."""
    owners: dict[str, set[str]] = {}
    for entry in names().values():
        if "::" not in entry.name and entry.kind not in ("value", "C++ only"):
            owners.setdefault(entry.member, set()).add(entry.owner)
    return {
        member: min(owner)
        for member, owner in owners.items()
        if len(owner) == 1 and min(owner) in BY_NAME.values() and _TELLING.fullmatch(member)
    }
