"""Numbers as people read them in tables; what is not known is a dash."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

ABSENT = "\N{EN DASH}"


class Table(NamedTuple):
    """A table of text.

    Attributes:
        columns: headings, that of the row names included.
        rows: the row's name and its cells.
    """

    columns: Sequence[str]
    rows: Sequence[Sequence[str]]


def range_of_percent(interval: Sequence[float], between: str = " to ") -> str:
    """An interval of shares in percent: "40.4 to 51.7"."""
    low, high = interval
    return f"{100 * low:.1f}{between}{100 * high:.1f}"


def p_value(p: float) -> str:
    """A p to two digits, "0.021", "0.34"; a very small one, whose digits depend on the last task, as "< 0.0001"."""
    return "< 0.0001" if p < 0.0001 else f"{p:.2g}" if p < 0.1 else f"{p:.2f}"


def count(number: int | None) -> str:
    """A whole number with its thousands apart: "98,624"."""
    return ABSENT if number is None else f"{number:,}"


def number(value: Any) -> str:  # noqa: ANN401
    """Any value; fractions to four digits."""
    if value is None:
        return ABSENT
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def seconds(value: float | None) -> str:
    """A time: "12.5 s", "5 min 1 s", "2 h 30 min"."""
    if value is None:
        return ABSENT
    if value < 60:
        return f"{value:.1f} s"
    minutes, rest = divmod(round(value), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def size(number: float | None) -> str:
    """A number of bytes: "512 B", "1.5 GiB"."""
    if number is None:
        return ABSENT
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024 or unit == "GiB":
            break
        number /= 1024
    return f"{number:.0f} {unit}" if unit == "B" else f"{number:.1f} {unit}"
