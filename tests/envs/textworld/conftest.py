"""Fixtures of the TextWorld tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from envs.errors import MissingExtraError
from envs.textworld.library import library


@pytest.fixture(scope="session")
def textworld() -> object:
    """The library; the test is skipped where it is not installed."""
    try:
        return library()
    except MissingExtraError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def real_games(real_data: Path, textworld: object) -> Path:
    """The folder of games that Microsoft publishes with TextWorld."""
    folder = real_data / "textworld"
    assert len(list(folder.glob("*.z8"))) == 8, f"$KEYSTONE_TEST_DATA is set, but {folder} does not hold its 8 games"
    return folder
