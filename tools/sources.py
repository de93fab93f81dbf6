"""Reads NVIDIA's public sources, release by release: which C++ names the headers have, and what Python calls them.

Needs a clone of https://github.com/NVIDIA/TensorRT with its tags and branches. ``include/`` of each release is read
word by word, without a compiler, and ``python/src`` for the bindings. Kept are names and releases, no descriptions.
Behind ``tools/make_names.py``.
"""

from __future__ import annotations

import re
import subprocess
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cached_property
from itertools import zip_longest
from pathlib import Path

_TAG = re.compile(r"v?(\d+)\.\d+(\.\d+)?(-EA)?")
_WORD = re.compile(r'//[^\n]*|/\*.*?\*/|"(?:\\.|[^"\\\n])*"|[A-Za-z_]\w*|::|.', re.DOTALL)
_DIRECTIVE = re.compile(r"^[ \t]*#(?:[^\n]*\\\n)*[^\n]*", re.MULTILINE)
_DEPRECATED_IN = re.compile(r"[Dd]eprecated in TensorRT ([\d.]*\d)")
_INNER = re.compile(r"(^|::)(impl|apiv|detail|anonymous)(::|$)")
_VERSIONED = re.compile(r"using (\w+) = (v_\d+_\d+::\w+);")  # the name of one version of an interface
_BOUND = re.compile(r'(?:class_|enum_)<([\w:]+)[^;"]*?>\s*\(\s*\w+\s*,\s*"(\w+)"')
# A constant that holds the name of a plugin, or the names of several.
_PLUGIN = re.compile(r'N(?:AMES?|ames?)(?:\[\])?\s*=?\s*\{?\s*((?:"[A-Za-z]\w{3,}"[\s,]*)+)[;}]')
_DEFINED = re.compile(r'\.def\w*\(\s*"(\w+)"(.*?)(?=\.def|\.value\(|class_<|enum_<|;)', re.DOTALL)


@dataclass(frozen=True)
class Declared:
    """One declaration in one release. ``kind``: "class", "alias", "enum", "function", "value", "field" or "macro"."""

    kind: str
    deprecated: bool = False
    since: str = ""  # the release in which it was deprecated, where its comment says so


@dataclass
class Lived:
    """What the headers of all releases say of a name: "" where they do not say it; "<=5.1.5" for the oldest."""

    kind: str
    came: str
    deprecated: str
    gone: str


