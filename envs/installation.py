"""Where this installation lives, and whether other projects' packages hide its own.

The four package names (`envs`, `agents`, `evals`, `training`) are words that other projects use too. Keystone is
therefore installed in place (editable) and every command first makes sure that Python would import Keystone's own
folders.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path

from envs.errors import InputError

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("envs", "agents", "evals", "training")


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
