"""The trainer: exactly the target moves, backward stops at its lowest block, and a resumed run is the same run."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import PreTrainedModel

from agents.blocks import find_stack
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.targets import Target, parameters, parse, select
from agents.types import Reply
from envs.errors import InputError
from tests.agents.models import byte_tokenizer, model
from tests.training.guessing import Guess
from tests.training.rows import CPU, random_rows, weigh
from training import checkpoint
from training.advantages import gigpo
from training.arguments import GroupConfig
from training.batches import micro_batches
from training.checkpointing import checkpointed
from training.collect import Estimator, from_episodes
from training.detectors import WatchConfig
from training.logprobs import sampled_logprobs
from training.loss import AGGREGATIONS, LossConfig, policy_loss
from training.trainer import GroupTrainer, IterationReport

LAYERS = ["0", "1", "2", "0,2", "full"]
TARGETS = pytest.mark.parametrize("layer", LAYERS)


def target_of(layer: str) -> Target:
    target = parse(layer, 3)
    assert target is not None
    return target


def contents(policy: PreTrainedModel) -> dict[str, bytes]:
    """Every tensor's bytes, those of buffers included."""
    return {
        name: value.detach().contiguous().reshape(-1).view(torch.uint8).numpy().tobytes()
        for name, value in policy.state_dict().items()
    }


def trainer(
    policy: PreTrainedModel,
    layer: str = "1",
    *,
    env: Callable[[], Guess] = Guess,
    on_iteration: Callable[[IterationReport], bool | None] | None = None,
    **options: Any,
) -> GroupTrainer:
    """A trainer of two iterations of 2 x 4 episodes with two updates each, unless told otherwise."""
    settings = {
        "iterations": 2,
        "tasks": 2,
        "group_size": 4,
        "updates": 2,
        "learning_rate": 1e-2,
        "weight_decay": 0.0,
        "micro_batch_tokens": 120,
        "seed": 3,
        "use_cpu": True,
        # At such rates updates go too far, and are made all the same.
        "watch": WatchConfig(kl=0, reference_kl=0, ratio=0),
    }
    args = GroupConfig(**(settings | options))
    sampling = Sampling(args.temperature, 4)
    return GroupTrainer(
        policy,
        env,
        args,
        target=target_of(layer),
        policy=TransformersPolicy(policy, byte_tokenizer(), sampling),
        on_iteration=on_iteration,
    )


def train(layer: str = "1", policy: PreTrainedModel | None = None, **options: Any) -> tuple[PreTrainedModel, list[Any]]:
    """Trains a new model; returns it with the metrics of every iteration."""
    policy = model() if policy is None else policy
    reports: list[Any] = []
    trainer(policy, layer, on_iteration=lambda report: reports.append(report.metrics), **options).train()
    return policy, reports


@TARGETS
@pytest.mark.parametrize("checkpointing", [False, True], ids=["stored", "recomputed"])
def test_exactly_the_targets_tensors_differ(layer: str, checkpointing: bool):
    before = contents(model())
    policy, reports = train(layer, checkpointing=checkpointing)
    after = contents(policy)
    assert reports[0]["zero_groups"] < 1
    changed = {name for name in before if after[name] != before[name]}
    assert changed == set(parameters(policy, target_of(layer)))


@TARGETS
def test_recomputed_activations_give_the_same_weights(layer: str):
    assert contents(train(layer, checkpointing=True)[0]) == contents(train(layer)[0])


