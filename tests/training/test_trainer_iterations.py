"""Which rows an iteration's updates see, and that a resumed run is the same run."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from envs.errors import InputError
from tests.agents.models import byte_tokenizer, model
from tests.training.guessing import Guess
from tests.training.small import contents, target_of, train, trainer, watched_rows
from training import checkpoint
from training.advantages import gigpo
from training.arguments import GroupConfig
from training.collect import Estimator
from training.loss import AGGREGATIONS, LossConfig
from training.trainer import GroupTrainer, IterationReport


@pytest.mark.parametrize(
    "options", [{}, {"loss": LossConfig(beta=0.1), "warmup_steps": 5, "weight_decay": 0.1}], ids=["plain", "everything"]
)
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_four_iterations_are_two_a_checkpoint_and_two(tmp_path: Path, options: dict[str, Any], dtype: torch.dtype):
    straight, wanted = train(policy=model().to(dtype), iterations=4, **options)

    reports: list[Any] = []

    def stop_after_two(report: IterationReport) -> bool:
        reports.append(report.metrics)
        checkpoint.save(tmp_path / "c", first.master_optimizer.export(), {"iterations": report.iteration + 1})
        return report.iteration == 1

    first = trainer(model().to(dtype), iterations=4, on_iteration=stop_after_two, **options)
    first.train()
    tensors, counters = checkpoint.load(tmp_path / "c")
    assert counters == {"iterations": 2}

    resumed = model().to(dtype)
    torch.manual_seed(99)
    second = trainer(
        resumed,
        iterations=4,
        start_iteration=2,
        on_iteration=lambda report: reports.append(report.metrics),
        **options,
    )
    second.master_optimizer.restore(tensors)
    second.train()
    assert contents(resumed) == contents(straight)
    assert reports == wanted


def test_warming_up_counts_updates_also_across_a_resumed_run():
    rates: list[float] = []

    class Watched(GroupTrainer):
        def training_step(self, *inputs: Any, **options: Any) -> torch.Tensor:
            rates.append(self.optimizer.param_groups[0]["lr"])
            return super().training_step(*inputs, **options)

    reports: list[IterationReport] = []
    states: list[dict[str, torch.Tensor]] = []

    def note(report: IterationReport) -> None:
        reports.append(report)
        states.append(made.master_optimizer.export())

    for start in (0, 1):
        made = trainer(
            model(), iterations=3, start_iteration=start, warmup_steps=4, learning_rate=1.0, on_iteration=note
        )
        if start:
            made.master_optimizer.restore(states[0])
        made.__class__ = Watched
        made.train()
    expected = [1 / 5, 2 / 5, 3 / 5, 4 / 5, 1.0, 1.0]
    assert rates == pytest.approx([*expected, *expected[2:]])
    # An iteration reports the rate of its last update.
    assert [report.metrics["learning_rate"] for report in reports] == pytest.approx([0.4, 0.8, 1.0, 0.8, 1.0])


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_an_iteration_without_rows_changes_nothing(aggregation: str):
    policy, reports = train(env=lambda: Guess(broken=True), aggregation=aggregation)
    assert contents(policy) == contents(model())
    assert [(report["errors"], report["zero_groups"], report["grad_norm"]) for report in reports] == [(8, 1.0, 0.0)] * 2


@pytest.mark.parametrize("aggregation", AGGREGATIONS)
def test_an_iteration_without_advantages_changes_nothing(aggregation: str):
    policy, reports = train(
        env=lambda: Guess(one_in=0),
        aggregation=aggregation,
        estimator=Estimator(gigpo, gigpo.Config(), 10.0, 0.0),
    )
    assert contents(policy) == contents(model())
    assert [(report["success"], report["zero_groups"], report["grad_norm"]) for report in reports] == [(0, 1, 0)] * 2


def test_fewer_rows_than_updates():
    """One episode of eight is not broken, so some updates have no row."""
    count = iter(range(10**6))

    policy, reports = train(env=lambda: Guess(broken=next(count) % 8 != 3), updates=8, iterations=1)
    assert reports[0]["errors"] > 0
    assert all(torch.isfinite(value).all() for value in policy.parameters())


def test_no_iterations_are_no_training():
    policy, reports = train(iterations=0)
    assert reports == []
    assert contents(policy) == contents(model())


def whole_tokens(report: IterationReport) -> int:
    """Tokens of all that was played."""
    turns = [turn for episode in report.collected.episodes for turn in episode.turns]
    return sum(len(turn.prompt_tokens) + len(turn.tokens) for turn in turns)


def test_groups_without_a_signal_are_left_out_and_replaced():
    """DAPO's dynamic sampling: the updates see full groups with a signal, and episodes are counted once."""
    reports: list[IterationReport] = []
    made = trainer(model(), iterations=3, tasks=3, rollouts=4, updates=2, on_iteration=reports.append)
    ended: list[int] = []
    made.progress = ended.append
    made.train()
    assert any(report.metrics["rollouts"] > 1 for report in reports)
    for report in reports:
        rollouts, rows = int(report.metrics["rollouts"]), report.collected.rows
        assert len(report.collected.episodes) == rollouts * 3 * 4
        groups = {row.group: [other for other in rows if other.group == row.group] for row in rows}
        if report.metrics["rollouts"] < 4:
            assert [len(group) for group in groups.values()] == [4, 4, 4]
        assert all(any(row.advantages.any() for row in group) for group in groups.values())
        tasks = [episode.key.task for episode in report.collected.episodes]
        assert len(set(tasks)) == rollouts * 3
        # What was left out took no time to learn from.
        assert report.metrics["row_tokens"] == sum(len(row.row.tokens) for row in rows)
    assert any(report.metrics["row_tokens"] < whole_tokens(report) for report in reports)
    assert sum(ended) == 3 * 3 * 4


