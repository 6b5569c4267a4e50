"""What a test does with a page: open it, read it, click, type, and wait until it has answered."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from evals.site.browser import ready


class Page:
    """A page in Chromium."""

    def __init__(self, driver: Any) -> None:
        self.driver = driver

    def open(self, path: Path, view: str = "") -> None:
        """Opens a file, afresh, at a view such as "#compare=0,1"; waits until it says that it is ready."""
        self.driver.get("about:blank")
        self.driver.get(path.resolve().as_uri() + view)
        ready(self.driver)

    def as_screen(self, width: int = 1280, *, dark: bool = False) -> None:
        """Shows pages as a screen of some width does; below 500 pixels as a phone."""
        metrics = {"width": width, "height": 800, "deviceScaleFactor": 1, "mobile": width < 500}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", metrics)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})

    def run(self, script: str, *arguments: Any) -> Any:
        return self.driver.execute_script(script, *arguments)

    def until(self, holds: Callable[[], Any]) -> Any:
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.driver, 30, poll_frequency=0.02).until(lambda _: holds())

    def find(self, selector: str) -> Any:
        return self.driver.find_element("css selector", selector)

    def all(self, selector: str) -> list[Any]:
        return [element for element in self.driver.find_elements("css selector", selector) if element.is_displayed()]

    def texts(self, selector: str) -> list[str]:
        """The texts of the elements that are shown, as they are in the page."""
        script = (
            "return [...document.querySelectorAll(arguments[0])]"
            ".filter((found) => found.checkVisibility()).map((found) => found.textContent)"
        )
        return list(self.run(script, selector))

    def text(self, selector: str) -> str:
        (found,) = self.texts(selector)
        return found

    def click(self, selector: str) -> None:
        (element,) = self.all(selector)
        self.tap(element)

    def tap(self, element: Any) -> None:
        """Clicks an element, in the middle of the screen, as a reader would scroll there."""
        self.run("arguments[0].scrollIntoView({block: 'center'})", element)
        element.click()

    def press(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def view(self) -> str:
        """The view that is shown."""
        (name,) = self.run(
            "return [...document.querySelectorAll('[data-view]')].filter((v) => !v.hidden).map((v) => v.dataset.view)"
        )
        return str(name)

    def focused(self) -> str:
        """The text of what has the focus."""
        return str(self.run("return document.activeElement.textContent"))

    def complaints(self) -> list[str]:
        """What the console has said since it was last asked."""
        return [entry["message"] for entry in self.driver.get_log("browser")]
