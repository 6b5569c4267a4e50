"""A training whose vLLM server is killed, and which goes on when there is one again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from envs.installation import REPOSITORY
from evals.folder import Folder
from tests.agents.models import byte_tokenizer
from tests.agents.vllm.serving import free_port, serving
from tests.agents.vllm.tiny import tiny_model

pytestmark = pytest.mark.fault


def start(*words: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "training.run", *words]
    variables = os.environ | {"OMP_NUM_THREADS": "1"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    return subprocess.Popen(command, cwd=REPOSITORY, env=variables, text=True, **pipes)


def finished(folder: Path) -> int:
    return sum(1 for _ in Folder(folder).rows("metrics.jsonl"))


def rows(folder: Path) -> list[dict[str, Any]]:
    return [{name: row[name] for name in row if name != "cost"} for row in Folder(folder).rows("metrics.jsonl")]


def near(value: Any) -> Any:
    """Probabilities depend in their last digits on what the server computed beside."""
    return pytest.approx(value, rel=1e-3, abs=1e-4) if isinstance(value, float) else value


def test_a_run_whose_server_was_killed_goes_on_when_there_is_one_again(tmp_path: Path):
    model, port = tmp_path / "model", free_port()
    tiny_model(7).save_pretrained(model)
    byte_tokenizer().save_pretrained(model)
    words = [
        *("env=tests.training.guessing:Guess", f"model={model}", "model.max_reply_tokens=4", "sampler=vllm"),
        *(f"vllm.url=http://127.0.0.1:{port}", "iterations=3", "layer=1", "compare=none", "panel_tasks=4"),
        *("tuning_tasks=4", "train.groups=2", "train.group_size=4", "train.updates=2", "train.learning_rate=0.003"),
    ]
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    with serving(model, port) as server:
        whole = start(*words, f"out={straight}")
        said = whole.communicate(timeout=500)
        assert whole.returncode == 0, said
        run, until = start(*words, f"out={killed}"), time.monotonic() + 300
        while finished(killed) == 0:
            assert run.poll() is None, run.communicate()
            assert time.monotonic() < until
            time.sleep(0.01)
        server.process.send_signal(signal.SIGKILL)
        _, errors = run.communicate(timeout=500)
    assert run.returncode == 1, errors
    (line,) = [line for line in errors.splitlines() if line.startswith("error: ")]
    assert f"the vLLM server at http://127.0.0.1:{port}" in line
    assert f"go on with: python -m training.run resume={killed}" in line
    assert "Traceback" not in errors
    # The table of faults shows it.
    print("\n" + line.replace(str(killed), "RUN"))
    assert 1 <= finished(killed) < 3
    with serving(model, port):
        resumed = start(f"resume={killed}")
        said = resumed.communicate(timeout=500)
    assert resumed.returncode == 0, said
    assert rows(killed) == [{name: near(value) for name, value in row.items()} for row in rows(straight)]
    delta, expected = (load_file(folder / "delta.safetensors") for folder in (killed, straight))
    assert delta.keys() == expected.keys()
    for name in delta:
        torch.testing.assert_close(delta[name], expected[name], atol=1e-5, rtol=1e-4)
