"""Cloning a scripted player: from a world to a small tokenizer and a small model that plays it.

The loop is plain rather than TRL's `SFTTrainer`: rows are made on the fly and every token has its own weight, neither
of which that trainer takes.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from agents.dialogue import Dialogue
from agents.draws import stream_seed
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.prompts import manner_of
from evals.panels import draw
from evals.scoring import play, score
from training.demonstrations import Step, texts, tokenize
from training.schedule import Schedule
from training.source import CHUNK, Source
from training.vocabulary import build_tokenizer

if TYPE_CHECKING:
    from training.warmstart import WarmstartConfig

_MOST_REPLY = 128


class Row(NamedTuple):
    """One demonstration: ids (T,) and the weight of predicting each of them (T,)."""

    ids: torch.Tensor
    weights: torch.Tensor


def tokenizer_of(config: WarmstartConfig, source: Source) -> PreTrainedTokenizerFast:
    """Makes the tokenizer from what is read and said in the first demonstrations."""
    if not source.env.in_process:
        chunks, played = source.chunks(), list[list[Step]]()
        while len(played) < min(config.vocabulary_episodes, config.demonstrations):
            played += next(chunks)
    else:
        played = source.play(stream_seed(config.seed, "vocabulary"), config.vocabulary_episodes)
    return build_tokenizer(
        [piece for steps in played for piece in texts(steps)],
        min_phrase=config.min_phrase,
        min_word=config.min_word,
        max_length=config.shape.context,
        digits=source.env.free_text,
    )


def clone(
    config: WarmstartConfig, source: Source, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> dict[str, Any]:
    """Trains a model on demonstrations.

    Returns:
        Updates, demonstrations, seconds, and how much the policy wins at the end.
    """
    optimizer = torch.optim.AdamW(model.parameters(), lr=config.learning_rate, betas=(0.9, 0.98), weight_decay=0.01)
    dialogue = Dialogue(tokenizer, manner_of(source.env))
    update = demonstrated = 0
    losses: list[float] = []
    checks: list[tuple[int, float]] = []
    batches = _batches(config, source, dialogue)
    first = next(batches)
    schedule = Schedule(config)
    total = config.updates or round(60 * config.minutes)
    with source.screen.bar("warm start", total) as bar:
        for ids, weights in itertools.chain([first], batches):
            factor = schedule.factor(update)
            if factor == 0.0:
                break
            for group in optimizer.param_groups:
                group["lr"] = config.learning_rate * factor
            loss = _weighted_loss(model, ids, weights)
            optimizer.zero_grad()
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
            optimizer.step()
            update, demonstrated = update + 1, demonstrated + len(ids)
            losses.append(float(loss.detach()))
            if schedule.due(update):
                checks.append((update, _success(config, source, model, tokenizer)))
                if checks[-1][1] >= config.success:
                    schedule.wind_up(update)
            if update % 50 == 0:
                wins = f", wins {checks[-1][1]:.0%}" if checks else ""
                note = f"loss {sum(losses[-50:]) / 50:.3f}, {demonstrated} demonstrations{wins}"
                bar.advance((update if config.updates else min(round(schedule.seconds), total)) - bar.done, note)
    seconds = schedule.seconds
    success = _success(config, source, model, tokenizer)
    source.screen.print(
        f"{update} updates on {demonstrated} demonstrations in {seconds:.0f} s; wins {success:.1%} of"
        f" {config.check_tasks} train tasks greedily"
    )
    return {
        "updates": update,
        "demonstrations": demonstrated,
        "seconds": seconds,
        "success": success,
        "checks": checks,
    }


def _batches(
    config: WarmstartConfig, source: Source, dialogue: Dialogue
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Endless batches of demonstrations: ids (B, T) and weights (B, T), zero-padded on the right.

    Rows of similar length share a batch, which halves the padding; the order of the batches is random.
    """
    seed = stream_seed(config.seed, "demonstrations")
    for number, chunk in enumerate(source.chunks()):
        rows = [_row(config, steps, dialogue) for steps in chunk]
        cut = _cut(config, sorted(rows, key=lambda row: len(row.ids)))
        for index in np.random.default_rng([seed, number * CHUNK]).permutation(len(cut)):
            ids, weights = zip(*cut[index], strict=True)
            yield pad_sequence(list(ids), batch_first=True), pad_sequence(list(weights), batch_first=True)


def _row(config: WarmstartConfig, steps: list[Step], dialogue: Dialogue) -> Row:
    ids, weights = tokenize(steps, dialogue, config.observation_weight)
    return Row(torch.from_numpy(ids[: config.shape.context]), torch.from_numpy(weights[: config.shape.context]))


def _cut(config: WarmstartConfig, rows: list[Row]) -> list[list[Row]]:
    """Cuts rows in order of length into batches of a number of rows, or of at most so many tokens."""
    if config.batch:
        return [rows[first : first + config.batch] for first in range(0, len(rows), config.batch)]
    batches: list[list[Row]] = []
    for row in rows:
        if not batches or (len(batches[-1]) + 1) * len(row.ids) > config.batch_tokens:
            batches.append([])
        batches[-1].append(row)
    return batches


def _success(
    config: WarmstartConfig, source: Source, model: PreTrainedModel, tokenizer: PreTrainedTokenizerFast
) -> float:
    """The share of train tasks that the policy wins, greedily. Of a world with few tasks it has seen some before."""
    panel = draw(source.env, "check", stream_seed(config.seed, "check"), config.check_tasks)
    sampling = Sampling(0.0, min(_MOST_REPLY, config.shape.context))
    policy = TransformersPolicy(model, tokenizer, sampling, name="check", manner=manner_of(source.env))
    model.eval()
    won = score(play(source.make_env, policy, panel, config.seed)).success
    model.train()
    return won


def _weighted_loss(model: PreTrainedModel, ids: torch.Tensor, weights: torch.Tensor) -> torch.Tensor:
    """Weighted mean of the next-token cross-entropy. Padding is on the right, so causal attention needs no mask."""
    logits = model(input_ids=ids, use_cache=False).logits[:, :-1]
    losses = torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 1:].flatten(), reduction="none")
    wanted = weights[:, 1:].flatten()
    return (losses * wanted).sum() / wanted.sum()
