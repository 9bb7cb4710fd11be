"""The system's Chromium, driven by playwright; any error on a page fails the test that opened the page."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import unquote, urlsplit

from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")


@contextmanager
def chromium() -> Iterator[Browser]:
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        yield browser
        browser.close()


@contextmanager
def opened(browser: Browser, path: Path, address: str = "", width: int = 1400) -> Iterator[Page]:
    """Open a page; the test fails on a script error or a request for anything outside the site of `path`."""
    site = next(folder for folder in path.parents if (folder / "static").is_dir())
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    wrong: list[str] = []
    page.on("pageerror", lambda error: wrong.append(str(error)))
    page.on("console", lambda message: wrong.append(message.text) if message.type in ("error", "warning") else None)
    page.on("request", lambda request: None if _within(request.url, site) else wrong.append(request.url))
    page.on("requestfailed", lambda request: wrong.append(f"failed: {request.url}"))
    page.goto(path.as_uri() + address)
    yield page
    context.close()
    assert wrong == []


def _within(url: str, site: Path) -> bool:
    parts = urlsplit(url)
    return parts.scheme == "data" or (
        parts.scheme == "file" and Path(unquote(parts.path)).resolve().is_relative_to(site.resolve())
    )
