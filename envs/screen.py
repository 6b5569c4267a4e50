"""What a command prints: on the terminal with live progress bars, and all of it in a log file."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn, TimeRemainingColumn

LOG_WIDTH = 120


class Screen:
    """Prints to the terminal and to a log file alike.

    Args:
        log: the log file, appended to; None keeps no log.
        echo: False keeps the terminal silent.
    """

    def __init__(self, log: Path | None = None, *, echo: bool = True) -> None:
        self.console = Console(highlight=False, markup=False, quiet=not echo)
        self._log = log

    def print(self, content: RenderableType = "") -> None:
        """Prints on the terminal and into the log."""
        # A line of text is cut nowhere, so that what is piped into a file can be searched.
        self.console.print(content, soft_wrap=isinstance(content, str))
        self.log(content)

    def log(self, content: RenderableType) -> None:
        """Writes into the log only."""
        if self._log is None:
            return
        try:
            with self._log.open("a", encoding="utf-8") as file:
                console = Console(file=file, width=LOG_WIDTH, highlight=False, markup=False, color_system=None)
                console.print(content, soft_wrap=isinstance(content, str))
        except OSError as error:
            # Results are worth more than their log: whoever writes those says what is wrong with the disk.
            path, self._log = self._log, None
            self.console.print(f"{path} cannot be written ({error.strerror}); the log ends here.", soft_wrap=True)

    @contextmanager
    def bar(self, title: str, total: int) -> Iterator[Bar]:
        """A progress bar with a changing note; where none can be shown, a line at the end and every 20 seconds."""
        columns = (
            SpinnerColumn(),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=20),
            MofNCompleteColumn(),
            TimeRemainingColumn(),
            TextColumn("{task.fields[note]}", markup=False),
        )
        with Progress(*columns, console=self.console, transient=True, disable=not self.console.is_terminal) as progress:
            bar = Bar(self, progress, title, total)
            yield bar
            bar.finish()


class Bar:
    """One running progress bar."""

    def __init__(self, screen: Screen, progress: Progress, title: str, total: int) -> None:
        self._screen, self._progress, self._title, self._total = screen, progress, title, total
        self._task: Any = progress.add_task(title, total=total, note="")
        self._started = self._printed = time.monotonic()
        self.done, self._note = 0, ""

    def advance(self, count: int = 1, note: str | None = None) -> None:
        """Counts work done; changes the note beside the bar if one is given."""
        self.done += count
        if note is not None:
            self._note = note
        self._progress.update(self._task, advance=count, note=self._note)
        if not self._screen.console.is_terminal and time.monotonic() - self._printed > 20:
            self._printed = time.monotonic()
            self._screen.print(f"{self._title} {self.done}/{self._total} {self._note}".rstrip())

    def note(self, note: str) -> None:
        """Changes the note beside the bar."""
        self.advance(0, note)

    def finish(self) -> None:
        """Leaves one line with the time it took."""
        seconds = time.monotonic() - self._started
        self._screen.print(f"{self._title} {self.done}/{self._total} in {seconds:.0f} s {self._note}".rstrip())
