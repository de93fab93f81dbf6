"""Builds a plan from a network definition, or says why that cannot be (chapter 02). Needs tqdm for progress bars.

``build_plan(network, BuildOptions(profiles=[{"image": (min, opt, max)}]))`` is all that most programs need. Where
tactics are timed, ``BuildOptions(timing_cache=...)`` keeps the timings in a file for the next build (chapter 11).

>>> network = create_network("relu")
>>> x = network.add_input("x", trt.float32, (1, 4))
>>> network.mark_output(network.add_activation(x, trt.ActivationType.RELU).get_output(0))
>>> plan = build_plan(network)  # bytes, for a file or a Runner
"""

from __future__ import annotations

import atexit
import difflib
import errno
import logging
import math
import operator
import os
import weakref
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

import numpy as np

from . import trust
from .atomic import open_regular, write_atomically
from .logger import Message, explained, get_logger
from .trt import CAPABILITIES, MissingCapability, has, require, trt

LARGEST_TIMING_CACHE = 1 << 30  # bytes; those that TensorRT writes are a few MB long

Shape = Sequence[int]
Profile = Mapping[str, tuple[Shape, Shape, Shape]]


class BuildError(RuntimeError):
    """A build failed. ``messages`` holds what TensorRT logged meanwhile, as ``helpers.logger.Message``."""

    def __init__(self, what: str, messages: Sequence[Message] = ()):
        self.messages = list(messages)
        super().__init__(explained(what, self.messages))


class BuildCanceled(BuildError):
    """The progress monitor, or the user, cancelled the build."""


@dataclass(frozen=True)
class BuildOptions:
    """Options of a build. Every field has a default that suits a network without dynamic shapes.

    workspace           device memory that a layer may use as scratch, in bytes (None: TensorRT's default, all of it)
    profiles            one mapping per optimization profile: input name -> (min, opt, max), three shapes. Of a shape
                        input, whose values decide about shapes, they are three times its values, as flat lists
    targets             GPUs to build for ahead of time, e.g. ("SM86", "SM89"); needs ``ahead_of_time``.
                        Empty: this GPU, or with TensorRT for RTX on a machine without a GPU every one from 8.0 on
    flags               names of trt.BuilderFlag to set, e.g. ("FP16",)
    clear_flags         names of trt.BuilderFlag to clear, e.g. ("TF32",), which is set by default
    optimization_level  0 (fastest build) to 5 (longest search for fast kernels); None: TensorRT's default, 3
    tactic_sources      names of trt.TacticSource, the only libraries that tactics may come from; () for none besides
                        TensorRT's own kernels. None: TensorRT's default
    timing_cache        a file with the timings of earlier builds, read and written; ignored where tactics are not timed
                        and, from TensorRT 9.1 on, at level 0
    progress            show progress bars; ignored without ``progress_monitor``

    Raises ValueError for one string or mapping where a list is meant, and TypeError for other wrong types.
    """

    workspace: int | None = None
    profiles: Sequence[Profile] = ()
    targets: Sequence[str] = ()
    flags: Sequence[str] = ()
    clear_flags: Sequence[str] = ()
    optimization_level: int | None = None
    tactic_sources: Sequence[str] | None = None
    timing_cache: str | os.PathLike | None = field(default=None, compare=False)
    progress: bool = field(default=False, compare=False)

    def __post_init__(self) -> None:
        for name in ("targets", "flags", "clear_flags", "tactic_sources", "profiles"):
            given = getattr(self, name)
            if name == "tactic_sources" and given is None:
                continue
            if isinstance(given, (str, Mapping)):
                raise ValueError(f"{name}={given!r}: give a list, {name}=[{given!r}]")
            if not isinstance(given, Sequence):
                raise TypeError(f"{name}={given!r:.80}: give a list")
            if name != "profiles" and not all(isinstance(each, str) for each in given):
                raise TypeError(f"{name}={given!r:.80}: give names as text, such as {_EXAMPLES[name]}")
        if self.workspace is not None and not _is_whole(self.workspace):
            raise TypeError(f"workspace={self.workspace!r:.80}: give a whole number of bytes; 1 << 30 is 1 GiB")
        if self.workspace is not None and not 0 < self.workspace < 1 << 63:
            raise ValueError(f"workspace={self.workspace}: give a number of bytes above 0; 1 << 30 is 1 GiB")
        level = self.optimization_level
        if level is not None and not _is_whole(level):
            raise TypeError(f"optimization_level={level!r:.80}: give a whole number from 0 to 5")
        if level is not None and not 0 <= level <= 5:
            raise ValueError(f"optimization_level is {level}; it goes from 0 to 5")
        if self.timing_cache is not None and not isinstance(self.timing_cache, (str, os.PathLike)):
            raise TypeError(f"timing_cache={self.timing_cache!r:.80}: give the path of a file")


