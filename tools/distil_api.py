"""Distils inventories of TensorRT's Python modules into data/api.json: ``python -m tools.distil_api FOLDER``.

FOLDER holds one JSON file per release, made by tools/inventory.py; of a release whose file is not there stays what
data/api.json says. Kept are names, kinds and signatures; NVIDIA's descriptions are not. A member that is the same in
every release is one line; else there is one for each variant.
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

TARGET = Path(__file__).parents[1] / "data" / "api.json"
# What the README claims, and the inventory that stands for it.
RELEASES = {
    "8.6": "tensorrt-8.6.1",
    "10.13": "tensorrt-10.13.3.9",
    "10.16": "tensorrt-10.16.1.11",
    "11.4": "tensorrt-11.4.0.106",
    "RTX 1.7": "tensorrt_rtx-1.7.1.116",
}
KINDS = {
    "method": "method",
    "static": "static",
    "property_ro": "read-only",
    "property_rw": "read-write",
    "property_wo": "write-only",
    "attribute": "attribute",
    "class": "class",
}
Variants = dict[str, dict[str, str]]  # name -> release -> text
# Spellings that differ from one release of pybind11 to the next, and mean the same.
SAME = {
    r"typing\.Supports(Int|Index)": "int",
    r"typing\.SupportsFloat": "float",
    r"typing_extensions\.CapsuleType": "capsule",
    r"typing_extensions\.Buffer|collections\.abc\.Buffer": "buffer",
    r"collections\.abc\.|typing\.": "",
    r"\b(List|Sequence)\[": "list[",
    r"\bv_\d+_\d+(\.|::)": "",
    r"\bTuple\[": "tuple[",
    r"\bnvinfer1::|\bnvonnxparser::": "",
    r"::": ".",
    r"\bI(Builder|EngineInspector)\b": r"\1",
    r"<([\w.]+): -?\d+>": r"\1",
    r"tensorrt(_\w+)?\.tensorrt(_\w+)?\.": "",
}


def distil(folder: Path, known: Path = TARGET) -> dict:
    """The content of data/api.json. Raises FileNotFoundError for a new release without an inventory."""
    old = json.loads(known.read_text(encoding="utf-8"))
    module: Variants = {}
    classes: dict[str, Variants] = {}
    for release, name in RELEASES.items():
        path = folder / f"{name}.json"
        if release in old["releases"] and not path.is_file():
            top, described = of_release(old, release)
        else:
            top, described = _read(json.loads(path.read_text(encoding="utf-8")))
        _add(module, release, top)
        for owner, members in described.items():
            _add(classes.setdefault(owner, {}), release, members)
    return {
        "releases": list(RELEASES),
        "module": _merge(module),
        "classes": {owner: _merge(members) for owner, members in sorted(classes.items())},
    }


def of_release(content: dict, release: str) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    """The module's own names and the members of its classes, as data/api.json has them for one release."""

    def pick(members: dict) -> dict[str, str]:
        spread = {name: _spread(variants, content["releases"]) for name, variants in members.items()}
        return {name: variants[release] for name, variants in spread.items() if release in variants}

    classes = {owner: pick(members) for owner, members in content["classes"].items()}
    return pick(content["module"]), {owner: members for owner, members in classes.items() if members}


def callbacks(owner: str, known: Path = TARGET) -> list[str]:
    """What only Python subclasses of a class have, in any release that data/api.json knows."""
    content = json.loads(known.read_text(encoding="utf-8"))
    members = content["classes"].get(owner, {})
    return [name for name, v in members.items() if "callback" in _spread(v, content["releases"]).values()]


def _spread(variants: str | dict[str, str], releases: list[str]) -> dict[str, str]:
    if isinstance(variants, str):
        return dict.fromkeys(releases, variants)
    return {release: text for group, text in variants.items() for release in group.split(", ")}


def _read(inventory: dict) -> tuple[dict[str, str], dict[str, dict[str, str]]]:
    top = {name: f"method {_signatures(texts)}" for name, texts in inventory["function_signatures"].items()}
    for name in inventory["constants"]:
        top[name] = f"constant {inventory['constant_values'][name].split('.')[0]}"
    return top, {owner: _members(described) for owner, described in inventory["classes"].items()}


def _add(to: Variants, release: str, members: dict[str, str]) -> None:
    for name, text in members.items():
        to.setdefault(name, {})[release] = text


def _members(described: dict) -> dict[str, str]:
    bases = [base for base in described["bases"] if base not in ("pybind11_object", "object")]
    result = {"(class)": f"{'enum' if described['is_enum'] else 'class'} ({', '.join(bases)})"}
    if described["init_signatures"] and described["constructible"]:
        result["__init__"] = f"method {_signatures(described['init_signatures'])}"
    for name in set(described["dunders"]) & {"__enter__", "__getitem__", "__iter__", "__len__", "__setitem__"}:
        result[name] = "method"
    new = {
        name for name in described.get("callbacks", ()) if name not in described["kinds"]
    }  # not those of a base class
    for name in {*described["own_members"], *new}:
        kind = described["kinds"].get(name)
        if kind == "enum_member":
            result[name] = f"value {described['enum_members'][name]}"
        elif kind is None:  # a Python subclass may define it, though the class does not have it
            result[name] = "callback"
        else:
            result[name] = f"{KINDS[kind]} {_signatures(described['signatures'].get(name, []))}".strip()
    return result


def _signatures(signatures: list[str]) -> str:
    """Overloads joined by " | ", each as ``(name: type = default, ...) -> type``, without ``self``."""
    texts = []
    for text in signatures:
        for pattern, replacement in SAME.items():
            text = re.sub(pattern, replacement, text)
        text = re.sub(r"^[\w.]+\(self(: .*?)?(, (?=\w+[:=]|\*)|(?=\)( ->|$)))", "(", text)
        texts.append(re.sub(r"^[\w.]+\(", "(", text))
    return " | ".join(dict.fromkeys(texts))


def _merge(members: Variants) -> dict[str, str | dict[str, str]]:
    """Each member's text where all releases agree, else a mapping from "release, release" to text."""
    return {name: _merge_one(variants) for name, variants in sorted(members.items())}


def _merge_one(variants: dict[str, str]) -> str | dict[str, str]:
    if len(variants) == len(RELEASES) and len(set(variants.values())) == 1:
        return next(iter(variants.values()))
    grouped: dict[str, list[str]] = {}
    for release, text in variants.items():
        grouped.setdefault(text, []).append(release)
    return {", ".join(releases): text for text, releases in grouped.items()}


def write(content: dict, target: Path = TARGET) -> None:
    """One line per member: small, and a change shows in a diff."""
    text = json.dumps(content, indent=1, ensure_ascii=False)
    text = re.sub(
        r"\{\s+([^{}]*?)\s+\}", lambda m: "{" + re.sub(r"\n\s+", " ", m[1]) + "}" if _short(m) else m[0], text
    )
    target.write_text(text + "\n", encoding="utf-8")


def _short(match: re.Match) -> bool:
    return all(line.strip().startswith(tuple(f'"{release}' for release in RELEASES)) for line in match[1].splitlines())


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit((__doc__ or "").splitlines()[0])
    write(distil(Path(sys.argv[1])))
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")
