"""Distils inventories of TensorRT's Python modules into data/api.json: ``python tools/distil_api.py FOLDER``.

FOLDER holds one JSON file per release, as described in data/README.md. Kept are names, kinds and signatures; NVIDIA's
descriptions are not. A member that is the same in every release is one line; else there is one for each variant.
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


def distil(folder: Path) -> dict:
    """The content of data/api.json. Raises FileNotFoundError that names a missing inventory."""
    inventories = {release: json.loads((folder / f"{name}.json").read_text()) for release, name in RELEASES.items()}
    classes: dict[str, dict[str, dict[str, str]]] = {}
    top: dict[str, dict[str, str]] = {}
    for release, inventory in inventories.items():
        for name, signatures in inventory["function_signatures"].items():
            top.setdefault(name, {})[release] = f"method {_signatures(signatures)}"
        for name in inventory["constants"]:
            top.setdefault(name, {})[release] = f"constant {inventory['constant_values'][name].split('.')[0]}"
        for name, described in inventory["classes"].items():
            members = classes.setdefault(name, {})
            for member, text in _members(described).items():
                members.setdefault(member, {})[release] = text
    return {
        "releases": list(RELEASES),
        "module": {name: _merge(variants) for name, variants in sorted(top.items())},
        "classes": {
            name: {member: _merge(variants) for member, variants in sorted(members.items())}
            for name, members in sorted(classes.items())
        },
    }


def _members(described: dict) -> dict[str, str]:
    bases = [base for base in described["bases"] if base not in ("pybind11_object", "object")]
    result = {"(class)": f"{'enum' if described['is_enum'] else 'class'} ({', '.join(bases)})"}
    if described["init_signatures"] and described["constructible"]:
        result["__init__"] = f"method {_signatures(described['init_signatures'])}"
    for name in set(described["dunders"]) & {"__enter__", "__getitem__", "__iter__", "__len__", "__setitem__"}:
        result[name] = "method"
    for name in {*described["own_members"], *described.get("callbacks", [])}:
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
        text = re.sub(r"^[\w.]+\(self(: [\w.\[\]]+)?(, )?", "(", text)
        texts.append(re.sub(r"^[\w.]+\(", "(", text))
    return " | ".join(dict.fromkeys(texts))


def _merge(variants: dict[str, str]) -> str | dict[str, str]:
    """The text alone where all releases agree, else a mapping from "release, release" to text."""
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
        sys.exit(__doc__.splitlines()[0])
    write(distil(Path(sys.argv[1])))
    print(f"{TARGET}: {TARGET.stat().st_size:,} bytes")
