"""The picture of the flow in a real browser: texts stay in their boxes, and the two paths look different."""

from collections.abc import Iterator
from typing import Any

import pytest
from playwright.sync_api import Browser, Page

from infra.diagram import PICTURE
from tests.browser.chromium import browser

SCHEMES = ("light", "dark")
# Very different widths of the same text.
FONTS = ("DejaVu Sans", "DejaVu Serif", "DejaVu Sans Mono")
TEXTS_OUTSIDE = """
(font) => {
    const style = document.createElementNS("http://www.w3.org/2000/svg", "style");
    style.textContent = `text { font-family: "${font}" !important }`;
    document.documentElement.append(style);
    const outside = (text, box) => text.left < box.left || text.right > box.right
        || text.top < box.top || text.bottom > box.bottom;
    return [...document.querySelectorAll(".node text, .cluster text")].filter((text) => outside(
        text.getBoundingClientRect(), text.parentNode.querySelector("path, polygon").getBoundingClientRect(),
    )).map((text) => text.textContent);
}
"""
COLORS = """
() => Object.fromEntries(["success", "failure"].map((path) => {
    const {stroke, strokeDasharray} = getComputedStyle(document.querySelector(`.edge.${path} path`));
    return [path, {stroke, dashed: strokeDasharray !== "none"}];
}))
"""
BRIGHTNESS = """
() => [".graph > polygon", ".node text"].map((selector) => {
    const color = getComputedStyle(document.querySelector(selector)).fill.match(/\\d+/g).map(Number);
    return Math.round(0.2126 * color[0] + 0.7152 * color[1] + 0.0722 * color[2]);
})
"""


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with browser() as started:
        yield started


def picture(chromium: Browser, scheme: Any) -> Page:
    page = chromium.new_page(color_scheme=scheme)
    page.goto(PICTURE.as_uri())
    return page


@pytest.mark.parametrize("font", FONTS)
def test_every_text_stays_in_its_box_in_any_font(chromium: Browser, font: str) -> None:
    page = picture(chromium, "light")
    assert page.locator(".node text").count() > 10
    assert page.evaluate(TEXTS_OUTSIDE, font) == []
    page.evaluate("document.querySelector('.node text').removeAttribute('textLength')")
    page.evaluate("document.querySelector('.node text').style.fontSize = '60px'")
    assert len(page.evaluate(TEXTS_OUTSIDE, font)) == 1, "a text that is too large is noticed"


@pytest.mark.parametrize("scheme", SCHEMES)
def test_the_two_paths_differ_in_color_and_in_line(chromium: Browser, scheme: str) -> None:
    paths = picture(chromium, scheme).evaluate(COLORS)
    assert paths["success"]["stroke"] != paths["failure"]["stroke"]
    assert {name: path["dashed"] for name, path in paths.items()} == {"success": False, "failure": True}


def test_the_background_follows_the_color_scheme_and_the_texts_contrast_with_it(chromium: Browser) -> None:
    background, text = picture(chromium, "light").evaluate(BRIGHTNESS)
    assert (background > 200, text < 100) == (True, True)
    background, text = picture(chromium, "dark").evaluate(BRIGHTNESS)
    assert (background < 50, text > 180) == (True, True)
