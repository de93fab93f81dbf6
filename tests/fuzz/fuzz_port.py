"""``port`` with thousands of damaged scripts and notebooks: each gets a report or UnreadableSource, and soon.

Every fifth try damages nothing: whole statements with magics between them and an outdated name at the end, which is
found in its line.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import json
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from helpers.commands.port import UnreadableSource, port

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 3.0  # of this process: other work on the machine does not count
LINES = 60  # of one source
OUTDATED = "some_engine.num_bindings"
MAGICS = [
    *("!ls -l 'it", "%time x = 1", "%matplotlib inline", "files = !ls (", "trt.Builder?", "?trt", "%%capture"),
    *("!pip install \\\n    tensorrt", "t = %timeit -o -n 3 (1,\n  2)", "  ", '# \' """ ('),
]
CODECS = (
    "utf-8 utf-8-sig latin-1 cp1252 cp037 utf-7 utf-16 utf-32 gb18030 iso2022_jp hz unicode_escape raw_unicode_escape "
    "hex rot13 zlib bz2 uu quopri base64 undefined punycode idna mbcs no-such aliases __init__ charmap palmos"
)
ODD_TEXT = [
    *"()[]{}'\"\\#:;,.=%!?@\0\r\f\t\n\x1b\x85\u2028\ufeff\ud800é字\u0301",
    *('"""', "'''", "\\\n", "\r\n", "f'{", "{x!r:{y}}'", "lambda:", "*", "**", ":=", "->", "...", "0x", "1_", "9e999j"),
    *("import a.b", "from . import (", "def f(engine):", "class A:", "else:", "match x:", "async with", "print 'x'"),
    *("with trt.Builder(l) as b:", "if trt.__version__ < '8':", "a = not a", "1 << int(trt.BuilderFlag.FP16)"),
    *("hasattr(x, 'num_bindings') and ", "global x", "return engine", "__version__ = not __version__", OUTDATED),
]
ODD_VALUES = [
    None,
    True,
    0,
    -1,
    1.5,
    10**25,
    "",
    "x",
    [],
    {},
    [[]],
    [None],
    {"a": 1},
    "engine.num_bindings",
    ["x\n", 1],
]


def run(count: int, seed: int, until: float) -> str:
    """Reads up to ``count`` sources. Returns a line about them; raises AssertionError with the number of a try."""
    counts: Counter[str] = Counter()
    start = time.monotonic()
    slowest = 0.0
    _statements()  # the first try would take the time for it
    with tempfile.TemporaryDirectory() as folder:
        for number in range(count):
            if time.monotonic() >= until:
                break
            begin = time.process_time()
            try:
                counts.update(_try(random.Random(f"{seed} {number}"), Path(folder)))
            except Exception as fault:
                raise AssertionError(f"try {number} of seed {seed}: {type(fault).__name__}: {fault}") from fault
            slowest = max(slowest, taken := time.process_time() - begin)
            assert taken < SECONDS, f"try {number} of seed {seed} took {taken:.1f} s"
    told = ", ".join(f"{times:,} {kind}" for kind, times in sorted(counts.items()))
    return f"port: {counts.total():,} sources in {time.monotonic() - start:.0f} s: {told}; slowest {slowest:.2f} s"


def _try(rng: random.Random, folder: Path) -> list[str]:
    suffix = rng.choice([".py", ".ipynb"])
    path = folder / f"source{suffix}"
    whole = rng.random() < 0.2
    cells = [_with_magics(rng, suffix) if whole else _damaged(rng) for _ in range(rng.choice([1, 1, 2, 3]))]
    content = _script(rng, cells, whole) if suffix == ".py" else _notebook(rng, cells, whole)
    path.write_bytes(content)
    try:
        found, refused = port(path), ""
    except UnreadableSource as error:
        found, refused = [], str(error)
    if refused:
        assert not whole, f"{refused}, in {content!r}"
        assert refused.startswith(str(path))
        assert len(refused) < 1000
        return ["refused"]
    json.dumps([dataclasses.asdict(finding) for finding in found])
    for finding in found:
        assert finding.line >= 1
        assert finding.name
        assert finding.use
    if not whole:
        return ["read"]
    lines = [cell.count("\n") + 1 for cell in cells]
    wanted = {(0, sum(lines))} if suffix == ".py" else set(enumerate(lines, 1))
    named = {(finding.cell, finding.line) for finding in found if finding.name == "ICudaEngine.num_bindings"}
    assert wanted <= named, f"{wanted - named} was not found in {content!r}"
    return ["undamaged"]


