"""A committee on one model equals its members played apart, and computes what they share once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import pytest
import torch
from transformers import PreTrainedModel

from agents import deltas
from agents.delta_bank import BASE, DeltaBank, DeltaPolicy
from agents.draws import uniforms
from agents.policies.committee import Committee, Vote
from agents.policies.sampling import draw_tokens
from agents.policies.session import Said
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.rollout import rollout
from agents.rows import rows
from agents.targets import Target, full, parameters
from agents.types import Episode, EpisodeKey
from envs.errors import InputError
from tests.agents.models import Corridor, byte_tokenizer, model

KEYS = [EpisodeKey(3, 0, f"walk:{number}", 0) for number in range(6)]
VOTES: tuple[Vote, ...] = ("average", "majority")


def moved(language_model: PreTrainedModel, target: Target, seed: int) -> dict[str, torch.Tensor]:
    draw = torch.Generator().manual_seed(seed)
    own = parameters(language_model, target)
    return {name: value.detach() + 0.1 * torch.randn(value.shape, generator=draw) for name, value in own.items()}


def bank_of(targets: dict[str, Target], kind: str = "qwen3") -> DeltaBank:
    language_model = model(kind)
    bank = DeltaBank(language_model)
    for seed, (name, target) in enumerate(targets.items()):
        tensors = moved(language_model, target, seed)
        bank.put(name, tensors, deltas.Card(bank.base_sha256, deltas.fingerprint(tensors), target.name, {}))
    return bank


def policy(bank: DeltaBank, temperature: float = 1.0, tokens: int = 6) -> TransformersPolicy:
    return TransformersPolicy(bank.model, byte_tokenizer(), Sampling(temperature, tokens))


def committee(bank: DeltaBank, members: Sequence[str], vote: Vote, temperature: float = 1.0) -> Committee:
    return Committee(policy(bank, temperature), bank, members, vote)


def same(first: list[Episode], second: list[Episode]) -> None:
    for one, other in zip(first, second, strict=True):
        (mine,), (theirs,) = rows(one), rows(other)
        assert mine.tokens.tolist() == theirs.tokens.tolist()
        np.testing.assert_allclose(mine.logprobs, theirs.logprobs, atol=1e-5)


THREE = {"one": Target((1,)), "two": Target((2,)), "both": Target((1, 2))}


@pytest.mark.parametrize("vote", VOTES)
@pytest.mark.parametrize("members", [("one",), ("two", "two"), ("one", "one", "one", "one"), (BASE,)])
def test_a_committee_of_one_mind_plays_as_that_delta_alone(vote: Vote, members: tuple[str, ...]):
    bank = bank_of(THREE)
    wanted = rollout(Corridor, DeltaPolicy(policy(bank), bank, members[0]), KEYS, batch=4)
    same(rollout(Corridor, committee(bank, members, vote), KEYS, batch=4), wanted)
    assert deltas.base_fingerprint(bank.model) == bank.base_sha256


def apart(bank: DeltaBank, members: Sequence[str], tokens: np.ndarray) -> list[torch.Tensor]:
    """Each member's next logits (V,) after tokens, read without any cache."""
    found = []
    for name in members:
        with bank.using(name), torch.inference_mode():
            found.append(bank.model(torch.from_numpy(tokens)[None]).logits[0, -1])
    return found


@pytest.mark.parametrize("kind", ["qwen3", "qwen2", "llama"])
@pytest.mark.parametrize("temperature", [0.0, 0.8])
def test_every_token_of_an_average_is_drawn_from_the_mean_of_the_members_logits(kind: str, temperature: float):
    bank = bank_of(THREE, kind)
    members = ("one", "two", "both")
    for episode in rollout(Corridor, committee(bank, members, "average", temperature), KEYS[:3]):
        (packed,) = rows(episode)
        draws = {turn: iter(uniforms(episode.key, turn, 6)) for turn in range(len(episode.turns))}
        for place in np.flatnonzero(packed.sampled).tolist():
            mean = torch.stack(apart(bank, members, packed.tokens[:place])).mean(0)
            number = next(draws[int(packed.turn[place])])
            token, likely = draw_tokens(mean[None], np.array([number]), temperature)
            assert token[0] == packed.tokens[place]
            assert likely[0] == pytest.approx(packed.logprobs[place], abs=1e-4)


def alone(bank: DeltaBank, name: str, tokens: list[int], key: EpisodeKey, turn: int) -> list[int]:
    """What one member says after tokens, read again from the start for every token."""
    said: list[int] = []
    stops = policy(bank).dialogue.stops
    for number in uniforms(key, turn, 6):
        with bank.using(name), torch.inference_mode():
            logits = bank.model(torch.tensor([tokens + said])).logits[0, -1:]
        said.append(int(draw_tokens(logits, np.array([number]), 1.0)[0][0]))
        if said[-1] in stops:
            break
    return said


