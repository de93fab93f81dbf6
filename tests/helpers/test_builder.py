"""Builds: options, profiles, and what a failed build says. Everything here really builds."""

import dataclasses
import gc
import logging
import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest

from helpers import builder, trust
from helpers.builder import BuildCanceled, BuildError, BuildOptions, build_plan, create_config, create_network, keep
from helpers.logger import Message
from helpers.trt import MissingCapability, has, trt

pytestmark = pytest.mark.skipif(not has("build"), reason="this TensorRT cannot build here")
SHAPES = ((1, 3, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))


def conv_network(batch=1, seed=0):
    """One 3x3 convolution with four maps over float32 (batch, 3, 8, 8), named x -> y."""
    network = create_network("conv")
    x = network.add_input("x", trt.float32, (batch, 3, 8, 8))
    kernel = np.random.default_rng(seed).standard_normal((4, 3, 3, 3), np.float32)
    conv = network.add_convolution_nd(x, 4, (3, 3), keep(network, kernel))
    conv.get_output(0).name = "y"
    network.mark_output(conv.get_output(0))
    return network


def test_a_plan_is_bytes_and_is_remembered_as_built_here():
    plan = build_plan(conv_network())
    assert isinstance(plan, bytes)
    assert len(plan) > 500
    assert trust.is_trusted(plan)


@pytest.mark.skipif(not has("ahead_of_time"), reason="tactics are timed, so two builds differ")
def test_the_same_network_gives_the_same_bytes_and_other_weights_give_others():
    one, again, other = (build_plan(conv_network(seed=s), targets=["SM86"]) for s in (0, 0, 1))
    assert one == again
    assert one != other


@pytest.mark.skipif(not has("ahead_of_time"), reason="needs plans that can be compared")
def test_weights_live_as_long_as_the_network():
    expected = build_plan(conv_network(), targets=["SM86"])
    network = conv_network()  # its kernel has no other owner than the network
    gc.collect()
    junk = [np.full((4, 3, 3, 3), 7, np.float32) for _ in range(1000)]
    assert build_plan(network, targets=["SM86"]) == expected
    del junk


def test_the_first_builder_is_kept_only_where_tactics_are_timed(monkeypatch):
    monkeypatch.setattr(builder, "_first", [])
    for timed, kept in ((False, 0), (True, 1), (True, 1)):
        monkeypatch.setattr(builder, "has", lambda name, timed=timed: name == "timing_cache" and timed)
        create_network("conv")
        assert len(builder._first) == kept


def test_weights_must_be_something_that_tensorrt_can_read():
    network = create_network()
    with pytest.raises(TypeError, match="float64"):
        keep(network, np.zeros(3))
    with pytest.raises(ValueError, match="ascontiguousarray"):
        keep(network, np.zeros((4, 4), np.float32).T)
    for wrong in ([1.0], 3, None):
        with pytest.raises(TypeError, match="weights are a NumPy array"):
            keep(network, wrong)
    for dtype in ("c8", "U1", "O", "u2"):
        with pytest.raises(TypeError, match=r"TensorRT has no .* weights"):
            keep(network, np.zeros(3, dtype))
    with pytest.raises(TypeError, match="not a network definition"):
        keep([], np.zeros(3, np.float32))


def test_a_dynamic_input_needs_a_profile_and_the_error_names_it():
    with pytest.raises(ValueError, match=r"'x' has the dynamic shape \(-1, 3, 8, 8\)"):
        build_plan(conv_network(batch=-1))
    assert build_plan(conv_network(batch=-1), profiles=[{"x": SHAPES}])


@pytest.mark.parametrize(
    ("profile", "message"),
    [
        ({"z": SHAPES}, r"gives no range for input 'x', which has the dynamic shape \(-1, 3, 8, 8\)"),
        ({"x": SHAPES, "z": SHAPES}, "names 'z'; the network's inputs are x"),
        ({"x": SHAPES[:2]}, "needs three shapes"),
        ({"x": ((1, 3, 8), (2, 3, 8), (4, 3, 8))}, "does not fit the input's shape"),
        ({"x": ((1, 1, 8, 8), (2, 3, 8, 8), (4, 3, 8, 8))}, "does not fit the input's shape"),
        ({"x": (SHAPES[2], SHAPES[1], SHAPES[0])}, "does not hold"),
        ({"x": (1, 2, 4)}, r"needs three shapes.*and has \(1, 2, 4\)"),
        ({"x": 4}, "needs three shapes"),
        ({"x": ((1, 3, 8, 8.5),) * 3}, "each of integers"),
        ({"x": "abc"}, "needs three shapes"),
        ({"x": ((-1, 3, 8, 8),) * 3}, "does not fit the input's shape"),
        ({"x": ((1 << 70, 3, 8, 8),) * 3}, "more than 64 bits"),
        ([("x", SHAPES)], "give a mapping"),
    ],
)
def test_a_wrong_profile_is_refused_before_the_build(profile, message):
    with pytest.raises(ValueError, match=message):
        build_plan(conv_network(batch=-1), profiles=[profile])


