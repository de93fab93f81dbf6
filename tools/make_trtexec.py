"""Notes which flags trtexec had in which release, in data/trtexec.json: ``python tools/make_trtexec.py CLONE``.

CLONE is a git clone of NVIDIA/TensorRT with its tags. Only its sources are read: which flags the parser of each release
looks for, and which of them it calls deprecated. What to write today (``use``) is written by hand and stays.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

TARGET = Path(__file__).resolve().parents[1] / "data" / "trtexec.json"
SOURCES = ("samples/common/sampleOptions.cpp", "samples/trtexec/trtexec.cpp", "samples/opensource/trtexec/trtexec.cpp")
MISLABELLED = (9, 2, 0)  # this tag stands on the sources of 8.6
ABOUT = {
    "came, deprecated, gone": "the first release whose trtexec takes the flag, warns of it, and no longer knows it, of "
    "those looked at; '<=5.1.5': there in the oldest; '': not so far",
    "use": "what to give today, written by hand; '' for a flag that lives",
}
SAFE = re.compile(r"^void SafeBuilderOptions::.*?^}", re.M | re.S)  # of trtexec_safe, which has flags of its own
LOOKED_FOR = re.compile(r'"(--[A-Za-z]\w*)"|parse(?:String|Int|Float|Bool)\(argv\[j\], "(\w+)"')
DEPRECATED = re.compile(r'"(--\w+) (?:flag has been|is|has been) deprecated|"  (--\w+)[^"\n]*\[Deprecated\]')
SUPERSEDED = re.compile(r"Note: ((?:--\w+, )+--\w+) are deprecated")


def releases(clone: Path) -> list[tuple[int, ...]]:
    """Returns the releases that are tagged, oldest first; not the monthly ones of containers, such as 22.08."""
    tags = _git(clone, "tag").split()
    numbers = {tuple(map(int, tag.removeprefix("v").split("."))) for tag in tags if re.fullmatch(r"v?[\d.]+", tag)}
    return sorted(number for number in numbers - {MISLABELLED} if number[0] < 19)


def flags(clone: Path, release: tuple[int, ...]) -> tuple[set[str], set[str]]:
    """Returns the flags that trtexec of a release takes, and those of them that it calls deprecated."""
    name = ".".join(map(str, release))
    tag = next(tag for tag in (f"v{name}", name) if tag in _git(clone, "tag").split())
    text = SAFE.sub("", "".join(_git(clone, "show", f"{tag}:{path}") for path in SOURCES))
    taken = {first or f"--{second}" for first, second in LOOKED_FOR.findall(text)}
    old = {first or second for first, second in DEPRECATED.findall(text)}
    old |= {flag for flags in SUPERSEDED.findall(text) for flag in flags.split(", ")}
    return taken, old & taken


def distil(clone: Path, uses: dict[str, str]) -> dict[str, dict[str, str]]:
    """Returns for each flag when it came, was deprecated and went, and what to write today, from ``uses``."""
    found: dict[str, dict[str, str]] = {}
    for number, release in enumerate(releases(clone)):
        name, (taken, old) = ".".join(map(str, release)), flags(clone, release)
        for flag in taken:
            entry = found.setdefault(flag, {"came": f"{'' if number else '<='}{name}", "deprecated": "", "gone": ""})
            entry["gone"] = ""
            entry["deprecated"] = entry["deprecated"] or (name if flag in old else "")
        for flag in found.keys() - taken:
            found[flag]["gone"] = found[flag]["gone"] or name
    return {flag: {**found[flag], "use": uses.get(flag, "")} for flag in sorted(found)}


def _git(clone: Path, *arguments: str) -> str:
    """Returns what git says; nothing for a file that a release does not have."""
    return subprocess.run(["git", "-C", str(clone), *arguments], capture_output=True, text=True, check=False).stdout


if __name__ == "__main__":
    uses = {flag: entry["use"] for flag, entry in json.loads(TARGET.read_text())["flags"].items()}
    lines = [f"  {json.dumps(flag)}: {json.dumps(entry)}" for flag, entry in distil(Path(sys.argv[1]), uses).items()]
    about = json.dumps(ABOUT, indent=1).replace("\n", "\n ")
    TARGET.write_text(f'{{\n "about": {about},\n "flags": {{\n' + ",\n".join(lines) + "\n }\n}\n", encoding="utf-8")