@contextmanager
def watched(policy: PreTrainedModel) -> Iterator[dict[str, list[bool]]]:
    """Notes at each forward pass that records gradients whether what each part puts out needs any."""
    seen: dict[str, list[bool]] = {}
    parts = {str(index): block for index, block in enumerate(find_stack(policy).modules)}
    parts["embedding"] = policy.get_input_embeddings()

    def note(_module: nn.Module, _inputs: Any, output: Any, name: str) -> None:
        if torch.is_grad_enabled():
            tensor = output[0] if isinstance(output, tuple) else output
            seen.setdefault(name, []).append(tensor.requires_grad)

    handles = [part.register_forward_hook(functools.partial(note, name=name)) for name, part in parts.items()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()


@TARGETS
@pytest.mark.parametrize("checkpointing", [False, True], ids=["stored", "recomputed"])
def test_nothing_below_the_target_needs_gradients_while_training(layer: str, checkpointing: bool):
    policy, target = model(), target_of(layer)
    with watched(policy) as seen:
        train(layer, policy, checkpointing=checkpointing, iterations=1)
    assert set(seen) == {"embedding", "0", "1", "2"}
    assert set(seen.pop("embedding")) == {target.full}
    for block, needs in seen.items():
        assert set(needs) == {int(block) >= target.lowest}, block


def leaves(loss: torch.Tensor) -> set[int]:
    """The ids of all tensors that a backward pass from here arrives at."""
    waiting, visited, found = [loss.grad_fn], set(), set()
    while waiting:
        node = waiting.pop()
        if node is None or node in visited:
            continue
        visited.add(node)
        if "AccumulateGrad" in type(node).__name__:
            found.add(id(node.variable))
        waiting += [following for following, _ in node.next_functions]
    return found


def loss_of(policy: PreTrainedModel) -> torch.Tensor:
    rows = random_rows(3)
    weigh(rows, "token_mean")
    (batch,) = micro_batches(rows, 10**6, CPU)
    logprobs, _ = sampled_logprobs(policy, batch, 1.0)
    return policy_loss(logprobs, logprobs.detach(), batch.column("advantages"), batch.weights(), LossConfig()).loss


@TARGETS
@pytest.mark.parametrize("checkpointing", [False, True], ids=["stored", "recomputed"])
def test_the_autograd_graph_ends_at_the_target(layer: str, checkpointing: bool):
    policy, target = model(), target_of(layer)
    trained = select(policy, target)
    passes = dict.fromkeys(range(3), 0)
    blocks = find_stack(policy).modules
    for index, block in enumerate(blocks):
        # The innermost thing that runs at every pass, recomputed ones included.
        block.self_attn.register_forward_hook(lambda *_, index=index: passes.update({index: passes[index] + 1}))
    if not checkpointing:
        loss = loss_of(policy)
        assert leaves(loss) == {id(value) for value in trained.values()}
        loss.backward()
    else:
        with checkpointed(policy, target):
            loss = loss_of(policy)
            assert leaves(loss) <= {id(value) for value in trained.values()}
            loss.backward()
        assert [vars(block).get("forward") for block in blocks] == [None] * 3
    assert {name for name, value in policy.named_parameters() if value.grad is not None} == set(trained)
    again = 2 if checkpointing else 1
    assert passes == {index: again if index >= target.lowest else 1 for index in range(3)}


def test_checkpointing_ends_also_when_training_fails():
    policy = model()
    with pytest.raises(RuntimeError, match="no more"), checkpointed(policy, Target((1,))):
        raise RuntimeError("no more")
    assert all("forward" not in vars(block) for block in find_stack(policy).modules)


@pytest.mark.parametrize("layer", ["1", "full"])
def test_the_reference_is_the_policy_that_training_started_from(layer: str):
    _, reports = train(layer, updates=1, iterations=3, loss=LossConfig(beta=0.1))
    assert abs(reports[0]["reference_kl"]) < 1e-9
    assert reports[1]["reference_kl"] > 1e-5
    assert reports[2]["reference_kl"] > 1e-5


def test_without_beta_there_is_no_reference():
    assert trainer(model()).passes.reference is None
    assert train(updates=1)[1][1]["reference_kl"] == 0.0


def test_scoring_the_reference_leaves_the_policy_alone():
    """The weights that meet the first training pass of an iteration are those the last iteration ended with."""
    policy = model()
    ended, met = [], []
    in_training = find_stack(policy).modules[0]

    def note(*_: Any) -> None:
        if torch.is_grad_enabled() and len(met) < len(ended):
            met.append(contents(policy))

    in_training.register_forward_pre_hook(note)
    trainer(
        policy, iterations=3, loss=LossConfig(beta=0.1), on_iteration=lambda _: ended.append(contents(policy))
    ).train()
    assert len(met) == 2
    assert met == ended[:2]
    assert ended[0] != ended[1]


def test_a_strong_reference_holds_the_policy_back():
    free, held = (train(iterations=5, loss=LossConfig(beta=beta))[1][-1] for beta in (1e-6, 1.0))
    assert held["reference_kl"] < 0.7 * free["reference_kl"]


def test_a_short_policy_moves_by_its_float32_masters():
    """The steps, 1e-5 each, are far below what bfloat16 can add to most weights; the masters keep them."""
    policy = model().to(torch.bfloat16)
    started = {name: value.detach().clone() for name, value in parameters(policy, Target((1,))).items()}
    made = trainer(policy, learning_rate=1e-5, iterations=3)
    made.train()
    exported = made.master_optimizer.export()
    for name, start in started.items():
        master = exported[f"master/{name}"]
        assert master.dtype == torch.float32
        assert (master != start.float()).float().mean() > 0.5, name
        assert float((master - start.float()).abs().max()) < 1e-4
        assert torch.equal(policy.get_parameter(name), master.bfloat16())
    assert {value.dtype for value in policy.parameters()} == {torch.bfloat16}


def test_below_float32_the_old_probabilities_are_those_of_the_training_pass():
    """So the first update's ratios are exactly 1: nothing is clipped and there is no drift."""
    _, reports = train(policy=model().to(torch.bfloat16), updates=1, iterations=1, micro_batch_tokens=10**6)
    assert reports[0]["kl"] == 0.0
    assert reports[0]["clip_share"] == 0.0


def test_the_samplers_own_probabilities_are_the_old_ones():
    _, reports = train(updates=1, iterations=1)
    assert abs(reports[0]["kl"]) < 1e-6
    assert reports[0]["clip_share"] == 0.0


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


def test_draws_do_not_depend_on_anything_else_that_is_random():
    torch.manual_seed(1)
    first, reports = train()
    torch.manual_seed(2)
    second, again = train(policy=model())
    assert contents(first) == contents(second)
    assert reports == again
    assert train(seed=4)[1] != reports


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


def test_training_learns():
    """One letter opens every door here, so a dozen iterations are enough to see success rise."""
    _, reports = train("full", iterations=12, tasks=2, group_size=8, learning_rate=5e-3)
    successes = [report["success"] for report in reports]
    assert sum(successes[-4:]) > sum(successes[:4]) + 0.5


def test_a_machine_of_several_gpus_trains_on_one():
    """There the base class wraps the model in `DataParallel`; nothing of ours may run through that."""
    policy = model()
    made = trainer(policy, iterations=1)
    made.args._n_gpu = 2
    made.train()
    assert contents(policy) == contents(train(iterations=1)[0])


def test_metrics_say_what_happened():
    costs = []
    made = trainer(model(), on_iteration=lambda report: costs.append(report.cost))
    made.train()
    assert len(costs) == 2
    for cost in costs:
        assert cost["seconds"] == pytest.approx(cost["rollout_seconds"] + cost["update_seconds"], abs=0.01)
        assert cost["peak_bytes"] > 0


def test_no_iterations_are_no_training():
    policy, reports = train(iterations=0)
    assert reports == []
    assert contents(policy) == contents(model())


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"iterations": -1}, "iterations=-1"),
        ({"updates": 3}, "updates=3 does not divide the 8 episodes"),
    ],
)
def test_impossible_arguments_are_refused(options: dict[str, Any], words: str):
    with pytest.raises(InputError, match=words):
        trainer(model(), **options)


