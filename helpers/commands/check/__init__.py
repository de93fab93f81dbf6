"""Says whether TensorRT will take an ONNX model: ``tensorrt-workbook check MODEL.onnx`` (chapter 08).

In Python: ``check("model.onnx")``. The command line needs rich, and onnx for what it reads.
"""

from __future__ import annotations

import argparse
import math
import os
import sys

from ...atomic import write_atomically
from .judge import MEMORY, TIMEOUT, check, check_worker

__all__ = ["MEMORY", "TIMEOUT", "add_arguments", "check", "check_worker", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``tensorrt-workbook check``."""
    parser.description = (
        "Says whether TensorRT will take an ONNX model, and what to do if not. Nothing that the model does can take "
        "the shell down. The exit status is 0 for convertible, 1 for not, 2 for not a usable model, or for a report "
        "that cannot be written."
    )
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("--build", action="store_true", help="build it too, not only parse it")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--html", type=_page, metavar="FILE", help="write the report to a file, as HTML")
    parser.add_argument(
        "--timeout", type=_positive, default=TIMEOUT, metavar="S", help="seconds that the whole check may take (120)"
    )
    parser.add_argument("--memory", type=_positive, default=8, metavar="GB", help="memory in GB that it may take (8)")


def run(arguments: argparse.Namespace) -> int:
    """Prints the report, as the arguments say. Returns its exit code, or 2 if it cannot be written."""
    report = check(arguments.model, arguments.build, arguments.timeout, int(arguments.memory * 1e9))
    unwritten = None
    if arguments.html:  # before anything is printed: a pipe that closes early does not cost the page
        head = '<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>Check of a model</title>'
        try:
            write_atomically(arguments.html, f"{head}\n{report.to_html()}\n</html>\n".encode())
        except OSError as error:
            unwritten = error
    if arguments.json:
        print(report.to_json())
    else:
        report.print()
    if unwritten:
        print(f"the report could not be written: {unwritten}", file=sys.stderr)
        return 2
    return report.exit_code


def _positive(text: str) -> float:
    number = float(text)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number")
    return number


def _page(text: str) -> str:
    """Takes a place for the report: no model and no device may be lost to it, only an older page."""
    if not os.path.exists(text):
        return text
    if not os.path.isfile(text):
        raise argparse.ArgumentTypeError(f"{text} is there already and is no file")
    if os.path.islink(text):  # as /dev/stdout is, and it would be replaced itself
        raise argparse.ArgumentTypeError(f"{text} is a link: name the file itself")
    try:
        with open(text, "rb") as there:
            begin = there.read(64).lstrip().lower()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} is there already and cannot be read: {error.strerror}") from None
    if begin and not begin.startswith(b"<!doctype html"):
        raise argparse.ArgumentTypeError(f"{text} is there already and is no HTML page: it would be lost")
    return text
