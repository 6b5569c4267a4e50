"""Cloning a scripted player: from a world to a small tokenizer and a small model that plays it.

The loop is plain rather than TRL's `SFTTrainer`: rows are made on the fly and every token has its own weight, neither
of which that trainer takes.
"""

from __future__ import annotations

import itertools
import time
import warnings
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch.nn.utils.rnn import pad_sequence
from transformers import PreTrainedModel, PreTrainedTokenizerFast

from agents.dialogue import Dialogue
from agents.draws import stream_seed
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.prompts import manner_of
from envs.errors import InputError
from envs.pool import Pooled
from envs.screen import Screen
from envs.types import TextEnv
from envs.worlds import Failure, LocalWorlds, Worlds
from evals.panels import draw
from evals.scoring import play, score
from training.demonstrations import Noise, Step, demonstrations, texts, tokenize
from training.vocabulary import build_tokenizer

if TYPE_CHECKING:
    from training.warmstart import WarmstartConfig

CHUNK = 256
"""Demonstrations that are made at a time, and sorted by length among themselves."""
_MOST_REPLY = 128


class Row(NamedTuple):
    """One demonstration: ids (T,) and the weight of predicting each of them (T,)."""

    ids: torch.Tensor
    weights: torch.Tensor


@dataclass
class Source:
    """Where demonstrations come from.

    Attributes:
        config: says how the player is disturbed and how many demonstrations there are.
        players: the players' names; each demonstration is played by one of them, at random.
        env: draws the tasks.
        make_env: makes an environment; where they are played, if it is a `Pooled`.
        screen: shows progress.
    """

    config: WarmstartConfig
    players: tuple[str, ...]
    env: TextEnv
    make_env: Callable[[], TextEnv]
    screen: Screen
    _bank: list[list[Step]] = field(default_factory=list)

    def play(self, seed: int, count: int) -> list[list[Step]]:
        """Plays demonstrations of the tasks drawn by a seed.

        Returns:
            Those to learn from: without those that the environment breaks and, if so configured, those that are lost.

        Raises:
            InputError: it breaks all of them, or the player wins none.
        """
        config = self.config
        noise = Noise(config.burst_probability, config.burst_turns, config.invalid_share)
        worlds = self.make_env if isinstance(self.make_env, Pooled) else LocalWorlds(self.make_env)
        with warnings.catch_warnings():
            # Noise may lead to where a player knows no way on.
            warnings.simplefilter("ignore")
            played = self._played(worlds, self.env.sample_tasks(seed, count), seed, noise)
        whole = [steps for steps in played if not isinstance(steps, Failure)]
        if not whole:
            causes = [steps.cause for steps in played if isinstance(steps, Failure)]
            raise InputError(f"the environment breaks all of {count} demonstrations, the first so: {causes[0]}.")
        # What a player of several does that loses is what there is left to learn.
        every = not config.only_wins or len(set(self.players)) > 1
        kept = [steps for steps in whole if steps[-1].won or every]
        if not any(steps[-1].won for steps in kept) and config.only_wins:
            players = ",".join(self.players)
            raise InputError(f"player={players} wins none of {count} tasks, so there is nothing to learn from.")
        return kept

    def _played(self, worlds: Worlds, tasks: list[str], seed: int, noise: Noise) -> list[list[Step] | Failure]:
        """Plays tasks, each with the player that a draw of its own chooses."""
        seeds = range(seed, seed + len(tasks))
        chosen = [int(np.random.default_rng([one, 0x91A7]).integers(len(self.players))) for one in seeds]
        results: dict[int, list[Step] | Failure] = {}
        for number, player in enumerate(self.players):
            rows = [row for row, choice in enumerate(chosen) if choice == number]
            played = demonstrations(worlds, player, [tasks[row] for row in rows], [seeds[row] for row in rows], noise)
            results.update(zip(rows, played, strict=True))
        return [results[row] for row in range(len(tasks))]

    def chunks(self) -> Iterator[list[list[Step]]]:
        """Demonstrations without end: fresh ones, or of a slow world the same again and again in random order."""
        seed, count = stream_seed(self.config.seed, "demonstrations"), self.config.demonstrations
        if self.env.in_process:
            yield from (self.play(seed + start, CHUNK) for start in itertools.count(0, CHUNK))
        bank = self._made(seed, count)
        for epoch in itertools.count():
            order = np.random.default_rng([seed, epoch]).permutation(len(bank))
            for first in range(0, len(order), CHUNK):
                yield [bank[index] for index in order[first : first + CHUNK]]

    def _made(self, seed: int, count: int) -> list[list[Step]]:
        if not self._bank:
            with self.screen.bar("demonstrations", count) as bar:
                for first in range(0, count, CHUNK):
                    size = min(CHUNK, count - first)
                    self._bank += self.play(seed + first, size)
                    bar.advance(size)
        return self._bank


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


class Schedule:
    """The learning rate's factor and the end of training.

    With a number of updates: up over 100 of them, then down linearly. Without: up, then level until the policy wins
    enough or the time is running out, then down over a share of as many updates as there were (after Hu et al., arXiv
    2404.06395). Without a success to reach, the time alone decides, down linearly.
    """

    def __init__(self, config: WarmstartConfig, clock: Callable[[], float] = time.monotonic) -> None:
        """Starts the clock."""
        self._config = config
        self._clock = clock
        self._started = clock()
        self._level_updates = 0

    def factor(self, update: int) -> float:
        """The learning rate's factor for an update, counted from 0; 0 if training is over."""
        done = self._done(update)
        return 0.0 if done >= 1.0 else min(1.0, (update + 1) / 100) * (1.0 - 0.98 * max(done, 0.0))

    @property
    def seconds(self) -> float:
        """Time since the start."""
        return self._clock() - self._started

    def due(self, update: int) -> bool:
        """Whether to look how much the policy wins after so many updates."""
        looks = bool(self._config.success) and not self._config.updates and not self._level_updates
        return looks and update > 0 and update % self._config.check_updates == 0

    def wind_up(self, update: int) -> None:
        """Lets the rate go down from here."""
        self._level_updates = max(update, 1)

    def _done(self, update: int) -> float:
        config = self._config
        if config.updates:
            return update / config.updates
        spent = self.seconds / (60 * config.minutes)
        if not config.success:
            return spent
        # Going down takes the rest of the time.
        if not self._level_updates and spent >= 1 / (1 + config.decay):
            self.wind_up(update)
        if not self._level_updates:
            return 0.0
        falling = config.decay * self._level_updates
        return (update - self._level_updates) / falling if falling else 1.0


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
