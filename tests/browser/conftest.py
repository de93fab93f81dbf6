"""A real ``make lab`` server, which saves nothing, and headless Chromium to look at it."""

import json
import os
import shutil
import socket
import subprocess
import time
import urllib.request
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
SETTINGS = {
    # Every cell in the page, not only those in view: the tests look at all of them.
    "notebook-extension/tracker": {"windowingMode": "none"},
    # The notebooks stay as they are, whatever the tests type into them.
    "docmanager-extension/plugin": {"autosave": False},
    "apputils-extension/notification": {"fetchNews": "false"},
}


def pytest_collection_modifyitems(items):
    try:
        import playwright  # noqa: F401
    except ImportError:
        reason = "playwright is not installed: make browser-test installs it"
    else:
        reason = None if CHROMIUM else "there is no Chromium on the PATH"
    if reason and os.environ.get("WORKBOOK_BROWSER") == "required":  # skipped tests would look like passed ones
        pytest.exit(reason, returncode=1)
    for item in items:
        if reason and Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def server(tmp_path_factory):
    """The address of a running ``make lab``; its theme is set by :func:`theme`."""
    settings = tmp_path_factory.mktemp("settings")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = os.environ | {
        "JUPYTERLAB_SETTINGS_DIR": str(settings),
        "JUPYTERLAB_WORKSPACES_DIR": str(tmp_path_factory.mktemp("workspaces")),
        "WORKBOOK_STATE": str(tmp_path_factory.mktemp("state")),
    }
    options = f"--no-browser --allow-root --port={port} --port-retries=0 --IdentityProvider.token=''"
    log = open(tmp_path_factory.mktemp("log") / "lab.log", "w+")  # noqa: SIM115
    process = subprocess.Popen(
        ["make", "lab", f"LAB_OPTIONS={options}"],
        cwd=ROOT,
        env=environment,
        stdout=log,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    write_settings(settings, "JupyterLab Light")
    address = f"http://127.0.0.1:{port}"
    try:
        wait_for(address, process, log)
        yield address, settings
    finally:
        os.killpg(process.pid, 15)
        process.wait(20)


def write_settings(folder: Path, theme: str) -> None:
    for name, values in (SETTINGS | {"apputils-extension/themes": {"theme": theme}}).items():
        file = folder / "@jupyterlab" / f"{name}.jupyterlab-settings"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(json.dumps(values))


def wait_for(address: str, process: subprocess.Popen, log) -> None:
    for _ in range(120):
        if process.poll() is not None:
            break
        try:
            urllib.request.urlopen(f"{address}/api/status", timeout=2).close()
            return
        except OSError:
            time.sleep(0.5)
    log.seek(0)
    raise RuntimeError(f"make lab did not start:\n{log.read()[-2000:]}")


@pytest.fixture(scope="session")
def browser():
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        options = ["--no-sandbox", "--disable-gpu", "--disable-background-networking", "--disable-sync"]
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=options)
        yield browser
        browser.close()


@pytest.fixture
def lab(server, browser):
    """``lab(chapter, width=1280, theme="JupyterLab Light")`` opens a chapter and returns the page."""
    address, settings = server
    contexts = []

    def open_chapter(chapter: str, width: int = 1280, theme: str = "JupyterLab Light"):
        write_settings(settings, theme)
        context = browser.new_context(viewport={"width": width, "height": 900})
        contexts.append(context)
        page = context.new_page()
        page.foreign = []
        page.on("request", lambda request: note_foreign(page, request.url, address))
        page.goto(f"{address}/doc/tree/{chapter}" if chapter else f"{address}/lab")
        page.wait_for_selector(".jp-Notebook .jp-Cell", timeout=60_000)
        page.wait_for_selector(".jp-Notebook .jp-RenderedMarkdown h1", timeout=60_000)
        # Cells with a diagram are rendered later than the others.
        rendered = "cells => cells.length && cells.every(cell => cell.textContent.trim())"
        page.wait_for_function(
            f"() => ({rendered})([...document.querySelectorAll('.jp-MarkdownCell .jp-RenderedMarkdown')])",
            timeout=60_000,
        )
        return page

    yield open_chapter
    for context in contexts:
        context.close()


def note_foreign(page, url: str, address: str) -> None:
    if url.startswith(("http", "ws")) and not url.startswith((address, address.replace("http", "ws"))):
        page.foreign.append(url)
