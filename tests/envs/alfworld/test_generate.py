"""Writing generated games: the release's layout, the same games as streamed ones, playable by the stock engine."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from envs.alfworld import generate
from envs.alfworld.environment import ALFWorld
from envs.alfworld.games import GAME_FILE
from envs.alfworld.generate import GenerateConfig, write_games
from envs.errors import InputError, MissingExtraError

needs_alfworld = pytest.mark.skipif(
    importlib.util.find_spec("alfworld") is None, reason="the alfworld extra is not installed"
)
pytestmark = pytest.mark.usefixtures("own_cache")


def test_it_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match="out= is missing"):
        generate.main(GenerateConfig())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    with pytest.raises(MissingExtraError, match="pip install"):
        generate.main(GenerateConfig(out=str(tmp_path / "games")))
    assert not (tmp_path / "games").exists()


@needs_alfworld
def test_written_games_are_those_drawn_and_are_read_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    options = {"clutter": 1.5, "distractors": 4, "receptacles": 0.6}
    config = GenerateConfig(out=str(tmp_path), games=12, seed=5, split="valid_unseen", **options)  # type: ignore[arg-type]
    generate.main(config)
    assert "12 games" in capsys.readouterr().out
    streamed = ALFWorld(data="generated", split="valid_unseen", **options)
    written = ALFWorld(data=str(tmp_path), split="valid_unseen")
    names = written.sample_tasks(0, 12)
    assert len(set(names)) == 12
    numbers = {name.rpartition("_")[2]: name for name in names}
    for task in streamed.sample_tasks(5, 12):
        text, info = streamed.reset(options={"task": task})
        name = numbers[task.rpartition("/")[2]]
        again, said = written.reset(options={"task": name})
        assert (again, said["admissible_commands"]) == (text, info["admissible_commands"])
        assert name.startswith(f"valid_unseen/{info['task_type']}-")
        for command in written.solution():
            written.step(command)
        assert written.step("look")[4]["won"]


@needs_alfworld
def test_writing_again_changes_nothing(tmp_path: Path) -> None:
    config = GenerateConfig(out=str(tmp_path), games=3)
    before = {path: path.read_bytes() for path in write_games(config)}
    assert {path: path.read_bytes() for path in write_games(config)} == before
    assert sorted(tmp_path.rglob(GAME_FILE)) == sorted(before)


@needs_alfworld
def test_the_stock_engine_loads_and_wins_them(tmp_path: Path) -> None:
    list(write_games(GenerateConfig(out=str(tmp_path), games=2, seed=1, clutter=2, receptacles=0.5, distractors=6)))
    native, stock = ALFWorld(data=str(tmp_path)), ALFWorld(data=str(tmp_path), engine="reference")
    for task in native.sample_tasks(0, 2):
        assert stock.reset(options={"task": task}) == native.reset(options={"task": task})
        for command in stock.solution():
            assert stock.step(command) == native.step(command)
        assert stock.step("look")[4]["won"]


@needs_alfworld
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="cannot write to out="):
        list(write_games(GenerateConfig(out=str(tmp_path / "file"), games=1)))
