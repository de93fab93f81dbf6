"""The command line of the workbook: ``python -m helpers COMMAND`` (chapter 00). Commands are imported when called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def _doctor(arguments: argparse.Namespace) -> int:
    from .doctor import main

    return main()


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m helpers", description="Tools of the TensorRT Workbook.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    # A new command: a parser with its arguments, and a function above that imports what it needs.
    doctor = commands.add_parser(
        "doctor",
        help="what this machine has, and what to do about what is missing",
        description="Says what this machine has for the workbook, and what to do about what is missing. "
        "The exit status is 0 where plans can be built, else 1.",
    )
    doctor.set_defaults(run=_doctor)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status. ``arguments``: those of the process if None."""
    parsed = _parser().parse_args(arguments)
    return parsed.run(parsed)


if __name__ == "__main__":
    sys.exit(main())
