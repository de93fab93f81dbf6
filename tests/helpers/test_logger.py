"""TensorRT's messages in Python: levels, counts, captures, noise, and the error recorder."""

import contextlib
import logging
import subprocess
import sys
import threading

import numpy as np
import pytest

from helpers.builder import create_network, keep
from helpers.logger import ErrorRecorder, Message, PythonLogger, errors, explained, get_logger
from helpers.trt import has, trt

SEVERITY = trt.ILogger.Severity


@pytest.fixture
def logger():
    return PythonLogger("tensorrt.test", hide_cuda_noise=True)


def bad_network():
    """A convolution whose kernel has the wrong number of weights: an ERROR as soon as its shape is asked for."""
    network = create_network("bad")
    x = network.add_input("x", trt.float32, (1, 3, 8, 8))
    conv = network.add_convolution_nd(x, 4, (3, 3), keep(network, np.zeros(5, np.float32)))
    return network, conv


def ask_for_the_shape(conv):
    with contextlib.suppress(RuntimeError):  # newer bindings raise, older ones only log
        _ = conv.get_output(0).shape


@pytest.mark.parametrize(
    ("severity", "level"),
    [
        ("INTERNAL_ERROR", logging.CRITICAL),
        ("ERROR", logging.ERROR),
        ("WARNING", logging.WARNING),
        ("INFO", logging.INFO),
        ("VERBOSE", logging.DEBUG),
    ],
)
def test_every_severity_has_its_level(logger, caplog, severity, level):
    with caplog.at_level(logging.DEBUG, logger="tensorrt.test"):
        logger.log(getattr(SEVERITY, severity), "hello %s")
    assert caplog.record_tuples == [("tensorrt.test", level, "hello %s")]
    assert logger.counts[severity] == 1
    assert list(logger.messages) == [Message(severity, "hello %s")]


def test_the_level_of_the_python_logger_decides_what_is_shown_but_everything_is_counted(logger, caplog):
    with caplog.at_level(logging.WARNING, logger="tensorrt.test"):
        logger.log(SEVERITY.INFO, "quiet")
        logger.log(SEVERITY.WARNING, "loud")
    assert [r.message for r in caplog.records] == ["loud"]
    assert logger.counts == {"INFO": 1, "WARNING": 1}


def test_only_so_many_messages_are_kept():
    logger = PythonLogger("tensorrt.test", keep=2)
    for text in "abc":
        logger.log(SEVERITY.INFO, text)
    assert [m.text for m in logger.messages] == ["b", "c"]
    assert logger.counts["INFO"] == 3


def test_cuda_noise_is_hidden_on_request_and_otherwise_an_error(caplog):
    noise = "In catchCudaError at driver.cpp:1: cudaError 35: no driver"
    for hide, severity in ((True, "VERBOSE"), (False, "ERROR")):
        logger = PythonLogger("tensorrt.test", hide_cuda_noise=hide)
        logger.log(SEVERITY.ERROR, noise)
        assert logger.counts == {severity: 1}
    assert get_logger().hide_cuda_noise == (not has("gpu"))


def test_captures_nest_and_hold_only_what_arrived_inside(logger):
    logger.log(SEVERITY.ERROR, "before")
    with logger.capture() as outer:
        logger.log(SEVERITY.ERROR, "one")
        with logger.capture() as inner:
            logger.log(SEVERITY.ERROR, "two")
        logger.log(SEVERITY.INFO, "three")
    logger.log(SEVERITY.ERROR, "after")
    assert [m.text for m in inner] == ["two"]
    assert [m.text for m in outer] == ["one", "two", "three"]
    assert errors(outer) == ["one", "two"]


def test_equal_captures_do_not_close_each_other(logger):
    with logger.capture() as outer:
        with logger.capture():
            pass
        logger.log(SEVERITY.ERROR, "still here")
    assert len(outer) == 1


