"""On a phone nothing is wider than the screen; text is readable in light and in dark; nothing is loaded."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tests.browser.page import Page
from tests.browser.sites import run, site

VIEWS = ("", "#entry=3", "#compare=0,1", "#compare=3,4", "#episodes", "#episode=0", "#episode=0,1,2", "#studies")
RUN_VIEWS = ("", "#episode=0", "#episode=0,1,2", "#group=9")
# Contrast that WCAG 2 asks of ordinary text.
READABLE = 4.5


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, tuple[str, ...]]]:
    folder = tmp_path_factory.mktemp("looks")
    report = run(folder / "run")
    return {
        "board": (site(folder), VIEWS),
        "episodes": (report.with_name("episodes.html"), RUN_VIEWS),
        "report": (report, ("",)),
    }


@pytest.mark.parametrize("name", ["board", "episodes", "report"])
def test_nothing_is_wider_than_a_phone(page: Page, pages: dict[str, tuple[Path, tuple[str, ...]]], name: str):
    path, views = pages[name]
    page.as_screen(360)
    for view in views:
        page.open(path, view)
        assert page.run("return document.documentElement.scrollWidth") <= 360, view
        assert page.texts("h1") != []


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("name", ["board", "episodes", "report"])
def test_text_is_readable(page: Page, pages: dict[str, tuple[Path, tuple[str, ...]]], name: str, dark: bool):
    path, views = pages[name]
    page.as_screen(dark=dark)
    for view in views:
        page.open(path, view)
        colours = page.run(COLOURS)
        assert len(colours) >= 3
        for text, behind, what in colours:
            assert contrast(text, behind) >= READABLE, f"{view}: {what}"
    assert (luminance(page.run("return getComputedStyle(document.body).backgroundColor")) < 0.2) == dark


@pytest.mark.parametrize("name", ["board", "episodes", "report"])
def test_nothing_is_loaded_and_nothing_can_be(page: Page, pages: dict[str, tuple[Path, tuple[str, ...]]], name: str):
    path, views = pages[name]
    for view in views:
        page.open(path, view)
        loaded = page.run("return performance.getEntriesByType('resource').map((entry) => entry.name)")
        assert [address for address in loaded if not address.startswith("data:image/svg+xml")] == []
    assert page.complaints() == []
    # The page's own policy refuses it, before anything leaves.
    for element, key, value in (
        ("script", "textContent", "window.ran = 1"),
        ("img", "src", "http://127.0.0.1:9/x.png"),
    ):
        add = "const e = document.createElement(arguments[0]); e[arguments[1]] = arguments[2]; document.body.append(e)"
        page.run(add, element, key, value)
    refused = page.run("return fetch('http://127.0.0.1:9/').then(() => 'reached', () => 'refused')")
    assert (refused, page.run("return window.ran")) == ("refused", None)
    said = page.complaints()
    assert len(said) >= 3
    assert all("Content Security Policy" in line for line in said)


# Every element that shows text of its own: its colour, the nearest background behind it, and what it is.
COLOURS = """
const behind = (element) => {
  for (let at = element; at; at = at.parentElement) {
    const colour = getComputedStyle(at).backgroundColor;
    if (!colour.endsWith(", 0)")) return colour;
  }
  return "rgb(255, 255, 255)";
};
const found = new Map();
for (const element of document.querySelectorAll("body *")) {
  const says = [...element.childNodes].some((node) => node.nodeType === 3 && node.textContent.trim());
  if (!says || !element.checkVisibility() || element.disabled || element.closest("svg, .unseen, .skip")) continue;
  const colours = [getComputedStyle(element).color, behind(element)];
  found.set(String(colours), [...colours, element.outerHTML.slice(0, 120)]);
}
return [...found.values()];
"""


def luminance(colour: str) -> float:
    """Relative luminance of "rgb(r, g, b)" (WCAG 2)."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)
