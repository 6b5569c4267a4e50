"""The TextWorld environment: episodes of made games and of Microsoft's own files."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import gymnasium
import pytest

import envs
from envs.errors import InputError, MissingExtraError
from envs.textworld import files
from envs.textworld.environment import TextWorld
from envs.types import Info

COIN = {"family": "coin_collector", "level": 3}
SIMPLE = {"family": "simple", "objective": "brief"}


def play(env: TextWorld, **reset: object) -> tuple[list[float], bool, bool, Info]:
    """Lets the oracle play; returns the rewards and how it ended."""
    text, info = env.reset(**reset)  # type: ignore[arg-type]
    oracle = env.players["oracle"](env, 0)
    rewards: list[float] = []
    terminated = truncated = False
    while not (terminated or truncated):
        text, reward, terminated, truncated, info = env.step(oracle.act(text, info))
        rewards.append(reward)
    return rewards, terminated, truncated, info


@pytest.fixture
def coin(textworld: object) -> TextWorld:
    return TextWorld(**COIN)


@pytest.mark.parametrize("options", [COIN, SIMPLE, {"family": "treasure_hunter", "level": 2}, {"go": 1, "cut": True}])
def test_the_oracle_wins_every_family(options: dict[str, object], textworld: object):
    env = TextWorld(**options)
    rewards, terminated, truncated, info = play(env, seed=0)
    assert (terminated, truncated, info["won"]) == (True, False, True)
    assert rewards[-1] == sum(rewards) == 1
    assert info["task_type"] == options.get("family", "cooking")
    assert info["goal"]


def test_what_is_said_is_tidy(coin: TextWorld):
    text, info = coin.reset(seed=0)
    assert text.startswith(info["goal"])
    assert "$$" not in text
    assert "-= " in text
    assert "0/" not in text
    assert not text.endswith(">")
    said = [text, coin.step("look")[0], coin.step("inventory")[0]]
    assert said[2] == "You are carrying nothing."
    play(coin, seed=0)
    assert "RESTART" not in coin.step("look")[0]
    assert "*** The End ***" in coin.step("look")[0]


def test_an_episode_is_cut_and_stays_so(textworld: object):
    env = TextWorld(**COIN, max_turns=2)
    env.reset(seed=0)
    assert env.step("look")[2:4] == (False, False)
    text, reward, terminated, truncated, _ = env.step("look")
    assert (reward, terminated, truncated) == (0.0, False, True)
    assert env.step("inventory")[:4] == (text, 0.0, False, True)


def test_points_pay_as_they_come_and_a_loss_pays_nothing_more(textworld: object):
    env = TextWorld(**SIMPLE, reward="score")
    rewards, _, _, info = play(env, seed=0)
    assert info["won"]
    assert sum(rewards) == pytest.approx(1)
    assert sum(reward > 0 for reward in rewards) > 1
    env.reset(seed=0)
    walkthrough = env._open().walkthrough
    taken = next(command for command in walkthrough if command.startswith("take") and "key" not in command)
    for command in walkthrough[: walkthrough.index(taken) + 1]:
        env.step(command)
    text, reward, terminated, truncated, info = env.step("eat " + taken.removeprefix("take ").partition(" from ")[0])
    assert (reward, terminated, truncated, info["won"]) == (0.0, True, False, False)
    assert "*** You lost! ***" in text


def test_the_oracle_finds_back_when_led_away(textworld: object):
    env = TextWorld(**SIMPLE)
    text, info = env.reset(seed=0)
    oracle = env.players["oracle"](env, 0)
    walkthrough = env._open().walkthrough
    for command in (*walkthrough[:2], f"drop {walkthrough[1].split(' from ')[0].removeprefix('take ')}", "look"):
        text, _, _, _, info = env.step(command)
    for _ in range(30):
        text, _, terminated, _, info = env.step(oracle.act(text, info))
        if terminated:
            break
    assert info["won"]


def test_the_hesitant_player_wins_in_three_times_the_turns(coin: TextWorld):
    turns = {}
    for name in ("oracle", "hesitant"):
        text, info = coin.reset(seed=0)
        player, said, done = coin.players[name](coin, 0), [], False
        while not done:
            said.append(player.act(text, info))
            text, _, terminated, truncated, info = coin.step(said[-1])
            done = terminated or truncated
        assert info["won"]
        turns[name] = said
    assert [said for said in turns["hesitant"] if said != "inventory"] == turns["oracle"]
    assert turns["hesitant"][::3] == turns["hesitant"][1::3] == ["inventory"] * len(turns["oracle"])


def test_commands_that_are_not_of_the_game_are_refused(
    coin: TextWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.chdir(tmp_path)
    _, info = coin.reset(seed=0)
    move = coin._open().walkthrough[0]
    for command in (
        "save",
        "SAVE",
        "restart",
        "restore",
        "quit",
        "print_state",
        "enable print state option",
        "tw-print max_score",
        "me, save",
        "look at ünïcode",
        "x" * 500,
        "look\0",
    ):
        text, _, _, _, after = coin.step(command)
        assert text == "That's not a verb I recognise.", command
        assert after["admissible_commands"] == info["admissible_commands"]
    for command in (f"{move}. look", f"{move} then look"):
        assert coin.step(command)[0] == "One command at a time, please."
    assert list(tmp_path.iterdir()) == []
    assert coin.step(f"  {move.upper()}\n")[4]["admissible_commands"] != info["admissible_commands"]


def test_the_anchor_can_be_the_true_state(textworld: object):
    env = TextWorld(**COIN, anchor="state")
    _, start = env.reset(seed=0)
    move = env._open().walkthrough[0]
    back = dict(zip(("north", "south", "east", "west"), ("south", "north", "west", "east"), strict=True))
    away = env.step(move)[4]
    home = env.step(f"go {back[move.split()[1]]}")[4]
    assert start["anchor"] == home["anchor"] != away["anchor"]
    assert TextWorld(**COIN).reset(seed=0)[1]["anchor"] != start["anchor"]


def test_it_must_be_reset_first_and_can_be_closed_twice(coin: TextWorld):
    with pytest.raises(gymnasium.error.ResetNeeded):
        coin.step("look")
    first = coin.reset(seed=0)
    coin.close()
    coin.close()
    with pytest.raises(gymnasium.error.ResetNeeded):
        coin.step("look")
    assert coin.reset(seed=0) == first


@pytest.mark.parametrize(
    ("options", "line"),
    [
        ({"task": "kitchen"}, "unknown task 'kitchen'. Made games are named as coin_collector/level=5/train/17"),
        ({"task": "coin_collector/level=5/train/x"}, "made games are named FAMILY/OPTIONS/SPLIT/NUMBER"),
        ({"task": "/nowhere/game.z8"}, "there is no game file /nowhere/game.z8"),
        ({"game": "/nowhere/game.z8"}, "there is no game file /nowhere/game.z8"),
        ({"game": "/nowhere/game.zip"}, "is no TextWorld game. Allowed: a .z8 or .ulx file"),
        ({"tsk": "x"}, "unknown reset option 'tsk'. Did you mean 'task'?"),
    ],
)
def test_a_wrong_task_is_one_clear_line(options: dict[str, str], line: str, coin: TextWorld):
    with pytest.raises(InputError) as error:
        coin.reset(options=options)
    assert line in str(error.value)


def test_a_missing_library_is_one_clear_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "textworld", None)
    assert "textworld" in envs.names()
    with pytest.raises(MissingExtraError, match=r"pip install 'keystone-rl\[textworld\]'"):
        envs.make("textworld")


def test_the_published_games_are_won_by_their_walkthroughs(real_games: Path):
    names = {split: TextWorld(data=str(real_games), split=split).sample_tasks(0, 8) for split in ("train", "valid")}
    assert (len(set(names["train"])), len(set(names["valid"]))) == (6, 1)
    env = TextWorld(data=str(real_games), reward="score")
    for game in sorted(real_games.glob("*.z8")):
        rewards, terminated, _, info = play(env, options={"game": str(game)})
        assert info["won"]
        assert terminated
        assert sum(rewards) == pytest.approx(1)
        assert info["task_type"] == "simple"
        assert info["task"] == game.name
        assert env.reset(options={"task": game.name})[1]["task"] == game.name
    assert "6 TextWorld game files, split train, from" in env.describe_data()


def test_one_file_is_all_of_train(real_games: Path):
    game = real_games / "tw-another_game.z8"
    assert TextWorld(data=str(game)).sample_tasks(3, 2) == ["tw-another_game.z8"] * 2
    with pytest.raises(InputError, match=r"no game for split=valid \(games a split: train 1, valid 0, test 0\)"):
        TextWorld(data=str(game), split="valid")


def test_folders_named_as_splits_are_the_splits(real_games: Path, tmp_path: Path):
    for split, name in (("train", "tw-another_game"), ("test", "tw-rewardsSparse_goalNone")):
        (tmp_path / split).mkdir()
        for suffix in (".z8", ".json"):
            shutil.copy(real_games / f"{name}{suffix}", tmp_path / split)
    assert TextWorld(data=str(tmp_path), split="test").sample_tasks(0, 1) == ["test/tw-rewardsSparse_goalNone.z8"]


def test_a_glulx_game_is_compiled_anew(real_games: Path, tmp_path: Path):
    shutil.copy(real_games / "tw-rewardsSparse_goalBrief.json", tmp_path / "old.json")
    (tmp_path / "old.ulx").write_bytes(b"Glul")
    env = TextWorld(data=str(tmp_path / "old.ulx"))
    _, _, _, info = play(env, seed=0)
    assert info["won"]
    assert info["task"] == "old.ulx"
    story = env.reset(seed=0)[0]
    stock = TextWorld(data=str(real_games)).reset(options={"game": str(real_games / "tw-rewardsSparse_goalBrief.z8")})
    assert story == stock[0]


def test_a_file_that_is_not_whole_is_one_clear_line(real_games: Path, tmp_path: Path):
    story, facts = tmp_path / "game.z8", tmp_path / "game.json"
    whole = (real_games / "tw-another_game.z8").read_bytes()
    good = (real_games / "tw-another_game.json").read_text(encoding="utf-8")

    def refused(content: bytes, about: str) -> str:
        story.write_bytes(content)
        facts.write_text(about, encoding="utf-8")
        with pytest.raises(InputError) as error:
            TextWorld(data=str(story)).reset(seed=0)
        return str(error.value)

    assert "is not a whole story file" in refused(b"", good)
    assert "is not a whole story file" in refused(whole[: len(whole) // 2], good)
    assert "is damaged" in refused(whole[:5000] + b"?" + whole[5001:], good)
    assert "is not a game of TextWorld" in refused(whole, good[: len(good) // 2])
    assert "is not a game of TextWorld" in refused(whole, "[]")
    assert "is not a game of TextWorld" in refused(whole, "[" * 100_000)
    facts.unlink()
    with pytest.raises(InputError, match=r"there is no game file .*game\.json"):
        TextWorld(data=str(story))


def test_two_processes_make_one_game(textworld: object, tmp_path: Path):
    script = "import sys; from envs.textworld.files import made_file; print(made_file(sys.argv[1]))"
    environment = {**os.environ, "KEYSTONE_CACHE": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    environment["HOME"] = str(tmp_path / "home")
    command = [sys.executable, "-c", script, "coin_collector/level=1/test/7"]
    both = [subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = {process.communicate()[0].strip() for process in both}
    assert len(said) == 1
    folder = Path(said.pop()).parent
    assert {path.name for path in folder.iterdir()} == {"game.z8", "game.json"}
    assert [path for path in (tmp_path / "textworld").iterdir() if path.is_dir()] == [folder]
    assert not (tmp_path / "home").exists()


def test_a_cache_that_cannot_be_written_is_one_clear_line(
    textworld: object, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "file").touch()
    monkeypatch.setenv("KEYSTONE_CACHE", str(tmp_path / "file"))
    with pytest.raises(InputError, match="Set KEYSTONE_CACHE to a folder that can be written"):
        files.made_file("coin_collector/level=1/test/7")
