"""Advantage estimators: from the turns of groups of episodes to one number a turn.

One file adds one estimator. Its file name is its name on the command line (`algorithm=gigpo`), and it exposes a frozen
dataclass `Config` and a pure function `advantages(turns, config)`. Nothing here knows of models or gradients.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from typing import Any, Protocol, cast

import numpy as np
from numpy.typing import NDArray

from envs.errors import unknown

_SHARED = frozenset({"columns"})


class Estimator(Protocol):
    """What a file of this folder offers."""

    @property
    def Config(self) -> type[Any]:
        """The estimator's options, a frozen dataclass."""

    def advantages(self, turns: Mapping[str, Any], config: Any) -> NDArray[np.float64]:  # noqa: ANN401
        """Returns one advantage a turn, shape (N,)."""


def names() -> list[str]:
    """Lists the estimators, sorted."""
    return sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name not in _SHARED)


def find(name: str) -> Estimator:
    """Loads an estimator.

    Args:
        name: its file name without the ending ("gigpo").

    Returns:
        The module, with `Config` and `advantages`.

    Raises:
        InputError: if there is no such estimator; names the nearest one.
    """
    if name not in names():
        raise unknown("algorithm", name, names())
    return cast("Estimator", importlib.import_module(f"{__name__}.{name}"))
