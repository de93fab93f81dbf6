"""One worker for all checks of a test file."""

from __future__ import annotations

import pytest

from helpers.commands.check import check_worker


@pytest.fixture(scope="module")
def worker():
    with check_worker() as worker:
        yield worker
