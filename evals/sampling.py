"""Temperatures and seeds of an evaluation: read, checked, and compared with what a fixed panel states."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable

from envs.errors import InputError
from evals.panel_files import Sampling


def check_temperatures(temperatures: tuple[float, ...] | None) -> None:
    """Makes sure that temperatures can be sampled at.

    Raises:
        InputError: there is none, or one is below 0 or no number.
    """
    if temperatures is None:
        return
    if not temperatures or not all(value >= 0 and math.isfinite(value) for value in temperatures):
        raise InputError(f"temperatures must be numbers of at least 0, got {list(temperatures)}.")


def read_seeds(text: str, name: str = "seeds") -> tuple[int, ...]:
    """Reads `seeds=0,1,2` or `seeds=[0,1,2]`, or whole numbers under another name.

    Raises:
        InputError: one of them is no whole number.
    """
    inside = text.strip().removeprefix("[").removesuffix("]")
    parts = [part.strip() for part in inside.split(",")] if inside.strip() else []
    if not all(part.isascii() and part.isdigit() and len(part) < 19 for part in parts):
        wanted = "whole numbers of at least 0 with commas between them, as 0,1,2"
        raise InputError(f"{name} must be {wanted}, got {text!r}.")
    return tuple(map(int, parts))


def unlike(panel: str, stated: Sampling, given: Sampling, split: str, tasks: int) -> tuple[str, ...]:
    """Lines about what a command gives otherwise than a fixed panel states it.

    Args:
        panel: its name.
        stated: what it states; empty where it does not.
        given: what the command gives; empty where it does not.
        split: the split that was given, which the panel has itself; or empty.
        tasks: the number of tasks that was given, likewise; or 0.
    """
    lines = [
        f"panel={panel} states {name} {_listed(states)}; here it is {_listed(plays)}."
        for name, plays, states in (
            ("temperatures", given.temperatures, stated.temperatures),
            ("seeds", given.seeds, stated.seeds),
        )
        if plays and states and plays != states
    ]
    if split:
        lines.append(f"panel={panel} has its own split; split={split} is not used.")
    if tasks:
        lines.append(f"panel={panel} has its own tasks; tasks={tasks} is not used.")
    return tuple(lines)


def repeated(temperatures: Iterable[float | None], seeds: Collection[int]) -> tuple[str, ...]:
    """A line about what is played several times to the same end, if anything is."""
    if 0 not in temperatures or len(seeds) < 2:
        return ()
    return (f"Nothing is drawn at temperature 0: its {len(seeds)} seeds play the same episodes; one seed is enough.",)


def _listed(values: Iterable[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
