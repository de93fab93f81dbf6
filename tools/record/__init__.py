"""Runs chapters and keeps what their gated cells printed: ``make record``, ``python -m tools.record``."""
