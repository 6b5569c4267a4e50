"""The ScienceWorld environment with its real Java process: episodes, and what becomes of the process."""

from __future__ import annotations

import gc
import importlib.metadata
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

import gymnasium
import pytest

import envs
from envs.errors import InputError, MissingExtraError
from envs.scienceworld import server as servers
from envs.scienceworld.environment import ScienceWorld
from envs.scienceworld.server import Server, ServerError
from envs.scienceworld.tasks import SIMPLIFICATIONS, SPLITS, VARIATIONS, variations

SHORT = "find-living-thing/3"


def runs(pid: int) -> bool:
    """Whether a process is there and not only waits to be collected."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def gone(pid: int) -> bool:
    """Waits some seconds for a process to go."""
    until = time.monotonic() + 30
    while runs(pid) and time.monotonic() < until:
        time.sleep(0.05)
    return not runs(pid)


def pid_of(env: ScienceWorld) -> int:
    assert env._server is not None
    return env._server.pid


def play(env: ScienceWorld, task: str) -> list[tuple[str, float, bool, bool, object]]:
    env.reset(options={"task": task})
    oracle = env.players["oracle"](env, 0)
    said = []
    while not (said and (said[-1][2] or said[-1][3])):
        said.append(env.step(oracle.act("", env._info(env._open()[0]))))
    return said


def test_the_oracle_wins_and_the_rewards_add_up(shared: ScienceWorld):
    said = play(shared, SHORT)
    assert said[-1][2:4] == (True, False)
    assert said[-1][4]["won"]  # type: ignore[index]
    assert sum(step[1] for step in said) == pytest.approx(1)
    assert sum(step[1] > 0 for step in said) > 1
    assert shared.step("look around") == (said[-1][0], 0.0, True, False, said[-1][4])


def test_the_solution_changes_nothing(shared: ScienceWorld):
    first = shared.reset(options={"task": SHORT})
    second = shared.step("look around")
    shared.solution()
    assert shared.step("inventory")[0].startswith("In your inventory, you see:")
    assert shared.reset(options={"task": SHORT}) == first
    assert shared.step("look around") == second


def test_the_task_is_told_and_the_commands_are_bounded(shared: ScienceWorld):
    assert f"ScienceWorld {importlib.metadata.version('scienceworld')}: " in shared.describe_data()
    text, info = shared.reset(options={"task": SHORT})
    assert text.startswith(info["goal"])
    assert info["goal"].startswith("Your task is to")
    assert info["task_type"] == "find-living-thing"
    assert info["anchor"] == text
    assert 0 < len(info["admissible_commands"]) <= 200
    assert "look around" in info["admissible_commands"]


def test_without_a_list_of_commands_the_same_game_is_played(shared: ScienceWorld):
    text, _ = shared.reset(options={"task": SHORT})
    solution = shared.solution()
    with closing(ScienceWorld(commands=0)) as silent:
        assert silent.reset(options={"task": SHORT})[0] == text
        answers = [silent.step(command) for command in solution]
    assert all(answer[-1]["admissible_commands"] == [] for answer in answers)
    assert (answers[-1][2], answers[-1][-1]["won"]) == (True, True)


def test_what_the_simulator_understands_is_valid_whether_or_not_it_is_listed(shared: ScienceWorld):
    _, info = shared.reset(options={"task": SHORT})
    listed = []
    for command in shared.solution():
        listed.append(command in info["admissible_commands"])
        *_, info = shared.step(command)
        assert info["is_action_valid"]
    assert not all(listed)


def test_a_wrong_choice_ends_the_task_and_takes_back_what_was_paid(shared: ScienceWorld):
    _, info = shared.reset(options={"task": SHORT})
    rewards = []
    for command in ("look around", "focus on air"):
        _, reward, terminated, truncated, info = shared.step(command)
        rewards.append(reward)
    assert (terminated, truncated, info["won"]) == (True, False, False)
    assert sum(rewards) == 0


def test_odd_input_is_answered(shared: ScienceWorld):
    _, info = shared.reset(options={"task": SHORT})
    for command in ("", "  ", "a\0b", "x" * 100_000, "qwertyuiop", "löök"):
        text, reward, terminated, _, after = shared.step(command)
        assert text == "No known action matches that input."
        assert (reward, terminated) == (0.0, False)
        assert after["admissible_commands"] == info["admissible_commands"]
        assert (info["is_action_valid"], after["is_action_valid"]) == (True, False)


def test_the_table_of_tasks_is_the_simulators(shared: ScienceWorld):
    shared.reset(options={"task": SHORT})
    server = shared._open()[0]
    assert set(server.call("getTaskNames")) == set(VARIATIONS)
    assert set(server.call("getPossibleSimplifications").split(", ")) == set(SIMPLIFICATIONS)
    for kind in ("identify-life-stages-1", "identify-life-stages-2", "lifespan-longest-lived", "boil"):
        server.call("load", kind, 0, "", False)
        assert server.call("getTaskMaxVariations", kind) == VARIATIONS[kind]
        methods = ("getVariationsTrain", "getVariationsDev", "getVariationsTest")
        for split, method in zip(SPLITS, methods, strict=True):
            assert [int(number) for number in server.call(method)] == list(variations(kind, split))
    assert all(server.call("getTaskMaxVariations", kind) == number for kind, number in VARIATIONS.items())


def test_the_final_reward_comes_at_the_end(shared: ScienceWorld):
    shared.reset(options={"task": SHORT})
    env = ScienceWorld(reward="final", max_turns=2, anchor="state")
    env._server = shared._server
    env.reset(options={"task": "find-living-thing/easy/3"})
    _, reward, terminated, truncated, first = env.step("look around")
    assert (reward, terminated, truncated) == (0.0, False, False)
    assert len(first["anchor"]) == 32
    _, reward, terminated, truncated, info = env.step("nonsense, which takes no time")
    assert (terminated, truncated) == (False, True)
    assert reward == env._score
    assert info["anchor"] == first["anchor"]


def test_two_processes_play_the_same(shared: ScienceWorld):
    # Without equal hashes growing plants end differently from run to run.
    task = "grow-plant/1"
    shared.reset(options={"task": task})
    commands = ["open door to hallway", "go to hallway", "open door to greenhouse", "go to greenhouse", *["wait"] * 4]
    first = [shared.step(command) for command in commands]
    script = (
        "import json, sys; from envs.scienceworld.environment import ScienceWorld; env = ScienceWorld();"
        "env.reset(options={'task': sys.argv[1]}); print(json.dumps([env.step(c) for c in sys.argv[2:]])); env.close()"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, task, *commands],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert json.loads(done.stdout) == json.loads(json.dumps(first))


def test_a_closed_and_a_forgotten_process_are_gone_and_leave_no_file(
    shared: ScienceWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    closed, forgotten = Server(60.0), Server(60.0)
    pids = [closed.pid, forgotten.pid]
    assert all(map(runs, pids))
    closed.close()
    closed.close()
    assert not closed.alive
    del forgotten
    gc.collect()
    assert all(map(gone, pids))
    assert list(tmp_path.rglob("*")) == [tmp_path / "here"]


@pytest.mark.fault
def test_a_killed_process_is_named_and_the_next_reset_starts_another(made: ScienceWorld):
    first = made.reset(options={"task": SHORT})
    os.kill(pid_of(made), signal.SIGKILL)
    with pytest.raises(ServerError, match=r"Java process died \(exit code -9\)\. The next reset starts another\."):
        made.step("look around")
    with pytest.raises(gymnasium.error.ResetNeeded):
        made.step("look around")
    assert made.reset(options={"task": SHORT}) == first
    made.close()
    made.close()
    with pytest.raises(gymnasium.error.ResetNeeded):
        made.step("look around")


@pytest.mark.fault
def test_a_process_killed_between_episodes_is_replaced(made: ScienceWorld):
    first = made.reset(options={"task": SHORT})
    os.kill(pid_of(made), signal.SIGKILL)
    assert made.reset(options={"task": SHORT}) == first


@pytest.mark.fault
def test_a_stuck_process_is_killed_when_its_time_is_over(made: ScienceWorld, capfd: pytest.CaptureFixture[str]):
    made.reset(options={"task": SHORT})
    server = made._open()[0]
    # Less than what starting Java takes on a busy machine.
    server._deadline = 2.0
    for connection in server._gateway._gateway_client.deque:
        connection.socket.settimeout(2.0)
    os.kill(server.pid, signal.SIGSTOP)
    with pytest.raises(ServerError, match="did not answer to step in 2 seconds and was killed"):
        made.step("look around")
    assert gone(server.pid)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize("end", ["sys.exit(3)", "os.kill(os.getpid(), signal.SIGKILL)"])
def test_the_process_ends_with_the_program_whatever_its_end(end: str, shared: ScienceWorld):
    script = (
        "import os, signal, sys; from envs.scienceworld.server import Server; server = Server(60);"
        f"print(server.pid, flush=True); {end}"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True)
    assert done.returncode in (3, -9)
    assert gone(int(done.stdout))


def test_java_that_does_not_start_in_time_or_at_all_is_one_clear_line(
    shared: ScienceWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    for does, line in (
        ("exec sleep 60", "did not answer at the start in 1 seconds and was killed"),
        ("exit 9", r"died \(exit code 9\)"),
        ("echo no; echo port; exec sleep 60", "failed at the start"),
    ):
        java.write_text(f"#!/bin/sh\n{does}\n")
        java.chmod(0o755)
        with pytest.raises(ServerError, match=line):
            Server(1.0)


def test_missing_java_and_a_missing_package_are_one_clear_line(
    shared: ScienceWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    assert "scienceworld" in envs.names()
    monkeypatch.setenv("JAVA_HOME", str(tmp_path))
    with pytest.raises(MissingExtraError, match=r"has none\. Install it .*apt-get install default-jre-headless"):
        envs.make("scienceworld")
    monkeypatch.delenv("JAVA_HOME")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(MissingExtraError, match="needs Java, and the search path has none"):
        envs.make("scienceworld")
    monkeypatch.setitem(sys.modules, "scienceworld.constants", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'keystone-rl\[scienceworld\]'"):
        servers.find_simulator()


def test_wrong_tasks_and_options_are_one_clear_line(shared: ScienceWorld):
    with pytest.raises(InputError, match="Did you mean 'boil'"):
        shared.reset(options={"task": "boli/3"})
    with pytest.raises(InputError, match="unknown reset option 'game'"):
        shared.reset(options={"game": "boil"})
