"""Lists the outdated TensorRT calls of scripts and notebooks: ``tensorrt-workbook port FILE`` (chapter 12).

In Python: ``port("old.py")``, and ``port_source`` for text. Needs rich for the command line.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence

from .finding import Finding, counts
from .parsing import UnreadableSource
from .scripts import port, port_source

__all__ = ["Finding", "UnreadableSource", "add_arguments", "counts", "port", "port_source", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``tensorrt-workbook port``."""
    parser.description = (
        "Lists outdated TensorRT calls; changes and runs nothing. The exit status is 0 if nothing is "
        "outdated, 1 if something is, 2 if a file cannot be read, or some of its lines: also if something is outdated "
        "in the rest, since the answer is incomplete. A file may have 16 MB, and half a million characters of code."
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="a .py or .ipynb file")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")


def run(arguments: argparse.Namespace) -> int:
    """Prints a report on each file. Returns 0 if nothing is outdated, 1 if something is, 2 if a file cannot be read.

    2 goes before 1, since the answer is incomplete then. The other files have their reports all the same, and so has
    what can be read of a file with broken lines. Advice, and what is behind a test of the version, is shown but does
    not count.
    """
    reports, status = {}, 0
    for file in arguments.files:
        try:
            reports[file] = port(file)
        except (OSError, UnreadableSource) as error:
            print(_one_line(str(error)), file=sys.stderr)
            status = 2
            if not isinstance(error, UnreadableSource) or not error.findings:
                continue
            reports[file] = error.findings
        status = max(status, int(any(map(counts, reports[file]))))
        if not arguments.json:
            _print(file, reports[file])
    if arguments.json:
        print(json.dumps({file: [vars(finding) for finding in found] for file, found in reports.items()}, indent=1))
    return status


def _one_line(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)[:1000]


def _print(file: str, found: Sequence[Finding]) -> None:
    from rich.console import Console
    from rich.padding import Padding
    from rich.text import Text

    console, number = Console(highlight=False), sum(map(counts, found))
    console.print(Text(f"{file}: {number or 'nothing'} outdated", "bold"))
    for finding in found:
        line = f"cell {finding.cell}, line {finding.line}" if finding.cell else f"line {finding.line}"
        when = f"{'gone in' if finding.level == 'gone' else 'since'} {finding.when}" if finding.when else "advice"
        note = "; behind a test of the version or name" if finding.guarded else ""
        console.print(
            Text.assemble((f"{line}: ", "dim"), (finding.name, "" if counts(finding) else "dim"), f": {when}{note}")
        )
        console.print(Padding(Text(f"→ {finding.use}", "cyan"), (0, 0, 0, 4)))
    for advice in dict.fromkeys(finding.advice for finding in found if finding.advice):
        console.print(Text(f"• {advice}"))
    if found:
        console.print(Text("More on a name: tensorrt-workbook whatis NAME", "dim"))
