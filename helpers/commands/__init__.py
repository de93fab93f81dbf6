"""Starts the commands: ``tensorrt-workbook COMMAND`` (chapter 00).

Each command is a module or a folder of its name here, with ``add_arguments(parser)`` and ``run(arguments)``. It is
imported when it is called.

>>> main(["copy", "--list"])  # doctest: +SKIP
0
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

PROGRAM = "tensorrt-workbook"
COMMANDS = {
    "doctor": "what this machine has, and what to do about what is missing",
    "check": "whether TensorRT will take an ONNX model, and what to do if not",
    "explain": "what an error or a warning means, and what to do about it",
    "whatis": "what a TensorRT name of C++ or Python is, when it lived, and what it is called today",
    "port": "lists the outdated TensorRT calls in scripts and notebooks, with what to write today",
    "copy": "take helpers along into a project of your own",
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command and returns its exit status. ``arguments``: those of the process if None.

    Raises SystemExit, as argparse does, for --help and for wrong arguments.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    parser = argparse.ArgumentParser(prog=PROGRAM, description="Tools of the TensorRT Workbook.")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for name, line in COMMANDS.items():
        command = commands.add_parser(name, help=line)
        if arguments[:1] == [name]:  # the others are not imported, only named
            module = importlib.import_module(f".{name}", __package__)
            module.add_arguments(command)
            command.set_defaults(run=module.run)
    parsed = parser.parse_args(arguments)
    return parsed.run(parsed)


def program(arguments: Sequence[str] | None = None) -> int:
    """Runs :func:`main` for a shell: what ends it early is one line on stderr and an exit status, never a traceback."""
    if sys.stderr is None:  # the shell closed it: the exit status tells enough
        sys.stderr = os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    if sys.stdout is None:
        print(f"{PROGRAM}: standard output is closed: there is nowhere to write to", file=sys.stderr)
        return 2
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="replace")  # output may go where there is no Unicode
    status, why = _outcome(arguments)
    for stream, text in ((sys.stdout, ""), (sys.stderr, why)):
        try:
            print(end=text, file=stream, flush=True)
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # else Python complains of it at its end
    return status


def _outcome(arguments: Sequence[str] | None) -> tuple[int, str]:
    """Runs :func:`main`. Returns the exit status, and what stderr has to say of it."""
    try:
        try:
            status = main(arguments)
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
