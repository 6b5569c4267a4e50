"""Where this installation lives, whether other projects' packages hide its own, and how other processes find them.

The four package names (`envs`, `agents`, `evals`, `training`) are words that other projects use too. Keystone is
therefore installed in place (editable) and every command first makes sure that Python would import Keystone's own
folders.
"""

from __future__ import annotations

import importlib.util
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from envs.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("envs", "agents", "evals", "training")


@contextmanager
def explained() -> Iterator[None]:
    """Says in one line how Keystone is installed where Python lacks what the core needs.

    Raises:
        ImportError: something is missing, in a program that imports Keystone.
        SystemExit: something is missing, in one of Keystone's commands; the line is on standard error.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        line = (
            f"{sys.executable} has no {error.name}, which Keystone needs: cd {REPOSITORY} && make install && source "
            ".venv/bin/activate"
        )
        words = sys.orig_argv
        called = words[words.index("-m") + 1] if "-m" in words[:-1] else ""
        if called.partition(".")[0] not in PACKAGES:
            raise ImportError(line) from error
        print(f"error: {line}", file=sys.stderr)
        sys.exit(2)


def check_packages(names: tuple[str, ...] = PACKAGES, home: Path = REPOSITORY) -> None:
    """Makes sure that Python finds Keystone's own packages and no others of the same names.

    Args:
        names: the package names to look up.
        home: the folder that must hold them.

    Raises:
        InputError: a package comes from elsewhere, or is absent.
    """
    for name in names:
        spec = importlib.util.find_spec(name)
        found = (
            [Path(place).resolve() for place in (spec.submodule_search_locations or [spec.origin or ""])]
            if spec
            else []
        )
        if home / name in found[:1]:
            continue
        where = f"is hidden by another project's package at {found[0]}" if found else "is not installed"
        raise InputError(
            f"Keystone's package {name!r} {where}. Run from the repository folder {home}, or uninstall the other "
            f"package (pip uninstall {name}) and install Keystone again (make install)."
        )


def python_path() -> str:
    """The `PYTHONPATH` under which another Python, started anywhere, finds the modules that this one finds."""
    return os.pathsep.join(map(os.path.abspath, sys.path))
