"""The sampler's benchmark: both samplers play the same episodes, and the command says how fast."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from agents.policies.rereading import RereadingPolicy
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.rollout import rollout
from agents.types import EpisodeKey
from envs.command import run_command
from evals.speed import SpeedConfig, main
from tests.agents.models import Corridor, byte_tokenizer, model


@pytest.mark.parametrize("kind", ["qwen3", "qwen2", "llama"])
@pytest.mark.parametrize("chat", [False, True])
def test_greedily_both_say_the_same(kind: str, chat: bool):
    policy = TransformersPolicy(model(kind), byte_tokenizer(chat), Sampling(0.0, 9))
    keys = [EpisodeKey(5, 2, f"walk:{number}", 0) for number in range(6)]
    plain, cached = (rollout(Corridor, one, keys, batch=4) for one in (RereadingPolicy(policy), policy))
    for one, other in zip(plain, cached, strict=True):
        assert [turn.tokens for turn in one.turns] == [turn.tokens for turn in other.turns]
        assert [turn.prompt_tokens for turn in one.turns] == [turn.prompt_tokens for turn in other.turns]
        assert one.stop == other.stop


def test_both_end_where_the_context_does():
    policy = TransformersPolicy(model(), byte_tokenizer(), Sampling(0.0, 9), max_context=90)
    keys = [EpisodeKey(5, 2, "walk:3", 0)]
    one, other = (rollout(lambda: Corridor(30), each, keys)[0] for each in (RereadingPolicy(policy), policy))
    assert one.stop == other.stop == "context"
    assert len(one.turns) == len(other.turns) > 1


def test_it_samples_at_a_temperature():
    policy = TransformersPolicy(model(), byte_tokenizer(), Sampling(1.0, 9))
    keys = [EpisodeKey(5, 2, f"walk:{number}", 0) for number in range(4)]
    said = {turn.reply for episode in rollout(Corridor, RereadingPolicy(policy), keys) for turn in episode.turns}
    assert len(said) > 1


def test_the_command_says_how_fast_and_how_alike(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    words = ["policy=tiny", "data=generated", "env.max_turns=4", "episodes=3", "rounds=2", f"out={tmp_path / 'a.json'}"]
    assert run_command("speed", SpeedConfig, main, description="", argv=words) == 0
    content = json.loads((tmp_path / "a.json").read_text())
    cached, plain = content["rows"]
    assert content["episodes_alike"] == 3
    assert cached["tokens"] == plain["tokens"] > 0
    assert content["ratio"] == cached["tokens_per_second"] / plain["tokens_per_second"]
    printed = capsys.readouterr().out
    assert "3 of 3 episodes word for word alike" in printed
    assert printed.count("tokens/s") == 2


def test_figures_that_cannot_be_kept_are_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    (tmp_path / "file").write_text("")
    out = tmp_path / "file" / "a.json"
    words = ["policy=tiny", "data=generated", "env.max_turns=2", "episodes=1", "rounds=1", f"out={out}"]
    assert run_command("speed", SpeedConfig, main, description="", argv=words) == 1
    assert capsys.readouterr().err == f"error: cannot write {tmp_path / 'file'}: File exists.\n"


def test_a_scripted_player_is_refused(capsys: Any):
    assert run_command("speed", SpeedConfig, main, description="", argv=["policy=expert", "data=generated"]) == 2
    assert "policy=expert is no model" in capsys.readouterr().err
    words = ["policy=tiny", "data=generated", "policy.context=window:2"]
    assert run_command("speed", SpeedConfig, main, description="", argv=words) == 2
    assert "there is nothing to compare" in capsys.readouterr().err