def test_several_profiles():
    options = BuildOptions(profiles=[{"x": SHAPES}, {"x": ((8, 3, 8, 8),) * 3}])
    assert len(build_plan(conv_network(batch=-1), options)) > 500


def reshaping_network(shape):
    """x, of shape (-1, 4), is reshaped to what the input "size", of this shape, says."""
    network = create_network("reshaping")
    x, size = network.add_input("x", trt.float32, (-1, 4)), network.add_input("size", trt.int32, shape)
    target = size
    if shape == ():
        target = network.add_shuffle(size)
        target.reshape_dims = (1,)
        target = target.get_output(0)
    shuffle = network.add_shuffle(x)
    shuffle.set_input(1, target)
    network.mark_output(shuffle.get_output(0))
    return network


X_RANGE = {"x": ((1, 4), (2, 4), (8, 4))}


@pytest.mark.parametrize(
    ("shape", "values"), [((2,), ((2, 2), (4, 2), (4, 8))), ((), (4, 8, 32)), ((), ((4,), (8,), (32,)))]
)
def test_a_profile_takes_the_values_of_a_shape_input(shape, values):
    assert len(build_plan(reshaping_network(shape), profiles=[{**X_RANGE, "size": values}])) > 500


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (None, "gives no range for input 'size', which is a shape input, whose values decide about shapes"),
        (((2, 2), (4, 2)), "needs the values that the input takes, three times"),
        (((2,), (4,), (8,)), r"min \(2,\) has 1 values, and this shape input holds 2"),
        (((4, 2), (2, 2), (4, 8)), "does not hold"),
    ],
)
def test_wrong_values_of_a_shape_input_are_refused_before_the_build(values, message):
    with pytest.raises(ValueError, match=message):
        build_plan(reshaping_network((2,)), profiles=[{**X_RANGE, **({"size": values} if values else {})}])


def test_a_build_that_fails_says_why():
    network = create_network("bad")
    x = network.add_input("x", trt.float32, (1, 3, 8, 8))
    conv = network.add_convolution_nd(x, 4, (3, 3), keep(network, np.zeros(5, np.float32)))
    network.mark_output(conv.get_output(0))
    with pytest.raises(BuildError, match="'bad' failed") as error:
        build_plan(network)
    assert "weight" in str(error.value).lower() or "kernel" in str(error.value).lower()
    assert "cudaError 35" not in str(error.value)
    assert error.value.messages


def test_a_network_without_output_or_that_is_none():
    with pytest.raises(ValueError, match="no output"):
        build_plan(create_network("empty"))
    with pytest.raises(TypeError, match="None"):
        build_plan(None)


@pytest.mark.parametrize("wrong", ["m.onnx", b"\x08\x08", np.zeros(3), SimpleNamespace(SerializeToString=bytes)])
def test_what_is_no_network(wrong):
    with pytest.raises(TypeError, match="not a network definition"):
        build_plan(wrong)


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"fp16": True}, TypeError, r"no option 'fp16'.*flags=\('FP16',\).*to_fp16"),
        ({"int8": True}, TypeError, "no option 'int8'.*quantize"),
        ({"max_workspace_size": 1 << 30}, TypeError, "take workspace"),
        ({"optimisation_level": 3}, TypeError, "take optimization_level"),
        ({"colour": 3}, TypeError, "take workspace, profiles"),
        ({"workspace": "1GB"}, TypeError, "workspace='1GB': give a whole number of bytes"),
        ({"workspace": 1e9}, TypeError, "whole number of bytes"),
        ({"workspace": True}, TypeError, "whole number of bytes"),
        ({"workspace": 0}, ValueError, "above 0"),
        ({"workspace": -1}, ValueError, "above 0"),
        ({"workspace": 1 << 70}, ValueError, "give a number of bytes"),
        ({"optimization_level": "3"}, TypeError, "whole number from 0 to 5"),
        ({"optimization_level": -1}, ValueError, "0 to 5"),
        ({"tactic_sources": "CUBLAS"}, ValueError, r"tactic_sources=\['CUBLAS'\]"),
        ({"tactic_sources": [0]}, TypeError, "such as 'JIT_CONVOLUTIONS'"),
        ({"tactic_sources": ["CUTLASS"]}, ValueError, r"no TacticSource\.CUTLASS; it has .*JIT_CONVOLUTIONS"),
        ({"flags": None}, TypeError, "flags=None: give a list"),
        ({"flags": 3}, TypeError, "flags=3: give a list"),
        ({"flags": [trt.BuilderFlag.DEBUG]}, TypeError, "give names as text, such as 'REFIT'"),
        ({"flags": ["tf32"]}, ValueError, "capitals: 'TF32'"),
        ({"flags": ["name"]}, ValueError, "no BuilderFlag.NAME; it has .*TF32"),
        ({"clear_flags": ["mro"]}, ValueError, "no BuilderFlag.MRO"),
        ({"targets": [86]}, TypeError, "such as 'SM86'"),
        ({"timing_cache": 3}, TypeError, "timing_cache=3: give the path of a file"),
        ({"options": {"flags": []}}, TypeError, "options is of type dict: give BuildOptions"),
    ],
)
def test_wrong_options_say_what_to_give(options, error, message):
    with pytest.raises(error, match=message):
        build_plan(conv_network(), **options)


