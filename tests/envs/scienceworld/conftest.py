"""Fixtures of the ScienceWorld tests: they need the package and Java."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from envs.errors import MissingExtraError
from envs.scienceworld.environment import ScienceWorld


@pytest.fixture(scope="module")
def shared() -> Iterator[ScienceWorld]:
    """One environment with its Java process for the tests that do no harm to it; skipped where either is missing."""
    try:
        env = ScienceWorld(task="find-living-thing")
    except MissingExtraError as error:
        pytest.skip(str(error))
    yield env
    env.close()


@pytest.fixture
def made(shared: ScienceWorld) -> Iterator[ScienceWorld]:
    """An environment for a test that does harm to it."""
    env = ScienceWorld(task="find-living-thing", deadline=60.0)
    yield env
    env.close()
