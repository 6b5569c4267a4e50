"""Finding the real games: where they are looked for, which are kept, and in what order."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from envs.alfworld.games import find_games, forget
from envs.errors import InputError
from tests.envs.alfworld import tiny

pytestmark = pytest.mark.usefixtures("own_cache")

GOOD = ("pick_and_place_simple-Mug-None-Desk-308/trial_2", "pick_and_place_simple-Mug-None-Desk-308/trial_1")


@pytest.fixture
def release(tmp_path: Path) -> Path:
    """A data folder with two playable games in valid_seen, and some that the published rules leave out."""
    folder = tmp_path / "data"
    split = folder / "json_2.1.1" / "valid_seen"
    for name in GOOD:
        tiny.write(split / name)
    tiny.write(split / "pick_and_place_simple-Mug-None-Desk-309" / "trial_3", solvable=False)
    tiny.write(split / "pick_and_place_simple-Mug-None-Desk-310" / "trial_4", solvable=None)
    tiny.write(split / "pick_and_place_with_movable_recep-Mug-Bowl-Desk-308" / "trial_5")
    tiny.write(split / "pick_and_place_simple-AppleSliced-None-Desk-308" / "trial_6")
    tiny.write(split / "stack_things-Mug-None-Desk-308" / "trial_7")
    (split / "pick_two_obj_and_place-Mug-None-Desk-308" / "trial_8").mkdir(parents=True)
    return folder


def test_keeps_what_the_published_rules_keep_in_sorted_order(release: Path) -> None:
    games = find_games(str(release), "valid_seen")
    assert games is not None
    assert games.names == tuple(sorted(f"valid_seen/{name}" for name in GOOD))
    assert all(games.path(name).is_file() for name in games.names)


def test_folders_of_every_level_name_the_same_games(release: Path) -> None:
    found = [
        find_games(str(folder), "valid_seen")
        for folder in (release, release / "json_2.1.1", release / "json_2.1.1/valid_seen")
    ]
    assert found[0] == found[1] == found[2]


def test_environment_variable_and_download_folder(release: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = find_games(str(release), "valid_seen")
    monkeypatch.setenv("ALFWORLD_DATA", str(release))
    assert find_games("", "valid_seen") == expected
    monkeypatch.delenv("ALFWORLD_DATA")
    home = Path.home() / ".cache"
    home.mkdir(parents=True)
    release.rename(home / "alfworld")
    forget()
    found = find_games("", "valid_seen")
    assert found is not None
    assert expected is not None
    assert (found.names, found.sha256) == (expected.names, expected.sha256)


def test_no_data_is_no_error_unless_it_was_named(
    tmp_path: Path, release: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert find_games("", "train") is None
    with pytest.raises(InputError, match="no such folder"):
        find_games(str(tmp_path / "nowhere"), "train")
    with pytest.raises(InputError, match="no ALFWorld game of the split train"):
        find_games(str(release), "train")
    monkeypatch.setenv("ALFWORLD_DATA", str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match="ALFWORLD_DATA="):
        find_games("", "train")
    # The alfworld package sets the variable to this folder when it is imported.
    monkeypatch.setenv("ALFWORLD_DATA", str(Path.home() / ".cache" / "alfworld"))
    assert find_games("", "train") is None


def test_unknown_split(release: Path) -> None:
    with pytest.raises(InputError, match="valid_unseen"):
        find_games(str(release), "unseen")


def test_hash_depends_on_names_and_contents_only(release: Path, tmp_path: Path) -> None:
    first = find_games(str(release), "valid_seen")
    moved = release.rename(tmp_path / "elsewhere")
    second = find_games(str(moved), "valid_seen")
    assert first is not None
    assert second is not None
    assert first.sha256 == second.sha256
    tiny.write(moved / "json_2.1.1/valid_seen" / GOOD[0], walkthrough=["look"])
    forget()
    third = find_games(str(moved), "valid_seen")
    assert third is not None
    assert third.sha256 != first.sha256
    assert third.names == first.names


def test_the_scan_is_kept_and_renewed_when_a_file_changes(release: Path, own_cache: Path) -> None:
    first = find_games(str(release), "valid_seen")
    kept = list(own_cache.glob("alfworld/games-*"))
    assert len(kept) == 1
    stored = json.loads(kept[0].read_text())
    told = {**stored, "sha256": "from the cache"}
    checksum = hashlib.sha256(json.dumps([told["names"], told["sha256"]]).encode()).hexdigest()
    kept[0].write_text(json.dumps({**told, "checksum": checksum}))
    forget()
    second = find_games(str(release), "valid_seen")
    assert second is not None
    assert second.sha256 == "from the cache"
    kept[0].write_text("{broken")
    forget()
    assert find_games(str(release), "valid_seen") == first
    tiny.write(release / "json_2.1.1/valid_seen" / "look_at_obj_in_light-Mug-None-DeskLamp-308" / "trial_9")
    forget()
    third = find_games(str(release), "valid_seen")
    assert third is not None
    assert len(third.names) == 3


def test_a_cache_that_cannot_be_written_is_done_without(
    release: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "file"))
    assert find_games(str(release), "valid_seen") is not None


def test_a_truncated_game_is_named(release: Path) -> None:
    path = release / "json_2.1.1/valid_seen" / GOOD[0] / "game.tw-pddl"
    path.write_text(path.read_text()[:-40])
    with pytest.raises(InputError) as caught:
        find_games(str(release), "valid_seen")
    assert str(path) in str(caught.value)


def test_published_counts(alfworld_data: Path) -> None:
    for split, count in (("train", 3553), ("valid_seen", 140)):
        games = find_games(str(alfworld_data), split)
        assert games is not None
        assert len(games.names) == count
