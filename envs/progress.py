"""Progress of slow work below a command: shown while a command runs, never in a program that uses this as a library."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

T = TypeVar("T")

_shown = ContextVar("progress_is_shown", default=False)


@contextmanager
def shown() -> Iterator[None]:
    """Lets `track` show bars."""
    token = _shown.set(True)
    try:
        yield
    finally:
        _shown.reset(token)


def track(items: Sequence[T], title: str) -> Iterable[T]:
    """Goes through items behind a bar on standard error, if a command runs and it is a terminal; else just so."""
    if not _shown.get():
        return items
    from rich.console import Console
    from rich.progress import track as track_with_bar

    console = Console(stderr=True)
    return track_with_bar(items, title, console=console, transient=True, disable=not console.is_terminal)
