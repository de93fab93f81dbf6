"""The child's side of ``helpers.worker``: takes calls from its standard input and answers them (chapter 08).

A message is eight bytes that give its length, then its content: pickle on the way to the child, JSON on the way back.
Standard library only.

>>> from io import BytesIO
>>> pipe = BytesIO()
>>> write_message(pipe, b"hello")
>>> read_message(BytesIO(pipe.getvalue()))
b'hello'
"""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import json
import os
import pickle
import queue
import threading
import traceback
from typing import IO

LARGEST_REPLY = 64 << 20  # bytes of JSON, which become some times as many in the parent, outside the child's limit


def write_message(pipe: IO[bytes], content: bytes) -> None:
    pipe.write(len(content).to_bytes(8, "little"))
    pipe.write(content)
    pipe.flush()


def read_message(pipe: IO[bytes], largest: int | None = None) -> bytes | None:
    """One message; None where the pipe ended; b"", and nothing is read, where it announces more than ``largest`` bytes:
    the child is not trusted, so nor is the length that it announces."""
    head = pipe.read(8)
    size = int.from_bytes(head, "little")
    if len(head) < 8:
        return None
    if largest is not None and size > largest:
        return b""
    content = pipe.read(size)
    return content if len(content) == size else None


def serve() -> None:
    """The child's side: runs the calls that arrive on stdin until it ends. What a call prints goes nowhere."""
    requests, replies = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    nowhere = os.open(os.devnull, os.O_RDWR)
    for descriptor in (0, 1, 2):
        os.dup2(nowhere, descriptor)
    _expect_the_worst()
    calls: queue.SimpleQueue = queue.SimpleQueue()

    def listen() -> None:
        while (request := read_message(requests)) is not None:
            calls.put(request)
        os._exit(0)  # the parent is gone, and with it the reason for what is running here

    threading.Thread(target=listen, daemon=True).start()
    with open(os.devnull, "w") as null:
        while True:
            limit, call = pickle.loads(calls.get())
            # Works even where native code never returns, and after the parent was killed.
            faulthandler.dump_traceback_later(min(limit, threading.TIMEOUT_MAX), exit=True, file=null)
            reply = _answer(call)
            faulthandler.cancel_dump_traceback_later()
            write_message(replies, reply)


def _expect_the_worst() -> None:
    with contextlib.suppress(ImportError, OSError, ValueError):
        import resource

        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # a crash must not leave a core file beside the model
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as file:
        file.write("1000")  # where the whole machine runs out of memory, this process goes first


def _answer(call: bytes) -> bytes:
    try:
        function, arguments, named = pickle.loads(call)  # may raise: a class of the parent's __main__ is not here
        module, _, name = function.partition(":")
        result = getattr(importlib.import_module(module), name)(*arguments, **named)
        reply = json.dumps(["returned", result]).encode()
    except BaseException as error:
        raised = ["raised", [type(error).__name__, str(error), traceback.format_exc()]]
        reply = json.dumps(raised).encode()
    return reply if len(reply) <= LARGEST_REPLY else json.dumps(["large", len(reply)]).encode()