def test_a_policy_of_another_temperature_or_model_is_refused():
    shared, args = model(), GroupConfig(tasks=2, group_size=4, updates=2, use_cpu=True)
    strange = TransformersPolicy(model(), byte_tokenizer(), Sampling(1.0, 4))
    cold = TransformersPolicy(shared, byte_tokenizer(), Sampling(0.5, 4))
    for policy, words in ((strange, "another model"), (cold, "temperature")):
        with pytest.raises(InputError, match=words):
            GroupTrainer(shared, Guess, args, target=Target((1,)), policy=policy)


def test_a_model_an_environment_and_arguments_are_enough():
    """The surface: `GroupTrainer(model, env, args=GroupConfig(...))` trains the middle block."""
    short, long = model(), model()
    settings: dict[str, Any] = {
        "iterations": 1,
        "tasks": 2,
        "group_size": 4,
        "updates": 2,
        "learning_rate": 1e-2,
        "max_reply_tokens": 4,
        "seed": 3,
        "use_cpu": True,
    }
    before = contents(short)
    GroupTrainer(short, Guess(), args=GroupConfig(**settings), processing_class=byte_tokenizer()).train()
    trainer(long, "1", iterations=1, micro_batch_tokens=16384).train()
    after = contents(short)
    prefix = find_stack(short).prefix(1)
    assert {name for name in after if after[name] != before[name]} == {n for n in after if n.startswith(prefix)}
    assert after == contents(long)