_EXAMPLES = {
    "targets": "'SM86'",
    "flags": "'REFIT'",
    "clear_flags": "'TF32'",
    "tactic_sources": "'JIT_CONVOLUTIONS'",
}


def _is_whole(value: Any) -> bool:
    return hasattr(value, "__index__") and not isinstance(value, bool)


_alive: weakref.WeakKeyDictionary = weakref.WeakKeyDictionary()
_first: list[trt.Builder] = []  # where tactics are timed: the first builder of this process
atexit.register(_first.clear)


def create_network(name: str = "network") -> trt.INetworkDefinition:
    """Returns an empty network definition with explicit batch dimension, on every TensorRT (chapter 02).

    The name goes into the plan: without one TensorRT numbers the networks, and the same network gives other bytes.
    Where tactics are timed, the first builder is kept until the process ends, so that later ones are made at once.
    Raises MissingCapability where plans cannot be built, BuildError where TensorRT fails, TypeError for no name.
    """
    if not isinstance(name, str):
        raise TypeError(f"name={name!r:.80}: the network's name is text")
    require("build")
    logger = get_logger()
    with logger.capture() as messages:
        try:
            builder = trt.Builder(logger)
        except TypeError as error:  # "factory function returned nullptr"
            raise BuildError("trt.Builder could not be created", messages) from error
        creation = trt.NetworkDefinitionCreationFlag
        flags = 1 << int(creation.EXPLICIT_BATCH) if hasattr(creation, "EXPLICIT_BATCH") else 0
        network = builder.create_network(flags)
    if network is None:
        raise BuildError("builder.create_network failed", messages)
    network.name = name
    _alive[network] = [builder]
    # On an H100, 8.6 takes 12 s to make a builder while no other is alive, every time; while one is, no time at all.
    if has("timing_cache") and not _first:
        _first.append(builder)
    return network


def keep(network: trt.INetworkDefinition, array: np.ndarray) -> trt.Weights:
    """Returns the array as trt.Weights and keeps it alive as long as the network: TensorRT stores only its address.

    Raises TypeError for what is no NumPy array or of a dtype that TensorRT lacks, such as float64, and ValueError for
    one that is not contiguous: TensorRT reads raw memory.
    """
    _check_network(network)
    if not isinstance(array, np.ndarray):
        raise TypeError(f"weights are a NumPy array, not {type(array).__name__}: use np.asarray(…, np.float32)")
    if array.dtype == np.float64:
        raise TypeError("TensorRT has no float64 weights; use array.astype(np.float32)")
    if not array.flags.c_contiguous:
        raise ValueError("TensorRT reads weights as contiguous memory; use np.ascontiguousarray(array)")
    try:
        weights = trt.Weights(array)
    except (TypeError, ValueError):
        raise TypeError(f"TensorRT has no {array.dtype} weights; use array.astype(np.float32)") from None
    _alive.setdefault(network, []).append(array)
    return weights