def test_threads_do_not_lose_each_others_captures(logger):
    lost = []

    def capture_often():
        for _ in range(20_000):
            with logger.capture() as mine:
                logger.log(SEVERITY.ERROR, "here")
            if not mine:
                lost.append(1)

    logger.logger.setLevel(logging.CRITICAL)
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        threads = [threading.Thread(target=capture_often) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    finally:
        sys.setswitchinterval(interval)
    assert not lost
    assert not logger._captures


def test_what_is_only_tried_leaves_no_error_in_the_log(logger, caplog):
    caplog.set_level(logging.DEBUG, logger="tensorrt.test")
    with logger.capture() as outside, logger.capture(quiet=True) as inside, logger.capture():
        logger.log(SEVERITY.ERROR, "not possible")
        elsewhere = threading.Thread(target=logger.log, args=(SEVERITY.ERROR, "of another thread"))
        elsewhere.start()
        elsewhere.join()
    logger.log(SEVERITY.ERROR, "afterwards")
    assert [(r.levelname, r.message) for r in caplog.records] == [
        ("DEBUG", "not possible"),
        ("ERROR", "of another thread"),
        ("ERROR", "afterwards"),
    ]
    assert errors(inside) == errors(outside) == ["not possible", "of another thread"]
    assert logger.counts == {"VERBOSE": 1, "ERROR": 2}


class TestExplained:
    def test_reasons_and_advice(self):
        messages = [Message("ERROR", "cudaError 35"), Message("INFO", "bye")]
        first, second, last = explained("it failed", messages).splitlines()
        assert (first, second) == ("it failed", "  cudaError 35")
        assert last.startswith("  TRT051: ")
        assert explained("it failed", [], ["who knows"]) == "it failed\n  who knows"
        assert "TensorRT logged no error" in explained("it failed", [])

    # As TensorRT 8.6 and 10 log it.
    @pytest.mark.parametrize(
        ("severity", "text", "named"),
        [
            ("ERROR", "3: getPluginCreator could not find plugin: Mish_TRT version: 1", "'Mish_TRT', version 1:"),
            (
                "ERROR",
                "INVALID_ARGUMENT: getPluginCreator could not find plugin Mine version 1.0",
                "'Mine', version 1.0:",
            ),
            (
                "INFO",
                "Plugin not found with node attribute namespace: using pluginName: Mine, pluginVersion: 2, "
                "pluginNamespace:",
                "'Mine', version 2:",
            ),
        ],
    )
    def test_a_plugin_that_is_not_there_is_named(self, severity, text, named, monkeypatch):
        for there, todo in ((True, "init_libnvinfer_plugins"), (False, "has no plugins")):
            monkeypatch.setattr("helpers.logger.has", lambda name, there=there: there)
            monkeypatch.setattr("helpers.logger.runs_other_versions", lambda: False)
            lines = explained("it failed", [Message(severity, text)] * 2).splitlines()
            (line,) = (one for one in lines if "there is" in one)
            assert line.startswith(f"  there is no plugin {named}")
            assert todo in line


def test_a_real_error_of_the_library_arrives():
    network, conv = bad_network()
    with get_logger().capture() as messages:
        ask_for_the_shape(conv)
    assert errors(messages), messages
    assert any("kernel" in text.lower() or "weight" in text.lower() for text in errors(messages))


def test_there_is_one_logger_per_process():
    assert get_logger() is get_logger()


def test_a_second_logger_earns_a_warning_while_the_first_is_in_use():
    # Two loggers in one process: in a process of its own, since other tests keep builders alive.
    script = """
from helpers.logger import PythonLogger
from helpers.trt import trt

def warnings(*loggers):
    return [m.text for logger in loggers for m in logger.messages if "logger passed into" in m.text]

first, second, third = PythonLogger(), PythonLogger(), PythonLogger()
builders = [trt.Builder(first), trt.Builder(second)]
assert len(warnings(first, second)) == 1, (first.messages, second.messages)
del builders
trt.Builder(third)
assert not warnings(third)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_a_recorder_set_after_the_parser_was_made_does_not_crash_the_process():
    script = """
from helpers.builder import create_network
from helpers.logger import ErrorRecorder, get_logger
from helpers.trt import trt

network = create_network("twice")
parser = trt.OnnxParser(network, get_logger())
network.error_recorder = recorder = ErrorRecorder()
network.add_input("x", trt.float32, (1,))
network.add_input("x", trt.float32, (1,))
assert recorder.errors
del parser, network
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr


def test_an_error_recorder_takes_the_errors_from_the_logger():
    network, conv = bad_network()
    recorder = ErrorRecorder()
    network.error_recorder = recorder
    with get_logger().capture() as messages:
        ask_for_the_shape(conv)
    assert recorder.errors
    assert not errors(messages)
    code, description = recorder.errors[0]
    assert code in trt.ErrorCodeTRT.__members__
    assert recorder.get_num_errors() == len(recorder.errors)
    assert recorder.get_error_desc(0) == description
    assert recorder.get_error_code(0).name == code
    recorder.clear()
    assert recorder.errors == []
    network.error_recorder = None


def test_an_error_recorder_does_not_grow_for_ever():
    recorder = ErrorRecorder(limit=1)
    for _ in range(2):
        recorder.report_error(trt.ErrorCodeTRT.INVALID_ARGUMENT, "x")
    assert len(recorder.errors) == 1
    assert recorder.has_overflowed()
