"""Headless Chromium, driven by selenium: for the tests of the pages and for `evals.site.bench`.

Chromium and its driver are the system's own (Debian: chromium and chromium-driver). It starts with an empty profile and
without what it would fetch by itself.
"""

from __future__ import annotations

import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from envs.errors import InputError

SWITCHES = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
)
WANTED = "Chromium with its driver (apt-get install chromium chromium-driver) and selenium (pip install selenium)"


def missing() -> str:
    """What is not installed, as a line to show; empty if all is there."""
    try:
        import selenium  # noqa: F401
    except ImportError:
        return f"selenium is not installed. Needed: {WANTED}."
    if not (shutil.which("chromium") and shutil.which("chromedriver")):
        return f"chromium or chromedriver is not on the path. Needed: {WANTED}."
    return ""


@contextlib.contextmanager
def browser(width: int = 1280, height: int = 900) -> Iterator[Any]:
    """Starts Chromium, and ends it.

    Args:
        width: of its window, in pixels.
        height: of its window, in pixels.

    Yields:
        A selenium driver, which keeps the console's messages.

    Raises:
        InputError: it is not installed.
    """
    if lacking := missing():
        raise InputError(lacking)
    from selenium.webdriver import Chrome, ChromeOptions
    from selenium.webdriver.chrome.service import Service

    with tempfile.TemporaryDirectory(prefix="keystone-browser-", ignore_cleanup_errors=True) as profile:
        options = ChromeOptions()
        options.binary_location = str(shutil.which("chromium"))
        for switch in (*SWITCHES, f"--user-data-dir={profile}", f"--window-size={width},{height}"):
            options.add_argument(switch)
        options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
        # Named, so that selenium looks for none to download.
        driver = Chrome(options=options, service=Service(str(shutil.which("chromedriver"))))
        try:
            yield driver
        finally:
            driver.quit()


def ready(driver: Any) -> None:  # noqa: ANN401
    """Waits until the page says that its data is unpacked."""
    from selenium.webdriver.support.ui import WebDriverWait

    said = "return document.documentElement.dataset.ready"
    WebDriverWait(driver, 30, poll_frequency=0.02).until(lambda _: driver.execute_script(said))
