"""The main job with `sampler=vllm` through its real command line, with a head that is tied to the embedding."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from envs.installation import REPOSITORY
from tests.agents.models import byte_tokenizer
from tests.agents.vllm.tiny import tiny_model


def test_the_main_job_plays_and_trains_through_vllm(tmp_path: Path):
    model, out = tmp_path / "model", tmp_path / "run"
    tiny_model(tied=True).save_pretrained(model)
    byte_tokenizer().save_pretrained(model)
    words = [
        *("env=tests.training.guessing:Guess", f"model={model}", "model.max_reply_tokens=4", "sampler=vllm"),
        *("vllm.cache_megabytes=128", "iterations=2", "layer=1", "compare=full", "panel_tasks=4", "tuning_tasks=4"),
        *("train.groups=2", "train.group_size=4", "train.updates=2", "train.learning_rate=0.003", f"out={out}"),
    ]
    done = subprocess.run(
        [sys.executable, "-m", "training.run", *words],
        cwd=REPOSITORY,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=1100,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [(row["arm"], row["iteration"]) for row in rows] == [("layer", 0), ("layer", 1), ("full", 0), ("full", 1)]
    for row in rows:
        assert row["mismatch_kl"] < 1e-4
        assert row["cost"]["sync_seconds"] > 0
    everything = sum(value.numel() * 4 for value in tiny_model(tied=True).parameters())
    block = sum(value.numel() * 4 for name, value in tiny_model(tied=True).named_parameters() if ".layers.1." in name)
    assert [row["cost"]["sync_bytes"] for row in rows] == [block, block, everything, everything]
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary["arms"]) == {"base", "layer", "full"}
    assert "mismatch KL" in (out / "log.txt").read_text()
