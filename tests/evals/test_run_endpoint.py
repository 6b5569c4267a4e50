"""`evals.run policy=endpoint` as a user calls it, against a real HTTP server with a real small model behind it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from agents.dialogue import Dialogue
from agents.parsing import parse
from agents.policies.transformers import load as load_model
from agents.prompts import manner_of
from agents.types import Format
from envs.alfworld.environment import ALFWorld
from envs.command import run_command
from envs.installation import REPOSITORY
from evals import run
from tests.agents.chat_server import Brain, Messages, chooser, refuse, serving

TINY = REPOSITORY / "agents" / "pretrained" / "tiny"
GAMES = ("env=alfworld", "data=generated", "tasks=5", "env.max_turns=8", "temperatures=[0]", "device=cpu")
CORRIDORS = ("env=tests.envs.corridor:Corridor", "env.length=30", "env.max_turns=5", "tasks=6")


def evaluate(*words: str) -> int:
    return run_command("evals", run.EvalConfig, run.main, description="", argv=words)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "episodes.jsonl").read_text().splitlines()]


def tiny() -> Brain:
    """The shipped policy behind chat messages: it reads the transcript that they tell, and says the next command."""
    model, tokenizer = load_model(str(TINY))
    dialogue = Dialogue(tokenizer, manner_of(ALFWorld))
    first = f"{manner_of(ALFWorld).instructions}\n\n"

    def brain(messages: Messages, body: dict[str, Any]) -> tuple[str, int | None]:
        assert body["temperature"] == 0
        ids: tuple[int, ...] = ()
        for message in messages:
            if message["role"] == "assistant":
                ids += dialogue.spoken(parse(message["content"], Format.CHAT).action)
            else:
                seen = message["content"].removeprefix(first).rpartition("\n\nAdmissible commands: ")[0]
                ids += dialogue.bridge(seen, [], ids[-1]) if ids else dialogue.opening(seen, [])
        with torch.inference_mode():
            out = model.generate(
                torch.tensor([ids]), do_sample=False, max_new_tokens=body["max_tokens"], eos_token_id=[*dialogue.stops],
                pad_token_id=tokenizer.eos_token_id,
            )  # fmt: skip
        said = out[0, len(ids) :].tolist()
        return f"<action>{dialogue.text(said)}</action>", len(said)

    return brain


def test_a_model_plays_behind_an_endpoint_as_it_does_here(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    assert evaluate(*GAMES, "policy=tiny", f"out={tmp_path / 'here'}") == 0
    with serving(tiny(), ["tiny-chat"]) as server:
        words = ("policy=endpoint", f"policy.url={server.url}", "policy.max_reply_tokens=12", "policy.concurrency=2")
        assert evaluate(*GAMES, *words, f"out={tmp_path / 'there'}") == 0
        assert {headers["Authorization"] for headers in server.headers} == {"Bearer sk-very-secret"}
    here, there = rows(tmp_path / "here"), rows(tmp_path / "there")
    assert [row["task"] for row in there] == [row["task"] for row in here]
    for one, other in zip(here, there, strict=True):
        assert [turn["action"] for turn in other["turns"]] == [turn["action"] for turn in one["turns"]]
        assert [turn["tokens"] for turn in other["turns"]] == [turn["tokens"] for turn in one["turns"]]
        assert (other["won"], other["stop"], other["final"]) == (one["won"], one["stop"], one["final"])
    found = json.loads((tmp_path / "there" / "score.json").read_text())
    assert (found["policy"], found["model"], found["url"]) == ("endpoint", "tiny-chat", server.url)
    said = capsys.readouterr()
    assert f"policy: tiny-chat at {server.url}" in said.out
    for text in (said.out, said.err, *(file.read_text() for file in (tmp_path / "there").iterdir())):
        assert "sk-very-secret" not in text


def test_a_service_that_fails_ends_the_command_in_one_line_and_it_can_go_on(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
):
    with serving(chooser) as server:
        words = (*CORRIDORS, "policy=endpoint", f"policy.url={server.url}", "policy.model=small", "temperatures=[1]")
        assert evaluate(*words, f"out={tmp_path / 'whole'}") == 0
        asked = len(server.asked)
        slow = (*words, "policy.concurrency=1", "batch=1", "policy.deadline=0.1", f"out={tmp_path / 'parts'}")
        # Two episodes are played, then the service breaks down.
        count = sum(len(row["turns"]) for row in rows(tmp_path / "whole")[:2])
        server.troubles = [*[None] * count, *[refuse(503, "out of order")] * 3]
        capsys.readouterr()
        assert evaluate(*slow) == 1
        line = capsys.readouterr().err
        assert line.startswith(f"error: policy.url={server.url}: no answer within 0.1 s")
        assert line.count("\n") == 1
        assert len(rows(tmp_path / "parts")) == 2
        server.troubles.clear()
        before = len(server.asked)
        assert evaluate(*slow) == 0
        assert len(server.asked) - before == asked - count
    whole, parts = ([row | {"cost": None} for row in rows(tmp_path / name)] for name in ("whole", "parts"))
    assert parts == whole


def test_a_misspelt_model_does_not_bind_the_folder(capsys: pytest.CaptureFixture[str], tmp_path: Path):
    with serving(chooser) as server:
        asked = (f"policy.url={server.url}", "temperatures=[0]", f"out={tmp_path / 'out'}")
        words = (*CORRIDORS, "policy=endpoint", *asked)
        server.troubles = [refuse(404, "no such model")] * 6
        assert evaluate(*words, "policy.model=smal") == 2
        assert "refuses model 'smal' (HTTP 404" in capsys.readouterr().err
        server.troubles.clear()
        assert evaluate(*words, "policy.model=small", "seeds=0,1") == 0
    assert {row["seed"] for row in rows(tmp_path / "out")} == {0, 1}
    # What a service does at temperature 0 is not ours to say.
    assert "Nothing is drawn" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "line"),
    [
        ([], "policy=endpoint needs policy.url=http://host:port/v1 and policy.model=NAME."),
        (["policy.url=here"], "policy.url=here is no address"),
        (["policy.url=http://127.0.0.1:9/v1"], "nothing answers there"),
        (["policy.url=http://a:b@here/v1"], "may hold no user, password"),
        (["policy.ulr=http://here/v1"], "Did you mean 'policy.url'?"),
        (["policy.url=http://here/v1", "policy.context=some"], "context=some is not known"),
        (["policy.url=http://here/v1", "delta=some.safetensors"], "policy=endpoint is a model behind an endpoint"),
    ],
)
def test_wrong_input(words: list[str], line: str, capsys: pytest.CaptureFixture[str], tmp_path: Path):
    assert evaluate(*CORRIDORS, "policy=endpoint", *words, f"out={tmp_path / 'out'}") == 2
    captured = capsys.readouterr()
    assert line in captured.err
    assert captured.err.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_help_of_an_endpoint(capsys: pytest.CaptureFixture[str]):
    assert evaluate("policy=endpoint", "--help") == 0
    said = capsys.readouterr().out
    for name in ("policy.url", "policy.model", "policy.key_variable", "policy.deadline", "policy.concurrency"):
        assert name in said
    assert "policy.path" not in said
