"""The command line of the workbook: ``tensorrt-workbook COMMAND`` (chapter 00). Commands are imported when called.

The installed command is safe in a stranger's folder: it imports nothing that lies there. ``python -m helpers`` does the
same in the workbook's own folder only. In another one, Python itself looks for ``helpers`` in that folder first, and
runs what it finds, before any line below can prevent it.
"""

import os
import sys

from .search_path import elsewhere

sys.path[:] = elsewhere(sys.path)  # before all other imports; even __future__ would be looked for in that folder

import argparse  # noqa: E402
import math  # noqa: E402
from collections.abc import Sequence  # noqa: E402

PROGRAM = "tensorrt-workbook"


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
    """Where a report may be written: no model and no device is lost to it, only an older page."""
    if not os.path.exists(text):
        return text
    if not os.path.isfile(text):
        raise argparse.ArgumentTypeError(f"{text} is there already and is no file")
    try:
        with open(text, "rb") as there:
            begin = there.read(64).lstrip().lower()
    except OSError as error:
        raise argparse.ArgumentTypeError(f"{text} is there already and cannot be read: {error.strerror}") from None
    if begin and not begin.startswith(b"<!doctype html"):
        raise argparse.ArgumentTypeError(f"{text} is there already and is no HTML page: it would be lost")
    return text


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Tools of the TensorRT Workbook.")
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
    check.add_argument(
        "--timeout", type=_positive, default=120, metavar="S", help="seconds that the whole check may take (120)"
    )
    check.add_argument("--memory", type=_positive, default=8, metavar="GB", help="memory in GB that it may take (8)")
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
        "outdated, 1 if something is, 2 if a file cannot be read: also if something is outdated in another one, since "
        "the answer is incomplete then. A file may have 16 MB, and half a million characters of code.",
    )
    port.add_argument("files", nargs="+", metavar="FILE", help="a .py or .ipynb file")
    port.add_argument("--json", action="store_true", help="print the findings as JSON")
    port.set_defaults(run=_port)

    copy = commands.add_parser(
        "copy",
        help="take helpers along into a project of your own",
        description="Copies modules, with all that they import, into a package of your own, and says what has to be "
        "installed for them. Nothing is overwritten, and no name taken that others import, unless --force says so. "
        "The exit status is 0 if all is there now, 1 if the request is wrong or something stands in the way, 2 if a "
        "file or folder cannot be read or written.",
    )
    copy.add_argument("modules", nargs="*", metavar="MODULE", help="one or more of those that --list shows")
    copy.add_argument("--to", metavar="FOLDER", help="the package, made if need be: ../myproject/inference")
    copy.add_argument("--force", action="store_true", help="overwrite what is there and different, take any name")
    copy.add_argument("--list", action="store_true", help="show what there is")
    copy.set_defaults(run=_copy)
    return parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status. ``arguments``: those of the process if None."""
    parsed = _parser().parse_args(arguments)
    return parsed.run(parsed)


def program() -> int:
    """:func:`main` in a shell: what ends it early is one line on stderr and an exit status, and never a traceback."""
    if sys.stderr is None:  # the shell closed it: the exit status tells enough
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stdout is None:
        print(f"{PROGRAM}: standard output is closed: there is nowhere to write to", file=sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # output may go where there is no Unicode
    status, why = _outcome()
    for stream, text in ((sys.stdout, ""), (sys.stderr, why)):
        try:
            print(end=text, file=stream, flush=True)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # else Python complains of it at its end
    return status


def _outcome() -> tuple[int, str]:
    """Runs :func:`main`. Returns the exit status, and what stderr has to say of it."""
    try:
        try:
            status = main()
        except SystemExit as end:  # argparse ends so, and rich where a pipe closes early
            if isinstance(end.__context__, BrokenPipeError):
                raise end.__context__ from None
            status = int(end.code or 0)
        sys.stdout.flush()
        return status, ""
    except BrokenPipeError:
        return 141, ""  # as shells say it of programs that end so
    except KeyboardInterrupt:
        return 130, ""
    except ModuleNotFoundError as error:
        advice = f"it is in the workbook's environment: .venv/bin/{PROGRAM} …, after `make lab`"
        return 2, f"{PROGRAM}: {error}; {advice}\n"
    except OSError as error:
        where = f"{error.filename}: " if error.filename else ""
        return 2, f"{PROGRAM}: {where}{error.strerror or error}\n"


if __name__ == "__main__":
    sys.exit(program())
