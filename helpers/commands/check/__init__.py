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
from .report import SCHEMA_FILE, SEVERITIES
from .shapes import shapes_of_text, values_of_text
from .wording import notebooks_from

DESCRIPTION = """\
Says whether TensorRT will take an ONNX model, and what to do if not. Nothing that the model does can take the
shell down.

Plain check parses the model. With --build it is built, too: with the shapes that you give (--shapes), or else with
shapes that are searched, and then the report says that they are a guess."""
EXIT_STATUS = """\
exit status:
  0  convertible: TensorRT parses it, and builds it if that was asked for
  1  not convertible, or --fail-on found something
  2  not a usable model, or no report: TensorRT is not usable here, wrong arguments, a page that cannot be written
  3  undecided: no shapes that fit, no values for a shape input, or a limit was reached; or the model builds only with
     fixed shapes and folded constants"""

__all__ = ["MEMORY", "TIMEOUT", "add_arguments", "check", "check_worker", "run"]


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the arguments of ``tensorrt-workbook check``."""
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.description = DESCRIPTION
    parser.epilog = EXIT_STATUS
    parser.set_defaults(refuse=parser.error)
    parser.add_argument("model", metavar="MODEL.onnx")
    parser.add_argument("--build", action="store_true", help="build it too, not only parse it")
    parser.add_argument(
        "--shapes",
        action="append",
        default=[],
        metavar="NAME=MIN,OPT,MAX",
        help="build with these shapes of an input, as image=1x3x48x64,1x3x48x320,8x3x48x640, or one for all three; "
        "repeat it for other inputs. It means --build",
    )
    parser.add_argument(
        "--values",
        action="append",
        default=[],
        metavar="NAME=MIN/OPT/MAX",
        help="build with these values of a shape input, as size=1,64/1,512/8,512, or one list for all three. It means "
        "--build",
    )
    parser.add_argument(
        "--for",
        dest="release",
        metavar="RELEASE",
        help="judge for another TensorRT by data, without it: 8.6 and rtx-1.7 are measured, 10 and 11 are not",
    )
    parser.add_argument(
        "--fail-on",
        choices=SEVERITIES,
        default="error",
        help="exit with 1 also where the status would be 0 and there is a problem of this severity or worse (error)",
    )
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    parser.add_argument("--schema", action=_Schema, nargs=0, help="print the schema of that JSON, and end")
    parser.add_argument("--html", type=_page, metavar="FILE", help="write the report to a file, as HTML")
    parser.add_argument(
        "--timeout", type=_positive, default=TIMEOUT, metavar="S", help="seconds that the whole check may take (120)"
    )
    parser.add_argument("--memory", type=_positive, default=8, metavar="GB", help="memory in GB that it may take (8)")


def run(arguments: argparse.Namespace) -> int:
    """Prints the report, as the arguments say. Returns the exit status, as ``--help`` lists them.

    Raises SystemExit, as argparse does, for shapes, values or a release that do not fit.
    """
    try:
        shapes, values = shapes_of_text(arguments.shapes), values_of_text(arguments.values)
        limits = arguments.timeout, int(arguments.memory * 1e9)
        chosen = {"shapes": shapes, "values": values, "release": arguments.release}
        report = check(arguments.model, arguments.build, *limits, **chosen)
    except ValueError as error:
        arguments.refuse(str(error))
    unwritten = None
    if arguments.html:  # before anything is printed: a pipe that closes early does not cost the page
        head = '<!DOCTYPE html>\n<html lang="en"><meta charset="utf-8"><title>Check of a model</title>'
        try:
            write_atomically(
                arguments.html, f"{head}\n{report.to_html(notebooks_from(arguments.html))}\n</html>\n".encode()
            )
        except OSError as error:
            unwritten = error
    if arguments.json:
        print(report.to_json())
    else:
        report.print()
    if unwritten:
        print(f"the report could not be written: {unwritten}", file=sys.stderr)
        return 2
    failing = SEVERITIES[: SEVERITIES.index(arguments.fail_on) + 1]
    return report.exit_code or int(any(problem.severity in failing for problem in report.problems))


class _Schema(argparse.Action):
    """Prints the schema of the JSON, and ends: no model is needed for it."""

    def __call__(self, parser: argparse.ArgumentParser, *_) -> None:
        print(SCHEMA_FILE.read_text(encoding="utf-8"), end="")
        parser.exit()


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
