"""Runs ``python -m inference.commands.port`` in a package that this was copied into (chapter 12)."""

import sys

from .. import program

sys.exit(program(["port", *sys.argv[1:]]))
