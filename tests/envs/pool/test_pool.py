"""The pool against worlds that misbehave: play goes on, the log says who failed and why, nothing counts twice."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import gymnasium
import psutil
import pytest

import envs
from agents.policies.scripted import ScriptedPolicy
from agents.rollout import rollout
from agents.types import Episode, EpisodeKey, StopReason
from envs.errors import InputError
from envs.pool import Counts, Pool, PoolConfig, Pooled, Start, World, guardian, supervision
from envs.pool.guardian import MARK
from envs.worlds import Failure

pytestmark = pytest.mark.fault

CORRIDOR = "tests.envs.corridor:Corridor"
TROUBLED = "tests.envs.pool.troubled:Troubled"
LENGTH = 4
TASKS = [f"train-{number}" for number in (0, 1, 0, 2, 3, 0, 2)]
QUICK: dict[str, Any] = {"workers": 2, "worlds": 2, "step_seconds": 1.5, "tries": 2}


class Watched(Pool):
    """A pool whose log is kept."""

    def __init__(self, **keys: Any) -> None:
        self.lines: list[str] = []
        super().__init__(PoolConfig(**{**QUICK, **keys}), self.lines.append)

    @property
    def pids(self) -> list[int]:
        return [worker.process.pid for worker in self._workers if worker.process is not None]


@pytest.fixture(scope="module")
def kept() -> Iterator[Watched]:
    """One pool for most tests: what went wrong in one must not show in the next."""
    before = pooled()
    with Watched() as made:
        yield made
    assert not since(before)


@pytest.fixture
def pool(kept: Watched) -> Watched:
    kept.lines.clear()
    kept.counts = Counts()
    return kept


def pooled() -> dict[psutil.Process, str]:
    """Guardians, workers and what these started, each with its command; a browser of other tests is none of them."""
    found = {}
    for process in psutil.Process().children(recursive=True):
        with contextlib.suppress(psutil.Error):
            command = " ".join(process.cmdline())
            if MARK in process.environ() or guardian.__file__ in command:
                found[process] = command
    return found


def since(before: dict[psutil.Process, str]) -> list[str]:
    """The commands of those that were started since, and are still there."""
    return [command for process, command in pooled().items() if process not in before]


def keys(tasks: list[str]) -> list[EpisodeKey]:
    return [EpisodeKey(0, 0, task, member) for member, task in enumerate(tasks)]


def play(
    made: Pool,
    player: str = "oracle",
    tasks: list[str] = TASKS,
    ended: Callable[[Episode], None] | None = None,
    **options: Any,
) -> list[Episode]:
    return rollout(Pooled(made, TROUBLED, length=LENGTH, **options), ScriptedPolicy(player), keys(tasks), ended=ended)


def alone(player: str = "oracle", tasks: list[str] = TASKS) -> list[Episode]:
    """The same episodes in this process and without trouble."""
    return rollout(lambda: envs.make(CORRIDOR, length=LENGTH), ScriptedPolicy(player), keys(tasks))


def start(task: str, **options: Any) -> Start:
    return Start(World(TROUBLED, {"length": LENGTH, **options}), None, {"task": task})


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_any_number_of_workers_gives_the_same_episodes(workers: int):
    with Watched(workers=workers, worlds=2) as made:
        for player in ("oracle", "random"):
            assert play(made, player) == alone(player)
        assert len(made.pids) == workers
    assert not made.lines
    assert made.counts == Counts()
    assert alone() != alone("random")


@pytest.mark.parametrize(
    ("trouble", "said", "counts"),
    [
        ("sleep", "the worker gave no answer within 1.5 s", Counts(restarted=1, replayed=1)),
        ("deaf", "the worker gave no answer within 1.5 s", Counts(restarted=1, replayed=1)),
        ("stop", "the worker gave no answer within 1.5 s", Counts(restarted=1, replayed=1)),
        ("die", "the worker was killed by SIGKILL", Counts(restarted=1, replayed=1)),
        (
            "crash",
            r"the worker was killed by SIGSEGV; it printed: File .+ in string_at",
            Counts(restarted=1, replayed=1),
        ),
        ("leave", "the worker exited with code 3; it printed: the lights go out", Counts(restarted=1, replayed=1)),
        ("fail", "RuntimeError: the lamp fell", Counts(replayed=1)),
        ("unspeakable", ".*pickle.*", Counts(replayed=1)),
    ],
)
def test_trouble_that_passes_is_told_and_leaves_no_trace_in_results(
    trouble: str, said: str, counts: Counts, pool: Watched, tmp_path: Path
):
    assert play(pool, trouble=trouble, tasks_of_trouble="train-1", folder=str(tmp_path)) == alone()
    (line,) = pool.lines
    who = rf"worker [01] \(pid \d+\), {TROUBLED}, task train-1, turn 2"
    others = r"( Episodes it held besides, which go on in the new one: 1\.)?"
    assert re.fullmatch(rf"{who}: {said}\. The episode is played again, try 2 of 2\.{others}", line)
    assert pool.counts == counts


@pytest.mark.parametrize(
    ("trouble", "turn", "error"),
    [
        ("sleep", 2, "the worker gave no answer within 1.5 s in turn 2"),
        ("die", 0, "the worker was killed by SIGKILL in turn 0"),
        ("fail", 2, "RuntimeError: the lamp fell"),
    ],
)
def test_trouble_that_stays_is_its_episodes_result_and_nobody_elses(trouble: str, turn: int, error: str, pool: Watched):
    played = play(pool, trouble=trouble, turn=turn, tasks_of_trouble="train-1")
    for episode, other in zip(played, alone(), strict=True):
        if episode.key.task == "train-1":
            assert (episode.stop, episode.error, episode.won) == (StopReason.ERROR, error, False)
            assert [each.action for each in episode.turns] == ["go right"] * turn
        else:
            assert episode == other
    assert pool.counts == Counts(restarted=2 * (trouble != "fail"), replayed=1, failed=1)
    assert pool.lines[-1].startswith("worker ")
    assert f"task train-1, turn {turn}: " in pool.lines[-1]
    assert "The episode was begun 2 times and is recorded as an error." in pool.lines[-1]


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP, signal.SIGTERM])
def test_workers_that_are_killed_or_stopped_from_outside(number: signal.Signals, pool: Watched):
    tasks, turns, hit = ["train-0"] * 8, 0, []
    seen: list[Episode] = []

    def before_a_turn() -> bool:
        nonlocal turns
        turns += 1
        if turns in (3, 7):
            hit.append(pool.pids[len(hit)])
            os.kill(hit[-1], number)
        return False

    worlds = Pooled(pool, TROUBLED, length=LENGTH)
    played = rollout(worlds, ScriptedPolicy("oracle"), keys(tasks), ended=seen.append, stop=before_a_turn)
    assert played == alone(tasks=tasks)
    assert sorted(episode.key.member for episode in seen) == list(range(len(tasks)))
    assert len(pool.lines) == 2
    for pid, line in zip(hit, pool.lines, strict=True):
        assert f"(pid {pid}), {TROUBLED}, task train-0, turn" in line
    assert pool.counts == Counts(restarted=2, replayed=2)


def test_kills_without_end_lose_and_repeat_no_episode():
    with Watched(workers=2, worlds=1, tries=1) as made:
        seen: list[Episode] = []

        def ended(episode: Episode) -> None:
            seen.append(episode)
            if len(seen) % 2:
                os.kill(made.pids[-1], signal.SIGKILL)

        played = play(made, ended=ended)
        assert sorted(episode.key.member for episode in seen) == [episode.key.member for episode in played]
        assert len(played) == len(TASKS)
        errors = {episode.error for episode in played if episode.stop is StopReason.ERROR}
        assert all(re.fullmatch(r"the worker was killed by SIGKILL in turn \d", str(error)) for error in errors)
        assert made.counts.failed == sum(episode.error is not None for episode in played)


def test_a_leak_gets_its_worker_replaced_between_episodes():
    with Watched(memory_megabytes=200, step_seconds=60.0) as made:
        assert play(made, trouble="leak", tasks=TASKS) == alone()
        assert made.counts.recycled > 0
        assert made.counts._replace(recycled=0) == Counts()
    form = (
        r"worker [01] \(pid \d+\) holds \d+ MB after an episode, more than pool.memory_megabytes=200. It is replaced.*"
    )
    assert all(re.fullmatch(form, line) for line in made.lines)
    assert len(made.lines) == made.counts.recycled


def test_a_world_that_takes_all_memory_is_ended_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(supervision, "_MEMORY_SECONDS", 0.0)
    with Watched(workers=1, worlds=2, memory_megabytes=150, step_seconds=60.0) as made:
        trouble = {"trouble": "hoard", "tasks_of_trouble": "train-1", "folder": str(tmp_path)}
        assert play(made, tasks=["train-0", "train-1"], **trouble) == alone(tasks=["train-0", "train-1"])
        assert made.counts == Counts(restarted=1, replayed=1)
    assert "the worker held more than 300 MB, twice pool.memory_megabytes" in made.lines[0]


def test_a_world_that_is_no_function_of_its_commands_is_found_out(pool: Watched):
    pool.reset({0: start("train-0", trouble="forgetful")})
    pool.step({0: "go right"})
    os.kill(pool.pids[0], signal.SIGKILL)
    said = pool.step({0: "go right"})
    cause = (
        "begun again (the worker was killed by SIGKILL in turn 2), its world said something else than before in turn 1"
    )
    assert said == {0: Failure(cause)}
    assert pool.step({0: "go right"}) == said
    assert pool.counts == Counts(restarted=1, replayed=1, failed=1)
    pool.release([0])


def test_players_live_and_die_with_their_worlds(pool: Watched, tmp_path: Path):
    assert play(pool, "careless", folder=str(tmp_path), tasks_of_trouble="train-1") == alone()
    assert pool.counts == Counts(restarted=1, replayed=1)
    (stuck,) = play(pool, "stuck", tasks=["train-1"])
    assert (stuck.stop, stuck.error) == (StopReason.ERROR, "the worker gave no answer within 1.5 s in turn 1")


def test_what_worlds_print_is_kept_from_the_terminal_and_blocks_nothing(
    pool: Watched, capfd: pytest.CaptureFixture[str], tmp_path: Path
):
    assert play(pool, trouble="chatter", folder=str(tmp_path)) == alone()
    assert capfd.readouterr() == ("", "")
    assert not pool.lines


def test_a_command_larger_than_any_buffer_to_a_stopped_worker(pool: Watched):
    pool.reset({0: start("train-0")})
    os.kill(pool.pids[0], signal.SIGSTOP)
    (answer,) = pool.step({0: "x" * 5_000_000}).values()
    assert answer[0] == "Nothing happens."
    assert pool.counts == Counts(restarted=1, replayed=1)
    pool.release([0])


@pytest.mark.parametrize(
    ("options", "player", "task", "line"),
    [
        ({"lenght": 3}, "oracle", "train-0", "Did you mean 'length'"),
        ({}, "oracl", "train-0", "unknown player 'oracl'. Did you mean 'oracle'?"),
        ({}, "oracle", "nowhere", "the corridor has no task 'nowhere'."),
    ],
)
def test_what_the_user_got_wrong_is_the_users_error(
    options: dict[str, Any], player: str, task: str, line: str, pool: Watched
):
    with pytest.raises(InputError, match=re.escape(line)):
        rollout(Pooled(pool, TROUBLED, **options), ScriptedPolicy(player), keys([task, "train-0"]))
    assert not pool.lines
    assert play(pool) == alone()


def test_a_file_that_is_gone_is_no_lost_episode(pool: Watched):
    here = partial(envs.make, TROUBLED, length=LENGTH, trouble="missing", turn=0)
    for worlds in (here, Pooled(pool, TROUBLED, length=LENGTH, trouble="missing", turn=0)):
        with pytest.raises(InputError, match=r"cannot use '/nowhere/level\.txt': No such file or directory\."):
            rollout(worlds, ScriptedPolicy("oracle"), keys(TASKS))


def test_a_rollout_that_is_stopped_frees_its_places(pool: Watched):
    ended: list[Episode] = []
    worlds = Pooled(pool, TROUBLED, length=LENGTH)
    kept = rollout(worlds, ScriptedPolicy("oracle"), keys(TASKS), ended=ended.append, stop=lambda: len(ended) > 1)
    assert kept == sorted(ended, key=lambda episode: episode.key.member)
    assert len(kept) < len(TASKS)
    assert len(pool.reset({row: start("train-0") for row in range(pool.capacity)})) == pool.capacity
    with pytest.raises(InputError, match="room for 4 episodes"):
        pool.reset({99: start("train-0")})
    pool.release(range(100))


def test_a_pool_takes_up_again_after_an_interruption(pool: Watched):
    def interrupt(episode: Episode) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        play(pool, ended=interrupt)
    assert play(pool) == alone()


def test_a_step_that_is_interrupted_was_made_in_no_row(tmp_path: Path):
    def interrupt(line: str) -> None:
        raise KeyboardInterrupt

    # The one worker plays row 0 first, and has answered when row 1 fails.
    options = {"trouble": "fail", "turn": 2, "tasks_of_trouble": "train-1", "folder": str(tmp_path)}
    with Pool(PoolConfig(**{**QUICK, "workers": 1}), interrupt) as made:
        made.reset({row: start(f"train-{row}", **options) for row in range(2)})
        assert [answer[0] for answer in made.step({0: "go right", 1: "go left"}).values()] == [
            "You are in room 1.",
            "You are in room 0.",
        ]
        with pytest.raises(KeyboardInterrupt):
            made.step({0: "go right", 1: "go right"})
        assert made.step({1: "sing"})[1][0] == "Nothing happens."
        assert [answer[0] for answer in made.step({0: "go right", 1: "go right"}).values()] == [
            "You are in room 2.",
            "You are in room 1.",
        ]


def test_a_task_that_was_refused_is_not_asked_for_again(pool: Watched):
    pool.reset({2: start("train-1")})
    with pytest.raises(InputError, match="no task 'nowhere'"):
        pool.reset({0: start("nowhere"), 1: start("train-1")})
    for row in (0, 1):
        with pytest.raises(gymnasium.error.ResetNeeded, match=f"row {row} has no episode"):
            pool.step({row: "go right", 2: "go right"})
    assert pool.reset({1: start("train-2")})[1][0] == "You are in room 2."
    said = pool.step({1: "go right", 2: "go right"})
    assert [said[row][0] for row in (1, 2)] == ["You are in room 3.", "You are in room 2."]
    with pytest.raises(InputError, match="unknown player"):
        pool.act("orcle", {1: 0, 2: 0})
    assert pool.act("oracle", {1: 0, 2: 0}) == {1: "go right", 2: "go right"}
    pool.release([1, 2])


def test_worlds_stepped_together_after_one_refused_its_task():
    together = envs.vector(TROUBLED, 2, workers=1, length=LENGTH)
    together.reset(options={"tasks": ["train-0", "train-1"]})
    with pytest.raises(InputError, match="no task 'nowhere'"):
        together.reset(options={"tasks": ["nowhere", None], "reset_mask": [True, False]})
    with pytest.raises(gymnasium.error.ResetNeeded, match="row 0"):
        together.step(["go right"] * 2)
    together.reset(options={"tasks": [None, "train-2"], "reset_mask": [False, True]})
    together.reset(options={"tasks": ["train-1", None], "reset_mask": [True, False]})
    assert together.step(["go right"] * 2)[0] == ("You are in room 2.", "You are in room 3.")
    together.close()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_a_guardian_that_is_gone_is_replaced(number: signal.Signals, pool: Watched):
    play(pool, tasks=TASKS[:2])
    guardian = pool._guardian
    assert guardian._process is not None
    first = guardian._process.pid
    os.kill(first, number)
    if number is signal.SIGKILL:
        # Until it is dead, nobody can tell.
        os.waitid(os.P_PID, first, os.WEXITED | os.WNOWAIT)
    else:
        # Until its pipe is full, nobody can tell either.
        for group in range(9_000_000, 9_000_400):
            guardian.watch(group, "0" * 1000)
        for group in range(9_000_000, 9_000_400):
            guardian.forget(group)
    os.kill(pool.pids[0], signal.SIGKILL)
    assert play(pool) == alone()
    assert guardian._process.pid != first
    assert guardian._process.poll() is None


def test_a_pool_takes_up_again_after_it_was_closed(pool: Watched):
    pool.close()
    assert not pool.pids
    assert play(pool) == alone()


def test_close_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setattr(supervision, "_CLOSE_SECONDS", 0.3)
    before = pooled()
    with Watched(workers=1) as made:
        play(made, trouble="unclosable", tasks=TASKS[:2])
        assert len(since(before)) == 2, "a worker and its guardian"
        began = time.monotonic()
    assert time.monotonic() - began < 20
    assert not since(before)


def test_worlds_are_closed_where_they_can_be(tmp_path: Path):
    with Watched(workers=1, worlds=1) as made:
        play(made, folder=str(tmp_path), tasks=TASKS[:2])
    notes = (tmp_path / "notes").read_text().splitlines()
    assert [line.split()[0] for line in notes] == ["reset", "reset", "closed"]


def test_workers_that_cannot_be_started_are_one_clear_error(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(sys, "executable", shutil.which("false"))
    with Watched() as made, pytest.raises(InputError, match="workers cannot be started, 3 times running"):
        play(made)


def test_many_worlds_stepped_together():
    options = {"length": LENGTH, "trouble": "die", "tasks_of_trouble": "train-1"}
    together = envs.vector(TROUBLED, 3, workers=2, **options)
    alike = envs.vector(CORRIDOR, 3, length=LENGTH)
    assert (
        together.reset(options={"tasks": ["train-0", "train-1", "train-2"]})[0]
        == (alike.reset(options={"tasks": ["train-0", "train-1", "train-2"]})[0])
    )
    for turn in (1, 2):
        texts, rewards, terminated, truncated, infos = together.step(["go right"] * 3)
        others = alike.step(["go right"] * 3)
        assert (texts[0], texts[2]) == (others[0][0], others[0][2])
        assert (rewards.tolist(), terminated.tolist()) == (others[1].tolist(), others[2].tolist())
        assert truncated.tolist() == [False, turn == 2, False]
    assert infos["_error"].tolist() == [False, True, False]
    assert infos["error"][1] == "the worker was killed by SIGKILL in turn 2"
    mask = [False, True, False]
    texts, infos = together.reset(options={"reset_mask": mask, "tasks": ["train-0"] * 3})
    assert texts == ("You are in room 2.", "You are in room 0.", "You are in room 4.")
    together.close()
