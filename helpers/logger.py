"""TensorRT's messages in Python's ``logging``, counted and kept, and an error recorder (chapter 01).

TensorRT keeps one global logger, the first that it is given, and warns about every other one that comes while anything
made with the first is alive; where the messages go then depends on the release. So there is one: ``get_logger()``.

>>> with get_logger().capture() as messages:  # as TensorRT does it
...     get_logger().log(trt.ILogger.Severity.ERROR, "no optimization profile has been defined")
>>> errors(messages)
['no optimization profile has been defined']
"""

from __future__ import annotations

import functools
import logging
import re
import threading
from collections import Counter, deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from .advice import advice_line
from .trt import NAME, has, runs_other_versions, trt

LEVELS = {
    "INTERNAL_ERROR": logging.CRITICAL,
    "ERROR": logging.ERROR,
    "WARNING": logging.WARNING,
    "INFO": logging.INFO,
    "VERBOSE": logging.DEBUG,
}


class Message(NamedTuple):
    """One message of TensorRT: the ``severity`` by name ("ERROR", …) and the ``text``."""

    severity: str
    text: str


class PythonLogger(trt.ILogger):
    """Forwards TensorRT's messages to ``logging.getLogger(name)``, counts them, and keeps the last ``keep``.

    Set the level on the Python logger: ``logging.getLogger("tensorrt").setLevel(logging.INFO)``.

    ``hide_cuda_noise``: without a GPU the builder still tries to talk to CUDA and reports an ERROR with
    ``cudaError 35`` after most other errors. Those are kept and counted as VERBOSE and forwarded as DEBUG. By default
    they are hidden on machines without a GPU, and only on those: with a GPU the same message is a real finding.
    """

    def __init__(self, name: str = "tensorrt", keep: int = 10_000, hide_cuda_noise: bool | None = None):
        trt.ILogger.__init__(self)  # not super(): without this very call the bindings raise at the first use
        self.logger = logging.getLogger(name)
        self.messages: deque[Message] = deque(maxlen=keep)
        self.counts: Counter[str] = Counter()
        self.hide_cuda_noise = not has("gpu") if hide_cuda_noise is None else hide_cuda_noise
        self._captures: tuple[list[Message], ...] = ()  # replaced, never changed: other threads may be reading it
        self._replacing = threading.Lock()
        self._quiet = threading.local()

    def log(self, severity: trt.ILogger.Severity, msg: str) -> None:
        """Takes a message, sometimes in a thread of TensorRT's. Must not raise: exceptions vanish on the way back."""
        name = severity.name
        if self.hide_cuda_noise and name == "ERROR" and _is_cuda_noise(msg):
            name = "VERBOSE"
        msg = msg.rstrip()  # the ONNX parser ends its messages with a newline
        for capture in self._captures:
            capture.append(Message(name, msg))
        if getattr(self._quiet, "depth", 0):
            name = "VERBOSE"
        self.counts[name] += 1
        self.messages.append(Message(name, msg))
        self.logger.log(LEVELS[name], "%s", msg)

    @contextmanager
    def capture(self, quiet: bool = False) -> Iterator[list[Message]]:
        """Yields a list that fills with the messages of the ``with`` block; captures may be nested.

        Those of all threads are in it, since TensorRT logs from threads of its own: of two builds at once, each has the
        other's messages too. ``quiet`` is for what is only tried: what this thread logs meanwhile counts as VERBOSE,
        except in the list.
        """
        caught: list[Message] = []
        with self._replacing:
            self._captures = (*self._captures, caught)
        self._quiet.depth = getattr(self._quiet, "depth", 0) + quiet
        try:
            yield caught
        finally:
            self._quiet.depth -= quiet
            # By identity: two captures that caught the same messages are equal lists.
            with self._replacing:
                self._captures = tuple(capture for capture in self._captures if capture is not caught)

    def clear(self) -> None:
        """Forgets the kept messages and the counts."""
        self.messages.clear()
        self.counts.clear()


