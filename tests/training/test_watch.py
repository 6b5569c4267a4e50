"""Training that goes wrong: each detector is provoked in a real training, none in a healthy one; what is done helps."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import PreTrainedModel

from agents.blocks import find_stack
from agents.policies.transformers import Sampling, TransformersPolicy
from envs.types import Info
from tests.agents.models import byte_tokenizer, model
from tests.training.doors import Guess
from tests.training.small import contents, trainer
from tests.training.test_mismatch import Biased
from training import detectors
from training.detectors import Update, WatchConfig
from training.trainer import GroupTrainer, IterationReport
from training.watch import GoneWrongError, Watch, watched

# Nothing below harms more than it is meant to: what is looked at is the provoked detector alone.
ALONE = WatchConfig(limit=0, kl=0, reference_kl=0, ratio=0, entropy=0, signal=0, identical=0, mismatch=0, broken=0)


def reports_of(made: GroupTrainer) -> list[IterationReport]:
    """Trains; returns every iteration's report."""
    reports: list[IterationReport] = []
    made.on_iteration = lambda report: reports.append(report)
    made.train()
    return reports


def found(reports: list[IterationReport]) -> list[set[str]]:
    return [{finding.detector for finding in report.findings} for report in reports]


@contextmanager
def poisoned(policy: PreTrainedModel, passes: set[int]) -> Iterator[None]:
    """Some backward passes through block 1, counted from 0, give a gradient that is no number."""
    seen = [-1]

    def spoil(gradient: torch.Tensor) -> torch.Tensor:
        seen[0] += 1
        return gradient * float("nan") if seen[0] in passes else gradient

    weight = next(find_stack(policy).modules[1].parameters())
    weight.requires_grad_(True)
    handle = weight.register_hook(spoil)
    yield
    handle.remove()


def test_a_healthy_run_trips_no_detector():
    reports = reports_of(trainer(model(), iterations=3, learning_rate=1e-3))
    assert found(reports) == [set()] * 3
    for report in reports:
        assert report.metrics["updates"] == 2
        assert report.metrics["skipped_updates"] == 0
        assert 1 < report.metrics["ratio_max"] < 2


def test_an_update_whose_gradient_is_no_number_is_skipped_and_counted():
    policy = model()
    with poisoned(policy, {0}):
        made = trainer(policy, iterations=2, micro_batch_tokens=16384)
        reports = reports_of(made)
    assert found(reports) == [{"non_finite"}, set()]
    assert [report.metrics["skipped_updates"] for report in reports] == [1, 0]
    assert [report.metrics["updates"] for report in reports] == [1, 2]
    assert reports[0].metrics["loss"] == reports[0].metrics["loss"]
    assert "nan" in reports[0].findings[0].words
    assert all(torch.isfinite(value).all() for value in policy.parameters())
    # Three updates were made: neither moments nor the schedule know of the one that was not.
    assert made.master_optimizer.updates_made == 3


@pytest.mark.parametrize("figure", [field.name for field in fields(Update)])
@pytest.mark.parametrize("value", [float("inf"), float("nan")])
def test_a_figure_that_is_no_number_stops_an_update_whatever_is_looked_at(figure: str, value: float):
    """Without limits of its own too: it would end up in the averages of metrics.jsonl, which holds numbers alone."""
    watch, fine = Watch(ALONE), Update(0.0, 1.0, 0.0, 0.0, 1.0)
    watch.begin()
    assert not watch.refuses(fine)
    assert watch.refuses(replace(fine, **{figure: value}))
    (finding,) = watch.iteration({}, [])
    assert finding.detector == "non_finite"
    assert finding.words.endswith(f"is {value}")


def test_where_every_update_is_skipped_nothing_moves_and_the_run_stops():
    policy, seen = model(), list[IterationReport]()
    before = contents(policy)
    with poisoned(policy, set(range(100))):
        made = trainer(policy, iterations=10, watch=WatchConfig(limit=3), on_iteration=lambda r: seen.append(r))
        with pytest.raises(GoneWrongError, match="after iteration 3: something went wrong in 3 iterations in a row"):
            made.train()
    assert contents(policy) == before
    assert [report.metrics["skipped_updates"] for report in seen] == [2, 2, 2]
    assert "loss" not in seen[0].metrics


def test_a_learning_rate_far_too_high_is_seen_in_the_divergence_and_in_the_ratios():
    kl = reports_of(trainer(model(), learning_rate=1.0, watch=replace(ALONE, kl=1.0)))
    assert found(kl)[0] == {"kl"}
    assert kl[0].metrics["skipped_updates"] == 1
    assert kl[0].metrics["kl"] < 1.0
    ratio = reports_of(trainer(model(), learning_rate=0.1, epochs=2, watch=replace(ALONE, ratio=10.0)))
    assert found(ratio)[0] == {"ratio"}
    assert ratio[0].metrics["ratio_max"] <= 10.0


