"""Training on two processes (gloo, CPU) is training on one: same rows, same advantages, same weights, one writer."""

from __future__ import annotations

import fcntl
import json
import math
import os
import subprocess
import sys
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from envs.command import run_command
from envs.errors import InputError
from envs.installation import REPOSITORY
from envs.list import ListConfig
from envs.list import main as list_environments
from tests.agents.models import model
from tests.training import together
from tests.training.rows import random_rows
from training.arguments import GroupConfig
from training.batches import TrainingRow
from training.config import RunConfig
from training.processes import ALONE
from training.run import main
from training.shares import deal

pytestmark = pytest.mark.timeout(600)
LAUNCH = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", "-m"]


def launch(words: list[str], seconds: int = 300) -> subprocess.CompletedProcess[str]:
    """Starts two processes that end by themselves, or are ended after so many seconds."""
    return subprocess.run(
        [*LAUNCH, *words],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )


@pytest.fixture(scope="session")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where two processes left what they saw of every case; they are started once for all tests."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "together"
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.exists():
            folder.mkdir()
            done = launch(["tests.training.together", str(folder)])
            assert done.returncode == 0, done.stderr
    return folder


def of(folder: Path, name: str, rank: int) -> tuple[dict[str, Any], dict[str, torch.Tensor]]:
    """What a process saw of a case, and its weights."""
    found = json.loads((folder / f"{name}.{rank}.json").read_text())
    return found, load_file(folder / f"{name}.{rank}.safetensors")


@pytest.fixture(scope="session", params=together.CASES)
def case(request: pytest.FixtureRequest, trained: Path) -> tuple[str, Any, Any, Any]:
    """A case: its name, and what one process and both of two saw."""
    name = request.param
    return name, together.run(name), of(trained, name, 0), of(trained, name, 1)


def test_two_processes_train_as_one(case: tuple[str, Any, Any, Any]):
    """Rows and advantages are equal, weights within a hundredth of one update's step: sums of float32 in another order.

    Adam steps by the sign of a gradient, however small, so a weight whose gradient is rounding noise differs more.
    """
    name, (alone, weights), (first, ours), (second, theirs) = case
    assert first["reports"] == second["reports"]
    assert first["cost"] == second["cost"]
    assert len(alone["updates"]) == len(first["updates"]) == len(second["updates"]) > 0
    short = "bfloat16" in name
    for one, own, other in zip(alone["updates"], first["updates"], second["updates"], strict=True):
        for key in ("tokens", "weights", *(() if short else ("advantages",))):
            assert own[key] == one[key], key
            assert other[key] == one[key], key
    for report, wanted in zip(first["reports"], alone["reports"], strict=True):
        assert report["episodes"] == wanted["episodes"]
        close = {"rel": 0.05, "abs": 5e-3} if short else {"rel": 1e-3, "abs": 1e-5}
        assert report["metrics"] == pytest.approx(wanted["metrics"], **close)
    start = model().state_dict()
    for key, value in weights.items():
        assert torch.equal(ours[key], theirs[key]), key
        torch.testing.assert_close(ours[key], value, rtol=1e-2 if short else 1e-4, atol=1e-2 if short else 1e-4)
    moved = any(not torch.equal(value, start[key].to(value.dtype)) for key, value in ours.items())
    assert moved == ("no rows" not in name and "no signal" not in name)


@pytest.mark.parametrize("name", [name for name in together.CASES if "refused" in name or "no number" in name])
def test_no_process_makes_an_update_that_something_is_wrong_with(trained: Path, name: str):
    for rank in range(2):
        found, _ = of(trained, name, rank)
        metrics = [report["metrics"] for report in found["reports"]]
        made, skipped = (sum(figures[key] for figures in metrics) for key in ("updates", "skipped_updates"))
        assert made + skipped == len(found["updates"])
        assert 0 < skipped < len(found["updates"])
        if "no number" in name:
            assert skipped == len(together.CASES[name]["spoilt"])
        # What is reported, and written as JSON, is of the updates that were made.
        assert all(math.isfinite(figures.get("grad_norm", 0.0)) for figures in metrics)
        assert found["made"] == made


def test_only_the_targets_gradients_are_exchanged_once_an_update(case: tuple[str, Any, Any, Any]):
    name, _, (first, _), (second, _) = case
    for found in (first, second):
        exchanged = [sum(update["exchanged"]) for update in found["updates"]]
        # Spread weights are exchanged in another way, which is not counted here.
        nothing = name == "no rows" or "sharded" in name or "zero" in name
        assert exchanged == [0 if nothing else found["trained_bytes"]] * len(exchanged)
        # Nothing else is told between the updates of an iteration but the few figures that `training.watch` looks at.
        each = len(exchanged) // len(found["reports"])
        told = [update["told"] for update in found["updates"]]
        for start in range(0, len(told), each):
            assert told[start : start + each] == list(range(told[start], told[start] + each))
    if not any(word in name for word in ("full", "adapters", "bfloat16", "sharded", "zero")):
        block = sum(value.numel() * 4 for value in model().model.layers[1].parameters())
        assert first["trained_bytes"] == block


