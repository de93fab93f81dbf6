"""Small modules to copy into your own project, one idea each; every one is taught by a chapter of the workbook.

Importing this package imports nothing else: take what you need, e.g. ``from helpers.builder import build_plan``.
"""
