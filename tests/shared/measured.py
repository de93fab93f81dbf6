"""Marks for tests of what was measured with one release of TensorRT, and may differ with others."""

from __future__ import annotations

import pytest

from helpers.trt import FLAVOUR, VERSION

rtx_17 = pytest.mark.skipif(
    (FLAVOUR, VERSION.split(".")[:2]) != ("tensorrt_rtx", ["1", "7"]), reason="measured with TensorRT for RTX 1.7"
)
