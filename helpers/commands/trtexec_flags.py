"""Knows the flags of trtexec from 5.1 to 11: when each came, was deprecated and went, and what to give today.

Behind the commands ``whatis`` and ``port`` (chapter 12). Reads data/trtexec.json, see there. Standard library only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache

from .api_names import read_data


@dataclass(frozen=True)
class Flag:
    """One flag. ``came``, ``deprecated`` and ``gone`` are releases, "" where that did not happen."""

    name: str  # with its dashes
    came: str
    deprecated: str
    gone: str
    use: str  # what to give today, "" for a flag that lives


@cache
def flags() -> dict[str, Flag]:
    """Returns all flags by name. Raises FileNotFoundError where data/trtexec.json is missing.

    >>> flags()["--workspace"].gone
    '10.0.0'
    """
    return {name: Flag(name, **entry) for name, entry in read_data("trtexec.json")["flags"].items()}
