"""The ALFWorld environment: tasks, episodes, options, data and players."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path

import gymnasium
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import envs
from envs.alfworld.environment import ALFWorld, ALFWorldConfig
from envs.alfworld.games import forget
from envs.errors import InputError, MissingExtraError
from tests.envs.alfworld import tiny

pytestmark = pytest.mark.usefixtures("tiny_known", "own_cache")

NAME = "pick_and_place_simple-Mug-None-Desk-308/trial_{}"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five copies of the hand-made game as train split, one as valid_seen."""
    folder = tmp_path / "data"
    for number in range(5):
        tiny.write(folder / "json_2.1.1" / "train" / NAME.format(number))
    tiny.write(folder / "json_2.1.1" / "valid_seen" / NAME.format(9))
    return folder


def make(data: Path, **options: object) -> ALFWorld:
    return ALFWorld(ALFWorldConfig(data=str(data), **options))  # type: ignore[arg-type]


def test_an_episode_won(data: Path) -> None:
    env = make(data)
    text, info = env.reset(seed=0)
    assert text.startswith("-= Welcome to TextWorld, ALFRED! =-\n\n")
    assert info["goal"] == "put a mug in desk."
    assert info["task_type"] == "pick_and_place_simple"
    assert info["task"] == env.sample_tasks(0, 1)[0]
    assert info["anchor"] == text
    for command in tiny.WALKTHROUGH[:-1]:
        assert command in info["admissible_commands"]
        text, reward, terminated, truncated, info = env.step(command)
        assert (reward, terminated, truncated, info["won"]) == (0.0, False, False, False)
    text, reward, terminated, truncated, info = env.step(f"  {tiny.WALKTHROUGH[-1]} ")
    assert (reward, terminated, truncated, info["won"]) == (1.0, True, False, True)
    assert text == "You move the mug 1 to the desk 1."
    # The game itself would go on; the environment stays finished.
    for command in ("take mug 1 from desk 1", "look"):
        again = env.step(command)
        assert again == (text, 0.0, True, False, info)


def test_an_episode_truncated(data: Path) -> None:
    env = make(data, max_turns=3)
    env.reset(seed=0)
    assert [env.step(command)[3] for command in ("go to safe 1", "nonsense", "")] == [False, False, True]
    text, reward, terminated, truncated, info = env.step("look")
    assert (text, reward, terminated, truncated, info["won"]) == ("Nothing happens.", 0.0, False, True, False)
    assert env.reset(seed=0)[1]["admissible_commands"]
    assert env.step("go to safe 1")[3] is False


def test_a_win_at_the_last_turn_is_a_win(data: Path) -> None:
    env = make(data, max_turns=len(tiny.WALKTHROUGH))
    env.reset(seed=0)
    last = [env.step(command) for command in tiny.WALKTHROUGH][-1]
    assert last[1:4] == (1.0, True, False)


def test_step_before_reset(data: Path) -> None:
    with pytest.raises(gymnasium.error.ResetNeeded):
        make(data).step("look")
    with pytest.raises(gymnasium.error.ResetNeeded):
        make(data).solution()


def test_tasks_are_drawn_without_repetition_and_start_over(data: Path) -> None:
    env = make(data)
    drawn = env.sample_tasks(3, 12)
    assert Counter(drawn[:5]) == Counter(drawn[5:10]) == Counter({f"train/{NAME.format(n)}": 1 for n in range(5)})
    assert make(data).sample_tasks(3, 7) == drawn[:7]
    assert len({tuple(env.sample_tasks(seed, 5)) for seed in range(20)}) > 5


@settings(deadline=None, max_examples=50)
@given(
    seed=st.integers(0, 2**40), count=st.integers(0, 40), split=st.sampled_from(["train", "valid_seen", "valid_unseen"])
)
def test_generated_draws_have_the_prefix_property(seed: int, count: int, split: str) -> None:
    env = ALFWorld(data="generated", split=split)
    tasks = env.sample_tasks(seed, count)
    assert env.sample_tasks(seed, count + 5)[:count] == tasks
    assert len(set(tasks)) == count
    rooms = "unseen" if split == "valid_unseen" else "train"
    assert all(task.startswith(f"generated/{rooms}/") for task in tasks)


