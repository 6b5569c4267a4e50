"""What `test_processes` trains, in one process and in several: `torchrun ... -m tests.training.together FOLDER`.

Every process writes what it saw of each case into the folder: the rows and advantages, the reports, the bytes of
gradients that were exchanged at each update, and the weights it ended with.
"""

from __future__ import annotations

import dataclasses
import json
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import distributed
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import allreduce_hook
from torch.distributed.tensor import DTensor
from torch.nn.parallel import DistributedDataParallel

from agents.policies.transformers import Sampling, TransformersPolicy
from agents.targets import parse
from envs.errors import InputError
from tests.agents.models import byte_tokenizer, model
from tests.training.doors import Guess
from training import processes
from training.advantages import gigpo
from training.arguments import GroupConfig
from training.collect import Estimator
from training.deepspeed_settings import STAGES
from training.detectors import WatchConfig
from training.loss import LossConfig
from training.sharding import whole
from training.trainer import GroupTrainer, IterationReport

# Steps of this size soon go farther.
NARROW = WatchConfig(kl=0.01, limit=0)
CASES: dict[str, dict[str, Any]] = {
    "block": {"layer": "1"},
    "block with a reference": {"layer": "1", "loss": LossConfig(beta=0.1), "epochs": 2, "weight_decay": 0.1},
    "full with a reference": {"layer": "full", "loss": LossConfig(beta=0.1), "aggregation": "sequence_mean_token_mean"},
    "adapters": {"layer": "lora:1"},
    "bfloat16": {"layer": "1", "dtype": torch.bfloat16, "iterations": 1},
    "replaced groups": {"layer": "2", "rollouts": 3, "tasks": 3},
    "one row an update": {"layer": "1", "tasks": 1, "group_size": 2, "updates": 2, "iterations": 3},
    "no rows": {"layer": "1", "broken": True, "iterations": 1},
    "no signal": {"layer": "1", "iterations": 1, "one_in": 0, "invalid_penalty": 0.0},
    "sharded block with a reference": {"layer": "1", "shard": True, "loss": LossConfig(beta=0.1), "epochs": 2},
    "sharded full": {"layer": "full", "shard": True, "loss": LossConfig(beta=0.1)},
    "sharded, one row an update": {
        "layer": "1",
        "shard": True,
        "tasks": 1,
        "group_size": 2,
        "updates": 2,
        "iterations": 3,
    },
    "sharded, no rows": {"layer": "1", "shard": True, "broken": True, "iterations": 1},
    "stopped": {"layer": "1", "iterations": 4, "stops": True},
    "refused updates": {"layer": "1", "updates": 4, "watch": NARROW},
    "a gradient that is no number": {"layer": "1", "spoilt": (1,)},
}
ZERO: dict[str, dict[str, Any]] = {
    "zero 1, block with a reference": {
        "layer": "1",
        "zero": 1,
        "loss": LossConfig(beta=0.1),
        "epochs": 2,
        "weight_decay": 0.1,
    },
    "zero 2, boosted block": {"layer": "boost:1", "zero": 2, "boosted_learning_rate": 2e-2, "max_grad_norm": 0.05},
    "zero 2, full with a reference": {"layer": "full", "zero": 2, "loss": LossConfig(beta=0.1)},
    "zero 1, adapters": {"layer": "lora:1", "zero": 1},
    "zero 1, bfloat16": {"layer": "1", "zero": 1, "dtype": torch.bfloat16, "iterations": 1},
    "zero 1, one row an update": {"layer": "1", "zero": 1, "tasks": 1, "group_size": 2, "updates": 2, "iterations": 3},
    "zero 2, no rows": {"layer": "1", "zero": 2, "broken": True, "iterations": 1},
    "zero 1, refused updates": {"layer": "1", "zero": 1, "updates": 4, "watch": NARROW},
    "zero 2, refused updates": {
        "layer": "boost:1",
        "zero": 2,
        "updates": 4,
        "boosted_learning_rate": 2e-2,
        "watch": NARROW,
    },
    "zero 1, bfloat16, refused updates": {
        "layer": "1",
        "zero": 1,
        "dtype": torch.bfloat16,
        "updates": 4,
        "iterations": 1,
        "watch": NARROW,
    },
    "zero 1, a gradient that is no number": {"layer": "1", "zero": 1, "spoilt": (1,)},
    "zero 2, a gradient that is no number": {"layer": "1", "zero": 2, "spoilt": (0, 3)},
    "zero 1, no signal": {"layer": "1", "zero": 1, "iterations": 1, "one_in": 0, "invalid_penalty": 0.0},
}
if find_spec("deepspeed") is None:
    ZERO.clear()