def create_config(builder: trt.Builder, network: trt.INetworkDefinition, options: BuildOptions) -> trt.IBuilderConfig:
    """Returns the options as an IBuilderConfig for this network.

    Raises MissingCapability for what this TensorRT cannot do, and ValueError for wrong options or profiles.
    """
    config = builder.create_builder_config()
    if options.workspace is not None:
        config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, options.workspace)
    for name in options.flags:
        config.set_flag(_builder_flag(name))
    for name in options.clear_flags:
        config.clear_flag(_builder_flag(name))
    if options.optimization_level is not None:
        config.builder_optimization_level = options.optimization_level
    if options.tactic_sources is not None:
        config.set_tactic_sources(sum(1 << int(_tactic_source(name)) for name in set(options.tactic_sources)))
    if options.targets:
        _set_targets(config, options.targets)
    if hasattr(trt.PreviewFeature, "PROFILE_SHARING_0806"):
        # Several execution contexts may then use one profile, as later releases always allow.
        config.set_preview_feature(trt.PreviewFeature.PROFILE_SHARING_0806, True)
    _add_profiles(builder, config, network, options.profiles)
    return config


def build_plan(network: trt.INetworkDefinition, options: BuildOptions | None = None, **more) -> bytes:
    """Builds the network and returns the plan. ``build_plan(network, targets=["SM86"])`` is short for BuildOptions.

    The plan's SHA-256 is added to the user's own list of plans built here (``helpers.trust``, chapter 06).
    A timing cache that cannot be written costs a warning in the log, not the plan.
    Raises BuildError with what TensorRT logged, BuildCanceled, MissingCapability, ValueError for wrong options or a
    network without outputs, and TypeError for what is no network, unknown options or options given twice.
    """
    _check_network(network)
    if options is None:
        _check_options(more)
        options = BuildOptions(**more)
    elif more:
        raise TypeError(f"give either options or {', '.join(more)}, not both")
    elif not isinstance(options, BuildOptions):
        raise TypeError(
            f"options is of type {type(options).__name__}: give BuildOptions(…), or build_plan(network, …=…)"
        )
    if network.num_outputs == 0:
        raise ValueError(f"network {network.name!r} has no output: call network.mark_output(tensor)")
    builder = network.builder
    config = create_config(builder, network, options)
    if options.timing_cache is not None:
        use_timing_cache(config, options.timing_cache)
    monitor = None
    if options.progress and has("progress_monitor"):
        from .progress import ProgressBars

        monitor = config.progress_monitor = ProgressBars()
    with get_logger().capture() as messages:
        serialized = builder.build_serialized_network(network, config)
    if serialized is None:
        if monitor is not None and monitor.canceled:
            raise BuildCanceled(f"the build of {network.name!r} was cancelled", messages)
        raise BuildError(f"the build of {network.name!r} failed", messages)
    plan = bytes(serialized)
    trust.remember(plan)
    if options.timing_cache is not None:
        try:
            save_timing_cache(config, options.timing_cache)
        except OSError as error:  # the plan may have taken minutes
            logging.getLogger(__name__).warning("the timing cache could not be written: %s", error)
    return plan


def _check_network(network: Any) -> None:
    if network is None:
        raise TypeError("network is None: the call that should have made it failed; see its errors")
    if isinstance(network, (str, os.PathLike, bytes)) or hasattr(network, "SerializeToString"):
        raise TypeError(
            f"network is of type {type(network).__name__}, not a network definition: make one of an ONNX model first, "
            "build_plan(parse_onnx(model))"
        )
    if not isinstance(network, trt.INetworkDefinition):
        raise TypeError(f"network is of type {type(network).__name__}, not a network definition: see create_network")


