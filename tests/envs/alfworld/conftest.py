"""Fixtures of the ALFWorld tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from envs.alfworld import dialects, games
from tests.envs.alfworld import tiny


@pytest.fixture(scope="module")
def tiny_known() -> Iterator[None]:
    """Makes the domain and the grammar of the hand-made game known."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(dialects.DOMAINS, dialects.domain_fingerprint(tiny.DOMAIN), dialects.PUBLISHED)
        patch.setitem(dialects.GRAMMARS, dialects.grammar_fingerprint(tiny.GRAMMAR), dialects.PUBLISHED)
        yield


@pytest.fixture
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Points the cache, the home and $ALFWORLD_DATA away from the user's own."""
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # Importing the alfworld package sets it, to what is in this home: set first, it is taken back whatever it was.
    monkeypatch.setenv("ALFWORLD_DATA", "")
    monkeypatch.delenv("ALFWORLD_DATA")
    games.forget()
    yield tmp_path / "cache"
    games.forget()
