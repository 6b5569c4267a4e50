"""The processes that train together: what each is to do, and what they tell each other.

`accelerate launch` or `torchrun` starts one process a device. All of them run the same program on the same arguments
and take the same decisions; what may differ between them (how long something took, whether Ctrl-C reached one of them,
what a folder holds) is told by one to all. Episodes and rows are dealt out by `training.shares`.

What is told goes over a gloo group of its own as JSON and raw tensors, nothing pickled: it waits as long as the slowest
rollout takes while all go on (`training.heartbeat`), where the group of the gradients keeps its time limit. A process
on its own is the case of one: nothing is sent then, and torch is not imported.
"""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from agents.models import choose_device
from envs.command import launched
from envs.errors import InputError, KeystoneError
from evals.stopping import StoppedError
from training.heartbeat import Heartbeat

if TYPE_CHECKING:
    import torch
    from accelerate import Accelerator

T = TypeVar("T")
_SPREADING = ("FSDP", "DEEPSPEED")
_OTHERS = ("MEGATRON_LM",)
PATIENCE = timedelta(days=7)
"""The time limit of the group of messages: one process may play while all others wait, as long as it goes on."""


class OtherProcessError(KeystoneError):
    """Another process failed, which says why itself; this one cannot go on without it."""


@dataclass(frozen=True)
class Processes:
    """The processes, as one of them sees them.

    Attributes:
        rank: number of this process, from 0.
        count: how many there are.
        group: what messages go through; None for one process.
        heart: says that this process goes on, and whether the others do; None for one process.
    """

    rank: int = 0
    count: int = 1
    group: Any = None
    heart: Heartbeat | None = None

    @property
    def main(self) -> bool:
        """Whether this is the process that writes files and prints."""
        return self.rank == 0

    def gather(self, content: T) -> list[T]:
        """What every process has to say, by rank. Called by all of them.

        Args:
            content: JSON-able; tuples come back as lists.
        """
        if self.count == 1:
            return [content]
        return [json.loads(part) for part in self._exchange(json.dumps(content).encode())]

    def agree(self, content: T) -> T:
        """What process 0 has to say. Called by all; JSON-able."""
        parts: list[Any] = self.gather(content if self.main else None)
        return parts[0]  # type: ignore[no-any-return]

    def any(self, flag: bool) -> bool:
        """Whether it is so in any process. Called by all."""
        return flag if self.count == 1 else any(self.gather(flag))

    def total(self, values: Mapping[str, float]) -> dict[str, float]:
        """The sum of each value over all processes, by name. Called by all."""
        parts = self.gather(dict(values))
        return {name: sum(part.get(name, 0.0) for part in parts) for part in parts for name in part}

    def first(self, work: Callable[[], T]) -> T:
        """Lets process 0 alone do something, for example write; all get what came of it, if it is JSON-able.

        Raises:
            SystemExit: in the others, if process 0 failed; it raises what went wrong.
        """
        if self.count == 1:
            return work()
        told: dict[str, Any] = {"failed": True}
        try:
            if self.main:
                told = {"content": work()}
        finally:
            told = self.gather(told)[0]
        if "failed" in told:
            raise SystemExit(2)
        return told["content"]  # type: ignore[no-any-return]

    def share_of(self, work: Callable[[], T]) -> list[T]:
        """Each process does its own part, and all get all parts, by rank.

        Args:
            work: gives this process's part, JSON-able.

        Raises:
            StoppedError: another process was asked to stop.
            OtherProcessError: another process failed; what `work` itself raises is raised as it is.
        """
        if self.count == 1:
            return [work()]
        told: dict[str, Any] = {"failed": "ended"}
        try:
            told = {"content": work()}
        except Exception as error:
            told = {"failed": "stopped" if isinstance(error, StoppedError) else f"failed: {error}"}
            raise
        finally:
            # Also one that fails tells the others, or they would wait for its part.
            parts = self.gather(told)
        failed = {rank: part["failed"] for rank, part in enumerate(parts) if "failed" in part}
        if "stopped" in failed.values():
            raise StoppedError
        for rank, why in failed.items():
            raise OtherProcessError(f"process {rank} {why}")
        return [part["content"] for part in parts]

    def tensors(self, given: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Process 0's tensors by name, on the CPU. Called by all."""
        if self.count == 1:
            return dict(given)
        import torch

        facts = {name: (list(value.shape), str(value.dtype).removeprefix("torch.")) for name, value in given.items()}
        told = {}
        for name, (shape, dtype) in self.agree(facts).items():
            value = given[name].cpu().contiguous() if self.main else torch.empty(shape, dtype=getattr(torch, dtype))
            flat = value.reshape(-1).view(torch.uint8)
            self._wait(torch.distributed.broadcast(flat, 0, group=self.group, async_op=True))
            told[name] = value
        return told

    def _exchange(self, message: bytes) -> list[bytes]:
        import torch
        from torch.distributed import all_gather

        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self.count)]
        self._wait(all_gather(sizes, torch.tensor([len(message)]), group=self.group, async_op=True))
        longest = max(int(size) for size in sizes)
        own = torch.zeros(longest, dtype=torch.uint8)
        own[: len(message)] = torch.frombuffer(bytearray(message), dtype=torch.uint8)
        parts = [torch.empty_like(own) for _ in sizes]
        self._wait(all_gather(parts, own, group=self.group, async_op=True))
        return [part[: int(size)].numpy().tobytes() for part, size in zip(parts, sizes, strict=True)]

    def _wait(self, work: Any) -> None:  # noqa: ANN401 - `torch.distributed.Work`
        assert self.heart is not None
        self.heart.wait(work, self.group)