def test_a_majority_plays_what_most_members_say_and_all_go_on_from_there():
    bank = bank_of(THREE)
    members = ("one", "two", "both", BASE)
    plays = policy(bank)
    decided = Counter[int]()
    for episode in rollout(Corridor, committee(bank, members, "majority"), KEYS):
        tokens: list[int] = []
        for turn, played in enumerate(episode.turns):
            tokens += played.prompt_tokens
            said = [alone(bank, name, tokens, episode.key, turn) for name in members]
            texts = [" ".join(plays.dialogue.text(one).strip().split("\n")[0].split()) for one in said]
            votes = Counter(texts)
            most = max(votes.values())
            winner = next(one for one, text in zip(said, texts, strict=True) if votes[text] == most)
            assert list(played.tokens) == winner
            decided[said.index(winner)] += 1
            tokens += played.tokens
    assert len(decided) > 1


@contextmanager
def counted(bank: DeltaBank) -> Iterator[Counter[int]]:
    """Tokens that go through each block's feed-forward layer."""
    counts = Counter[int]()
    handles = []
    for index, block in enumerate(bank.model.model.layers):

        def count(_module: object, inputs: tuple[torch.Tensor, ...], _output: object, index: int = index) -> None:
            counts[index] += inputs[0].shape[-2]

        handles.append(block.mlp.register_forward_hook(count))
    yield counts
    for handle in handles:
        handle.remove()


def test_blocks_below_the_lowest_trained_one_run_once_for_all_members():
    bank = bank_of({"one": Target((1,)), "two": Target((2,))})
    with counted(bank) as counts:
        rollout(Corridor, committee(bank, ("one", "two", "one"), "average"), KEYS)
    assert counts[1] == counts[2] == 3 * counts[0] > 0


def test_the_weights_of_one_model_and_the_deltas_are_all_that_is_kept():
    bank = bank_of({"one": Target((1,)), "two": Target((2,)), "three": Target((2,))})
    block = sum(value.numel() for value in parameters(bank.model, Target((1,))).values())
    before = {value.data_ptr() for value in bank.model.parameters()}
    three = committee(bank, ("one", "two", "three"), "majority")
    rollout(Corridor, three, KEYS)
    assert {value.data_ptr() for value in bank.model.parameters()} == before
    assert sum(value.numel() for delta in bank._deltas.values() for value in delta.values()) == 3 * block
    session = three.open(KEYS[:1], None)
    # Keys and values: one prefix, and what is above it once for each member.
    assert len(session._cache._blocks) == 1 + 3 * 2


@pytest.mark.parametrize(
    ("targets", "shared"),
    [
        ({"a": Target((2,)), "b": Target((1,))}, 1),
        ({"a": Target((2,)), "b": Target((2,))}, 2),
        ({"a": Target((0,)), "b": Target((2,))}, 0),
        ({"a": Target((2,)), "b": full(3)}, 0),
    ],
)
def test_what_is_shared_follows_from_what_the_members_change(targets: dict[str, Target], shared: int):
    bank = bank_of(targets)
    both = committee(bank, ("a", "b"), "average")
    assert both.shared == shared
    (packed,) = rows(rollout(Corridor, both, KEYS[:1])[0])
    first = int(np.flatnonzero(packed.sampled)[0])
    mean = torch.stack(apart(bank, ("a", "b"), packed.tokens[:first])).mean(0).log_softmax(-1)
    assert float(mean[packed.tokens[first]]) == pytest.approx(packed.logprobs[first], abs=1e-4)


def test_a_committee_needs_known_members_and_a_known_vote():
    bank = bank_of(THREE)
    with pytest.raises(InputError, match="needs members"):
        committee(bank, (), "average")
    with pytest.raises(InputError, match=r"unknown delta 'on'\. Did you mean 'one'"):
        committee(bank, ("on",), "average")
    with pytest.raises(InputError, match=r"unknown vote 'avrage'\. Did you mean 'average'"):
        committee(bank, ("one",), "avrage")  # type: ignore[arg-type]


def test_of_replies_that_won_one_in_the_right_form_is_played():
    bank = bank_of(THREE)
    plays = TransformersPolicy(bank.model, byte_tokenizer(chat=True), Sampling(1.0, 6))
    session = Committee(plays, bank, ("one", "two", "both"), "majority").open(KEYS[:1], None)
    encode = byte_tokenizer(chat=True).encode
    bare, right, other = (
        Said(encode(text), [0.0]) for text in ("go east", "<action>go east</action>", "<action>wait</action>")
    )
    assert session._winner([bare, right, other]) is right
    assert session._winner([other, bare, right]) is right
    assert session._winner([other, other, right]) is other
    assert session._winner([bare, other, right]) is right
