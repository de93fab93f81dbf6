"""The way through the chapters: links at both ends, and minutes that follow from what there is to read and do."""

import re
from pathlib import Path

import nbformat
import pytest

ROOT = Path(__file__).resolve().parents[2]
CHAPTERS = sorted((ROOT / "notebooks").glob("[0-9]*.ipynb"))
# What a learner needs: to read 150 words a minute, 5 seconds for a line of code, 4 minutes for an exercise.
WORDS_A_MINUTE, SECONDS_A_LINE, MINUTES_AN_EXERCISE = 150, 5, 4


def read(path):
    return nbformat.read(path, 4)


def title(path):
    """ "02 The builder" of a chapter whose heading is "# 02 · The builder"."""
    return re.sub(r"^# (\d\d) · ", r"\1 ", read(path).cells[0].source.splitlines()[0])


def navigation(path):
    """The line of links that belongs to both ends of a chapter."""
    at = CHAPTERS.index(path)
    links = [f"[← {title(CHAPTERS[at - 1])}]({CHAPTERS[at - 1].name})"] if at else []
    links.append(f"[Contents]({CHAPTERS[0].name})")
    links += [f"[{title(after)} →]({after.name})" for after in CHAPTERS[at + 1 : at + 2]]
    return " · ".join(links)


def estimate(path):
    """Minutes, to the next multiple of five."""
    cells = read(path).cells
    prose = " ".join(cell.source for cell in cells if cell.cell_type == "markdown")
    words = len(re.findall(r"\w+", re.sub(r"```.*?```|<[^>]+>", "", prose, flags=re.DOTALL)))
    code = [cell.source for cell in cells if cell.cell_type == "code"]
    lines, exercises = sum(len(source.splitlines()) for source in code), sum("# Exercise" in source for source in code)
    minutes = words / WORDS_A_MINUTE + lines * SECONDS_A_LINE / 60 + exercises * MINUTES_AN_EXERCISE
    return max(5, 5 * round(minutes / 5))


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_both_ends_lead_on(path):
    cells = read(path).cells
    assert cells[0].source.splitlines()[2] == navigation(path)
    assert cells[-1].source == navigation(path)


@pytest.mark.parametrize("path", CHAPTERS, ids=lambda path: path.stem)
def test_minutes_follow_from_words_lines_and_exercises(path):
    (said,) = re.findall(r"\*\*Minutes:\*\* (\d+)", read(path).cells[0].source)
    assert int(said) == estimate(path)


@pytest.mark.parametrize("path", CHAPTERS[1:], ids=lambda path: path.stem)
def test_the_table_of_chapter_00_says_the_same(path):
    table = "\n".join(cell.source for cell in read(CHAPTERS[0]).cells if cell.cell_type == "markdown")
    (row,) = re.findall(rf"^\| \[[^|]*\]\({path.name}\).*$", table, re.MULTILINE)
    assert row.startswith(f"| [{title(path)}]({path.name}) |")
    assert f"| {estimate(path)} |" in row