ALONE = Processes()
_joined: list[tuple[Any, Processes]] = []


def current() -> Processes:
    """The processes of this program; the first call after they were joined is made by all of them."""
    if "torch" not in sys.modules:
        return ALONE
    from torch import distributed
    from torch.distributed import distributed_c10d

    if not distributed.is_available() or not distributed.is_initialized() or distributed.get_world_size() == 1:
        return ALONE
    world = distributed.group.WORLD
    if not _joined or _joined[0][0] is not world:
        group = distributed.new_group(backend="gloo", timeout=PATIENCE)
        rank, count = distributed.get_rank(), distributed.get_world_size()
        # Of its own, as one that waits for something holds the other back.
        own: Any = distributed_c10d._get_default_store()
        store = distributed_c10d.PrefixStore("keystone", own.clone())
        for _, before in _joined:
            _close(before)
        _joined[:] = [(world, Processes(rank, count, group, Heartbeat(store, rank, count)))]
    return _joined[0][1]


@contextmanager
def joined(device: str) -> Iterator[Processes]:
    """Joins the processes that a launcher started, for as long as the context lasts.

    Args:
        device: as in `device=`: "auto", "cpu", or "cuda" for one GPU a process.

    Raises:
        InputError: there is no such device, or the launcher was asked for something else.
    """
    if launched() == 1:
        yield ALONE
        return
    check_launcher()
    take_over()
    from accelerate import PartialState
    from torch import distributed

    PartialState(cpu=choose_device(device) == "cpu")
    try:
        yield current()
        # A launcher ends all processes as soon as one has left with another code than 0.
        current().gather(None)
    finally:
        lost = any(_close(before) for _, before in _joined)
        _joined.clear()
        if not lost:
            distributed.destroy_process_group()


def _close(processes: Processes) -> bool:
    """Has this process fall silent; whether it waited for another one in vain."""
    if processes.heart is None:
        return False
    processes.heart.close()
    return processes.heart.lost


def asked_for(kind: str) -> bool:
    """Whether the launcher was asked to spread something over the processes.

    Args:
        kind: "FSDP" (accelerate launch --use_fsdp) or "DEEPSPEED" (--use_deepspeed).
    """
    names = (f"ACCELERATE_USE_{kind}", f"KEYSTONE_USE_{kind}")
    return any(os.environ.get(name, "").lower() == "true" for name in names)


def take_over() -> None:
    """Keeps accelerate from spreading anything: it would in other units, on CPUs not at all, and once a program."""
    for kind in _SPREADING:
        if asked_for(kind):
            os.environ |= {f"ACCELERATE_USE_{kind}": "false", f"KEYSTONE_USE_{kind}": "true"}


def check_launcher(accelerator: Accelerator | None = None) -> None:
    """Makes sure that the launcher was asked for nothing that there is not.

    Args:
        accelerator: what came of it, if that is known yet.

    Raises:
        InputError: it was.
    """
    asked = [kind for kind in _OTHERS if os.environ.get(f"ACCELERATE_USE_{kind}", "").lower() == "true"]
    if accelerator is not None and accelerator.distributed_type.value in (*_OTHERS, *_SPREADING):
        asked.append(accelerator.distributed_type.value)
    if asked:
        raise InputError(
            f"{asked[0]}: GroupTrainer trains on several processes with DistributedDataParallel, FSDP2 (shard=True) or "
            "DeepSpeed's ZeRO (zero=1|2). Launch with accelerate launch --multi_gpu, --use_fsdp or --use_deepspeed, or "
            "torchrun; give accelerate no plugins, and make the GroupConfig before any Accelerator."
        )


def check_same(processes: Processes, parameters: Sequence[torch.Tensor]) -> None:
    """Makes sure that all processes start from the same weights.

    Raises:
        InputError: they do not.
    """
    if processes.count == 1:
        return
    sums = processes.gather([float(value.detach().double().sum()) for value in parameters])
    if any(part != sums[0] for part in sums):
        raise InputError("the processes hold different weights; load the same model in each before training.")