def test_numpy_numbers_are_numbers():
    ranges = tuple(np.array(shape) for shape in SHAPES)
    assert build_plan(conv_network(batch=-1), profiles=[{"x": ranges}], workspace=np.int64(1 << 30))


def test_the_name_of_a_network_is_text():
    with pytest.raises(TypeError, match="name=3"):
        create_network(3)


def test_unknown_options_are_refused_by_name():
    with pytest.raises(ValueError, match="TF33.*TF32"):
        build_plan(conv_network(), flags=["TF33"])
    with pytest.raises(ValueError, match="0 to 5"):
        build_plan(conv_network(), optimization_level=9)
    with pytest.raises(TypeError):
        build_plan(conv_network(), optimisation_level=3)
    with pytest.raises(TypeError, match="either"):
        build_plan(conv_network(), BuildOptions(), optimization_level=3)


@pytest.mark.parametrize("wrong", [{"flags": "TF32"}, {"targets": "SM86"}, {"profiles": {"x": SHAPES}}])
def test_one_where_a_list_belongs_is_refused(wrong):
    (name,) = wrong
    with pytest.raises(ValueError, match=f"give a list, {name}="):
        build_plan(conv_network(), **wrong)


@pytest.mark.skipif(has("weak_typing"), reason="this TensorRT has BuilderFlag.FP16")
def test_a_flag_that_is_gone_says_what_to_do_instead():
    with pytest.raises(MissingCapability, match="export the model in FP16"):
        build_plan(conv_network(), flags=["FP16"])


@pytest.mark.skipif(not has("ahead_of_time"), reason="this TensorRT builds for the GPU at hand")
def test_targets():
    sizes = [len(build_plan(conv_network(), targets=t)) for t in (["SM86"], ["SM86", "SM89"])]
    assert sizes[0] < sizes[1]
    with pytest.raises(ValueError, match="unknown target 'SM90'"):
        build_plan(conv_network(), targets=["SM90"])


@pytest.mark.skipif(has("ahead_of_time"), reason="this TensorRT has targets")
def test_targets_need_the_capability():
    with pytest.raises(MissingCapability, match="ahead_of_time"):
        build_plan(conv_network(), targets=["SM86"])


def test_a_failed_build_ends_with_advice():
    messages = [Message("ERROR", "CUDA initialization failure with error: 35"), Message("INFO", "bye")]
    error = BuildError("the build failed", messages)
    assert str(error).splitlines()[-1].startswith("  TRT051: ")
    assert error.messages == messages
    assert str(BuildError("it failed", [Message("ERROR", "nobody knows this")])).splitlines()[1:] == [
        "  nobody knows this"
    ]


@pytest.mark.skipif(not has("ahead_of_time"), reason="measured for RTX: the limit must exceed 1 MiB")
def test_workspace_reaches_the_builder():
    with pytest.raises(BuildError):
        build_plan(conv_network(), workspace=1 << 20)
    assert build_plan(conv_network(), workspace=1 << 30)


def test_options_are_plain_data():
    options = BuildOptions(profiles=[{"x": SHAPES}], flags=("TF32",))
    assert dataclasses.asdict(options)["profiles"] == [{"x": SHAPES}]
    assert options == dataclasses.replace(options, progress=True)


