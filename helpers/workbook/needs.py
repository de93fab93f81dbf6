"""Cells that need what this machine may lack: ``%load_ext helpers.workbook.needs``, then ``%%needs gpu`` atop a cell.

Told in chapter 00. Where the capabilities of ``helpers.trt`` that the magic names are there, the cell runs as if the
magic were not written. Where not, it shows what the same cell printed and plotted on a machine that has them
(``helpers.workbook.recordings``), under a banner that says so, and that names what the reader has changed above
(``helpers.workbook.edits``). Needs IPython, and nh3 to show HTML: what a recording displays is
published in the reader's own page, so nothing in it may run there, or load anything.

>>> sorted(probe())
['compute_capability', 'device', 'flavour', 'missing', 'replayed', 'version']
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterable
from html import escape, unescape
from typing import Any

from ..device import gpus
from ..trt import CAPABILITIES, FLAVOUR, NAMES, VERSION, missing
from . import edits
from .recordings import (
    EXERCISE,
    ROOT,
    Recording,
    RecordingError,
    difference,
    find_recording,
    first_line,
    load_code_cells,
    picture_size,
    recordings_path,
    similar_recording,
    source_hash,
    split_gate,
)

_TAGS = {
    *("b", "br", "caption", "code", "details", "div", "h4", "img", "li", "p", "pre", "strong", "summary"),
    *("table", "tbody", "td", "tfoot", "th", "thead", "tr", "ul"),
}
_ATTRIBUTES = {
    "*": {"style"},
    "img": {"alt", "src", "width"},
    "table": {"border"},
    "td": {"colspan", "rowspan"},
    "th": {"colspan", "rowspan", "scope"},
}
_STYLE = re.compile(
    r"\s*(background|border-radius|color|height|max-width|text-align|vertical-align)\s*:[\w\s#.%-]+"  # no url(...)
)
# pandas writes this before each table. A recording's own style sheet goes, since it would change the whole page.
_OF_PANDAS = (
    "<style>.dataframe tbody tr th:only-of-type{vertical-align:middle}.dataframe tbody tr th{vertical-align:top}"
    ".dataframe thead th{text-align:right}</style>"
)
_PICTURE = re.compile(r"data:image/png;base64,[A-Za-z0-9+/=\s]+")
_CONTROL = re.compile(
    r"(?P<colour>\x1b\[[0-9;]*m)|\x1b[\]PX^_].*?(\x07|\x1b\\|\Z)|\x1b\[[0-?]*[ -/]*[@-~]?|\x1b.?"
    r"|[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f]",
    re.DOTALL,
)
_shown: list[str] = []  # hashes of the cells replayed so far
_explained: list[str] = []  # the hash of the cell whose banner explains replays; in a list to be set once
_LATER = "Later cells like this one say so in one line; those that printed nothing show nothing."
MARK = "needs"  # key of the metadata that tells a banner from an output of the cell's own


def load_ipython_extension(ip: Any) -> None:
    """Answers ``%load_ext helpers.workbook.needs``: from now on, cells that begin with ``%%needs`` are gated."""
    ip.input_transformers_cleanup.append(_transform)
    ip.register_magic_function(_magic, "cell", "needs")
    edits.watch(ip)


def unload_ipython_extension(ip: Any) -> None:
    """Takes back what :func:`load_ipython_extension` did."""
    ip.input_transformers_cleanup.remove(_transform)
    ip.magics_manager.magics["cell"].pop("needs", None)
    edits.unwatch(ip)


def _transform(lines: list[str]) -> list[str]:
    """IPython's input transformer: lines of a cell in, lines of what really runs out. Has no effects of its own."""
    source = "".join(lines)
    gate = split_gate(source)
    if gate is None:
        return lines
    names, body = gate
    if not names or any(name not in CAPABILITIES for name in names):
        return [_call("refuse", names)]
    lacking = missing(*names)
    return [_call("replay", source, lacking)] if lacking else body.splitlines(keepends=True)


# A console asks its transformers whether a cell is complete; left alone, %%needs is treated there like any cell magic.
_transform.has_side_effects = True  # type: ignore[attr-defined]