def test_generated_splits_share_no_task() -> None:
    train = {task for seed in range(50) for task in ALFWorld(data="generated").sample_tasks(seed, 100)}
    seen = {
        task for seed in range(50) for task in ALFWorld(data="generated", split="valid_seen").sample_tasks(seed, 100)
    }
    assert not train & seen


def test_negative_seeds_are_refused(data: Path) -> None:
    with pytest.raises(InputError, match="0 or more"):
        make(data).sample_tasks(-1, 2)


def test_unseeded_resets_vary_and_seeded_ones_do_not(data: Path) -> None:
    env = make(data)
    env.reset(seed=5)
    tasks = {env.reset()[1]["task"] for _ in range(30)}
    assert len(tasks) > 1
    assert env.reset(seed=5)[1]["task"] == env.sample_tasks(5, 1)[0]


def test_tasks_by_name_and_games_by_path(data: Path, tmp_path: Path) -> None:
    env = make(data)
    for name in (f"train/{NAME.format(3)}", f"valid_seen/{NAME.format(9)}"):
        assert env.reset(options={"task": name})[1]["task"] == name
        path = data / "json_2.1.1" / name / "game.tw-pddl"
        assert env.reset(options={"game": str(path)})[1]["task"] == name
        assert env.reset(options={"game": path.parent})[1]["task"] == name
    for elsewhere in (tiny.write(tmp_path / "own"), tmp_path / "renamed.tw-pddl"):
        if not elsewhere.exists():
            elsewhere.write_bytes((tmp_path / "own" / "game.tw-pddl").read_bytes())
        text, info = env.reset(options={"game": str(elsewhere)})
        assert ALFWorld(data="generated").reset(options={"task": info["task"]})[0] == text


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"task": "train/nothing/trial_0"}, "unknown task"),
        ({"game": "/nowhere/game.tw-pddl"}, "unknown task"),
        ({"task": "generated/train/x"}, "generated tasks are named"),
        ({"task": "generated/attic/3"}, "generated tasks are named"),
        ({"task": "generated/train/-3"}, "generated tasks are named"),
        ({"tasks": "train"}, "Did you mean 'task'"),
    ],
)
def test_unknown_tasks_are_refused(data: Path, options: dict[str, str], said: str) -> None:
    with pytest.raises(InputError, match=said):
        make(data).reset(options=options)


def test_real_tasks_need_data() -> None:
    with pytest.raises(InputError, match="ALFWORLD_DATA"):
        ALFWorld(data="generated").reset(options={"task": "train/some/trial"})


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"split": "tran"}, "Did you mean 'train'"),
        ({"engine": "stock"}, "native"),
        ({"anchor": "hash"}, "state"),
        ({"max_turns": 0}, "max_turns should be a whole number of at least 1, got 0"),
        ({"data": "/nowhere/at/all"}, "no such folder"),
    ],
)
def test_bad_options_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(InputError, match=said):
        ALFWorld(**options)


def test_anchor_state_tells_apart_what_reads_the_same(data: Path) -> None:
    texts, states = make(data), make(data, anchor="state")
    anchors = []
    for env in (texts, states):
        env.reset(seed=0)
        first = env.step("look")[4]["anchor"]
        for command in tiny.WALKTHROUGH:
            env.step(command)
        env.reset(seed=0)
        env.step("go to safe 1")
        closed = env.step("inventory")[4]["anchor"]
        env.step("open safe 1")
        opened = env.step("inventory")[4]["anchor"]
        anchors.append((first, closed, opened))
    assert anchors[0][1] == anchors[0][2] == "You are not carrying anything."
    assert anchors[1][1] != anchors[1][2]
    assert len(set(anchors[1])) == 3


