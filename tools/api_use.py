"""Finds uses of TensorRT's Python API that some of the releases which the README claims do not have.

It reads code without running it, and follows what objects come from the TensorRT module: through annotations,
constructors, results of methods, subclasses and calls of our own functions. Of what it cannot
follow it only looks at names. A use must be there in every release in which it may run: ``has("weak_typing")``,
``hasattr(trt.BuilderFlag, "FP16")``, an ``except AttributeError`` or ``%%needs`` above a cell leave only some of them.
Data: data/api.json.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterable
from pathlib import Path

from tools.api_conditions import Conditions
from tools.api_data import Api
from tools.api_sources import ROOT, Source, sources
from tools.api_statements import Reader
from tools.api_values import Function, Ours, Problem, Scope


class Checker:
    """``problems`` and ``resolved``, the number of uses of TensorRT's API that were followed, after :meth:`run`."""

    def __init__(self, texts: Iterable[Source], api: Api | None = None):
        self.api = api or Api()
        self.texts = list(texts)
        self.conditions = Conditions(self.api)
        self.modules: dict[str, Scope] = {}
        self.imported: dict[str, frozenset[str]] = {}  # helper -> releases in which something imports it
        self.functions: dict[ast.AST, Function] = {}
        self.classes: dict[ast.AST, Ours] = {}
        nodes = [node for text in self.texts for tree, *_ in text.parts for node in ast.walk(tree)]
        self.own_names = {node.name for node in nodes if isinstance(node, ast.FunctionDef | ast.ClassDef)}
        self.own_names |= {node.arg for node in nodes if isinstance(node, ast.arg | ast.keyword)} - {None}
        self.uses: set[tuple[str, int, int, str]] = set()
        self.problems: list[Problem] = []

    @property
    def resolved(self) -> int:
        return len(self.uses)

    def run(self) -> Checker:
        # What functions are given and return is only known after a while; what it finds in the last round counts.
        for _ in range(6):
            self.problems.clear()
            self.uses.clear()
            before, self.imported = self.imported, {}
            for function in self.functions.values():
                function.given, function.giving = function.giving, {}
            for ours in self.classes.values():
                ours.members, ours.defining = ours.defining, {}
            for text in self.texts:
                releases = before.get(text.module, self.api.releases) if text.module else self.api.releases
                Reader(self, text, releases).read()
        self.problems = sorted(set(self.problems), key=str)
        return self


def check(root: Path = ROOT) -> Checker:
    """Reads helpers/, the notebooks with and without the solutions, and what checks the exercises."""
    return Checker(sources(root)).run()


if __name__ == "__main__":
    done = check()
    print(f"{done.resolved} uses of TensorRT's API, {len(done.problems)} problems")
    sys.exit("\n".join(map(str, done.problems)) or 0)
