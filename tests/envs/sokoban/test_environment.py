"""Sokoban as an environment: what is said, won and refused."""

from __future__ import annotations

from pathlib import Path

import pytest

import envs
from envs.contract import CHECKS, Subject, play
from envs.errors import InputError
from envs.sokoban.environment import OraclePlayer, Sokoban

TASK = "generated/train/6x6,boxes=1,walls=0.2,pushes=1-5/3"


def world(tmp_path: Path, *rows: str, **options: object) -> Sokoban:
    path = tmp_path / "train.txt"
    path.write_text("\n".join(rows))
    env = envs.make("sokoban", data=str(path), **options)
    assert isinstance(env, Sokoban)
    return env


def test_an_episode_is_told_in_full(tmp_path: Path):
    env = world(tmp_path, "######", "#@$ .#", "######")
    text, info = env.reset(seed=0)
    assert text == (
        "This is Sokoban. Push every box onto a target. You move up, down, left or right; moving into a box pushes it"
        " if the square behind it is free. A box cannot be pulled.\n"
        "# wall, _ floor, $ box, . target, * box on a target, @ you, + you on a target.\n"
        "# # # # # #\n# @ $ _ . #\n# # # # # #\n"
        "You are at row 2, column 2. Boxes off target: row 2, column 3. Free targets: row 2, column 5."
    )
    assert info == {
        "admissible_commands": ["right"],
        "anchor": "# # # # # #\n# @ $ _ . #\n# # # # # #",
        "won": False,
        "goal": "push 1 box onto the targets",
        "task": "train.txt#0",
        "task_type": "1 box",
    }
    assert env.step(" Right ")[0].startswith("You push a box right.\n# # # # # #\n# _ @ $ . #")
    text, reward, terminated, truncated, info = env.step("right")
    assert (reward, terminated, truncated, info["won"]) == (1.0, True, False, True)
    assert text.startswith("You push a box right onto a target. Every box is on a target: you win.\n")


def test_generated_levels_state_their_difficulty():
    env = envs.make("sokoban")
    _, info = env.reset(options={"task": TASK})
    pushes = int(info["task_type"].removeprefix("1 box, ").split()[0])
    assert 1 <= pushes <= 5
    assert "6x6,boxes=1,walls=0.2,pushes=1-5 (split train)" in env.describe_data()


def test_the_turns_are_spent(tmp_path: Path):
    env = world(tmp_path, "######", "#@$ .#", "######", max_turns=2)
    env.reset(seed=0)
    assert env.step("up")[2:4] == (False, False)
    assert env.step("up")[2:4] == (False, True)
    assert env.step("right")[1:4] == (0.0, False, True)


def test_the_oracle_goes_on_from_wherever_it_is_led():
    env = envs.make("sokoban", boxes=2, max_pushes=6)
    for task in env.sample_tasks(3, 10):
        text, info = env.reset(options={"task": task})
        oracle = OraclePlayer(env, 0)
        oracle.act(text, info)
        text, _, _, _, info = env.step(info["admissible_commands"][0])
        try:
            env.solution()
        except InputError:
            continue
        done = info["won"]
        while not done:
            text, _, done, truncated, info = env.step(oracle.act(text, info))
            assert not truncated


def test_the_pacing_player_takes_each_walking_step_back_and_again():
    env = envs.make("sokoban", width=6, height=5, max_pushes=3, max_turns=60)
    back = {"up": "down", "down": "up", "left": "right", "right": "left"}
    for task in env.sample_tasks(5, 20):
        text, info = env.reset(options={"task": task})
        player, moves, done = env.players["pacing"](env, 0), [], False
        while not done:
            moves.append(player.act(text, info))
            text, _, done, truncated, info = env.step(moves[-1])
            assert not truncated
        assert info["won"]
        expected: list[str] = []
        rest = list(moves)
        while rest:
            move = rest.pop(0)
            expected.append(move)
            if rest[:2] == [back[move], move]:
                rest = rest[2:]
        assert len(expected) <= len(moves) <= 3 * len(expected)


def test_the_pacing_player_forgets_its_way_back_where_it_is_led_elsewhere():
    env = envs.make("sokoban", width=6, height=5, max_pushes=3, max_turns=200)
    won = 0
    for number, task in enumerate(env.sample_tasks(6, 10)):
        text, info = env.reset(options={"task": task})
        player, done = env.players["pacing"](env, 0), False
        for turn in range(199):
            move = player.act(text, info)
            if turn in (2, 5):
                move = info["admissible_commands"][number % len(info["admissible_commands"])]
            text, _, done, _, info = env.step(move)
            try:
                env.solution()
            except InputError:
                break
            if done:
                won += 1
                break
    assert won >= 4


def test_the_oracle_says_when_it_gives_up(tmp_path: Path):
    env = world(tmp_path, "#######", "#@  . #", "#    $#", "#######", max_turns=5)
    with pytest.warns(UserWarning, match=r"the oracle plays at random in train.txt#0: the level cannot be solved"):
        _, said = play(env, "train.txt#0", "oracle", seed=0)
    assert said[-1][3]


@pytest.mark.parametrize("number", range(20))
def test_the_oracle_wins_default_levels_in_time(number: int):
    env = envs.make("sokoban", split="valid")
    task = env.sample_tasks(5, 20)[number]
    assert play(env, task, "oracle", seed=0)[1][-1][4]["won"]


def test_real_levels_keep_the_contract(real_data: Path):
    options = {"data": str(real_data / "sokoban"), "split": "valid", "max_turns": 250}
    for check in CHECKS.values():
        assert check(Subject("sokoban", options, seed=2, num_tasks=3))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"split": "valdi"}, "Did you mean 'valid'"),
        ({"max_turns": 0}, "max_turns should be a whole number of at least 1, got 0"),
        ({"data": "levels.txt", "boxes": 3}, "boxes are for generated levels"),
        ({"data": "nowhere"}, "no file or folder of levels"),
        ({"boxs": 3}, "Did you mean 'boxes'"),
    ],
)
def test_wrong_options_are_refused(options, reason):
    with pytest.raises(InputError, match=reason):
        envs.make("sokoban", **options)


@pytest.mark.parametrize(
    "task", ["", "generated/train/0", TASK.replace("train", "tarin"), TASK + "x", TASK.replace("6x6", "6y6"), "a.txt#0"]
)
def test_unknown_tasks_are_refused(task: str):
    with pytest.raises(InputError):
        envs.make("sokoban").reset(options={"task": task})


def test_passes_over_files_do_not_repeat_levels(real_data: Path):
    env = envs.make("sokoban", data=str(real_data / "sokoban" / "hard_003.txt"), split="test")
    count = int(env.describe_data().split()[0])
    tasks = env.sample_tasks(0, 2 * count)
    assert len(set(tasks[:count])) == len(set(tasks[count:])) == count
    assert tasks[:count] != tasks[count:]