def test_a_policy_far_from_its_start_is_seen():
    from training.loss import LossConfig

    watch = replace(ALONE, reference_kl=0.5)
    reports = reports_of(trainer(model(), learning_rate=0.3, iterations=3, loss=LossConfig(beta=0.01), watch=watch))
    assert {"kl"} in found(reports)
    words = next(one.words for report in reports for one in report.findings)
    assert "from the starting policy, above 0.5" in words


def test_a_temperature_of_nearly_nothing_is_seen_in_the_replies_and_in_the_entropy():
    class Closed(Guess):
        def __init__(self, **options: Any) -> None:
            super().__init__(one_in=0, **options)

    reports = reports_of(trainer(model(), env=Closed, temperature=1e-4))
    assert found(reports) == [{"identical", "entropy"}] * 2


def test_groups_without_a_signal_count_once_there_were_too_many_in_a_row():
    class Closed(Guess):
        def __init__(self, **options: Any) -> None:
            super().__init__(one_in=0, **options)

    from training.advantages import grpo
    from training.collect import Estimator

    options = {"env": Closed, "iterations": 4, "estimator": Estimator(grpo, grpo.Config(), 10.0, 0.0)}
    reports = reports_of(trainer(model(), watch=WatchConfig(signal=3), **options))
    assert found(reports) == [set(), set(), {"signal"}, {"signal"}]
    # A resumed run counts on.
    made = trainer(model(), watch=WatchConfig(signal=3), **options, start_iteration=3)
    made.watch.restore({"streaks": {"signal": 2}, "bad": 0})
    assert found(reports_of(made)) == [{"signal"}]
    assert made.watch.state()["streaks"]["signal"] == 3


def test_a_verifier_that_fails_in_place_of_scoring_is_seen():
    class Unverified(Guess):
        def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
            if self.task.endswith(("1", "3", "5", "7", "9")):
                raise RuntimeError("the verifier has no judge")
            return super().step(action)

    reports = reports_of(trainer(model(), env=Unverified))
    assert found(reports) == [{"broken"}] * 2
    assert "episodes broke, the first so: RuntimeError: the verifier has no judge" in reports[0].findings[0].words
    assert reports[0].metrics["errors"] == 4


def test_a_sampler_of_other_weights_is_seen():
    policy = model().to(torch.bfloat16)
    made = trainer(policy, watch=replace(ALONE, mismatch=0.5), mismatch="none")
    made.policy = Biased(policy, byte_tokenizer(), Sampling(1.0, 4))
    assert found(reports_of(made)) == [{"stale"}] * 2
    honest = trainer(policy, watch=replace(ALONE, mismatch=0.5))
    honest.policy = TransformersPolicy(policy, byte_tokenizer(), Sampling(1.0, 4))
    assert found(reports_of(honest)) == [set()] * 2


def test_weights_that_are_rolled_back_train_on_as_if_nothing_had_been():
    policy = model()
    made = trainer(policy, iterations=3, warmup_steps=4)
    kept, rates = list[dict[str, torch.Tensor]](), list[float]()

    def back(report: IterationReport) -> None:
        rates.append(report.metrics["learning_rate"])
        if report.iteration == 0:
            kept.append(made.master_optimizer.export())
        if report.iteration == 1:
            assert contents(policy) != before[0]
            made.restore(kept[0])
            assert contents(policy) == before[0]
        before.append(contents(policy))

    before: list[dict[str, bytes]] = []
    made.on_iteration = back
    made.train()
    again = model()
    resumed = trainer(again, iterations=3, warmup_steps=4, start_iteration=2)
    resumed.master_optimizer.restore(kept[0])
    (report,) = reports_of(resumed)
    assert contents(again) == contents(policy)
    assert report.metrics["learning_rate"] == rates[2]


def test_what_an_arm_s_history_says():
    history = [
        {"found": {"kl": "far"}, "skipped_updates": 2.0, "rolled_back": True},
        {"skipped_updates": 0.0},
        {"found": {"kl": "farther", "broken": "all"}, "skipped_updates": 1.0},
    ]
    assert watched(history) == {
        "skipped_updates": 3,
        "rolled_back": [1],
        "found": {"kl": {"iterations": [1, 3], "first": "far"}, "broken": {"iterations": [3], "first": "all"}},
    }


@pytest.mark.parametrize("name", detectors.names())
def test_every_detector_keeps_the_protocol(name: str):
    from training.detectors import Iteration, Update

    found = detectors.find(name)
    assert found.at in ("update", "iteration")
    assert isinstance(found.damages, bool)
    assert found.patience(WatchConfig()) >= 1
    metrics = {"success": 0.5, "zero_groups": 0.5, "entropy": 0.2, "row_tokens": 100.0}
    healthy = Update(0.1, 1.0, 0.01, 0.1, 1.5) if found.at == "update" else Iteration(metrics, [])
    assert found.wrong(healthy, WatchConfig()) == ""
    # What was not measured is not wrong.
    if found.at == "iteration":
        del metrics["entropy"]
        assert found.wrong(Iteration(metrics, []), WatchConfig()) == ""
    assert Path(detectors.__path__[0], f"{name}.py").read_text().startswith('"""')
