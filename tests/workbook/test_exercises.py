"""The exercises: solutions pass, stubs stay open, and likely wrong answers are refused with the right hint."""

import datetime
import difflib
import json
import os
import re
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import nbformat
import numpy as np
import pytest

from helpers.trt import has, missing, trt
from helpers.workbook import exercises
from helpers.workbook.exercises import NotSolved, Wrong, check

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"
SOLUTIONS = {path.stem.replace("_", "."): path for path in sorted((NOTEBOOKS / "solutions").glob("*.py"))}
WRONG = sorted((ROOT / "tests" / "workbook" / "wrong_answers").glob("*.py"))
ALL = exercises.exercises()

pytestmark = pytest.mark.skipif(not has("build"), reason="this TensorRT cannot build here")


@pytest.fixture(autouse=True)
def strict(monkeypatch, tmp_path):
    monkeypatch.setenv("WORKBOOK_STRICT", "1")
    monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path))
    # A folder like notebooks/, but of this test alone: the chapters run at the same time and write into theirs.
    (tmp_path / "data").symlink_to(ROOT / "data", target_is_directory=True)
    (tmp_path / "notebooks" / "work").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "notebooks")


CHECK = re.compile(r"^check\(.*\)\n?", re.MULTILINE)


def cells(number: str) -> tuple[str, str]:
    """The stub of an exercise and the line that checks it: in the next cell, or, if a GPU is needed, in the same."""
    (path,) = NOTEBOOKS.glob(f"{number.split('.')[0]}_*.ipynb")
    sources = [cell.source for cell in nbformat.read(path, 4).cells if cell.cell_type == "code"]
    for stub, following in zip(sources, [*sources[1:], ""], strict=True):
        if re.search(rf"^# Exercise {re.escape(number)}:", stub, re.MULTILINE):
            return stub, CHECK.search(stub if CHECK.search(stub) else following).group()
    raise LookupError(f"{path.name} has no stub of exercise {number}")


def run(answer: str, checking: str) -> None:
    """Runs an answer and its check as the notebook would, without the magic."""
    names = {"np": np, "trt": trt, "Path": Path, "check": check}
    if "engine" in checking:
        names["engine"] = engine()
    exec(CHECK.sub("", re.sub(r"^%%needs.*\n", "", answer)), names)
    exec(checking, names)


def engine():
    from helpers.builder import build_plan
    from helpers.engine import load_engine
    from helpers.onnx_parser import parse_onnx

    profile = {"image": ((1, 1, 28, 28), (8, 1, 28, 28), (16, 1, 28, 28))}
    return load_engine(build_plan(parse_onnx(ROOT / "data" / "lenet.onnx"), profiles=[profile]))


def skip_without(number: str) -> None:
    lacking = missing(*ALL[number].needs)
    if lacking:
        pytest.skip(f"needs {', '.join(lacking)}")


@pytest.mark.parametrize("number", ALL)
def test_the_solution_is_accepted(number):
    skip_without(number)
    run(SOLUTIONS[number].read_text(), cells(number)[1])
    assert exercises._read()[number]["state"] == "solved"


@pytest.mark.parametrize("number", ALL)
def test_the_stub_runs_and_stays_open(number):
    skip_without(number)
    with pytest.raises(NotSolved):
        run(*cells(number))


@pytest.mark.parametrize("path", WRONG, ids=lambda path: path.stem)
def test_a_wrong_answer_gets_the_right_hint(path):
    number = ".".join(path.stem.split("_")[:2])
    skip_without(number)
    hint = re.match(r"# hint: (.*)\n", path.read_text()).group(1)
    with pytest.raises(Wrong) as error:
        run(path.read_text(), cells(number)[1])
    assert re.search("|".join(map(re.escape, hint.split("|"))), error.value.hint), error.value


@pytest.mark.parametrize("number", ALL)
def test_every_exercise_has_all_its_parts(number):
    assert number in SOLUTIONS
    assert len([path for path in WRONG if path.stem.startswith(number.replace(".", "_") + "_")]) >= 2
    stub, checking = cells(number)
    assert f'check("{number}"' in checking
    assert len(stub.splitlines()) <= 14


@pytest.mark.parametrize("chapter", sorted({number.split(".")[0] for number in ALL}))
def test_every_chapter_has_at_least_two_that_need_no_gpu(chapter):
    assert len([n for n, task in ALL.items() if n.startswith(chapter) and "gpu" not in task.needs]) >= 2


def test_there_is_nothing_without_an_exercise():
    assert set(SOLUTIONS) == set(ALL)


@pytest.mark.parametrize("number", ALL)
def test_solving_only_adds_or_changes_lines(number):
    stub, solution = cells(number)[0].splitlines(), SOLUTIONS[number].read_text().splitlines()
    for what, a, b, c, d in difflib.SequenceMatcher(None, stub, solution, autojunk=False).get_opcodes():
        assert what != "delete", stub[a:b]
        assert d - c >= b - a, (stub[a:b], solution[c:d])


