"""Commands on local data, with every way out closed and secrets in the environment: nothing asks another machine for
anything, and no secret is in a folder that they write or in what they print.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.calling import call, offline
from tests.training.guessing import write_model

pytestmark = pytest.mark.timeout(900)

SECRETS = {
    name: f"sentinel-{number}-of-a-secret"
    for number, name in enumerate(
        ("HF_TOKEN", "OPENAI_API_KEY", "WANDB_API_KEY", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "KEYSTONE_PASSWORD")
    )
}
GUESSING = ["env=tests.training.guessing:Guess", "model.max_reply_tokens=4", "iterations=1", "panel_tasks=6"]
LEARNING = ["tuning_tasks=4", "train.groups=2", "train.group_size=4", "train.beta=0", "temperatures=[1]"]
COMMANDS = {
    "training.run": [*GUESSING, *LEARNING, "layer=3"],
    "training.sweep": [*GUESSING, *LEARNING, "layers=3", "full=false", "lora=", "selectors=none"],
    "training.warmstart": [
        "env=sokoban_tiny",
        "updates=2",
        "vocabulary_episodes=10",
        "demonstrations=16",
        "check_tasks=4",
    ],
    "training.doctor": ["data=generated"],
    "evals.run": ["data=generated", "policy=tiny", "tasks=2", "temperatures=[0]", "env.max_turns=3"],
    "evals.baselines": ["envs=sokoban", "tasks=2"],
}


@pytest.mark.parametrize("command", COMMANDS)
def test_nothing_leaves(command: str, tmp_path: Path):
    words, out, home = COMMANDS[command], tmp_path / "out", tmp_path / "home"
    home.mkdir()
    if command in ("training.run", "training.sweep"):
        words = [*words, f"model={write_model(tmp_path / 'model', 8)}"]
    if command != "evals.baselines":
        words = [*words, f"out={out}"]
    variables = offline(tmp_path / "offline") | SECRETS | {"HOME": str(home), "KEYSTONE_CACHE": str(tmp_path / "cache")}
    done = call(command, *words, **variables)
    assert done.returncode == 0, done.stderr + done.stdout
    attempts = Path(variables["ATTEMPTS"])
    assert not attempts.exists(), attempts.read_text(encoding="utf-8")
    written = [path for path in tmp_path.rglob("*") if path.is_file() and path.parent != tmp_path / "offline"]
    assert command in ("training.doctor", "evals.baselines") or any(path.is_relative_to(out) for path in written)
    for name, secret in SECRETS.items():
        assert secret not in done.stdout + done.stderr, name
        holders = [str(path) for path in written if secret.encode() in path.read_bytes()]
        assert not holders, (name, holders)


def test_a_file_cannot_ask_for_a_secret(tmp_path: Path):
    """The library that merges configurations would put an environment variable in."""
    file = tmp_path / "config.yaml"
    file.write_text("layer: ${oc.env:HF_TOKEN}\n", encoding="utf-8")
    done = call("training.run", f"config={file}", f"out={tmp_path / 'out'}", **SECRETS)
    assert done.returncode == 2
    assert "layer must be text, got '${oc.env:HF_TOKEN}'" in done.stderr
    assert SECRETS["HF_TOKEN"] not in done.stdout + done.stderr
    assert not (tmp_path / "out").exists()