# What people write from habit -> what to write.
_HABITS = {
    "fp16": "flags=('FP16',) with TensorRT 8.6 and 10, or parse what to_fp16(model) returns, everywhere (chapter 10)",
    "int8": "parse what quantize(model, batches) returns, and flags=('INT8',) with TensorRT 8.6 and 10 (chapter 10)",
    "bf16": "flags=('BF16',) with TensorRT 10, or parse a model in BF16 (chapter 10)",
    "max_workspace_size": "workspace",
    "max_batch_size": "profiles=[{name: (min, opt, max)}] (chapter 09)",
    "shapes": "profiles=[{name: (min, opt, max)}] (chapter 09)",
}


def _check_options(given: Mapping[str, Any]) -> None:
    known = [field.name for field in fields(BuildOptions)]
    for name in given:
        if name not in known:
            advice = _HABITS.get(name) or ", ".join(difflib.get_close_matches(name, known, 1)) or ", ".join(known)
            raise TypeError(f"there is no option {name!r}; take {advice}")


def use_timing_cache(config: trt.IBuilderConfig, path: str | os.PathLike) -> bool:
    """Gives the config what the file holds, or an empty cache if there is no such file or TensorRT refuses it.

    TensorRT refuses, with a logged error, what another release or GPU wrote. A warning names a file that is not even
    read, such as a device, or one of more than 1 GiB. Returns whether the file was used. Does nothing without the
    capability ``timing_cache``.
    """
    if not has("timing_cache"):
        return False
    kept = _read_timing_cache(path)
    with get_logger().capture():
        cache = config.create_timing_cache(kept)
        if kept and cache is not None and config.set_timing_cache(cache, False):
            return True
        config.set_timing_cache(config.create_timing_cache(b""), False)
    return False


def save_timing_cache(config: trt.IBuilderConfig, path: str | os.PathLike) -> None:
    """Writes what the config's timing cache holds after a build, atomically. Raises OSError."""
    cache = config.get_timing_cache() if has("timing_cache") else None
    if cache is not None:
        write_atomically(Path(path), bytes(cache.serialize()))


def _builder_flag(name: str) -> trt.BuilderFlag:
    known = trt.BuilderFlag.__members__  # not getattr: an enum has other attributes, such as name
    if name in known:
        return known[name]
    if name.upper() in known:
        raise ValueError(f"names of flags are in capitals: {name.upper()!r}, not {name!r}")
    name = name.upper()
    if name in ("FP16", "BF16", "INT8", "FP8", "INT4"):
        raise MissingCapability(
            f"BuilderFlag.{name} needs {CAPABILITIES['weak_typing'].where}; here the network's own types decide: "
            f"export the model in {name}, or insert casts or Q/DQ layers"
        )
    raise ValueError(f"this TensorRT has no BuilderFlag.{name}; it has {', '.join(known)}")


def _tactic_source(name: str) -> trt.TacticSource:
    if name not in trt.TacticSource.__members__:
        known = ", ".join(trt.TacticSource.__members__)
        raise ValueError(f"this TensorRT has no TacticSource.{name}; it has {known}")
    return trt.TacticSource.__members__[name]


def _set_targets(config: trt.IBuilderConfig, targets: Sequence[str]) -> None:
    require("ahead_of_time")
    known = trt.ComputeCapability.__members__
    for target in targets:
        if target not in known:
            raise ValueError(
                f"unknown target {target!r}; there are {', '.join(known)} (SM86 is compute capability 8.6)"
            )
    config.num_compute_capabilities = len(targets)
    for slot, target in enumerate(targets):
        config.set_compute_capability(known[target], slot)