@functools.cache
def _statements() -> list[list[str]]:
    """The statements of each old script, helper and code cell, as text: a few of them are the food of one try."""
    paths = [*(ROOT / "tests" / "commands" / "old_scripts").glob("*.py")] * 3 + [*(ROOT / "helpers").rglob("*.py")]
    sources = [path.read_text(encoding="utf-8") for path in sorted(paths)]
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            if cell["cell_type"] == "code":
                sources.append("".join(cell["source"]))
    found = []
    for source in sources:
        try:
            tree = ast.parse(source)
        except SyntaxError:  # a cell with magics
            continue
        parts = [ast.get_source_segment(source, node) or "" for node in tree.body]
        found.append([part for part in parts if 0 < part.count("\n") < LINES // 3])
    return [parts for parts in found if parts]


def _chunk(rng: random.Random) -> list[str]:
    parts = rng.choice(_statements())
    start = rng.randrange(len(parts))
    return parts[start : start + rng.randint(1, 4)]


def _with_magics(rng: random.Random, suffix: str) -> str:
    """Statements, between them what only notebooks have, and a name that is to be found in the last line."""
    parts = ["import tensorrt as trt", *_chunk(rng)]
    if suffix == ".ipynb":
        for _ in range(rng.randint(0, 4)):
            parts.insert(rng.randint(0, len(parts)), rng.choice(MAGICS))
    return "\n".join([*parts, OUTDATED])


def _damaged(rng: random.Random) -> str:
    text = "\n".join(_chunk(rng))
    for _ in range(rng.choice([0, 1, 1, 2, 3])):
        text = rng.choice(DAMAGES)(text, rng)
    return text


def _insert(text: str, rng: random.Random) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + rng.choice([*ODD_TEXT, *MAGICS]) * rng.choice([1, 1, 1, 2, 50]) + text[at:]


def _delete(text: str, rng: random.Random) -> str:
    at = rng.randint(0, len(text))
    return text[:at] + text[at + rng.choice([1, 1, 5, 100]) :]


def _lines(text: str, rng: random.Random) -> str:
    """Cuts, doubles, exchanges or indents lines."""
    lines = text.split("\n")
    at, other = rng.randrange(len(lines)), rng.randrange(len(lines))
    kind = rng.choice(["cut", "double", "exchange", "indent", "outdent", "magic"])
    if kind == "cut":
        lines = lines[at:other]
    elif kind == "double":
        lines[at:at] = lines[at:other] * 3
    elif kind == "exchange":
        lines[at], lines[other] = lines[other], lines[at]
    elif kind == "indent":
        lines[at:other] = [f"{rng.choice([' ', '    ', chr(9)])}{line}" for line in lines[at:other]]
    elif kind == "outdent":
        lines[at] = lines[at].lstrip()
    else:
        lines[at:at] = [rng.choice(MAGICS)] * rng.choice([1, 3, 300])
    return "\n".join(lines)


def _deep(text: str, rng: random.Random) -> str:
    """Something nested, long or large in the place of a word."""
    times = rng.choice([3, 30, 90, 300, 3000])
    deep = rng.choice(
        [
            *("(" * times + "1" + ")" * times, "[" * times, "-" * times + "1", "not " * times + "1"),
            *("a" + ".b" * times, "a" + ".b()" * times, "a" + "[0]" * times, "a" + "+a" * times, "f(" * times),
            *("lambda: " * times + "1", "x if y else " * times + "1", "1 << " * times + "1", "'a' " * times),
            *("0x" + "f" * times, "9" * times, "1" * times + "j", f"b.create_network(0x{'f' * times})"),
            *("a" + "\u0301\u0316" * times, "import " + "a." * times + "a", "engine.num_bindings and " * times + "x"),
            *("\n".join(" " * n + "if x:" for n in range(min(times, 120))), "f'" + "{a}" * times + "'", "{a:" * times),
            *("if x: pass\n" + f"elif engine: {OUTDATED}\n" * times, "def f(a): return f(engine)\n" * min(times, 300)),
        ]
    )
    words = text.split(" ")
    words[rng.randrange(len(words))] = deep
    return " ".join(words)


DAMAGES: list[Callable[[str, random.Random], str]] = [_insert, _insert, _delete, _lines, _lines, _deep]


def _script(rng: random.Random, cells: list[str], whole: bool) -> bytes:
    text = "\n".join(cells)
    if whole or rng.random() < 0.6:
        return text.encode("utf-8", "surrogatepass")
    codec = rng.choice(CODECS.split())
    text = f"{rng.choice(['', '# x', '#!python'])}\n# -*- coding: {codec} -*-\n{text}"
    try:
        content = text.encode(rng.choice([codec, "utf-8"]), "replace")
    except (LookupError, UnicodeError):
        content = text.encode("utf-8", "surrogatepass")
    return _damaged_bytes(content, rng)


def _notebook(rng: random.Random, cells: list[str], whole: bool) -> bytes:
    def lines(source: str) -> str | list[str]:
        return source.splitlines(keepends=True) if "\n" in source and rng.random() < 0.5 else source

    kinds = ["code"] if whole else ["code", "code", "code", "markdown", "raw"]
    book = {"cells": [{"cell_type": rng.choice(kinds), "source": lines(cell)} for cell in cells], "nbformat": 4}
    if not whole and rng.random() < 0.3:
        holder = rng.choice([book, *book["cells"]])
        holder[rng.choice([*holder])] = rng.choice(ODD_VALUES)
    content = json.dumps(book).encode()
    if not whole and rng.random() < 0.1:
        content = content.replace(b'"nbformat": 4', b'"nbformat": ' + rng.choice([b"[" * 9999, b"9" * 9999, b"NaN"]))
    return content if whole or rng.random() < 0.7 else _damaged_bytes(content, rng)


def _damaged_bytes(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice([0, 1, 4])):
        at = rng.randrange(len(data) + 1)
        kind = rng.choice(["flip", "cut", "insert"])
        if kind == "flip":
            data[at : at + 1] = bytes([rng.randrange(256)])
        elif kind == "cut":
            del data[at : at + rng.choice([1, 10, len(data)])]
        else:
            data[at:at] = rng.choice([b"\0", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b"\\ud800", b"\r", b"\x1a"])
    return bytes(data)
