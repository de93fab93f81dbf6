"""What a Runner remembers of a call, and a call that is under way (chapters 07 and 11).

>>> here = np.zeros((1, 2), np.float32)
>>> call = Call({"x": (1, 2)}, {"x": 4096, "y": 8192}, staged={"x": here}, fetched={"y": here})
>>> call.takes({"x": np.ones((1, 2), np.float32)}, out=None), call.takes({"x": np.ones((1, 2))}, out=None)
(True, False)
"""

from __future__ import annotations

import ctypes
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from .graphs import Graph
from .tensors import gpu_interface

if TYPE_CHECKING:
    from .runner import Runner

# An array's address, several times faster than array.ctypes.data, for arrays that are contiguous and writeable.
_addressof, _memory = ctypes.addressof, (ctypes.c_char * 0).from_buffer


@dataclass
class Call:
    """One combination of shapes and GPU addresses, ready to be repeated."""

    shapes: dict[str, tuple[int, ...]]  # of the inputs
    addresses: dict[str, int]  # of all tensors in GPU memory
    staged: dict[str, np.ndarray]  # inputs that are NumPy's: page-locked memory of their shape
    fetched: dict[str, Any]  # outputs: page-locked memory, an array; None: the caller's GPU memory
    borrowed: dict[str, Any] = field(default_factory=dict)  # what the caller's arrays in GPU memory say of themselves
    direct: list[tuple[str, int, int]] = field(default_factory=list)  # its outputs: from which address up to which
    seen: int = 0
    graph: Graph | None = None

    def __post_init__(self) -> None:
        self._expected = [(name, array.shape, array.dtype, array) for name, array in self.staged.items()]
        self.written = self.direct.copy()  # where the run puts its outputs
        for name, array in self.fetched.items():
            if array is not None:
                begin = _addressof(_memory(array))
                self.written.append((name, begin, begin + array.nbytes))

    def takes(self, given: Mapping[str, Any], out: Mapping[str, Any] | None) -> bool:
        """Whether these are the call's arrays: of NumPy, with its names, shapes and dtypes, and contiguous; or in GPU
        memory, at the same place and described as before. It must be cheap: every call begins here."""
        if len(given) != len(self.shapes):
            return False
        for name, shape, dtype, _ in self._expected:
            array = given.get(name)
            if type(array) is not np.ndarray or array.shape != shape or array.dtype != dtype:
                return False
            if not array.flags.c_contiguous:
                return False
        for name, array in out.items() if out else ():
            if name not in self.fetched:
                return False
            staging = self.fetched[name]
            if staging is None:  # in GPU memory: compared below
                continue
            if type(array) is not np.ndarray or not array.flags.carray:
                return False
            if array.dtype != staging.dtype or array.shape != staging.shape:
                return False
        for name, described in self.borrowed.items():
            if not _is_as(described, given.get(name) if name in self.shapes else (out or {}).get(name)):
                return False
        return not out or len(self.fetched) < 2 or self.lost(out) is None

    def lost(self, out: Mapping[str, Any]) -> tuple[str, str] | None:
        """Two outputs of which one would overwrite the other, where the run puts them or in ``out``; None if none.

        Nothing else can get lost: NumPy inputs are copied before a run, and NumPy outputs after it.
        """
        taken = self.written.copy()
        for name, array in out.items():
            if self.fetched[name] is not None:
                begin = _addressof(_memory(array))
                end = begin + array.nbytes
                for other, low, high in taken:
                    if low < end and begin < high and other != name and begin < end and low < high:
                        return name, other
                taken.append((name, begin, end))
        return None

    def stage(self, given: Mapping[str, Any]) -> None:
        """Copies the inputs into page-locked memory."""
        for name, _, _, staging in self._expected:
            staging[...] = given[name]

    def results(self, out: Mapping[str, Any] | None, views: bool = False) -> dict[str, Any]:
        """The outputs of the run that has just ended, in arrays of the caller unless ``views``."""
        if not out:
            return {name: staging if views else staging.copy() for name, staging in self.fetched.items()}
        result: dict[str, Any] = {}
        for name, staging in self.fetched.items():
            result[name] = out.get(name)
            if result[name] is None:
                result[name] = staging if views else staging.copy()
            elif staging is not None:
                result[name][...] = staging
        return result


def _is_as(described: Mapping[str, Any] | None, array: Any) -> bool:
    try:
        return described is not None and described == gpu_interface(array)
    except (TypeError, ValueError, RuntimeError):  # the thorough check will say what is wrong with it
        return False


class Pending:
    """A run under way, from :meth:`Runner.submit`. ``result()`` waits and may be called as often as you like."""

    def __init__(self, runner: Runner, call: Call, out: Mapping[str, Any] | None, inputs: Mapping[str, Any]):
        self._runner = runner
        self._call = call
        self._out = out
        self._inputs: Mapping[str, Any] | None = inputs  # arrays in GPU memory have to live until the run is done
        self._result: dict[str, Any] | None = None
        self._error: BaseException | None = None

    def result(self) -> dict[str, Any]:
        """The outputs by name, once they are there. Raises RuntimeError if the run failed on the GPU.

        Until then arrays in GPU memory and those in ``out`` must stay as they are, and the latter writeable.
        """
        if self._result is None and self._error is None:
            if threading.get_ident() != self._runner._thread:
                raise RuntimeError("this run belongs to the thread that submitted it: ask for its result there")
            self.complete()
        if self._error is not None:
            raise self._error
        assert self._result is not None
        return self._result

    def complete(self) -> None:
        if self._result is not None or self._error is not None:
            return
        runner = self._runner
        try:
            with runner._cuda:
                runner._cuda.synchronize(runner.stream)
            self._result = self._call.results(self._out)
        except Exception as error:  # an array in `out` may be read-only by now; result() tells, not the next call
            self._error = error
        runner._pending = None  # not after Ctrl-C: the run goes on, and whoever comes next waits for it
        self._inputs = None