@pytest.mark.skipif(not has("progress_monitor"), reason="this TensorRT has no progress monitor")
class TestProgress:
    def test_bars_open_and_close(self, capsys):
        assert build_plan(conv_network(), progress=True)
        assert "Building engine" in capsys.readouterr().err

    def monitored(self, keep_going):
        from helpers.progress import ProgressBars

        network = conv_network()
        config = network.builder.create_builder_config()
        monitor = config.progress_monitor = ProgressBars(keep_going)
        return monitor, network.builder.build_serialized_network(network, config)

    def test_it_counts_steps_and_cancels(self):
        monitor, plan = self.monitored(lambda: True)
        assert plan is not None
        assert not monitor.canceled
        monitor, plan = self.monitored(lambda: False)
        assert plan is None
        assert monitor.canceled

    def test_an_exception_cancels_instead_of_vanishing(self):
        def boom():
            raise KeyboardInterrupt

        monitor, plan = self.monitored(boom)
        assert plan is None
        assert monitor.canceled

    def test_ctrl_c_in_another_callback_cancels_too(self):
        """Outside ``step_complete``, KeyboardInterrupt would vanish on its way through TensorRT."""
        before, sent = signal.getsignal(signal.SIGINT), []

        def interrupted_once(record):
            if not sent and signal.getsignal(signal.SIGINT) is not before:  # the first message during the build
                sent.append(record)
                signal.raise_signal(signal.SIGINT)
            return True

        log = logging.getLogger("tensorrt")
        log.setLevel(logging.DEBUG)
        log.addFilter(interrupted_once)
        try:
            monitor, plan = self.monitored(lambda: True)
        finally:
            log.removeFilter(interrupted_once)
            log.setLevel(logging.NOTSET)
        assert sent
        assert plan is None
        assert monitor.canceled
        assert signal.getsignal(signal.SIGINT) is before

    def test_build_plan_says_that_it_was_cancelled(self, monkeypatch):
        import helpers.progress

        monkeypatch.setattr(helpers.progress.ProgressBars, "step_complete", lambda self, *a: cancel(self))
        with pytest.raises(BuildCanceled, match="'conv' was cancelled"):
            build_plan(conv_network(), progress=True)


def cancel(monitor) -> bool:
    monitor.canceled = True
    return False


def test_a_timing_cache_is_written_and_makes_the_next_build_quicker(tmp_path):
    path = tmp_path / "timings" / "cache.bin"
    times = []
    for _ in range(2):
        begin = time.perf_counter()
        assert build_plan(conv_network(), timing_cache=path)
        times.append(time.perf_counter() - begin)
    assert path.is_file() == has("timing_cache")
    if has("timing_cache"):
        assert times[1] < times[0]


def test_a_timing_cache_that_cannot_be_written_does_not_cost_the_plan(tmp_path, monkeypatch, caplog):
    def save(config, path):
        raise OSError("no space left")

    monkeypatch.setattr(builder, "save_timing_cache", save)
    plan = build_plan(conv_network(), timing_cache=tmp_path / "cache")
    assert len(plan) > 500
    assert trust.is_trusted(plan)
    assert "timing cache could not be written: no space left" in caplog.text


def test_a_timing_cache_that_is_none_is_not_used(tmp_path):
    path = tmp_path / "cache.bin"
    path.write_bytes(b"something else")
    assert build_plan(conv_network(), timing_cache=path)
    assert (path.read_bytes() != b"something else") == has("timing_cache")


class TestTimingCache:
    """What helpers/builder.py reads of a timing cache from the disk."""

    @pytest.fixture
    def config(self, monkeypatch):
        """Notes what it is given, and takes it."""
        monkeypatch.setattr(builder, "has", lambda name: True)
        given = []
        return SimpleNamespace(
            given=given,
            create_timing_cache=lambda data: given.append(data) or data,
            set_timing_cache=lambda cache, ignore: True,
        )

    def test_a_file_is_used(self, tmp_path, config, caplog):
        assert not builder.use_timing_cache(config, tmp_path / "cache")
        (tmp_path / "cache").write_bytes(b"timings")
        assert builder.use_timing_cache(config, tmp_path / "cache")
        assert config.given == [b"", b"", b"timings"]
        assert caplog.text == ""

    @pytest.mark.skipif(os.name != "posix", reason="POSIX")
    @pytest.mark.parametrize("kind", ["pipe", "folder", "holes"])
    def test_what_is_none_is_not_read(self, tmp_path, config, kind, caplog):
        path = tmp_path / "cache"
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        else:
            with path.open("wb") as file:
                file.truncate(builder.LARGEST_TIMING_CACHE + 1)
        assert not builder.use_timing_cache(config, path)
        assert set(config.given) == {b""}
        assert "the timing cache is not used: " in caplog.text
        assert str(path) in caplog.text


@pytest.mark.parametrize(("names", "count"), [((), 0), (("JIT_CONVOLUTIONS",), 1)])
def test_tactics_may_come_from_the_named_sources_alone(names, count):
    network = conv_network()
    config = create_config(network.builder, network, BuildOptions(tactic_sources=names))
    assert config.get_tactic_sources().bit_count() == count