class TestTheEngine:
    """The verdicts themselves, with exercise 07.3, which needs nothing."""

    def verdict(self, *answers):
        return exercises._judge(ALL["07.3"], answers)[0]

    def test_solved_says_what_was_learnt(self):
        verdict = self.verdict(lambda times, warm_up: tuple(np.percentile(times[warm_up:], [50, 99])))
        assert str(verdict).startswith("✅ 07.3 solved")
        assert "percentiles" in str(verdict)

    def test_wrong_shows_expected_got_and_one_hint(self):
        text = str(self.verdict(lambda times, warm_up: (np.mean(times[warm_up:]), 300.0)))
        assert text.startswith("❌ 07.3 not yet")
        assert [line.split(":")[0].strip() for line in text.splitlines()[1:]] == ["expected", "got", "hint"]

    @pytest.mark.parametrize("answer", [lambda: 1 / 0, lambda times, warm_up: 1 / 0, "text", 5, {}])
    def test_any_answer_is_judged_without_a_stack_trace(self, answer):
        text = str(self.verdict(answer))
        assert text.startswith("❌")
        assert "Traceback" not in text

    @pytest.mark.parametrize("answer", [None, ...])
    def test_nothing_is_open(self, answer):
        assert str(self.verdict(answer)).startswith("○ 07.3 not solved so far")

    def test_html_is_escaped_and_speaks_without_colours(self):
        box = exercises.Verdict("01.1", "wrong", (("<got>", "<script>"),))._repr_mimebundle_()
        assert "<b>&lt;got&gt;:</b> &lt;script&gt;</div>" in box["text/html"]
        assert 'role="status"' in box["text/html"]
        assert "❌ 01.1 not yet" in box["text/plain"]

    def test_outside_strict_mode_a_wrong_answer_raises_nothing(self, monkeypatch, capsys):
        monkeypatch.delenv("WORKBOOK_STRICT")
        check("07.3", lambda times, warm_up: None)
        check("07.3", lambda times, warm_up: 1 / 0)
        assert "Traceback" not in capsys.readouterr().out

    def test_an_unknown_number(self):
        with pytest.raises(KeyError, match=r"no exercise '07.99'; there are 01.1"):
            check("07.99", 1)

    def test_specifications_are_loaded_once(self):
        assert exercises.exercises()["07.3"].test is ALL["07.3"].test

    @pytest.mark.parametrize("number", ["99.1", 2.1, "../01.1"])
    def test_a_number_of_no_chapter(self, number):
        with pytest.raises(KeyError, match="there is no exercise"):
            check(number, 1)

    def test_progress_is_kept_and_can_be_reset(self, monkeypatch):
        monkeypatch.delenv("WORKBOOK_STRICT")
        check("07.3", lambda times, warm_up: (0, 0))
        assert exercises.progress().loc["07.3", "state"] == "❌ tried"
        check("07.3", lambda times, warm_up: tuple(np.percentile(times[warm_up:], [50, 99])))
        check("07.3", lambda times, warm_up: (0, 0))
        assert exercises.progress().loc["07.3", "state"] == "✅ solved"
        if not has("gpu"):
            assert exercises.progress().loc["07.4", "state"] == "needs a GPU"
        exercises.reset_progress()
        assert set(exercises.progress()["state"]) <= {"○ open", "needs a GPU"}

    @pytest.mark.parametrize("state", ["a file", "no home"])
    def test_progress_that_cannot_be_kept_costs_a_warning(self, tmp_path, monkeypatch, caplog, state):
        if state == "a file":
            (tmp_path / "file").write_text("")
            monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "file" / "state"))
        else:
            monkeypatch.setattr(exercises, "state_folder", lambda: Path("~no-such-user/x").expanduser())
        check("07.3", lambda times, warm_up: tuple(np.percentile(times[warm_up:], [50, 99])))
        assert "could not be noted" in caplog.text
        assert exercises.progress().loc["07.3", "state"] == "○ open"


OLD = {"state": "solved", "date": "2025-11-23"}
NOTES = """
import sys
from helpers.workbook.exercises import _remember

me = int(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for n in range(100):
    _remember(f"{n:02}.{me}", "solved")
    _remember(f"{n:02}.all", "solved" if n % 4 == me else "wrong")
"""


