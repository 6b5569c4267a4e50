"""A real browser for the tests of the pages: one headless Chromium for all tests of a process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from evals.site.browser import browser, missing
from tests.browser.page import Page


@pytest.fixture(scope="session")
def chromium() -> Iterator[object]:
    """Chromium; tests are skipped where it is not installed."""
    if lacking := missing():
        pytest.skip(lacking)
    with browser() as driver:
        yield driver


@pytest.fixture
def page(chromium: object) -> Iterator[Page]:
    """A page to open. Whatever the browser's console complained of fails the test."""
    opened = Page(chromium)
    opened.as_screen()
    yield opened
    assert opened.complaints() == []