def _add_profiles(builder, config, network, profiles: Sequence[Profile]) -> None:
    inputs = {tensor.name: tensor for tensor in map(network.get_input, range(network.num_inputs))}
    needed = [tensor for tensor in inputs.values() if tensor.is_shape_tensor or -1 in tuple(tensor.shape)]
    if needed and not profiles:
        name = needed[0].name
        raise ValueError(
            f"input {name!r} {_why_a_range(needed[0])}: give an optimization profile, "
            f"profiles=[{{{name!r}: (min, opt, max)}}]"
        )
    for number, ranges in enumerate(profiles):
        if not isinstance(ranges, Mapping):
            raise ValueError(f"profile {number} is {ranges!r:.60}: give a mapping, {{name: (min, opt, max)}}")
        for tensor in needed:
            if tensor.name not in ranges:
                raise ValueError(
                    f"profile {number} gives no range for input {tensor.name!r}, which {_why_a_range(tensor)}"
                )
        profile = builder.create_optimization_profile()
        for name, given in ranges.items():
            if name not in inputs:
                raise ValueError(f"profile {number} names {name!r}; the network's inputs are {', '.join(inputs)}")
            if inputs[name].is_shape_tensor:
                profile.set_shape_input(name, *_range_of_values(inputs[name], given))
            else:
                profile.set_shape(name, *_range_of_shapes(inputs[name], given))
        config.add_optimization_profile(profile)


def _why_a_range(tensor: trt.ITensor) -> str:
    if tensor.is_shape_tensor:
        return "is a shape input, whose values decide about shapes, so they are what min, opt and max stand for"
    return f"has the dynamic shape {tuple(tensor.shape)}"


def _range_of_shapes(tensor: trt.ITensor, given: Any) -> list[tuple[int, ...]]:
    name, shape = tensor.name, tuple(tensor.shape)
    ranges = _three_of_integers(name, given, "three shapes")
    for what, one in zip(("min", "opt", "max"), ranges, strict=True):
        if len(one) != len(shape) or any(g < 0 or s not in (-1, g) for s, g in zip(shape, one, strict=True)):
            raise ValueError(f"profile of {name!r}: {what} {one} does not fit the input's shape {shape}")
    return ranges


def _range_of_values(tensor: trt.ITensor, given: Any) -> list[tuple[int, ...]]:
    name, shape = tensor.name, tuple(tensor.shape)
    count = math.prod(shape)
    if not shape and isinstance(given, Sequence):
        given = [value if isinstance(value, Sequence) else (value,) for value in given]
    ranges = _three_of_integers(name, given, "the values that the input takes, three times")
    for what, one in zip(("min", "opt", "max"), ranges, strict=True):
        if len(one) != count:
            raise ValueError(
                f"profile of {name!r}: {what} {one} has {len(one)} values, and this shape input holds {count}"
            )
    return ranges


def _three_of_integers(name: str, given: Any, what: str) -> list[tuple[int, ...]]:
    """Returns (min, opt, max) as tuples of integers. Raises ValueError for anything else, or if they do not ascend."""
    try:
        ranges = [tuple(map(operator.index, one)) for one in given]
    except TypeError:
        ranges = []
    if len(ranges) != 3:
        raise ValueError(f"profile of {name!r} needs {what}, (min, opt, max), each of integers, and has {given!r:.80}")
    low, best, high = ranges
    if any(abs(value) >= 1 << 63 for one in ranges for value in one):
        raise ValueError(f"profile of {name!r}: {given!r:.80} has numbers of more than 64 bits")
    if len({len(one) for one in ranges}) == 1 and not all(a <= b <= c for a, b, c in zip(*ranges, strict=True)):
        raise ValueError(f"profile of {name!r}: min {low} <= opt {best} <= max {high} does not hold")
    return ranges


def _read_timing_cache(path: str | os.PathLike) -> bytes:
    try:
        with open_regular(path) as file:
            if os.fstat(file.fileno()).st_size > LARGEST_TIMING_CACHE:
                raise OSError(errno.EFBIG, f"is longer than {LARGEST_TIMING_CACHE:,} bytes", os.fspath(path))
            return file.read()
    except FileNotFoundError:
        return b""
    except OSError as error:
        logging.getLogger(__name__).warning("the timing cache is not used: %s", error)
        return b""