def test_an_update_of_one_row_leaves_a_process_without_any():
    """What the cases above rest on."""
    assert [len(share) for share in dealt(random_rows(1), 2)] == [1, 0]


def dealt(rows: list[TrainingRow], count: int) -> list[list[TrainingRow]]:
    deal(rows, count)
    return [[row for row in rows if row.owner == rank] for rank in range(count)]


def test_rows_are_dealt_by_their_tokens():
    rows = random_rows(40)
    shares = dealt(rows, 3)
    assert sorted(id(row) for share in shares for row in share) == sorted(map(id, rows))
    tokens = [sum(len(row.row.tokens) for row in share) for share in shares]
    assert max(tokens) - min(tokens) <= min(len(row.row.tokens) for row in rows) + 1
    assert [list(map(id, share)) for share in dealt(rows, 3)] == [list(map(id, share)) for share in shares]
    assert [id(row) for row in dealt(rows, 1)[0]] == list(map(id, rows))


@pytest.mark.fault
def test_a_stop_in_one_process_stops_all_after_the_same_iteration(trained: Path):
    for rank in range(2):
        assert [report["iteration"] for report in of(trained, "stopped", rank)[0]["reports"]] == [0, 1]


def test_a_failure_in_one_process_ends_all(trained: Path):
    said = [json.loads((trained / f"said.{rank}.json").read_text()) for rank in range(2)]
    assert said[0]["failing"] == "OtherProcessError: process 1 failed: no such door here"
    assert said[1]["failing"] == "InputError: no such door here"
    assert ["different weights" in words["different"] for words in said] == [True, True]
    assert [words["first"] for words in said] == [0, 0]


def test_one_process_tells_nobody_anything():
    assert ALONE.main
    assert ALONE.gather({"a": (1, 2)}) == [{"a": (1, 2)}]
    assert ALONE.first(lambda: 3) == ALONE.agree(3) == 3
    assert ALONE.share_of(lambda: 3) == [3]
    assert ALONE.total({"a": 1.5}) == {"a": 1.5}
    assert not ALONE.any(False)


@pytest.mark.parametrize("name", ["sharded block with a reference", "sharded full"])
def test_spread_weights_exchange_only_the_targets_gradients_once_an_update(trained: Path, name: str):
    for rank in range(2):
        found, _ = of(trained, name, rank)
        assert found["held_bytes"] == pytest.approx(found["trained_bytes"] / 2, rel=0.1)
        starts = [*(update["scattered"] for update in found["updates"]), len(found["scattered"])]
        for start, end in pairwise(starts):
            # Shards are padded to one size.
            assert found["trained_bytes"] <= sum(found["scattered"][start:end]) < 1.1 * found["trained_bytes"]


def test_a_checkpoint_of_several_processes_goes_on_bit_for_bit(trained: Path):
    for rank in range(2):
        assert json.loads((trained / f"said.{rank}.json").read_text())["resumed"] == [True] * (
            4 if together.ZERO else 2
        )


@pytest.mark.parametrize("name", together.ZERO)
def test_deepspeed_sums_up_only_the_targets_gradients_and_spreads_the_optimizer(trained: Path, name: str):
    for rank in range(2):
        found, _ = of(trained, name, rank)
        floats = found["trained_bytes"] * (2 if "bfloat16" in name else 1)
        assert found["optimizer_bytes"] == pytest.approx(3 * floats / 2, rel=0.1)
        starts = [*(update["reduced"] for update in found["updates"]), len(found["reduced"])]
        for start, end in pairwise(starts):
            # The norm of the gradient is summed up as well, in few bytes.
            sums = [size for size in found["reduced"][start:end] if size > 8]
            passes = 0 if "no rows" in name else len(sums) if "zero 2" in name else 1
            assert sums == [found["trained_bytes"]] * passes


def test_fsdp_is_ours(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("KEYSTONE_USE_FSDP", "false")
    with pytest.raises(InputError, match="only GroupTrainer spreads weights"):
        main(RunConfig())
    assert GroupConfig(use_cpu=True).shard
    assert GroupConfig(use_cpu=True).shard
    monkeypatch.setenv("ACCELERATE_USE_MEGATRON_LM", "true")
    with pytest.raises(InputError, match="MEGATRON_LM: GroupTrainer trains on several processes with"):
        GroupConfig(use_cpu=True)


def test_a_command_of_one_process_refuses_a_launcher(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("WORLD_SIZE", "2")
    for rank, whose in ((0, ""), (1, "process 1: ")):
        monkeypatch.setenv("RANK", str(rank))
        assert run_command("python -m envs.list", ListConfig, list_environments, description="", argv=[]) == 2
        said = capsys.readouterr().err
        assert said.startswith(f"{whose}error: python -m envs.list was launched as 2 processes"), said
        assert said.count("\n") == 1
