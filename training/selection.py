"""Which layer is trained: one that was named, or one that a selector chooses, and what choosing cost.

An interrupted selection goes on where it was: the shared episodes, what `Probe.memo` is given and the blocks that were
trained for a while lie in the run's checkpoints until the run ends.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from agents import deltas
from agents.blocks import find_stack
from agents.rows import Row
from agents.targets import Target, parameters, parse
from agents.types import EpisodeKey
from envs.errors import InputError
from envs.files import understood
from training import checkpoint, selectors
from training.arms import train
from training.batches import TrainingRow, by_episode
from training.collect import collect
from training.folder import RunFolder
from training.processes import current
from training.running import CHECKPOINTS, Run
from training.selectors import Groups, Probe

PROBE = -2
"""The iteration that keys the shared episodes."""
FOLDER, EPISODES, VALUES = "selection", "episodes.safetensors", "values.json"


def choose(run: Run, layer: str = "") -> dict[str, Any]:
    """The content of `layers.json`: the target of `layer=` or of another layer, or what its selector chose and why."""
    num_blocks, layer = len(find_stack(run.model)), (layer or run.config.layer).strip()
    fixed = parse(layer, num_blocks, selectors.names())
    if fixed is None:
        return _Selection(run, layer.lower()).content()
    return {
        "selector": fixed.name if fixed.full else "fixed",
        "target": fixed.name,
        "chosen": list(fixed.indices),
        "why": f"layer={layer} was asked for",
        "blocks": [{"index": index, "score": None, "details": {}} for index in range(num_blocks)],
        "cost": {"seconds": 0.0},
    }


def lines(choice: Mapping[str, Any]) -> list[str]:
    """What was chosen, why, what every block scored, and what that cost."""
    said = [f"layer {choice['target'].replace(',', ', ')}: {choice['why']}"]
    if any(block["score"] is not None for block in choice["blocks"]):
        scores = (
            f"{block['index']}: {block['score']:.3g}"
            + (f" ± {block['details']['standard_error']:.2g}" if "standard_error" in block["details"] else "")
            for block in choice["blocks"]
        )
        said.append(f"scores of the blocks (higher is better, ± standard error): {'; '.join(scores)}")
    if choice["cost"].get("share"):
        said.append(f"choosing cost {choice['cost']['share']:.1%} of training every block once")
    return said


@dataclass
class _Selection:
    """One selection, with what it has played and learned so far.

    Attributes:
        run: the run.
        name: the selector.
        played: episodes played.
        raced: iterations that each block was trained for.
    """

    run: Run
    name: str
    played: int = 0
    raced: dict[int, int] = field(default_factory=dict)

    def content(self) -> dict[str, Any]:
        """Asks the selector; the content of `layers.json`."""
        run, train_config = self.run, self.run.config.train
        started, num_blocks = time.perf_counter(), len(find_stack(run.model))
        iteration = train_config.groups * train_config.group_size
        sweep = num_blocks * run.config.iterations * iteration
        probe = Probe(
            model=run.model,
            num_blocks=num_blocks,
            groups=self._groups,
            device=run.model.device,
            temperature=train_config.temperature,
            micro_batch_tokens=train_config.micro_batch_tokens,
            seed=run.config.seed,
            learning_rate=train_config.learning_rate,
            iterations=run.config.iterations,
            budget=run.config.budget,
            sweep_episodes=sweep,
            shared_episodes=len(run.probe.tasks) * train_config.group_size,
            memo=self._memo,
            race=self._race,
        )
        choice = selectors.find(self.name)(probe)
        raced = sum(self.raced.values()) * iteration
        shared = run.probe if self.played else replace(run.probe, tasks=())
        episodes, learned = self.played + raced, sum(probe.learned_episodes.values()) + raced
        cost = {
            "seconds": time.perf_counter() - started,
            "episodes": episodes,
            "learned_episodes": learned,
            # Playing an episode and learning from it count alike.
            "share": (episodes + learned) / (2 * sweep) if sweep else 0.0,
        }
        content = choice.as_json(cost)
        for block in content["blocks"]:
            of_block = probe.learned_episodes[block["index"]] + self.raced.get(block["index"], 0) * iteration
            block["details"] = {**block["details"], "learned_episodes": of_block}
        return content | {"tasks": shared.as_json()}

    def _groups(self) -> Groups:
        """The shared batch: played, or as it was kept when the selection was interrupted."""
        run, file = self.run, self._folder() / EPISODES
        size = run.config.train.group_size
        keys = [EpisodeKey(run.config.seed, PROBE, task, member) for task in run.probe.tasks for member in range(size)]
        self.played = len(keys)
        if not checkpoint.is_whole(file):
            # Not played yet, or spoilt since: the draws are keyed, so the same comes of it again.
            with run.screen.bar("choosing the layer: shared episodes", len(keys)) as bar:

                def advance(count: int) -> None:
                    run.stop.check()
                    bar.advance(count)

                policy = run.policy(run.config.train.temperature, "probe")
                rows = collect(run.train_env, policy, keys, run.estimator(), progress=advance).rows
            keep_rows(file, rows)
        rows = kept_rows(file)
        return by_episode(rows)

    def _folder(self) -> Path:
        folder = self.run.folder / CHECKPOINTS / FOLDER
        if current().main:
            folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _memo(self, name: str, compute: Callable[[], list[float]]) -> list[float]:
        self.run.check_stop()
        folder = RunFolder(self._folder())
        values = current().first(lambda: _values(folder))
        if name not in values:
            values[name] = current().agree(compute())
            folder.write_json(VALUES, values)
        return list(values[name])

    def _race(self, block: int, iterations: int) -> Sequence[Sequence[float]]:
        """Trains a block for so many iterations in all; the success on each task of each iteration."""
        self.raced[block] = max(self.raced.get(block, 0), iterations)

        def compute() -> list[float]:
            run = self.run
            # Rollouts that are played again until there is a signal would be other tasks for every block.
            train_config, watch = replace(run.config.train, rollouts=0), replace(run.config.watch, limit=0)
            short = replace(run.config, iterations=iterations, train=train_config, watch=watch)
            side = replace(run, config=short, folder=RunFolder(self._folder()), trackers=())
            target = Target((block,))
            base = {name: value.detach().clone() for name, value in parameters(run.model, target).items()}
            try:
                history = train(side, f"choosing the layer: block {block}", target)["history"]
            finally:
                deltas.revert(run.model, base)
                run.model.requires_grad_(False)
                run.model.zero_grad(set_to_none=True)
            return [share for row in history for share in row["task_success"]]

        shares = self._memo(f"block {block}, {iterations} iterations, by task", compute)
        tasks = len(shares) // iterations
        return [shares[start : start + tasks] for start in range(0, len(shares), tasks)]


def _values(folder: RunFolder) -> dict[str, list[float]]:
    """What was kept under each name; nothing where the file is broken, so that all is computed again."""
    try:
        values = super(RunFolder, folder).read_json(VALUES)
    except InputError:
        return {}
    return values if isinstance(values, dict) else {}


def keep_rows(file: Path, rows: Sequence[TrainingRow]) -> None:
    """Writes training rows without reference log-probabilities."""
    columns: dict[str, list[np.ndarray[Any, Any]]] = {
        "tokens": [row.row.tokens for row in rows],
        "sampled": [row.row.sampled for row in rows],
        "turn": [row.row.turn for row in rows],
        "logprobs": [row.row.logprobs for row in rows],
        "advantages": [row.advantages for row in rows],
        "old": [row.old for row in rows],
    }
    tensors = {name: torch.from_numpy(np.concatenate(parts)) for name, parts in columns.items() if parts}
    facts = {"lengths": [len(row.row.tokens) for row in rows], "tasks": [row.group for row in rows]}
    facts["members"] = [row.member for row in rows]
    checkpoint.save(file, tensors, facts)


def kept_rows(file: Path) -> list[TrainingRow]:
    """Reads what `keep_rows` wrote.

    Raises:
        InputError: the file is cut or holds something else.
    """
    tensors, facts = checkpoint.load(file)
    with understood(file, "a file of training rows"):
        return _rows({name: tensor.numpy() for name, tensor in tensors.items()}, facts)


def _rows(columns: Mapping[str, np.ndarray[Any, Any]], facts: Mapping[str, Any]) -> list[TrainingRow]:
    rows, start, spoken = list[TrainingRow](), 0, 0
    lengths, groups = facts["lengths"], facts["tasks"]
    # Without members it is of an earlier version, and each row an episode of its own.
    members = facts.get("members", range(len(lengths)))
    for length, group, member in zip(lengths, groups, members, strict=True):
        whole = slice(start, start + length)
        row = Row(*(columns[name][whole] for name in Row._fields))
        said = slice(spoken, spoken + int(row.sampled.sum()))
        rows.append(TrainingRow(row, columns["advantages"][said], columns["old"][said], group=group, member=member))
        start, spoken = whole.stop, said.stop
    return rows
