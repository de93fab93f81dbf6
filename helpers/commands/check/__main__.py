"""Runs ``python -m inference.commands.check`` in a package that this was copied into (chapter 12)."""

import sys

from .. import program

sys.exit(program(["check", *sys.argv[1:]]))