def test_what_an_iteration_plays_first_does_not_depend_on_what_is_replaced():
    def first_tasks(rollouts: int) -> list[list[str]]:
        reports: list[IterationReport] = []
        trainer(model(), iterations=2, tasks=3, rollouts=rollouts, on_iteration=reports.append).train()
        return [[episode.key.task for episode in report.collected.episodes[:12]] for report in reports]

    assert first_tasks(0) == first_tasks(3)


def test_tasks_that_are_set_aside_are_not_played():
    reports: list[IterationReport] = []
    trainer(model(), on_iteration=reports.append).train()
    aside = tuple({episode.key.task for report in reports for episode in report.collected.episodes})
    again: list[IterationReport] = []
    trainer(model(), on_iteration=again.append, set_aside=aside[:2]).train()
    played = {episode.key.task for report in again for episode in report.collected.episodes}
    assert len(played) == 4
    assert played.isdisjoint(aside[:2])


def test_epochs_deal_the_rows_alike_and_count_their_updates():
    kept = trainer(model(), "1", epochs=3, iterations=1)
    seen = watched_rows(kept)
    kept.train()
    assert kept.state.global_step == len(seen) == 6
    assert seen[:2] == seen[2:4] == seen[4:]
    assert not set(seen[0]) & set(seen[1])
    with pytest.raises(InputError, match="epochs=0"):
        trainer(model(), "1", epochs=0)


@pytest.mark.parametrize(("rows", "shares"), [(3, [3, 3, 2]), (8, [8]), (100, [8]), (1, [1] * 8), (5, [4, 4])])
def test_updates_of_at_most_so_many_rows(rows: int, shares: list[int]):
    """Eight episodes an iteration are dealt into as few updates as the limit allows, in every epoch alike."""
    reports = list[IterationReport]()
    # Seven updates would not divide them, and are not asked for.
    training = trainer(model(), update_rows=rows, updates=7, epochs=2, on_iteration=reports.append)
    seen = watched_rows(training)
    training.train()
    assert [report.iteration for report in reports] == [0, 1]
    assert [report.metrics["updates"] for report in reports] == [2 * len(shares)] * 2
    assert [len(share) for share in seen] == shares * 4
    first = [row for share in seen[: len(shares)] for row in share]
    assert sorted(first) == sorted(id(row) for row in reports[0].collected.rows)
    assert training.state.global_step == 4 * len(shares) == training.master_optimizer.updates_made


def test_a_number_of_updates_that_varies_with_the_rows(tmp_path: Path):
    """Where each turn is a row, iterations make different numbers of updates; resumed they make the same."""

    def made(policy: PreTrainedModel, start: int, reports: list[IterationReport]) -> GroupTrainer:
        args = GroupConfig(
            **{"iterations": 3, "start_iteration": start, "tasks": 2, "group_size": 4, "update_rows": 3},
            **{"learning_rate": 1e-2, "max_reply_tokens": 4, "seed": 3, "use_cpu": True, "context": "window:1"},
            **{"warmup_steps": 9},
        )

        def note(report: IterationReport) -> None:
            reports.append(report)
            checkpoint.save(tmp_path / f"{start}-{report.iteration}", training.master_optimizer.export(), {})

        world = partial(Guess, max_turns=6)
        training = GroupTrainer(
            policy, world, args, target=target_of("1"), processing_class=byte_tokenizer(), on_iteration=note
        )
        return training

    straight, whole, rest = model(), list[IterationReport](), list[IterationReport]()
    made(straight, 0, whole).train()
    updates = [report.metrics["updates"] for report in whole]
    assert updates == [-(-len(report.collected.rows) // 3) for report in whole]
    assert len(set(updates)) > 1
    resumed = model()
    second = made(resumed, 1, rest)
    second.master_optimizer.restore(checkpoint.load(tmp_path / "0-0")[0])
    second.train()
    assert contents(resumed) == contents(straight)
    assert [report.metrics for report in rest] == [report.metrics for report in whole[1:]]


def test_prompts_of_their_own_train_on_every_turn():
    """With a window each turn is a row, and an update takes its share of all rows."""
    policy, reports = model(), list[IterationReport]()
    args = GroupConfig(
        **{"iterations": 2, "tasks": 2, "group_size": 4, "updates": 2, "learning_rate": 1e-2, "max_reply_tokens": 4},
        **{"seed": 3, "use_cpu": True, "context": "window:1"},
    )
    training = GroupTrainer(
        policy, Guess, args, target=target_of("1"), processing_class=byte_tokenizer(), on_iteration=reports.append
    )
    seen = watched_rows(training)
    training.train()
    shares = [len(rows) for rows in seen]
    turns = [sum(len(episode.turns) for episode in report.collected.episodes) for report in reports]
    assert [len(report.collected.rows) for report in reports] == turns
    assert [sum(shares[:2]), sum(shares[2:])] == turns
    assert all(report.metrics["grad_norm"] > 0 for report in reports)
