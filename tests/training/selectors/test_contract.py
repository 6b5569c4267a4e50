"""What every layer selector keeps, found by itself in `training/selectors/`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import pytest
import torch

from agents.policies.transformers import Sampling, TransformersPolicy
from agents.targets import Target, parse, select
from envs.errors import InputError
from envs.installation import REPOSITORY
from tests.agents.models import byte_tokenizer
from tests.training.guessing import Guess, small_model, write_model
from tests.training.test_selection import opened
from training import selection, selectors
from training.advantages import gigpo
from training.batches import by_episode
from training.collect import Estimator, collect
from training.prepare import check_layer
from training.selectors import Choice, Groups, Probe
from training.tasks import iteration_keys

BLOCKS = 4
TINY = REPOSITORY / "agents" / "pretrained" / "tiny"


@pytest.fixture(scope="module")
def groups() -> Groups:
    """Six groups of four real episodes."""
    policy = TransformersPolicy(small_model(BLOCKS), byte_tokenizer(), Sampling(1.0, 4))
    rows = collect(Guess, policy, iteration_keys(Guess(), 0, 0, 6, 4), Estimator(gigpo, gigpo.Config(), 10.0, 0.1)).rows
    return by_episode(rows)


def probe(groups: Groups, seed: int = 0, micro_batch_tokens: int = 200) -> Probe:
    model = small_model(BLOCKS)
    return Probe(
        model=model,
        num_blocks=BLOCKS,
        groups=lambda: groups,
        device=model.device,
        temperature=1.0,
        micro_batch_tokens=micro_batch_tokens,
        seed=seed,
    )


def weights(model: torch.nn.Module) -> dict[str, bytes]:
    return {name: value.detach().numpy().tobytes() for name, value in model.state_dict().items()}


def test_every_file_is_a_name_of_the_command_line():
    for name in selectors.names():
        check_layer(name, str(TINY))
        assert parse(name, BLOCKS, selectors.names()) is None


def test_a_new_file_is_a_selector_without_any_other_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "topmost.py").write_text("from training.selectors import Choice\n")
    monkeypatch.setattr(selectors, "__path__", [*selectors.__path__, str(tmp_path)])
    check_layer("topmost", str(TINY))
    with pytest.raises(InputError, match=r"names no layer.*topmost"):
        check_layer("lowermost", str(TINY))


def test_an_unknown_selector_is_refused():
    with pytest.raises(InputError, match="Did you mean 'random'"):
        selectors.find("randon")


class Forbidden:
    """A panel, and what makes its environments, that nobody may look at."""

    def __getattribute__(self, name: str) -> NoReturn:
        raise AssertionError(f"the panel's {name} was looked at")

    def __call__(self) -> NoReturn:
        raise AssertionError("the panel's environment was made")

    def __iter__(self) -> NoReturn:
        raise AssertionError("the panel was gone through")


@pytest.fixture(scope="module")
def model_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("contract") / "model", BLOCKS)


@pytest.mark.parametrize("name", selectors.names())
def test_no_selector_sees_the_panel_or_spends_more_than_its_budget(
    name: str, model_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    def race(*_: Any) -> NoReturn:
        raise AssertionError(f"{name} races without RACES = True")

    if not selectors.races(name):
        monkeypatch.setattr(selection._Selection, "_race", race)
    with opened(model_folder, tmp_path, "budget=0.3") as run:
        assert not set(run.probe.tasks) & set(run.panel.tasks)
        run.panel = run.panel_env = Forbidden()  # type: ignore[assignment]
        with pytest.raises(AssertionError, match="the panel's tasks was looked at"):
            _ = run.panel.tasks
        cost = selection.choose(run, name)["cost"]
    assert cost["share"] >= 0
    if selectors.races(name):
        assert cost["share"] <= 0.3 + 1e-9


@pytest.mark.parametrize("name", selectors.names())
class TestContract:
    def choose(self, name: str, groups: Groups, seed: int = 0) -> tuple[Choice, Probe]:
        given = probe(groups, seed)
        return selectors.find(name)(given), given

    def test_the_choice_is_among_the_blocks_and_says_why(self, name: str, groups: Groups):
        for seed in range(5):
            choice, _ = self.choose(name, groups, seed)
            assert choice.selector == name
            assert choice.indices
            assert list(choice.indices) == sorted(set(choice.indices))
            assert set(choice.indices) <= set(range(BLOCKS))
            assert choice.why.strip()
            assert "\n" not in choice.why

    def test_every_block_has_a_score_or_none(self, name: str, groups: Groups):
        choice, _ = self.choose(name, groups)
        assert [block.index for block in choice.blocks] == list(range(BLOCKS))
        scored = [block.score is not None for block in choice.blocks]
        assert all(scored) or not any(scored)
        assert all(np.isfinite(block.score) for block in choice.blocks if block.score is not None)
        content = json.loads(json.dumps(choice.as_json({"seconds": 1.0}), allow_nan=False))
        assert set(content) == {"selector", "target", "chosen", "why", "blocks", "cost"}

    def test_the_model_is_left_as_it_was(self, name: str, groups: Groups):
        _, given = self.choose(name, groups)
        assert weights(given.model) == weights(small_model(BLOCKS))
        assert all(value.grad is None for value in given.model.parameters())

    def test_the_same_probe_gives_the_same_choice(self, name: str, groups: Groups):
        torch.manual_seed(1)
        first, _ = self.choose(name, groups, 7)
        torch.manual_seed(2)
        second, _ = self.choose(name, groups, 7)
        assert first == second

    def test_a_probe_without_episodes_has_a_choice_too(self, name: str, groups: Groups):
        choice, _ = self.choose(name, [])
        assert set(choice.indices) <= set(range(BLOCKS))

    def test_training_can_follow(self, name: str, groups: Groups):
        choice, given = self.choose(name, groups)
        trained = select(given.model, Target(choice.indices))
        given.model(torch.tensor([[1, 2, 3]])).logits.sum().backward()
        assert {key for key, value in given.model.named_parameters() if value.grad is not None} == set(trained)