def test_a_changed_file_is_read_again(data: Path) -> None:
    path = data / "json_2.1.1" / "train" / NAME.format(0) / "game.tw-pddl"
    env = make(data)
    first, _ = env.reset(options={"game": str(path)})
    path.write_text(path.read_text().replace("Desk_bar_1", "Desk_bar_basin"))
    assert make(data).reset(options={"game": str(path)})[0] == first.replace("desk 1", "deskbasin 1")


def test_players(data: Path) -> None:
    env = make(data)
    for name, wins in (("oracle", True), ("random", None)):
        _, info = env.reset(seed=1)
        player, text, over = env.players[name](env, 4), "", False
        while not over:
            text, _, terminated, truncated, info = env.step(player.act(text, info))
            over = terminated or truncated
        assert wins is None or info["won"] == wins
    env.reset(seed=1)
    oracle = env.players["oracle"](env, 0)
    assert [oracle.act("", info) for _ in range(6)] == [*tiny.WALKTHROUGH, "look"]


def test_random_players_differ_by_seed_only(data: Path) -> None:
    env = make(data)
    _, info = env.reset(seed=1)

    def play(seed: int) -> list[str]:
        player = env.players["random"](env, seed)
        return [player.act("", info) for _ in range(20)]

    assert play(1) == play(1) != play(2)


def test_the_oracle_wins_generated_games_within_the_turns() -> None:
    env = ALFWorld(data="generated", split="valid_unseen")
    for task in env.sample_tasks(0, 30):
        text, info = env.reset(options={"task": task})
        player = env.players["oracle"](env, 0)
        for _ in range(20):
            text, _, terminated, _, info = env.step(player.act(text, info))
            if terminated:
                break
        assert info["won"], task


def test_it_says_which_data_it_plays(data: Path) -> None:
    assert "5 real ALFWorld games, split train" in make(data).describe_data()
    assert str(data) in make(data).describe_data()
    assert "generated" in ALFWorld().describe_data()
    assert "unseen rooms" in ALFWorld(data="generated", split="valid_unseen").describe_data()


def test_panels_come_from_a_split_of_the_same_data(data: Path) -> None:
    assert make(data).evaluation_split == "valid_seen"
    assert ALFWorld(data="generated").evaluation_split == "valid_unseen"


def test_data_named_by_the_environment_variable(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALFWORLD_DATA", str(data))
    forget()
    assert "real" in ALFWorld().describe_data()
    assert "generated" in ALFWorld(data="generated").describe_data()


def test_the_gymnasium_id_makes_the_same_world(data: Path) -> None:
    made = gymnasium.make("keystone/ALFWorld-v0", data=str(data), split="valid_seen")
    ours = envs.make("alfworld", data=str(data), split="valid_seen")
    assert made.reset(seed=2) == ours.reset(seed=2)
    assert made.step("go to safe 1") == ours.step("go to safe 1")
    made.close()


def test_environments_of_one_task_share_the_compiled_game(data: Path) -> None:
    one, other = make(data), make(data)
    one.reset(seed=0)
    other.reset(seed=0)
    assert one._world is not other._world
    assert one._world.layout is other._world.layout  # type: ignore[union-attr]


def test_the_reference_engine_says_what_to_install(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "textworld", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'keystone-rl\[alfworld\]'"):
        make(data, engine="reference").reset(seed=0)


def test_real_games(alfworld_data: Path) -> None:
    env = make(alfworld_data, split="valid_seen")
    tasks = env.sample_tasks(0, 140)
    assert len(set(tasks)) == 140
    for task in tasks[:40]:
        text, info = env.reset(options={"task": task})
        assert info["task_type"] in task
        player = env.players["oracle"](env, 0)
        turns, over = 0, False
        while not over:
            text, reward, over, _, info = env.step(player.act(text, info))
            turns += 1
        assert info["won"]
        assert reward == 1.0
        assert turns <= 10