class TestNotes:
    """What is on the disk of the exercises that were solved."""

    def state(self, number="07.3"):
        return exercises.progress().loc[number, "state"]

    def test_several_processes_note_at_the_same_moment(self, monkeypatch):
        monkeypatch.setenv("PYTHONPATH", str(ROOT))
        command = [sys.executable, "-c", NOTES]
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
        processes = [subprocess.Popen([*command, str(me)], **pipes) for me in range(4)]
        for process in processes:
            assert process.stdout.readline() == "ready\n"
        for process in processes:
            process.stdin.write("go\n")
            process.stdin.flush()
        for process in processes:
            assert process.communicate(timeout=120) == ("", None)
        done = exercises._read()
        numbers = {f"{n:02}.{who}" for n in range(100) for who in (0, 1, 2, 3, "all")}
        assert done.keys() == numbers
        assert {entry["state"] for entry in done.values()} == {"solved"}

    @pytest.mark.parametrize(
        "bad",
        [
            *(5, None, [], "solved", {}, {"state": []}, {"state": {}}, {"state": None}, {"state": "else"}),
            {"state": "open", "date": "2025-11-23"},
        ],
    )
    def test_a_bad_note_in_the_file_of_earlier_versions_does_not_lose_the_others(self, tmp_path, bad):
        (tmp_path / "exercises.json").write_text(json.dumps({"07.3": bad, "07.2": OLD}))
        assert (self.state(), self.state("07.2")) == ("○ open", "✅ solved")
        assert exercises.progress().loc["07.2", "date"] == "2025-11-23"
        exercises._remember("07.3", "wrong")
        exercises._remember("07.2", "wrong")
        assert (self.state(), self.state("07.2")) == ("❌ tried", "✅ solved")

    @pytest.mark.parametrize("when", [5, [], None, "<b>", "2025-11-23<b>"])
    def test_what_is_no_date_is_not_shown(self, tmp_path, when):
        (tmp_path / "exercises.json").write_text(json.dumps({"07.3": {"state": "solved", "date": when}}))
        assert self.state() == "✅ solved"
        assert exercises.progress().loc["07.3", "date"] == ""

    @pytest.mark.parametrize("text", ["", "{", "[]", "null", "[" * 100_000, "1" * 10_000, "\udcff"])
    def test_a_damaged_file_of_earlier_versions_is_no_obstacle(self, tmp_path, text):
        (tmp_path / "exercises.json").write_bytes(text.encode(errors="surrogateescape"))
        assert self.state() == "○ open"
        exercises._remember("07.3", "solved")
        assert self.state() == "✅ solved"

    @pytest.mark.parametrize("name", ["exercises.json", "exercises/07.3.wrong", "exercises/07.3.solved"])
    @pytest.mark.parametrize("kind", ["pipe", "folder", "circle", "sparse"])
    def test_what_is_no_note_is_passed_over(self, tmp_path, name, kind):
        exercises._remember("07.2", "solved")
        path = tmp_path / name
        if kind == "pipe":
            if not hasattr(os, "mkfifo"):
                pytest.skip("there are no named pipes here")
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "circle":
            path.symlink_to(path.name)
        else:
            with open(path, "wb") as file:
                file.truncate(1 << 40)
        if kind != "sparse":
            assert self.state() == "○ open"
        assert self.state("07.2") == "✅ solved"
        exercises._remember("07.3", "solved")

    def test_what_was_solved_stays_solved_in_whatever_form_it_was_noted(self, tmp_path):
        exercises._remember("07.1", "wrong")
        exercises._remember("07.2", "wrong")
        exercises._remember("07.2", "solved")
        (tmp_path / "exercises.json").write_text(json.dumps({"07.1": OLD}))
        assert [self.state(number) for number in ("07.1", "07.2")] == ["✅ solved", "✅ solved"]

    def test_what_is_open_is_not_noted(self, tmp_path):
        exercises._remember("07.3", "open")
        assert not (tmp_path / "exercises").exists()

    def test_the_day_is_noted_and_that_of_a_solution_stays(self, monkeypatch):
        for day, state, noted in (
            (1, "wrong", 1),
            (2, "wrong", 2),
            (3, "solved", 3),
            (4, "wrong", 3),
            (5, "solved", 3),
        ):
            today = datetime.date(2025, 11, day)
            monkeypatch.setattr(exercises, "date", SimpleNamespace(today=lambda today=today: today))
            exercises._remember("07.3", state)
            assert exercises.progress().loc["07.3", "date"] == f"2025-11-0{noted}"

    @pytest.mark.skipif(os.name != "posix", reason="folders have no mode there")
    def test_their_folder_is_the_users_own_whatever_the_umask(self, tmp_path, monkeypatch):
        monkeypatch.setenv("WORKBOOK_STATE", str(tmp_path / "state"))
        before = os.umask(0)
        try:
            exercises._remember("07.3", "solved")
        finally:
            os.umask(before)
        assert (tmp_path / "state").stat().st_mode & 0o777 == 0o700
        assert self.state() == "✅ solved"

    def test_all_can_be_forgotten(self, tmp_path):
        (tmp_path / "exercises.json").write_text(json.dumps({"07.2": OLD}))
        exercises._remember("07.3", "wrong")
        exercises._remember("07.1", "wrong")
        exercises._remember("07.1", "solved")
        exercises.reset_progress()
        assert exercises._read() == {}
        exercises.reset_progress()
