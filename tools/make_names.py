"""Distils data/names.json, which `whatis` and `port` look names up in: ``python tools/make_names.py FOLDER CLONE``.

It needs two things. FOLDER holds

- the inventories of the imported Python modules, one JSON file per release, as ``tools/inventory.py`` writes them, with
  the names that ``RELEASES`` in ``tools/distil_api.py`` gives (``tensorrt-11.4.0.106.json``);
- ``cpp_python_map.json``: which C++ members each Python name stands for, with the releases of each. It was read once
  from the bindings; no command makes it again.

CLONE is a clone of https://github.com/NVIDIA/TensorRT with all its tags. Its public headers say when each C++ name
came, was deprecated and went; the map's word counts only for the ONNX parser, whose header lay in another repository.
A C++ name that the map lacks goes to the Python name whose binding calls it, else to the one of the same spelling.
Its folder ``plugin/`` says when each standard plugin came and went. Kept are names, kinds and releases, no
descriptions. One name per line, sorted, so that a change can be read.
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
from tools.sources import Lived, Sources  # noqa: E402

TARGET = ROOT / "data" / "names.json"
KINDS = {"removed_7x": "member", "cpp_only": "C++ only", "enum_member": "value", "attribute": "value"}
NAMESPACES = {"nvinfer1", "nvonnxparser", "nvcaffeparser1", "nvuffparser"}
# What makes an object in C++ is the class itself in Python; classes of another name in Python; what became an argument.
CLASSES = {
    "nvinfer1::createInferBuilder": "Builder",
    "nvinfer1::createInferRuntime": "Runtime",
    "nvinfer1::createInferRefitter": "Refitter",
    "nvonnxparser::createParser": "OnnxParser",
    "nvonnxparser::createParserRefitter": "OnnxParserRefitter",
    "nvcaffeparser1::createCaffeParser": "CaffeParser",
    "nvcaffeparser1::ICaffeParser": "CaffeParser",
    "nvcaffeparser1::IPluginFactoryV2": "ICaffePluginFactoryV2",
    "nvuffparser::createUffParser": "UffParser",
    "nvuffparser::IUffParser": "UffParser",
    "nvinfer1::ErrorCode": "ErrorCodeTRT",
    "nvinfer1::OptProfileSelector": "IOptimizationProfile.set_shape",
    "nvinfer1::OptProfileSelector::kMIN": "IOptimizationProfile.set_shape",
    "nvinfer1::OptProfileSelector::kOPT": "IOptimizationProfile.set_shape",
    "nvinfer1::OptProfileSelector::kMAX": "IOptimizationProfile.set_shape",
}
ABOUT = {
    "in": "releases whose imported Python module has the name",
    "python": "came, deprecated, gone: by the sources of the bindings, 8.0.1 to 11.1",
    "c++": "for each C++ name: came, deprecated, gone: by the public headers, 5.1.5 to 11.1",
    "plugins": "came, gone, for each plugin of libnvinfer_plugin: by its public sources, 5.1.5 to 11.1",
    "releases": "the first of those looked at; '<=8.0.1': there (or gone) in the oldest; '' or no list: not known",
}


def distil(folder: Path, sources: Sources) -> dict[str, dict]:
    """Name (Python's, without ``trt.``; else C++'s) -> what is known of it. Raises FileNotFoundError."""
    names = _distil_map(folder)
    _add_headers(names, sources.lived(), sources.spellings())
    _add_bindings(names, sources.bound())
    return names


def _distil_map(folder: Path) -> dict[str, dict]:
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


def _add_headers(names: dict[str, dict], lived: dict[str, Lived], spellings: dict[str, set[str]]) -> None:
    """Takes the releases of C++ names from the headers, and adds the names that the map lacks."""
    told = {cpp for known in names.values() for cpp in known.get("c++", {})}
    for known in names.values():
        for cpp in known.get("c++", {}):
            if cpp in lived and not cpp.startswith("nvonnxparser::"):
                known["c++"][cpp] = _history(lived[cpp])
    python = {_key(name): name for name in names if "::" not in name}
    python |= {_key(cpp): name for name, cpps in spellings.items() if name in names for cpp in sorted(cpps)}
    for cpp, history in lived.items():
        owner, _, member = cpp.rpartition("::")
        spelt = f"{CLASSES[owner]}.{member}" if owner in CLASSES else cpp
        key = _key(spelt.partition("::")[2] if spelt.split("::")[0] in NAMESPACES else spelt)
        name = CLASSES.get(cpp) or python.get(key) or python.get(re.sub(r"\b(get|set|is)(?=\w+$)", "", key))
        if cpp not in told and _counts(cpp, history.kind, name):
            known = names.setdefault(name or cpp, {"kind": "C++ only", "in": []})
            known.setdefault("c++", {})[cpp] = _history(history)


def _key(name: str) -> str:
    """Returns what C++ and Python spell alike: ``INMSLayer::kTOP_K`` and ``INMSLayer.TOP_K`` -> inmslayer.topk."""
    return ".".join(re.sub("^k(?=[A-Z])|_", "", part).lower() for part in re.split(r"::|\.", name))


def _counts(cpp: str, kind: str, name: str | None) -> bool:
    """Says whether a C++ name of the headers is worth a question. ``name`` is what Python calls it."""
    parts = cpp.split("::")
    if len(parts) == 1:
        return kind == "macro" or (kind == "function" and name is not None)
    if parts[0] not in NAMESPACES or (kind in ("alias", "field") and not name):
        return False
    return not parts[1].islower() or kind in ("class", "enum")  # of nvinfer1::safe and the like, classes alone


def _add_bindings(names: dict[str, dict], bound: dict[str, tuple[str, str]]) -> None:
    """Takes the releases of Python's classes, and of what went with them, from the sources of the bindings."""
    newest = list(INVENTORIES)[-2:]
    for name, (came, gone) in bound.items():
        if name in names and "python" not in names[name] and (not gone or not set(newest) & set(names[name]["in"])):
            names[name]["python"] = [came, "", gone]
    for name, known in names.items():
        owner = names.get(name.rpartition(".")[0], {})
        if "python" not in known and owner.get("python", ["", "", ""])[2] and known["in"] == owner["in"]:
            known["python"] = ["", "", owner["python"][2]]


def _history(lived: Lived) -> list[str]:
    return [lived.came, lived.deprecated, lived.gone]


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
    if len(sys.argv) != 3:
        sys.exit("usage: python tools/make_names.py FOLDER CLONE (see the first lines of this file)")
    sources = Sources(Path(sys.argv[2]))
    names = distil(Path(sys.argv[1]), sources)
    head = {"releases": list(INVENTORIES), "about": ABOUT}
    text = json.dumps(head, indent=1)[:-2]
    for key, entries in {"plugins": sources.plugins(), "names": names}.items():
        lines = [f"{json.dumps(name)}: {json.dumps(entries[name])}" for name in sorted(entries)]
        text += f',\n "{key}": {{\n  ' + ",\n  ".join(lines) + "\n }"
    text += "\n}\n"
    TARGET.write_text(text)
    print(f"{TARGET.name}: {len(names)} names, {len(text):,} bytes;", dict(Counter(n["kind"] for n in names.values())))


if __name__ == "__main__":
    main()
