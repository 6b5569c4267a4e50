"""Training and demonstrations on worlds that are played in a pool, while workers are lost."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import gymnasium
import pytest

import envs
from envs import registry
from envs.errors import InputError
from envs.pool import Pool, PoolConfig, Pooled
from envs.screen import Screen
from envs.worlds import Failure, LocalWorlds
from tests.agents.models import model
from tests.training.demonstrating import demonstrate
from tests.training.doors import Guess
from tests.training.small import contents, trainer
from training.arms import describe
from training.demonstrations import Noise, demonstrations
from training.source import Source
from training.trainer import GroupTrainer, IterationReport
from training.warmstart import WarmstartConfig

pytestmark = pytest.mark.fault

CORRIDOR = "tests.envs.corridor:Corridor"
TROUBLED = "tests.envs.pool.troubled:Troubled"
LOUD = Noise(burst_probability=0.3, burst_turns=2.0, invalid_share=0.5)
TASKS = [f"train-{number}" for number in (0, 1, 2, 0, 3, 1)]


@pytest.fixture(scope="module")
def pool():
    with Pool(PoolConfig(workers=2, worlds=4, step_seconds=5.0, tries=2), lambda line: None) as made:
        yield made


def test_training_goes_on_when_a_worker_is_killed_and_says_so(pool: Pool):
    reports: list[IterationReport] = []

    def finish(report: IterationReport) -> None:
        reports.append(report)
        if len(reports) == 1:
            for worker in pool._workers:
                assert worker.process is not None
                os.kill(worker.process.pid, signal.SIGKILL)

    alike, policy = model(), model()
    trainer(alike, iterations=3).train()
    made = trainer(policy, env=Pooled(pool, "tests.training.doors:Guess"), on_iteration=finish, iterations=3)  # type: ignore[arg-type]
    made.train()
    assert contents(policy) == contents(alike)
    assert [report.cost["workers_restarted"] for report in reports] == [0, 2, 0]
    assert [report.cost["episodes_replayed"] for report in reports] == [0, 2, 0]
    assert ", 2 workers restarted, 2 episodes begun again" in describe(reports[1])
    assert "workers" not in describe(reports[0])


def test_broken_episodes_are_counted(pool: Pool):
    reports: list[IterationReport] = []
    env = Pooled(pool, "tests.training.doors:Guess", broken=True)
    made = trainer(model(), env=env, on_iteration=reports.append, iterations=1)  # type: ignore[arg-type]
    assert isinstance(made, GroupTrainer)
    made.train()
    assert reports[0].metrics["errors"] == 8
    assert ", 8 episodes begun again, 8 episodes broken" in describe(reports[0])


def test_demonstrations_are_the_same_wherever_they_are_played(pool: Pool, tmp_path: Path):
    seeds = range(10, 10 + len(TASKS))
    here = demonstrations(LocalWorlds(lambda: envs.make(CORRIDOR, length=6)), "oracle", TASKS, seeds, LOUD)
    one = [
        demonstrate(envs.make(CORRIDOR, length=6), "oracle", task, seed, LOUD)
        for task, seed in zip(TASKS, seeds, strict=True)
    ]
    assert here == one
    there = Pooled(pool, TROUBLED, length=6, trouble="die", folder=str(tmp_path))
    assert demonstrations(there, "oracle", TASKS, seeds, LOUD) == here
    assert any(not step.labelled for steps in one for step in steps)


def test_demonstrations_that_break_are_left_out(pool: Pool):
    options = {"length": 4, "trouble": "fail", "tasks_of_trouble": "train-1"}
    config = WarmstartConfig(player="oracle")
    worlds = Pooled(pool, TROUBLED, **options)
    ended: list[int] = []
    played = demonstrations(
        worlds, "oracle", ["train-0", "train-1"], [0, 1], Noise(0.0), lambda: ended.append(len(ended))
    )
    assert len(ended) == 2  # what a progress bar counts
    assert [isinstance(steps, Failure) for steps in played] == [False, True]
    whole = Source(config, ("oracle",), worlds(), worlds, Screen(echo=False)).play(3, 30)
    assert 0 < len(whole) < 30
    with pytest.raises(RuntimeError, match="the lamp fell"):
        demonstrate(worlds(), "oracle", "train-1", 0, Noise(0.0))
    broken = Pooled(pool, TROUBLED, length=4, trouble="fail", turn=0)
    with pytest.raises(InputError, match="breaks all of 3 demonstrations, the first so: RuntimeError: the lamp fell"):
        Source(config, ("oracle",), broken(), broken, Screen(echo=False)).play(3, 3)


@pytest.fixture
def registered(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setattr(registry, "_registered", {})
    envs.register("guessing_in_a_pool", "tests.training.doors:Guess")
    yield "guessing_in_a_pool"
    del gymnasium.registry[envs.gymnasium_id("guessing_in_a_pool")]


def test_a_registered_environment_is_found_by_workers(pool: Pool, registered: str):
    tasks = Guess().sample_tasks(0, 2)
    worlds = Pooled(pool, registered)
    starts = worlds.reset(dict(enumerate(tasks)))
    assert starts == {number: Guess().reset(options={"task": task}) for number, task in enumerate(tasks)}
    worlds.release([0, 1])