CASES |= ZERO


class Watched(GroupTrainer):
    """Notes the rows of every update, and the bytes that each exchanged.

    Attributes:
        spoilt: updates whose gradient is made no number.
    """

    spoilt: tuple[int, ...] = ()

    def __init__(self, *inputs: Any, **options: Any) -> None:
        self.updates: list[dict[str, Any]] = []
        super().__init__(*inputs, **options)

    def _prepare_inputs(self, inputs: dict[str, Any]) -> dict[str, Any]:
        prepared = super()._prepare_inputs(inputs)
        rows = prepared["rows"]
        self.updates.append(
            {
                "tokens": [row.row.tokens.tolist() for row in rows],
                "advantages": [row.advantages.tolist() for row in rows],
                "weights": [row.weight for row in rows],
                "exchanged": [],
                "told": len(MESSAGES),
                "scattered": len(SCATTERED),
                "reduced": len(REDUCED),
            }
        )
        return prepared

    def training_step(self, wrapped: torch.nn.Module, *inputs: Any, **options: Any) -> torch.Tensor:
        if isinstance(wrapped, DistributedDataParallel) and not self.updates:
            wrapped.register_comm_hook(self, exchanged)
        return super().training_step(wrapped, *inputs, **options)

    def propagate(self, loss: torch.Tensor) -> None:
        super().propagate(loss * float("nan") if len(self.updates) - 1 in self.spoilt else loss)


MESSAGES: list[int] = []


# Its parameters have no types: torch compares them with its own, and cannot where annotations are texts.
def exchanged(made, bucket):
    """Notes the bytes of a bucket of gradients."""
    made.updates[-1]["exchanged"].append(bucket.buffer().numel() * bucket.buffer().element_size())
    return allreduce_hook(None, bucket)


SCATTERED: list[int] = []
# How fully_shard reduces gradients into shards is called otherwise in older releases.
SCATTER = next(name for name in ("reduce_scatter_single", "reduce_scatter_tensor") if hasattr(distributed, name))
reduce_scatter = getattr(distributed, SCATTER)


def scattered(*tensors: torch.Tensor, **options: Any) -> Any:
    """Notes the bytes of gradients that go into shards."""
    given = options["input"] if "input" in options else tensors[1]
    SCATTERED.append(given.numel() * given.element_size())
    return reduce_scatter(*tensors, **options)


REDUCED: list[int] = []
all_reduce = distributed.all_reduce


def reduced(tensor: torch.Tensor, *inputs: Any, **options: Any) -> Any:
    """Notes the bytes of what is summed up over the processes in one piece, as DeepSpeed does with gradients."""
    REDUCED.append(tensor.numel() * tensor.element_size())
    return all_reduce(tensor, *inputs, **options)


def run(name: str) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """Trains a case; what happened, and the weights at the end."""
    case = dict(CASES[name])
    settings = {"iterations": 2, "tasks": 2, "group_size": 4, "updates": 2, "learning_rate": 1e-2, "weight_decay": 0.0}
    settings |= {"micro_batch_tokens": 60, "seed": 3, "use_cpu": True}
    spoilt = case.pop("spoilt", ())
    dtype, stops, layer = case.pop("dtype", torch.float32), case.pop("stops", False), case.pop("layer")
    world = {"one_in": case.pop("one_in", 4), "broken": case.pop("broken", False)}
    estimator = Estimator(gigpo, gigpo.Config(), 10.0, case.pop("invalid_penalty", 0.1))
    args = GroupConfig(**(settings | case), estimator=estimator)
    policy, target = model().to(dtype), parse(layer, 3)
    SCATTERED.clear()
    REDUCED.clear()
    reports: list[IterationReport] = []

    def ended(report: IterationReport) -> bool:
        reports.append(report)
        # Only the last process asks for the stop.
        return stops and made.processes.rank == made.processes.count - 1 and report.iteration == 1

    made = Watched(
        policy,
        lambda: Guess(**world),
        args,
        target=target,
        policy=TransformersPolicy(policy, byte_tokenizer(), Sampling(1.0, 4)),
        on_iteration=ended,
    )
    made.spoilt = spoilt
    made.train()
    summed = list(REDUCED)
    trained = {key: value.numel() * value.element_size() for key, value in made.trained.items()}
    made.close()
    found = {
        "reports": [
            {
                "iteration": report.iteration,
                "metrics": report.metrics,
                "episodes": list(map(played, report.collected.episodes)),
            }
            for report in reports
        ],
        "cost": [report.cost for report in reports],
        "updates": made.updates,
        "made": made.master_optimizer.updates_made,
        "scattered": list(SCATTERED),
        "reduced": summed,
        "optimizer_bytes": made.master_optimizer.state_bytes(),
        "trained_bytes": sum(trained.values()),
        "held_bytes": sum(local(value).numel() * value.element_size() for value in made.trained.values()),
    }
    return found, {key: whole(value.detach()).contiguous().clone() for key, value in policy.state_dict().items()}