def test_a_model_from_nowhere_needs_a_tokenizer():
    with pytest.raises(InputError, match="give processing_class="):
        GroupTrainer(model(), Guess, GroupConfig(use_cpu=True))


class Doubting(TransformersPolicy):
    """Reports every token as less likely than it was, by a tenth of a nat: a sampler that rounds otherwise."""

    def open(self, keys: Any, players: Any) -> Any:
        session = super().open(keys, players)
        listen = session.listen

        def doubt() -> dict[int, Reply]:
            heard = listen()
            return {
                row: said._replace(logprobs=[value - 0.1 for value in said.logprobs]) for row, said in heard.items()
            }

        session.listen = doubt  # type: ignore[method-assign]
        return session


@pytest.mark.parametrize(("dtype", "cap", "weight"), [("bfloat16", 2.0, math.exp(0.1)), ("bfloat16", 0.0, 1.0)])
def test_below_float32_the_mismatch_is_in_the_advantages(dtype: str, cap: float, weight: float):
    seen: list[tuple[list[float], list[float]]] = []
    policy = model().to(getattr(torch, dtype))
    made = trainer(policy, "1", iterations=1, mismatch_cap=cap)
    made.policy = Doubting(policy, byte_tokenizer(), Sampling(1.0, 4))
    made.on_iteration = lambda report: seen.append(
        (
            [float(value) for row in report.collected.rows for value in row.advantages],
            [
                float(value)
                for row in from_episodes(report.collected.episodes, made.estimator).rows
                for value in row.advantages
            ],
        )
    )
    made.train()
    ((corrected, plain),) = seen
    assert any(plain)
    ratios = [found / value for found, value in zip(corrected, plain, strict=True) if value]
    # The trainer's own pass rounds to bfloat16 otherwise than the sampler's; on average the doubt remains.
    assert sum(ratios) / len(ratios) == pytest.approx(weight, abs=0.03)


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
        groups = {row.task: [other for other in rows if other.task == row.task] for row in rows}
        if report.metrics["rollouts"] < 4:
            assert [len(group) for group in groups.values()] == [4, 4, 4]
        assert all(any(row.advantages.any() for row in group) for group in groups.values())
        tasks = [episode.key.task for episode in report.collected.episodes]
        assert len(set(tasks)) == rollouts * 3
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


@pytest.mark.parametrize("layer", ["1", "2", "1,2"])
def test_a_kept_prefix_trains_the_same_weights(layer: str):
    """Two epochs with a reference: the states below the target are computed once an iteration."""
    options = {"epochs": 2, "loss": LossConfig(beta=0.05), "micro_batch_tokens": 10**6}
    plain, reports = train(layer, prefix_bytes=0, **options)
    policy = model()
    kept = trainer(policy, layer, **options)
    kept.train()
    assert len(reports) == 2
    for name, value in policy.state_dict().items():
        torch.testing.assert_close(value, plain.state_dict()[name], rtol=1e-5, atol=1e-6)
    assert kept.prefix is not None
    # Sixteen episodes: the reference pass computes, both epochs find.
    assert (kept.prefix.counts.misses, kept.prefix.counts.hits) == (16, 32)


def test_nothing_is_kept_where_one_pass_reads_it():
    assert trainer(model(), "1").prefix is None
    assert trainer(model(), "0", epochs=2).prefix is None
    assert trainer(model(), "full", epochs=2).prefix is None
    assert trainer(model(), "1", epochs=2).prefix is not None


def watched_rows(training: GroupTrainer) -> list[list[int]]:
    """A list that fills with the rows of every update, by identity, as the trainer makes them."""
    seen, original = list[list[int]](), training._prepare_inputs

    def noted(inputs: dict[str, Any]) -> dict[str, Any]:
        prepared = original(inputs)
        seen.append([id(row) for row in prepared["rows"]])
        return prepared

    training._prepare_inputs = noted
    return seen


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
