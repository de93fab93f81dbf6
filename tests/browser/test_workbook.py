"""The reader's way through the workbook, in a real JupyterLab: open, follow links, run, answer exercises."""

import os
import re
from pathlib import Path

import nbformat
import pytest

NOTEBOOKS = Path(__file__).resolve().parents[2] / "notebooks"
CHAPTERS = [path.name for path in sorted(NOTEBOOKS.glob("[0-9]*.ipynb"))]
SCREENSHOTS = os.environ.get("WORKBOOK_SCREENSHOTS")


def run_all(page, chapter: str) -> None:
    """Restart Kernel and Run All Cells, as a reader would, and waits for the last cell."""
    page.get_by_text(re.compile(r"\| Idle")).wait_for(timeout=60_000)  # a kernel that still starts is not restarted
    page.get_by_role("menuitem", name="Run", exact=True).click()
    page.get_by_role("menuitem", name=re.compile("Restart Kernel and Run All")).click()
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    cells = [cell for cell in nbformat.read(NOTEBOOKS / chapter, 4).cells if cell.cell_type == "code" and cell.source]
    # Cells that wait their turn show [*]; those out of sight may show nothing, but the last one is scrolled to.
    done = f"""() => {{
        const prompts = [...document.querySelectorAll('.jp-CodeCell .jp-InputPrompt')].map(p => p.textContent);
        return prompts.includes('[{len(cells)}]:') && !prompts.some(text => text.includes('*'));
    }}"""
    page.wait_for_timeout(2000)  # the counts of the stored run have to go first
    page.wait_for_function(done, timeout=100_000)


def screenshot(page, name: str) -> None:
    if SCREENSHOTS:
        Path(SCREENSHOTS).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=str(Path(SCREENSHOTS) / f"{name}.png"))


def test_make_lab_lands_on_the_start_notebook(server, browser):
    page = browser.new_page()
    page.goto(server[0])
    page.wait_for_selector(".jp-Notebook .jp-RenderedMarkdown h1", timeout=60_000)
    assert "00" in page.locator(".jp-Notebook h1").first.inner_text()
    page.close()


def test_links_between_chapters_work(lab):
    page = lab("00_start.ipynb")
    for chapter in CHAPTERS[1:]:
        assert page.locator(f'.jp-Notebook a[href*="{chapter}"]').count(), chapter
    page.locator(f'.jp-Notebook a[href*="{CHAPTERS[1]}"]').first.click()
    title = nbformat.read(NOTEBOOKS / CHAPTERS[1], 4).cells[0].source.splitlines()[0].lstrip("# ")
    page.get_by_role("heading", name=title).first.wait_for(timeout=30_000)


@pytest.mark.parametrize("chapter", CHAPTERS)
def test_restart_and_run_all_reaches_the_bottom(lab, chapter):
    page = lab(chapter)
    run_all(page, chapter)
    errors = page.locator('.jp-OutputArea-output[data-mime-type="application/vnd.jupyter.error"]')
    assert errors.count() == 0, errors.first.inner_text()
    assert page.foreign == []
    screenshot(page, f"{chapter[:2]}-after-run")


@pytest.mark.parametrize("chapter", CHAPTERS)
@pytest.mark.parametrize("width", [1280, 800])
@pytest.mark.parametrize("theme", ["JupyterLab Light", "JupyterLab Dark"])
def test_it_reads_well(lab, chapter, width, theme):
    page = lab(chapter, width, theme)
    levels = page.eval_on_selector_all(
        ".jp-MarkdownCell :is(h1, h2, h3, h4, h5, h6)", "found => found.map(h => Number(h.tagName[1]))"
    )
    assert levels[0] == 1
    assert levels.count(1) == 1
    assert all(after - before <= 1 for before, after in zip(levels, levels[1:], strict=False)), levels
    unnamed = page.eval_on_selector_all(".jp-Notebook img", "found => found.filter(i => !i.alt.trim()).length")
    assert unnamed == 0
    # Prose wraps at any width; a table of names that cannot be broken may scroll by itself.
    wide = page.eval_on_selector_all(
        ".jp-MarkdownOutput :is(p, li, h1, h2, h3, h4)",
        """found => found.filter(e => !e.closest('table') && !e.querySelector('table') && (
            e.scrollWidth > e.clientWidth + 2 || e.offsetWidth > e.closest('.jp-MarkdownOutput').clientWidth + 2
        )).map(e => e.textContent.slice(0, 80))""",
    )
    assert wide == []
    screenshot(page, f"{chapter[:2]}-{width}-{theme.split()[-1].lower()}")


def answer(page, number: str, code: str) -> None:
    """Types an answer into the stub of an exercise and runs it and its check."""
    cell = page.locator(".jp-CodeCell", has_text=f"Exercise {number}:").first
    cell.scroll_into_view_if_needed()
    cell.locator(".cm-content").first.click()
    page.keyboard.press("Control+A")
    page.keyboard.insert_text(code)
    page.keyboard.press("Shift+Enter")
    page.keyboard.press("Shift+Enter")


def test_a_wrong_and_a_right_answer(lab):
    page = lab("07_execution.ipynb")
    run_all(page, "07_execution.ipynb")
    answer(page, "07.3", "# Exercise 07.3:\ndef summary(t, n): return np.mean(t[n:]), 300.0")
    wrong = page.locator(".jp-OutputArea .alert-danger", has_text="07.3")
    wrong.wait_for(timeout=20_000)
    assert "hint: that is the mean" in wrong.inner_text()
    screenshot(page, "exercise-wrong")
    answer(page, "07.3", "# Exercise 07.3:\ndef summary(t, n): return tuple(np.percentile(t[n:], [50, 99]))")
    right = page.locator(".jp-OutputArea .alert-success", has_text="07.3")
    right.wait_for(timeout=20_000)
    assert "solved" in right.inner_text()
    screenshot(page, "exercise-right")


def test_gated_cells_show_banner_and_picture(lab):
    from helpers.trt import has

    if has("gpu"):
        pytest.skip("the cells run live here")
    page = lab("07_execution.ipynb")
    run_all(page, "07_execution.ipynb")
    banners = page.locator(".jp-OutputArea [role=note]", has_text="H100")
    assert banners.count() >= 10
    explained = banners.filter(has_text="Below is what it showed on")
    assert explained.count() == 1
    assert explained.first.inner_text() == banners.first.inner_text()
    assert page.locator('.jp-OutputArea img[alt*="Confusion matrix"]').count() == 1
    assert page.evaluate("document.querySelector('img[alt*=\"Confusion\"]').naturalWidth") > 100


def test_an_edit_that_is_not_saved_is_named_below(lab):
    from helpers.trt import has

    if has("gpu"):
        pytest.skip("the cells run live here")
    page = lab("07_execution.ipynb")
    run_all(page, "07_execution.ipynb")
    original = page.locator(".jp-OutputArea [role=note]", has_text="This shows the original")
    assert original.count() == 0
    cell = page.locator(".jp-CodeCell", has_text="def preprocess(pixels)").first
    cell.locator(".cm-content").first.click()
    page.keyboard.press("Control+End")
    page.keyboard.insert_text("\nimages = images / 2")
    page.keyboard.press("Shift+Enter")
    replayed = page.locator(".jp-CodeCell", has_text="engine.num_io_tensors").first
    replayed.locator(".cm-content").first.click()
    page.keyboard.press("Shift+Enter")
    original.wait_for(timeout=20_000)
    assert original.count() == 1
    assert "you have changed the cell that begins with def preprocess(pixels):." in original.inner_text()
    screenshot(page, "edited-above")