def local(tensor: torch.Tensor) -> torch.Tensor:
    """What this process holds of it."""
    return tensor.to_local() if isinstance(tensor, DTensor) else tensor


def resumed(**spread: Any) -> bool:
    """Whether an iteration, its checkpoint and another iteration are two iterations, bit for bit."""
    settings = {"iterations": 2, "tasks": 2, "group_size": 4, "updates": 1, "learning_rate": 1e-2, "use_cpu": True}

    def trainer(start: int, last: int) -> GroupTrainer:
        args = GroupConfig(**settings, **spread, max_reply_tokens=4, start_iteration=start)
        return GroupTrainer(
            model(),
            Guess,
            args,
            processing_class=byte_tokenizer(),
            on_iteration=lambda report: report.iteration == last,
        )

    straight, first, second = trainer(0, 1), trainer(0, 0), trainer(1, 1)
    straight.train()
    first.train()
    second.master_optimizer.restore(first.master_optimizer.export())
    second.train()
    ends = straight.weights(), second.weights()
    return all(torch.equal(value, ends[1][name]) for name, value in ends[0].items())


def played(episode: Any) -> list[Any]:
    """An episode without its log-probabilities, whose last bits depend on what it was batched with."""
    turns = [dataclasses.asdict(turn) | {"logprobs": len(turn.logprobs)} for turn in episode.turns]
    return json.loads(
        json.dumps([episode.key, turns, episode.stop, episode.won, episode.error, episode.policy_version])
    )


def failing() -> str:
    """What every process is told where the world of one breaks its word in a rollout."""
    policy = model()

    class Refusing(Guess):
        def reset(self, **options: Any) -> Any:
            if processes.current().rank == 1:
                raise InputError("no such door here")
            return super().reset(**options)

    made = GroupTrainer(
        policy,
        Refusing,
        GroupConfig(iterations=1, tasks=1, group_size=4, updates=1, max_reply_tokens=4, use_cpu=True),
        processing_class=byte_tokenizer(),
    )
    try:
        made.train()
    except (InputError, processes.OtherProcessError) as error:
        return f"{type(error).__name__}: {error}"
    return "nothing"


def different() -> str:
    """What every process is told where they were given different weights."""
    policy = model()
    with torch.no_grad():
        policy.get_input_embeddings().weight[0, 0] += processes.current().rank
    try:
        GroupTrainer(policy, Guess, GroupConfig(use_cpu=True), processing_class=byte_tokenizer())
    except InputError as error:
        return str(error)
    return "nothing"


def main(folder: Path) -> None:
    """Trains all cases in this process and the others."""
    exchange = processes.Processes._exchange

    def counted(self: processes.Processes, message: bytes) -> list[bytes]:
        MESSAGES.append(len(message))
        return exchange(self, message)

    processes.Processes._exchange = counted
    setattr(distributed, SCATTER, scattered)
    distributed.all_reduce = reduced
    with processes.joined("cpu") as joined:
        for name in sys.argv[2:] or CASES:
            found, weights = run(name)
            save_file(weights, folder / f"{name}.{joined.rank}.safetensors")
            (folder / f"{name}.{joined.rank}.json").write_text(json.dumps(found))
        said = {
            "resumed": [resumed(), resumed(shard=True), *(resumed(zero=stage) for stage in (STAGES if ZERO else ()))],
            "failing": failing(),
            "different": different(),
            "first": joined.first(lambda: joined.rank),
        }
        (folder / f"said.{joined.rank}.json").write_text(json.dumps(said))


if __name__ == "__main__":
    torch.set_num_threads(1)
    main(Path(sys.argv[1]))