def _call(function: str, *arguments: Any) -> str:
    # By import, so that no name of the reader's can stand in the way.
    return f"__import__({__name__!r}, fromlist=['']).{function}({', '.join(map(repr, arguments))})\n"


def _magic(line: str, cell: str) -> None:
    """%%needs CAPABILITY [CAPABILITY ...]

    Run the cell where this machine and its TensorRT have all the capabilities. Elsewhere show what the same cell
    printed and plotted on a machine that has them, with that machine's name, its TensorRT and the date. Names that the
    cell would define stay undefined then. The capabilities are those of helpers.trt.CAPABILITIES: gpu, build, ...
    """
    # Comes here only from code that calls the magic by itself; a cell that begins with it goes through _transform.
    from IPython import get_ipython

    get_ipython().run_cell(f"%%needs {line}\n{cell}").raise_error()


def refuse(names: list[str]) -> None:
    """Stops a cell whose ``%%needs`` names nothing, or what nobody knows, with IPython's UsageError."""
    from IPython.core.error import UsageError

    unknown = [name for name in names if name not in CAPABILITIES]
    problem = f"unknown capability {', '.join(unknown)}" if unknown else "no capability is named"
    raise UsageError(f"%%needs: {problem}. Write for example %%needs gpu; there are: {', '.join(CAPABILITIES)}")


def replay(source: str, lacking: list[str]) -> None:
    """Shows the recording of a cell that cannot run here because of ``lacking``; never raises for want of one."""
    reasons = [f"<code>{name}</code> ({escape(CAPABILITIES[name].where)})" for name in lacking]
    need = f"This cell needs {' and '.join(reasons)}, which {'is' if len(lacking) == 1 else 'are'} missing here."
    _shown.append(source_hash(source))
    try:
        found = find_recording(source, shown=_shown)
        if found:
            _show_recording(need, *found)
        else:
            more, *folds = _without_recording(source)
            _banner("Not run", [f"{need} {more}", *folds])
    except RecordingError as error:
        _banner("Not run", [f"{need} Its recording cannot be shown: {escape(str(error))}."])


def _show_recording(need: str, chapter: str, recording: Recording) -> None:
    """Shows a recording under its banner, which is long for the first cell only; nothing if nothing was recorded."""
    if not recording.outputs:
        return
    if not _explained:
        _explained.append(recording.hash)
    if recording.hash == _explained[0]:  # also when it is run again
        said = f"{need} Below is what it showed on <strong>{escape(describe(recording))}</strong>. {_LATER}"
    else:
        said = f"{escape(recording.device)}, {escape(_tensorrt(recording))}, {escape(recording.date)}"
    _banner("Recorded output", [said, *_edits(chapter, recording)], recording)
    for output in recording.outputs:
        _show(output)


def _edits(chapter: str, recording: Recording) -> list[str]:
    """One line if the reader has changed something above."""
    cells = load_code_cells(recordings_path(chapter, ROOT))
    changed = edits.edited(cells, recording.cell, edits.ran)
    if not changed:
        return []
    line = first_line(changed[0])
    named = f"the cell that begins with <code>{escape(line)}</code>" if line else "a cell, which is empty now"
    others = f", and {len(changed) - 1} more" if changed[1:] else ""
    return [f"<strong>This shows the original:</strong> above, you have changed {named}{others}."]


def describe(recording: Recording) -> str:
    """Says where and when a recording was made, in words: device, TensorRT and its version, date."""
    capability = recording.compute_capability
    device = f"{recording.device} (compute capability {capability})" if capability else "a machine without a GPU"
    return f"{device} with {_tensorrt(recording)} on {recording.date}"


def _tensorrt(recording: Recording) -> str:
    return f"{NAMES.get(recording.flavour, recording.flavour)} {recording.version}"


def probe() -> dict[str, Any]:
    """Returns what ``make record`` asks the kernel that has just run a chapter: device, TensorRT, missing capabilities.

    And the hashes of the cells that were replayed, or could not even be replayed, in place of being run.
    """
    gpu = gpus()[0] if gpus() else None
    return {
        "device": gpu.name if gpu else "no GPU",
        "compute_capability": "{}.{}".format(*gpu.compute_capability) if gpu else None,
        "flavour": FLAVOUR,
        "version": VERSION,
        "missing": missing(*CAPABILITIES),
        "replayed": _shown,
    }