def _is_cuda_noise(text: str) -> bool:
    return "cudaError 35" in text or "CUDA initialization failure with error: 35" in text


@functools.lru_cache(maxsize=1)
def get_logger() -> PythonLogger:
    """Returns the :class:`PythonLogger` of this process: give it to every builder, parser and runtime."""
    return PythonLogger()


def errors(messages: Sequence[Message]) -> list[str]:
    """Returns the texts of the errors among ``messages``, each once, in order."""
    return list(dict.fromkeys(m.text for m in messages if m.severity in ("ERROR", "INTERNAL_ERROR")))


def explained(what: str, messages: Sequence[Message], reasons: Sequence[str] = ()) -> str:
    """Returns the text of an exception: ``what`` failed, the ``reasons``, by default the errors among ``messages``,
    plugins that TensorRT looked for in vain, and one line of advice (``helpers.advice``) where there is any."""
    reasons = reasons or errors(messages) or ["TensorRT logged no error; see .messages"]
    advice = advice_line("\n".join(reasons))
    return "\n  ".join([what, *reasons, *_lost_plugins(messages), *filter(None, [advice])])


def _lost_plugins(messages: Sequence[Message]) -> list[str]:
    if has("plugins") or runs_other_versions():
        todo = (
            'call trt.init_libnvinfer_plugins(get_logger(), "") for one of NVIDIA\'s, or load its library, before this'
        )
    else:
        todo = f"{NAME} has no plugins: use the full TensorRT, or do that part elsewhere"
    found = (match for message in messages for match in _PLUGIN.finditer(message.text))
    lost = dict.fromkeys((match["name"] or match["named"], match["version"] or match["numbered"]) for match in found)
    return [f"there is no plugin {name!r}, version {version}: {todo}" for name, version in lost]


# Until TensorRT 10, and from then on.
_PLUGIN = re.compile(
    r"could not find plugin:? (?P<name>\S+) version:? (?P<version>[\w.]+)"
    r"|[Pp]lugin not found .*pluginName: (?P<named>\S*), pluginVersion: (?P<numbered>[\w.]*),"
)


class ErrorRecorder(trt.IErrorRecorder):
    """Keeps the errors of the object that it is set on (``builder.error_recorder = ErrorRecorder()``).

    While a recorder is set, errors come here and no longer reach the logger (chapter 01). Make the OnnxParser first:
    TensorRT for RTX 1.7 crashes the process when it frees a network that had a recorder, its own or its builder's,
    before its parser was made.
    ``errors`` is a list of (code: str, description: str).
    """

    def __init__(self, limit: int = 1000):
        trt.IErrorRecorder.__init__(self)
        self.errors: list[tuple[str, str]] = []
        self._codes: list[trt.ErrorCodeTRT] = []
        self._limit = limit
        self._overflowed = False

    # The methods below are TensorRT's interface and are called by the library.
    def report_error(self, code: trt.ErrorCodeTRT, desc: str) -> bool:
        """Keeps an error, as long as there are fewer than ``limit``. Returns False, so that TensorRT goes on."""
        if len(self.errors) >= self._limit:
            self._overflowed = True
        else:
            self._codes.append(code)
            self.errors.append((code.name, desc))
        return False  # True would ask TensorRT to give up at once

    def get_num_errors(self) -> int:
        """Returns how many errors are kept."""
        return len(self.errors)

    def get_error_code(self, index: int) -> trt.ErrorCodeTRT:
        """Returns the code of a kept error. Raises IndexError."""
        return self._codes[index]

    def get_error_desc(self, index: int) -> str:
        """Returns the description of a kept error. Raises IndexError."""
        return self.errors[index][1]

    def has_overflowed(self) -> bool:
        """Returns True if there were more errors than are kept."""
        return self._overflowed

    def clear(self) -> None:
        """Forgets all errors."""
        self.errors.clear()
        self._codes.clear()
        self._overflowed = False
