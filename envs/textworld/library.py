"""The `textworld` package itself, imported only when a world is made."""

from __future__ import annotations

from typing import Any

from envs.errors import MissingExtraError


def library() -> Any:  # noqa: ANN401 - a module without types
    """Imports TextWorld.

    Raises:
        MissingExtraError: it is not installed.
    """
    try:
        import textworld
    except ImportError as error:
        raise MissingExtraError(
            f"env=textworld needs TextWorld ({error}). Install it: pip install 'keystone-rl[textworld]'"
        ) from error
    return textworld
