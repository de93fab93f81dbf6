"""Fixtures of several test files: notebooks made for a test, and the trained LeNet with its digits."""

from pathlib import Path

import numpy as np
import pytest
from notebook_fixtures import book, shared_book  # noqa: F401

DATA = Path(__file__).resolve().parents[1] / "data"


@pytest.fixture(scope="session")
def weights():
    """The weights of the trained LeNet by PyTorch's names."""
    with np.load(DATA / "lenet.npz") as file:
        return dict(file)


@pytest.fixture(scope="session")
def digits():
    """The 2,000 test digits as LeNet takes them, float32 (2000, 1, 28, 28) from 0 to 1, and their labels."""
    with np.load(DATA / "mnist.npz") as file:
        return file["test_images"][:, None].astype(np.float32) / 255, file["test_labels"]
