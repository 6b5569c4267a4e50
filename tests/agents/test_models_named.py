"""Names of models that people type: each is a folder, a hub id, or refused in one line."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents.models import is_path, locate_model
from envs.errors import InputError

LONG = "a" * 300


@pytest.mark.parametrize(
    "name",
    ["~nosuchuser/x", "~nosuchuser", f"{LONG}/x", LONG, f"x/{LONG}", "foo/ba*r", "foo/-x", "a/b/c", "", "/", "a\0/b"],
)
def test_what_is_no_model_is_one_line(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    assert is_path(name) == ("/" in name)
    with pytest.raises(InputError) as refusal:
        locate_model(name, "policy")
    assert str(refusal.value).startswith("policy=")
    assert "\n" not in str(refusal.value)
    assert len(str(refusal.value)) < 350


def test_a_hub_id_stays_as_it_is():
    assert is_path("Qwen/Qwen3-0.6B")
    assert locate_model("Qwen/Qwen3-0.6B") == "Qwen/Qwen3-0.6B"


def test_a_folder_may_be_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("config.json", "tokenizer.json", "model.safetensors"):
        (tmp_path / name).write_text("{}")
    assert is_path("~/")
    assert locate_model("~") == str(tmp_path)
