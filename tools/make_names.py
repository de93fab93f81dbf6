"""Distils data/names.json, what `whatis` and `port` look names up in: ``python tools/make_names.py FOLDER``.

FOLDER holds the inventories of the imported Python modules, one JSON file per release, and ``cpp_python_map.json``, the
map between C++ and Python names with the releases of headers and bindings in which each was seen; see data/README.md.
Kept are names, kinds and releases, no descriptions. One name per line, sorted, so that a change can be read.
"""

from __future__ import annotations

import json
import re
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tools.distil_api import RELEASES as INVENTORIES  # noqa: E402

TARGET = ROOT / "data" / "names.json"
KINDS = {"removed_7x": "member", "cpp_only": "C++ only", "enum_member": "value", "attribute": "value"}
ABOUT = {
    "in": "releases whose imported Python module has the name",
    "python": "came, deprecated, gone: by the sources of the bindings, 8.0.1 to 11.1",
    "c++": "for each C++ name: came, deprecated, gone: by the public headers, 5.1.5 to 11.1",
    "releases": "the first of those looked at; '<=8.0.1': there (or gone) in the oldest; '' or no list: not known",
}


def distil(folder: Path) -> dict[str, dict]:
    """Name (Python's, without ``trt.``; else C++'s) -> what is known of it. Raises FileNotFoundError."""
    cpp_map = json.loads((folder / "cpp_python_map.json").read_text())
    names: dict[str, dict] = {}
    for entry in cpp_map["entries"]:
        if entry["kind"] != "function":  # constructors and free functions come with the inventories
            _add_mapped(names, entry)
        if entry["kind"] == "callback":
            name = entry["python"].removeprefix("trt.")
            names[name]["kind"] = "callback"  # where it is no longer a member of the class, it is still called
            if "11.4" in names[name]["in"] and "python" in names[name]:
                names[name]["python"][2] = ""
    _drop_helpers(names)
    for release, file in INVENTORIES.items():
        inventory = json.loads((folder / f"{file}.json").read_text())
        for name in [*inventory["functions"], *inventory["constants"]]:
            kind = "function" if name in inventory["functions"] else "constant"
            _seen(names, name, kind, release)
        for name, described in inventory["classes"].items():
            _seen(names, name, "enum" if described["is_enum"] else "class", release)
            mapped = name in cpp_map["class_map"]
            for member in [] if mapped else [*described["own_members"], *described.get("callbacks", ())]:
                if not (described["is_enum"] and member in ("name", "value")):
                    kind = "value" if member in described["enum_members"] else described["kinds"].get(member, "method")
                    _seen(names, f"{name}.{member}", kind, release)
    for name, mapped in cpp_map["class_map"].items():
        if mapped["cpp"]:
            deprecated = re.match(r"Deprecated in TensorRT ([\d.]+\d)", mapped["class_deprecation_text"] or "")
            names[name]["c++"] = {mapped["cpp"]: [mapped["introduced_cpp"], deprecated[1] if deprecated else "", ""]}
    return names


def _add_mapped(names: dict[str, dict], entry: dict) -> None:
    name = (entry["python"] or entry["cpp"][0]).removeprefix("trt.").removesuffix("()")
    name = re.sub(r"[ (].*", "", name)
    if name == "Builder.create_network" and entry["kind"] == "removed_7x":
        return  # the method lives on; only its C++ form without flags is gone
    known = names.setdefault(name, {"kind": KINDS.get(entry["kind"], entry["kind"].split("_")[0]), "in": []})
    for release, present in zip(INVENTORIES, (entry.get("presence") or {}).values(), strict=False):
        if present and release not in known["in"]:
            known["in"] = [r for r in INVENTORIES if r in known["in"] or r == release]
    lived = [_release(entry.get(f"python_{key}")) for key in ("introduced", "warns_deprecated_from", "removed")]
    if any(lived) and "python" not in known:
        known["python"] = lived
    for detail in entry.get("cpp_detail") or ():
        deprecated = detail["deprecated_version_per_doc"] or detail["deprecated_first_header"]
        lived = [detail["introduced"], deprecated or "", detail["removed"] or ""]
        known.setdefault("c++", {})[detail["cpp"]] = lived


def _release(text: str | None) -> str:
    found = re.match(r"<?=?[\d.]+\w(-[\d.]+|-EA)?", text or "")
    return found[0].replace("<=7.x", "<=7") if found else ""


def _drop_helpers(names: dict[str, dict]) -> None:
    """A binding may call other C++ functions on its way: drop those that belong to another Python name."""
    plain = {name: known for name, known in names.items() if ".__" not in name}
    alone = {next(iter(known["c++"])): name for name, known in plain.items() if len(known.get("c++", ())) == 1}
    for name, known in names.items():
        kept = {cpp: lived for cpp, lived in known.get("c++", {}).items() if alone.get(cpp, name) == name}
        if kept:
            known["c++"] = kept
        elif name not in plain:  # len(engine) and engine[0] have no C++ name of their own
            known.pop("c++", None)


def _seen(names: dict[str, dict], name: str, kind: str, release: str) -> None:
    known = names.setdefault(name, {"kind": kind.split("_")[0], "in": []})
    if release not in known["in"]:
        known["in"].append(release)


def main() -> None:
    if len(sys.argv) != 2:
        sys.exit("usage: python tools/make_names.py FOLDER")
    names = distil(Path(sys.argv[1]))
    head = {"releases": list(INVENTORIES), "about": ABOUT}
    lines = [f"{json.dumps(name)}: {json.dumps(names[name])}" for name in sorted(names)]
    text = json.dumps(head, indent=1)[:-2] + ',\n "names": {\n  ' + ",\n  ".join(lines) + "\n }\n}\n"
    TARGET.write_text(text)
    print(f"{TARGET.name}: {len(names)} names, {len(text):,} bytes;", dict(Counter(n["kind"] for n in names.values())))


if __name__ == "__main__":
    main()
