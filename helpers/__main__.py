"""The command line of the workbook: ``python -m helpers COMMAND`` (chapter 00). Commands are imported when called."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence


def _doctor(arguments: argparse.Namespace) -> int:
    from .doctor import main

    return main()


def _check(arguments: argparse.Namespace) -> int:
    from .check import main

    return main(arguments)


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

    check = commands.add_parser(
        "check",
        help="whether TensorRT will take an ONNX model, and what to do if not",
        description="Says whether TensorRT will take an ONNX model, and what to do if not. Nothing that the model does "
        "can take the shell down. The exit status is 0 for convertible, 1 for not, 2 for not a usable model.",
    )
    check.add_argument("model", metavar="MODEL.onnx")
    check.add_argument("--build", action="store_true", help="build it too, not only parse it")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.add_argument("--html", metavar="FILE", help="write the report to a file, as HTML")
    check.add_argument("--timeout", type=float, default=120, metavar="S", help="seconds for each step (120)")
    check.add_argument("--memory", type=float, default=8, metavar="GB", help="memory that a step may take (8)")
    check.set_defaults(run=_check)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status. ``arguments``: those of the process if None."""
    parsed = _parser().parse_args(arguments)
    return parsed.run(parsed)


if __name__ == "__main__":
    sys.exit(main())
