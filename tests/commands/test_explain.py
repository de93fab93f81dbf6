"""explain: a message, a log or an id is answered with cause, cure, chapter and threads; the page is in step."""

import io
import re
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import nbformat
import pytest

from helpers.advice import by_id, subjects
from helpers.commands import main
from helpers.commands.explain import LIMIT, examples, explain, markdown, title

ROOT = Path(__file__).resolve().parents[2]
VERSION = "Version tag does not match. Note: Current Version: 96, Serialized Engine Version: 97"
LOG = """\
[08/01/2022-15:41:43] [TRT] [V] Parsing node: dq [DynamicQuantizeLinear]
[08/01/2022-15:41:44] [TRT] [I] Loaded engine size: 10 MiB
AttributeError: 'NoneType' object has no attribute 'create_execution_context'
[08/01/2022-15:41:44] [TRT] [E] 4: [runtime.cpp::deserializeCudaEngine::50] (Engine deserialization failed.)
[08/01/2022-15:41:44] [TRT] [E] 1: Serialization assertion failed.Version tag does not match. Note: Current Version: 0
[08/01/2022-15:41:45] [TRT] [E] 1: Serialization assertion failed.Version tag does not match. Note: Current Version: 0
"""


def ids(text):
    return [known.advice.id for known in explain(text).known]


def said(capsys, *arguments):
    """The exit status, and what was printed, with its line ends as spaces."""
    status = main(["explain", *arguments])
    return status, " ".join(capsys.readouterr().out.split())


def give(monkeypatch, data):
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(data)))


def test_a_message_gets_cause_cure_id_chapter_and_threads(capsys):
    advice = by_id("TRT050")
    status, text = said(capsys, VERSION)
    assert status == 0
    assert text.startswith(f"TRT050 (Plans) {VERSION} Cause: {advice.cause} Cure: {advice.cure} Chapter: 12 Versions ")
    assert "(notebooks/12_versions.ipynb) Met in: NVIDIA/TensorRT#2195" in text


def test_words_need_no_quotes(capsys):
    assert said(capsys, *VERSION.split())[0] == 0


@pytest.mark.parametrize("id", ["TRT012", "trt012", " TRT012 "])
def test_an_id_is_explained(id, capsys):
    status, text = said(capsys, id)
    assert status == 0
    assert by_id("TRT012").cure in text


def test_an_id_that_does_not_exist_is_not_known(capsys):
    status, text = said(capsys, "TRT999")
    assert (status, text) == (2, "not known: TRT999 Nothing that we know looks like it.")


def test_of_a_log_each_kind_is_told_once_the_cause_before_what_follows():
    assert ids(LOG) == ["TRT050", "TRT114", "TRT117"]


def test_an_error_stands_before_a_warning_whatever_the_table_says():
    warning = "[12/25/2023-16:09:38] [TRT] [W] Missing scale and zero-point for tensor softmax, expect fall back"
    error = "[12/25/2023-16:14:05] [TRT] [E] 1: Unexpected exception NVRTC error: NVRTC_ERROR_COMPILATION"
    assert ids(f"{warning}\n{error}") == ["TRT145", "TRT065"]
    assert ids("WARNING: newer ir_version (0.0.6)\n[E] Failed to parse onnx file") == ["TRT118", "TRT112"]


PARSER_LOG = """\
[E] [TRT] ModelImporter.cpp:748: While parsing node number 94 [GridSample -> "grid_output_0"]:
[E] [TRT] ModelImporter.cpp:750: input: "x"
op_type: "GridSample"
[E] [TRT] 3: getPluginCreator could not find plugin: Round version: 1
[8] Assertion failed: creator && "Plugin not found, are the plugin name, version, and namespace correct?"
"""


def test_operators_that_a_log_names_are_told(capsys):
    assert explain(PARSER_LOG).operators == ("GridSample", "Round")
    assert "\nThe log names: GridSample, Round" in str(explain(PARSER_LOG))
    assert "The log names" not in str(explain(VERSION))
    many = "".join(f'op_type: "Op{number}"\n' for number in range(1000))
    assert len(explain(f"{many}[8] No importer registered for op: Last").operators) == 5


def test_verbose_lines_say_nothing_unless_asked_alone():
    assert ids(LOG.splitlines()[0]) == ["TRT020"]


def test_the_line_that_it_is_about_is_shown():
    known = explain(LOG).known[0]
    assert known.line.startswith("[08/01/2022-15:41:44] [TRT] [E] 1: Serialization")
    assert known.line in str(explain(LOG))


def test_a_line_that_was_broken_is_put_together():
    assert ids("IShuffleLayer flatten: reshape would\n   change volume 128 to 16") == ["TRT039"]


def test_colours_of_a_terminal_are_left_out():
    assert ids("\x1b[1;31mTopK: K exceeds\x1b[0m the maximum\x1b[0m value allowed") == ["TRT029"]


