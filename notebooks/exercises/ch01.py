"""Specifications of the exercises of chapter 01, the logger."""

from helpers.logger import Message
from helpers.trt import trt
from helpers.workbook.exercises import exercise, expect, started

SEVERITIES = ("INTERNAL_ERROR", "ERROR", "WARNING", "INFO", "VERBOSE")


@exercise(
    "01.1",
    "Write a logger that keeps warnings and everything worse, and nothing else.",
    "Severities count downwards: INTERNAL_ERROR is 0 and VERBOSE is 4, so “worse than a warning” is a smaller number.",
)
def quiet_logger(logger_class):
    expect(
        isinstance(logger_class, type) and issubclass(logger_class, trt.ILogger),
        "a class derived from trt.ILogger",
        logger_class,
        "pass the class itself: check('01.1', QuietLogger)",
    )
    try:
        logger = logger_class()
    except TypeError as error:
        expect(False, "QuietLogger() can be created", error, "call trt.ILogger.__init__(self) first in __init__")
    for name in SEVERITIES:
        logger.log(getattr(trt.ILogger.Severity, name), f"a message of severity {name}")
    kept = [name for name in SEVERITIES if any(name == str(text).split()[-1] for text in logger.kept)]
    started(logger.kept)
    hints = {
        "INFO": "INFO got through: smaller numbers are worse, so compare with <=, not >=",
        "VERBOSE": "VERBOSE got through: smaller numbers are worse, so compare with <=, not >=",
    }
    extra = [name for name in kept if name in hints]
    expect(not extra, "INTERNAL_ERROR, ERROR, WARNING", ", ".join(kept), hints[extra[0]] if extra else "")
    lost = [name for name in SEVERITIES[:3] if name not in kept]
    expect(not lost, "INTERNAL_ERROR, ERROR, WARNING", ", ".join(kept), f"{', '.join(lost)} should be kept: use <=")


@exercise(
    "01.2",
    "Find the first message that says what went wrong.",
    "An INTERNAL_ERROR is an error too, and what comes first is the cause: later messages are its consequences.",
)
def reason(function):
    failed = [
        Message("VERBOSE", "Registering layer"),
        Message("INFO", "Local timing cache in use"),
        Message("WARNING", "something looks odd"),
        Message("ERROR", "the kernel has 5 weights, 108 were expected"),
        Message("ERROR", "the build failed"),
    ]
    got = function(failed)
    started(got is not None)
    expect(got != failed[0].text, failed[3].text, got, "look at the severity before you return a text")
    expect(got != failed[1].text, failed[3].text, got, "an INFO is not an error")
    expect(got != failed[2].text, failed[3].text, got, "a WARNING is not yet an error")
    expect(got != failed[4].text, failed[3].text, got, "the first error is the cause; return at once when you find it")
    expect(got == failed[3].text, failed[3].text, got, "return the message's text, not the message")
    internal = [Message("INTERNAL_ERROR", "an assertion failed"), failed[4]]
    got = function(internal)
    expect(got == internal[0].text, internal[0].text, got, "an INTERNAL_ERROR is an error too, and a worse one")
    got = function([failed[3], internal[0]])
    expect(got == failed[3].text, failed[3].text, got, "the first of the two kinds, whichever it is: one loop for both")
    got = function(failed[:3])
    expect(got == "", "an empty text, since nothing went wrong", repr(got), 'after the loop, return ""')