@dataclass
class Sources:
    """A clone of NVIDIA/TensorRT in ``folder``. Raises CalledProcessError where git cannot read it."""

    folder: Path
    _read: dict[str, dict[str, list[Declared]]] = field(default_factory=dict)

    @cached_property
    def tags(self) -> dict[str, str]:
        """Release -> tag, oldest first. A tag whose headers are those of another major release is left out."""
        found = {}
        for tag in self._git("tag").split():
            matched = _TAG.fullmatch(tag)
            if matched and self._major(tag) == matched[1]:
                found[tag.removeprefix("v")] = tag
        return dict(sorted(found.items(), key=lambda pair: [int(n) for n in re.findall(r"\d+", pair[0])]))

    def lived(self) -> dict[str, Lived]:
        """Returns the history of each public C++ name of the headers, such as ``nvinfer1::ILogger::log``.

        A name is deprecated only where the newest header that has it marks each of its overloads.
        """
        seen: dict[str, dict[str, list[Declared]]] = defaultdict(dict)
        for release in self.tags:
            for name, declared in self._header(release).items():
                seen[name][release] = declared
        return {name: self._history(name, by_release) for name, by_release in seen.items()}

    def _history(self, name: str, seen: dict[str, list[Declared]]) -> Lived:
        # The parser's header lay in another repository for years: only releases that have it can lack a name of it.
        releases = [r for r in self.tags if not name.startswith("nvonnxparser::") or self._has_parser(r)]
        present = [release for release in releases if release in seen]
        came, gone = self._span(releases, present)
        last, marked = seen[present[-1]], ""
        for release in reversed(present):
            if not all(one.deprecated for one in seen[release]):
                break
            marked = release
        oldest = "<=" if marked == next(iter(self.tags)) else ""
        told = [one.since for one in last if one.since] if marked else []
        return Lived(last[0].kind, came, told[-1] if told else oldest + marked, gone)

    def _has_parser(self, release: str) -> bool:
        return any(name.startswith("nvonnxparser::") for name in self._header(release))

    def bound(self) -> dict[str, tuple[str, str]]:
        """Returns (came, gone) of each class and enum of Python, as far as the sources of the bindings say."""
        seen: dict[str, list[str]] = defaultdict(list)
        with_bindings = []
        for release, tag in self.tags.items():
            classes = {python for text in self._bindings(tag) for _, python in _BOUND.findall(text)}
            if "Builder" in classes:
                with_bindings.append(release)
                for name in classes:
                    seen[name].append(release)
        return {name: self._span(with_bindings, releases) for name, releases in seen.items()}

    def plugins(self) -> dict[str, tuple[str, str]]:
        """Returns (came, gone) of each plugin of the library libnvinfer_plugin, by the name that a graph asks for."""
        seen: dict[str, list[str]] = defaultdict(list)
        for release, tag in self.tags.items():
            names: set[str] = set()
            for file in self._git("ls-tree", "-r", "--name-only", tag, "plugin/").split():
                if re.search(r"^(?!.*(fused|kernel)).*\.(cpp|cu|h)$", file):  # those are kernels as numbers
                    for text in _PLUGIN.findall(self._git("show", f"{tag}:{file}")):
                        names.update(re.findall(r'"(\w+)"', text))
            for name in names:
                seen[name].append(release)
        return {name: self._span(list(self.tags), releases) for name, releases in seen.items()}

    def _span(self, releases: list[str], seen: list[str]) -> tuple[str, str]:
        """Returns the first release of ``seen`` and the first of ``releases`` behind its last."""
        after = releases[releases.index(seen[-1]) + 1 :]
        return f"<={seen[0]}" if seen[0] == releases[0] else seen[0], after[0] if after else ""

    def spellings(self) -> dict[str, set[str]]:
        """Returns the C++ members that the binding of each Python member names: ``IFillLayer.shape`` -> its getter."""
        found: dict[str, set[str]] = defaultdict(set)
        for tag in self.tags.values():
            for text in self._bindings(tag):
                classes = list(_BOUND.finditer(text))
                for here, following in zip_longest(classes, classes[1:]):
                    part = text[here.end() : following.start() if following else None]
                    for member, body in _DEFINED.findall(part):
                        owner = here[1].rpartition("::")[2]
                        names = re.findall(rf"&\s*(?:\w+::)*{owner}::(\w+)", body)
                        found[f"{here[2]}.{member}"] |= {f"{owner}::{name}" for name in names}
        return found

    def _header(self, release: str) -> dict[str, list[Declared]]:
        if release not in self._read:
            tag, names = self.tags[release], defaultdict(list)
            for file in self._git("ls-tree", "--name-only", tag, "include/").split():
                if file.endswith(".h"):
                    for name, declared in read_header(self._git("show", f"{tag}:{file}")):
                        names[name].append(declared)
            self._read[release] = dict(names)
        return self._read[release]

    def _bindings(self, tag: str) -> Iterator[str]:
        for file in self._git("ls-tree", "-r", "--name-only", tag, "python/src/").split():
            if file.endswith(".cpp"):
                yield re.sub(r"//[^\n]*", "", self._git("show", f"{tag}:{file}"))

    def _major(self, tag: str) -> str:
        for file in ("NvInferVersion.h", "NvInfer.h"):
            text = self._git("show", f"{tag}:include/{file}", missing="")
            if found := re.search(r"define (?:NV_TENSORRT_MAJOR|TRT_MAJOR_ENTERPRISE) (\d+)", text):
                return found[1]
        return ""

    def _git(self, *arguments: str, missing: str | None = None) -> str:
        command = ["git", "-C", str(self.folder), *arguments]
        done = subprocess.run(command, capture_output=True, text=True, errors="replace", check=missing is None)
        return done.stdout if done.returncode == 0 else missing or ""


def read_header(text: str) -> Iterator[tuple[str, Declared]]:
    """Yields each public name of a C++ header with its namespaces and class, once for each declaration.

    >>> [name for name, _ in read_header("namespace n { class I { public: void f(int) noexcept; int32_t m{}; }; }")]
    ['n::I', 'n::I::f', 'n::I::m']
    """
    for name in re.findall(r"^#define (REGISTER_\w+)\(", text, re.MULTILINE):
        yield name, Declared("macro")
    public_names = {versioned: name for name, versioned in _VERSIONED.findall(text)}
    words = iter(_WORD.findall(_DIRECTIVE.sub("", text)))
    for name, declared in _scope(words, "namespace", ""):
        if not _INNER.search(name) and name.rpartition("::")[2].isidentifier():
            yield re.sub(r"v_\d+_\d+::(\w+)", lambda found: public_names.get(found[0], found[1]), name), declared


