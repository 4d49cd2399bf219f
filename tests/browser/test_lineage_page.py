"""The lineage's page in a real browser, in light and dark, on a desk and on a phone; pictures of it for people to look at."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.flows.conftest import Shop, shop_in
from tests.flows.test_page import write_sample

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

pytestmark = pytest.mark.browser
SCREENS = {"desk": (1280, 900), "phone": (360, 740)}
FRAME = """page => {
  const frame = document.createElement("iframe");
  Object.assign(frame, {width: 900, height: 600, sandbox: "allow-scripts"});
  frame.src = URL.createObjectURL(new Blob([page], {type: "text/html"}));
  document.body.append(frame);
}"""
"""As MLflow's page does with an artifact that is HTML."""
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
UNREADABLE = """() => [...document.querySelectorAll('svg text')].filter(text => {
  const box = text.getBoundingClientRect();
  return box.width > 0 && box.height < 8;
}).map(text => text.textContent)"""
OUTSIDE = """() => [...document.querySelectorAll('.graph a')].filter(link => {
  const box = link.querySelector('rect').getBoundingClientRect();
  return [...link.querySelectorAll('text')].some(text => {
    const said = text.getBoundingClientRect();
    return said.left < box.left || said.right > box.right || said.bottom > box.bottom;
  });
}).map(link => link.textContent)"""


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("lineage")
    shop: Shop = shop_in(folder)
    return write_sample(shop, folder / "lineage.html")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("screen", SCREENS)
def test_the_page_fits_its_screen_and_says_nothing_to_the_console(
    browser: "Browser", sample: Path, pictures: Path, screen: str, scheme: str
) -> None:
    width, height = SCREENS[screen]
    context = browser.new_context(viewport={"width": width, "height": height}, color_scheme=scheme)  # type: ignore[arg-type]
    page = context.new_page()
    said: list[str] = []
    asked: list[str] = []
    note: Callable[[object], None] = lambda message: said.append(str(message))  # noqa: E731
    page.on("console", note)
    page.on("pageerror", note)
    page.on("request", lambda request: asked.append(request.url))
    page.goto(sample.as_uri())
    page.screenshot(path=pictures / f"lineage-{screen}-{scheme}.png", full_page=True)
    assert page.evaluate(OVERFLOW) == 0
    assert page.evaluate(UNREADABLE) == []
    assert page.evaluate(OUTSIDE) == []
    for summary in page.locator("summary").all():
        summary.click()
    assert page.evaluate(OVERFLOW) == 0
    box = page.locator(".graph a.model").first
    box.click()
    assert page.url.endswith(str(box.get_attribute("href")))
    page.screenshot(path=pictures / f"lineage-{screen}-{scheme}-opened.png")
    assert (said, asked[1:]) == ([], [])
    context.close()


def test_links_within_the_page_lead_somewhere_in_the_frame_that_mlflow_shows_it_in(
    page: "Page", sample: Path, tmp_path: Path
) -> None:
    from playwright.sync_api import expect

    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    (tmp_path / "empty.html").write_text("<!DOCTYPE html><title>MLflow</title>")
    page.goto((tmp_path / "empty.html").as_uri())
    page.evaluate(FRAME, sample.read_text(encoding="utf-8"))
    inner = page.frame_locator("iframe")
    link = inner.locator("nav a").last
    there = inner.locator(str(link.get_attribute("href")))
    expect(there).not_to_be_in_viewport()
    link.click()
    expect(there).to_be_in_viewport()
    assert said == []
