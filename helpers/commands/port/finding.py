"""What ``port`` says of one outdated thing (chapter 12). Standard library only.

>>> counts(Finding(1, "with Builder", "advice", "", "an ordinary assignment"))
False
"""

from __future__ import annotations

from dataclasses import dataclass

from ..api_names import Name


@dataclass(frozen=True)
class Finding:
    """One outdated thing. ``level``: "gone", "changed" (it no longer works as it did) or "advice" (it still works)."""

    line: int  # of the file, or of the cell
    name: str
    level: str
    when: str  # the release in which it went or changed
    use: str
    advice: str = ""
    guarded: bool = False  # only runs where a test says that it may
    cell: int = 0  # of a notebook, counted from 1


def counts(finding: Finding) -> bool:
    """Says whether a finding counts as outdated: not if it is advice, or guarded by a test of the version or name."""
    return finding.level != "advice" and not finding.guarded


def gone(line: int, entry: Name | None, said: str = "") -> Finding | None:
    """Makes the finding for a name, ``said`` otherwise if need be. Returns None for a name that is not gone."""
    if entry is None or not entry.gone:
        return None
    return Finding(line, said or entry.name, "gone", entry.went, entry.use, entry.advice)