def _scope(words: Iterator[str], kind: str, prefix: str, public: bool = True) -> Iterator[tuple[str, Declared]]:
    """Yields what a namespace or class declares, up to its closing bracket."""
    said: list[str] = []
    comment = ""
    for word in words:
        if word.startswith(("//", "/*")):
            # A remark behind the last declaration (//!<) does not belong to the next.
            comment = comment if said or word.startswith("//!<") else f"{comment}\n{word}"
        elif word == "}":
            return
        elif word == ":" and said and said[-1] in ("public", "protected", "private"):
            public, said, comment = said[-1] == "public", [], ""
        elif word in "{;":
            inner = _declared(said, kind, prefix, comment) if said else None
            if (
                inner and public and (word == "{" or inner[1].kind not in ("class", "enum"))
            ):  # else it says more elsewhere
                yield inner
            if word == "{":
                yield from _inside(words, said, prefix, inner, public)
            said, comment = [], ""
        elif not word.isspace():
            said.append(word)


def _inside(
    words: Iterator[str], said: list[str], prefix: str, inner: tuple[str, Declared] | None, public: bool
) -> Iterator[tuple[str, Declared]]:
    """Yields what stands in the brackets that follow ``said``."""
    if "namespace" in said or said[:1] == ["extern"] and len(said) == 2:
        name = said[-1] if said[-1] not in ("namespace", "inline") and said[0] != "extern" else ""
        yield from _scope(words, "namespace", f"{prefix}{name}::" if name else prefix)
    elif inner and inner[1].kind == "enum":
        yield from (value for value in _values(words, inner[0]) if public)
    elif inner and inner[1].kind == "class":
        yield from (one for one in _scope(words, "class", f"{inner[0]}::", "struct" in said) if public)
    else:
        _skip(words)


def _skip(words: Iterator[str]) -> None:
    depth = 1
    while depth and (word := next(words, "")):
        depth += {"{": 1, "}": -1}.get(word, 0)


def _values(words: Iterator[str], owner: str) -> Iterator[tuple[str, Declared]]:
    said: list[str] = []
    comment = ""
    for word in words:
        if word.startswith(("//", "/*")):
            comment = comment if word.startswith("//!<") else f"{comment}\n{word}"
        elif word in ",}":
            if said:
                yield f"{owner}::{said[0]}", _marked("value", said, comment)
                said, comment = [], ""
            if word == "}":
                return
        elif not word.isspace():
            said.append(word)


def _declared(said: list[str], kind: str, prefix: str, comment: str) -> tuple[str, Declared] | None:
    """Returns the name of a declaration and what it is, or None where it has no name of its own."""
    said = _without_templates(said)
    if not said or "namespace" in said or said[0] in ("friend", "static_assert", "extern") and "(" not in said:
        return None
    if "enum" in said:
        names = [word for word in said[said.index("enum") + 1 :] if word not in ("class", "struct")]
        names = names[: names.index(":")] if ":" in names else names
        return (prefix + names[-1], _marked("enum", said, comment)) if names else None
    if said[0] in ("class", "struct", "union"):
        names = [word for word in said[1 : said.index(":") if ":" in said else None] if word != "final"]
        return (prefix + names[-1], _marked("class", said, comment)) if names else None
    if said[0] == "using" and "=" in said and not re.match(r"v_\d", said[said.index("=") + 1]):
        return prefix + said[1], _marked("alias", said, comment)
    if "(" in said:
        name = next((b for a, b in zip(said[1:], said, strict=False) if a == "(" and _is_name(b)), "")
        own = prefix.removesuffix("::").rpartition("::")[2]
        if not name or "operator" in said or "~" in said or name == own:
            return None
        return prefix + name, _marked("function", said, comment)
    name = next((a for a, b in zip(said, [*said[1:], ";"], strict=True) if b in "[=;"), "")
    if kind == "class" and _is_name(name) and len(said) > 1:
        return prefix + name, _marked("field", said, comment)
    return None


def _is_name(word: str) -> bool:
    return word.isidentifier() and not word.isupper() and word not in ("noexcept", "__attribute__", "decltype")


def _without_templates(said: list[str]) -> list[str]:
    """Drops ``template <typename T>``, so that its words are not taken for a class."""
    if said[:1] != ["template"]:
        return said
    depth = 0
    for number, word in enumerate(said):
        depth += {"<": 1, ">": -1}.get(word, 0)
        if number and not depth:
            return said[number + 1 :]
    return []


def _marked(kind: str, said: list[str], comment: str) -> Declared:
    marked = any(word.startswith("TRT_DEPRECATED") for word in said) or "\\deprecated" in comment
    since = _DEPRECATED_IN.findall(comment)
    return Declared(kind, marked, since[-1] if marked and since else "")
