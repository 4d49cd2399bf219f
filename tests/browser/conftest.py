"""A real browser: Debian's Chromium, driven by Playwright. `make test-browser` installs both where it can."""

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page, Route

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
WINDOW = {"width": 1400, "height": 1000}
PATIENCE_MS = 180_000
"""Pages take half a minute to draw themselves on a machine that trains beside; a test that passes never waits so long."""


@pytest.fixture(scope="session")
def pictures() -> Path:
    """The folder of what the tests saw, for people to look at: PRETRACE_PICTURES, or build/pictures."""
    folder = Path(os.environ.get("PRETRACE_PICTURES", Path(__file__).resolve().parents[2] / "build" / "pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def browser() -> Iterator["Browser"]:
    if CHROMIUM is None:
        pytest.skip("no chromium here: apt-get install chromium, or make test-browser as root")
    if importlib.util.find_spec("playwright") is None:
        pytest.skip("no playwright here: pip install 'pretrace[browser]', or make test-browser")
    from playwright.sync_api import Error, expect, sync_playwright

    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as playwright:
        try:
            chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS), timeout=PATIENCE_MS)
        except Error as error:
            pytest.skip(f"{CHROMIUM} does not start here: {error.message.splitlines()[0]}")
        yield chromium
        chromium.close()


@pytest.fixture
def outside() -> list[str]:
    """What a page asked of other machines; it got nothing."""
    return []


@pytest.fixture
def page(browser: "Browser", outside: list[str]) -> Iterator["Page"]:
    """A page of a fresh profile that reaches this machine and nothing else."""

    def pass_or_refuse(route: "Route") -> None:
        url = route.request.url
        if url.startswith(("http://127.0.0.1:", "http://localhost:", "file:", "data:", "blob:")):
            route.continue_()
        else:
            outside.append(url)
            route.abort()

    context = browser.new_context(viewport=WINDOW)  # type: ignore[arg-type]
    context.set_default_timeout(PATIENCE_MS)
    context.route("**/*", pass_or_refuse)
    yield context.new_page()
    context.close()