def test_standard_input_is_read(monkeypatch, capsys):
    give(monkeypatch, LOG.encode() + b"\xff\xfe\x00")
    status, text = said(capsys, "-")
    assert status == 0
    assert text.startswith("TRT050 (Plans)")


def test_of_standard_input_too_much_is_not_read(monkeypatch, capsys):
    give(monkeypatch, (VERSION + "\n").encode() + b"x" * 5 * LIMIT)
    assert main(["explain", "-"]) == 0
    assert "only the first 1,000,000 characters" in capsys.readouterr().err


@pytest.mark.parametrize("arguments", [[], [""], [" "], ["-"]])
def test_nothing_is_no_message(arguments, monkeypatch, capsys):
    give(monkeypatch, b" \n")
    assert main(["explain", *arguments]) == 2
    assert "say which message" in capsys.readouterr().err
    with pytest.raises(ValueError, match="needs a message"):
        explain(" \n")


def test_similar_messages_are_offered(capsys):
    status, text = said(capsys, "TRT was linked to cuDNN 8.9.0 but it loaded cuDNN 8.8.0")
    assert status == 1
    assert "These look like it: TRT095 [TRT] TensorRT was linked against cuDNN 8.9.0 but loaded cuDNN 8.8.0" in text


def test_nothing_similar_is_said(capsys):
    status, text = said(capsys, "the cat sat on the mat")
    assert (status, text) == (2, "not known: the cat sat on the mat Nothing that we know looks like it.")


def test_the_list_has_everything(capsys):
    status, text = said(capsys, "--list")
    assert status == 0
    assert all(f"{advice.id} {advice.cause}" in text for entries in subjects().values() for advice in entries)


def test_in_a_notebook_an_answer_shows_itself_and_no_html_of_the_message():
    shown = explain("<script>Network must have at least one output</script>")._repr_html_()
    assert "<h4>TRT116" in shown
    assert "&lt;script&gt;" in shown
    assert "<script>" not in shown


def test_no_control_characters_reach_the_terminal(capsys):
    for text in ("\x1b]0;x\x07Network must have at least one output\x9b2J", "\x1b]0;x\x07 nothing\x9b2J of the kind"):
        main(["explain", text])
        assert not any(ord(character) < 32 and character != "\n" for character in capsys.readouterr().out)


def test_a_long_line_is_cut(capsys):
    main(["explain", "Network must have at least one output " + "x" * 5000])
    assert len(max(capsys.readouterr().out.splitlines(), key=len)) < 500


@pytest.mark.parametrize(
    "text",
    [
        "a" * 3_000_000,
        "\n" * 1_000_000 + "x",
        "\n".join(f"[E] error {number}: topk scatter dla zero point" for number in range(60_000)),
        "\n".join(map(str, range(200_000))),
        "[" * 1_000_000,
        "\x1b[" * 500_000,
        "TopK failed " * 100_000,
    ],
    ids=["one line", "no line", "many lines", "short lines", "brackets", "colours", "words"],
)
def test_megabytes_take_no_time(text):
    start = time.perf_counter()
    explain(text)
    assert time.perf_counter() - start < 15  # about a second, on a machine with nothing else to do


def test_what_is_told_in_a_large_log_is_found():
    chat = "\n".join(f"[08/01/2022] [TRT] [I] Tactic {number} takes {number / 7} ms" for number in range(15_000))
    assert ids(f"{chat}\n[E] {VERSION}") == ["TRT050"]


def test_a_chapter_has_its_heading_as_title(tmp_path, monkeypatch):
    for path in sorted((ROOT / "notebooks").glob("[0-9]*.ipynb")):
        heading = nbformat.read(path, 4).cells[0].source.splitlines()[0]
        assert title(path.stem) == heading.removeprefix("# ").replace(" · ", " ", 1)
    monkeypatch.setattr("helpers.commands.explain._ROOT", tmp_path)
    assert title("06_serialization") == "06 serialization"


def test_the_page_is_in_step():
    told = "python -m helpers.commands.explain --markdown > notebooks/messages.md makes it"
    assert (ROOT / "notebooks" / "messages.md").read_text(encoding="utf-8") == markdown(), told


def test_the_page_has_every_message_and_links_to_chapters_and_threads(capsys):
    assert main(["explain", "--markdown"]) == 0
    page = capsys.readouterr().out
    for example in examples():
        assert re.sub(r"^\[\d\d/\d\d/\d{4}-[\d:]+\] ", "", example.message)[:200] in page
        assert f"https://github.com/{example.thread.replace('#', '/issues/')}" in page
    for entries in subjects().values():
        for advice in entries:
            assert f"### {advice.id}\n" in page
            assert f"]({advice.chapter}.ipynb)" in page
    assert not re.search(r"^\[\d\d/\d\d/\d{4}", page, re.MULTILINE), "dates push what matters out of sight"
