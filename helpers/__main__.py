"""The command line of the workbook: ``python -m helpers COMMAND`` (chapter 00). Commands are imported when called."""

from __future__ import annotations

import argparse
import math
import os
import sys
from collections.abc import Sequence


def _doctor(arguments: argparse.Namespace) -> int:
    from .doctor import main

    return main()


def _check(arguments: argparse.Namespace) -> int:
    from .check import main

    return main(arguments)


def _whatis(arguments: argparse.Namespace) -> int:
    from .whatis import main

    return main(arguments.names)


def _port(arguments: argparse.Namespace) -> int:
    from .port import main

    return main(arguments.files, arguments.json)


def _copy(arguments: argparse.Namespace) -> int:
    from .takeaway import main

    return main(arguments)


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _page(text: str) -> str:
    """Where a report may be written: no model is lost to it, only an older page."""
    if os.path.isfile(text):
        with open(text, "rb") as there:
            begin = there.read(64).lstrip().lower()
        if begin and not begin.startswith(b"<!doctype html"):
            raise argparse.ArgumentTypeError(f"{text} is there already and is no HTML page: it would be lost")
    return text


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
        "can take the shell down. The exit status is 0 for convertible, 1 for not, 2 for not a usable model, or for a "
        "report that cannot be written.",
    )
    check.add_argument("model", metavar="MODEL.onnx")
    check.add_argument("--build", action="store_true", help="build it too, not only parse it")
    check.add_argument("--json", action="store_true", help="print the report as JSON")
    check.add_argument("--html", type=_page, metavar="FILE", help="write the report to a file, as HTML")
    check.add_argument("--timeout", type=_positive, default=120, metavar="S", help="seconds for each step (120)")
    check.add_argument("--memory", type=_positive, default=8, metavar="GB", help="memory that a step may take (8)")
    check.set_defaults(run=_check)

    whatis = commands.add_parser(
        "whatis",
        help="what a TensorRT name of C++ or Python is, when it lived, and what it is called today",
        description="Looks up names as met in old tutorials, such as buildEngineWithConfig or BuilderFlag.FP16. "
        "The exit status is 0 if all were found, 1 if only similar names were, 2 if there is nothing similar either.",
    )
    whatis.add_argument("names", nargs="+", metavar="NAME")
    whatis.set_defaults(run=_whatis)

    port = commands.add_parser(
        "port",
        help="lists the outdated TensorRT calls in scripts and notebooks, with what to write today",
        description="Lists outdated TensorRT calls; changes and runs nothing. The exit status is 0 if nothing is "
        "outdated, 1 if something is, 2 if a file cannot be read.",
    )
    port.add_argument("files", nargs="+", metavar="FILE", help="a .py or .ipynb file")
    port.add_argument("--json", action="store_true", help="print the findings as JSON")
    port.set_defaults(run=_port)

    copy = commands.add_parser(
        "copy",
        help="take helpers along into a project of your own",
        description="Copies modules, with all that they import, into a package of your own, and says what has to be "
        "installed for them. Nothing is overwritten, unless --force says so.",
    )
    copy.add_argument("modules", nargs="*", metavar="MODULE", help="one or more of those that --list shows")
    copy.add_argument("--to", metavar="FOLDER", help="the package, made if need be: ../myproject/inference")
    copy.add_argument("--force", action="store_true", help="overwrite files that are there and different")
    copy.add_argument("--list", action="store_true", help="show what there is")
    copy.set_defaults(run=_copy)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status. ``arguments``: those of the process if None."""
    parsed = _parser().parse_args(arguments)
    return parsed.run(parsed)


def program() -> int:
    """:func:`main` in a shell, where output may go to a file without Unicode, or to a pipe that closes early."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")
    try:
        status = main()
        sys.stdout.flush()
        return status
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # else Python complains of it at its end
        return 141  # as shells say it of programs that end so
    except ModuleNotFoundError as error:
        advice = "it is in the workbook's environment: .venv/bin/python -m helpers …, after `make lab`"
        print(f"{error}; {advice}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(program())
