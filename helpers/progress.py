"""A progress bar for every phase of a build, through TensorRT's IProgressMonitor (chapter 02). Needs tqdm.

Import it only where ``has("progress_monitor")``: TensorRT 8.6 has no such class.

>>> bars = ProgressBars()
>>> bars.phase_start("Building engine", None, 6)
>>> bars.step_complete("Building engine", 0)  # False would cancel the build
True
>>> bars.phase_finish("Building engine")
"""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable
from typing import Any

from .trt import trt


class ProgressBars(trt.IProgressMonitor):
    """Shows each phase of a build as a tqdm bar, nested as the phases are; set it as ``config.progress_monitor``.

    ``keep_going`` is called at every step; the first false answer cancels the build. By default nothing cancels it.
    Ctrl-C, or "interrupt the kernel", cancels it too. ``canceled`` says whether that happened.
    """

    def __init__(self, keep_going: Callable[[], bool] = lambda: True, leave: bool = False):
        trt.IProgressMonitor.__init__(self)
        self._keep_going = keep_going
        self._leave = leave
        self._bars: dict[str, Any] = {}
        self._handler: Any = None
        self.canceled = False

    def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
        """Shows a bar for a phase of ``num_steps`` steps; TensorRT calls this and the methods below."""
        from tqdm.auto import tqdm

        if not self._bars and threading.current_thread() is threading.main_thread():
            # As an exception it would be raised in whichever callback comes next, mostly in the logger's, and be lost.
            self._handler = signal.signal(signal.SIGINT, self._interrupted)
        bar = tqdm(total=num_steps, desc=phase_name, leave=self._leave and not self._bars, position=len(self._bars))
        self._bars[phase_name] = bar

    def step_complete(self, phase_name: str, step: int) -> bool:
        """Moves the bar of a phase behind ``step``, which counts from 0. Returns False to cancel the build."""
        # Called from C++, where an exception would be printed and lost: turn it into a cancelled build.
        try:
            bar = self._bars.get(phase_name)
            if bar is not None:
                bar.update(step + 1 - bar.n)
            if not self._keep_going():
                self.canceled = True
        except BaseException:
            self.canceled = True
        return not self.canceled

    def phase_finish(self, phase_name: str) -> None:
        """Closes the bar of a phase, and after the last one gives Ctrl-C back to whoever had it."""
        bar = self._bars.pop(phase_name, None)
        if bar is not None:  # the announced number of steps is not always reached
            if not self.canceled:
                bar.update(bar.total - bar.n)
            bar.close()
        if not self._bars and self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
            self._handler = None

    def _interrupted(self, *_: Any) -> None:
        self.canceled = True
