"""Runs a notebook in a fresh kernel of the Python that runs this, and asks that kernel what it could do."""

from __future__ import annotations

import copy
import json
import os
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ipykernel.kernelspec
import nbformat
from jupyter_client import AsyncKernelManager
from jupyter_client.kernelspec import KernelSpec, KernelSpecManager
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellTimeoutError, DeadKernelError

_PROBE = "import json, helpers.workbook.needs\nprint(json.dumps(helpers.workbook.needs.probe()))"


class Failed(RuntimeError):
    """A cell raised, took too long, or killed its kernel; the message names it."""


class _ThisPython(KernelSpecManager):
    """Kernels of the running interpreter, whatever kernels are installed under the same name."""

    def get_kernel_spec(self, kernel_name: str) -> KernelSpec:
        resources = ipykernel.kernelspec.RESOURCES
        return KernelSpec(resource_dir=resources, **ipykernel.kernelspec.get_kernel_dict())


class _Kernel(AsyncKernelManager):
    def _kernel_spec_manager_default(self) -> KernelSpecManager:
        return _ThisPython()


def execute(
    notebook: nbformat.NotebookNode, folder: Path, timeout: float = 300, on_cell: Callable[[], Any] = lambda: None
) -> tuple[nbformat.NotebookNode, dict[str, Any]]:
    """Runs all cells in ``folder``, at most ``timeout`` seconds each, and calls ``on_cell`` after each code cell.

    Returns a copy of the notebook with outputs, and what ``needs.probe()`` answered in the same kernel at the
    end. Raises Failed. The reader's own state, such as solved exercises, plays no part.
    """
    notebook = copy.deepcopy(notebook)
    code = [cell for cell in notebook.cells if cell.cell_type == "code"]
    for cell in code:
        cell.outputs, cell.execution_count = [], None
        cell.metadata.pop("execution", None)
    probe = nbformat.v4.new_code_cell(_PROBE)
    running = nbformat.from_dict({**notebook, "cells": [*notebook.cells, probe]})
    current = 0

    def started(cell, cell_index):
        nonlocal current
        current = cell_index

    def done(cell, cell_index):
        if cell.cell_type == "code" and cell_index < len(notebook.cells):
            on_cell()

    client = NotebookClient(
        running,
        kernel_manager_class=_Kernel,
        kernel_name="python3",
        extra_arguments=["--IPKernelApp.log_level=40"],
        timeout=timeout,
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        on_cell_start=started,
        on_cell_complete=done,
    )
    try:
        with tempfile.TemporaryDirectory() as state:
            client.execute(env={**os.environ, "WORKBOOK_STATE": state})
    except (CellControlSignal, CellTimeoutError, DeadKernelError, RuntimeError) as error:
        raise Failed(f"{_name(running, current)}: {_reason(error, timeout)}") from error
    machine = json.loads("".join(output.text for output in running.cells.pop().outputs if output.name == "stdout"))
    return running, machine


def _name(notebook: nbformat.NotebookNode, index: int) -> str:
    number = sum(cell.cell_type == "code" for cell in notebook.cells[: index + 1])
    lines = [line.strip() for line in notebook.cells[index].source.splitlines() if line.strip()]
    return f"code cell {number} ({lines[0] if lines else 'empty'})"


def _reason(error: Exception, timeout: float) -> str:
    if isinstance(error, CellTimeoutError):
        return f"took more than {timeout:.0f} s"
    if isinstance(error, DeadKernelError):
        return "killed its kernel"
    name = getattr(error, "ename", type(error).__name__)
    value = re.sub(r"\x1b\[[0-9;]*m", "", str(getattr(error, "evalue", error)))
    return f"raised {name}: {value}"