def _without_recording(source: str) -> list[str]:
    if EXERCISE.search(source):  # what comes closest may be the solution
        return ["It belongs to an exercise: where that is there, run it, and the check judges your answer."]
    similar = similar_recording(source)
    if similar is None:
        return ["There is no recording of it. The workbook goes on without."]
    chapter, recording = similar
    return [
        f"The recording (chapter <code>{escape(chapter)}</code>, {escape(describe(recording))}) belongs to another "
        "version of this cell, so it is not shown. Undo your change, or copy the recorded cell back, and run it again.",
        _fold("What differs", difference(recording.source, source)),
        _fold("The recorded cell", recording.source.strip("\n")),
    ]


def _fold(title: str, text: str) -> str:
    return f"<details><summary>{title}</summary><pre><code>{escape(text)}</code></pre></details>"


def _plain(html: str) -> str:
    """The words of a banner for where HTML is not shown: a console, a text export."""
    return unescape(re.sub(r"<[^>]+>", "", html.replace("</summary>", ":\n")))


def _banner(title: str, paragraphs: Iterable[str], recording: Recording | None = None) -> None:
    """Shows a box, and marks the cell's output as something that it did not print itself."""
    from IPython.display import publish_display_data

    first, *others = paragraphs
    paragraphs = [f"<strong>{title}.</strong> {first}", *others]
    inside = "\n".join(p if p.startswith("<details>") else f'<p style="margin:0">{p}</p>' for p in paragraphs)
    # The text has the page's own colour, on a grey that is thin enough for light and dark themes.
    edge = "#0072B2" if recording else "#D55E00"
    style = f"border-left:4px solid {edge};background:rgba(128,128,128,0.12);padding:0.4em 0.8em;margin:0.2em 0"
    html = f'<div role="note" aria-label="{title}" style="{style}">\n{inside}\n</div>'
    plain = printable("\n".join(map(_plain, paragraphs)))
    publish_display_data({"text/html": html, "text/plain": plain}, {MARK: recording_mark(recording)})


def recording_mark(recording: Recording | None) -> dict[str, str | None]:
    """Returns the metadata of a banner: which recording follows."""
    return {"recording": recording.hash[:16], "date": recording.date} if recording else {"recording": None}


def _show(output: dict[str, Any]) -> None:
    from IPython.display import publish_display_data

    if output["output_type"] == "stream":
        stream = sys.stderr if output["name"] == "stderr" else sys.stdout
        stream.write(printable(output["text"]))
        stream.flush()
        return
    data = {kind: printable(text) for kind, text in output["data"].items()}
    if "text/html" in data:
        html = harmless_html(data.pop("text/html"))
        data.setdefault("text/plain", "[HTML, which is not shown where nh3 is missing]")
        data |= {} if html is None else {"text/html": html}
    publish_display_data(data, picture_size(output.get("metadata", {})))


def printable(text: str) -> str:
    """Returns the text without what makes a terminal do something, such as setting its title; colours stay."""
    return _CONTROL.sub(lambda found: found["colour"] or "", text)


def harmless_html(html: str) -> str | None:
    """Returns the HTML without all that could run, load something or cover the page; None where nh3 is missing.

    What the workbook's own tables, figures, reports and verdicts consist of stays; of anything else, only the text.
    """
    try:
        import nh3
    except ImportError:
        return None
    clean = nh3.clean(
        html,
        tags=_TAGS,
        attributes=_ATTRIBUTES,
        attribute_filter=_attribute,
        tag_attribute_values={"div": {"role": {"status"}}},
        allowed_classes={"table": {"dataframe"}, "div": {"alert", "alert-success", "alert-danger", "alert-info"}},
        url_schemes={"data"},
    )
    return (_OF_PANDAS if 'class="dataframe"' in clean else "") + clean


def _attribute(tag: str, name: str, value: str) -> str | None:
    if name == "src":
        return value if _PICTURE.fullmatch(value) else None
    if name == "style":
        return ";".join(part for part in value.split(";") if _STYLE.fullmatch(part)) or None
    return value
