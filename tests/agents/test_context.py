"""Prompts of their own that tell the last turns again: what they say, that they are exact, and that no row is lost."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from agents.policies.transformers import Sampling, TransformersPolicy
from agents.prompts import Manner, manner_of, parse_context, recalled
from agents.rollout import rollout
from agents.rows import rows
from agents.types import Episode, EpisodeKey, Format
from envs.errors import InputError
from envs.types import TextEnv
from tests.agents.models import Corridor, byte_tokenizer, model
from training.advantages import gigpo
from training.collect import Estimator, from_episodes

PAST = [("You see a key.", "take key"), ("Nothing happens.", "open door")]


def policy(context: str, chat: bool = False, max_context: int | None = None) -> TransformersPolicy:
    manner = manner_of(TextEnv, context)
    return TransformersPolicy(model(), byte_tokenizer(chat), Sampling(1.0, 9), manner=manner, max_context=max_context)


def played(context: str, chat: bool = False, batch: int = 4, count: int = 8) -> list[Episode]:
    keys = [EpisodeKey(5, 2, f"walk:{index % 4}", index // 4) for index in range(count)]
    return rollout(Corridor, policy(context, chat), keys, batch=batch)


@pytest.mark.parametrize(("context", "window"), [("full", None), ("window:0", 0), ("Window:2", 2)])
def test_contexts_have_names(context: str, window: int | None):
    assert parse_context(context) == window
    assert manner_of(TextEnv, context).window == window


@pytest.mark.parametrize("context", ["window", "window:", "window:-1", "window:two", "full:2", "last:2", ""])
def test_other_contexts_are_refused(context: str):
    with pytest.raises(InputError, match="Give full, or window:K"):
        parse_context(context)


def test_a_prompt_of_its_own_tells_task_turns_and_what_is_seen():
    told = recalled("A lamp.", "find a lamp", PAST, 5, Format.CHAT)
    assert told == (
        "Your task: find a lamp\n\nTurns so far: 5. The last 2:\n\nYou saw: You see a key.\nYou did: take key\n\n"
        "You saw: Nothing happens.\nYou did: open door\n\nYou see now: A lamp."
    )
    assert recalled("A lamp.", "find a lamp", [], 3, Format.CHAT) == (
        "Your task: find a lamp\n\nTurns so far: 3.\n\nYou see now: A lamp."
    )
    assert recalled("A lamp.", "find a lamp", [], 0, Format.CHAT) == "A lamp."


def test_a_plain_prompt_of_its_own_is_the_transcript():
    transcript = "You see a key.\n\n> take key\nNothing happens.\n\n> open door\nA lamp."
    assert recalled("A lamp.", "find a lamp", PAST, 2, Format.PLAIN) == transcript
    assert recalled("A lamp.", "find it", PAST, 3, Format.PLAIN) == f"Your task: find it\n\n{transcript}"


@pytest.mark.parametrize("chat", [False, True])
@pytest.mark.parametrize("context", ["window:0", "window:2"])
def test_every_turn_is_a_row_whose_logprobs_are_those_of_a_plain_pass(context: str, chat: bool):
    acting = policy(context, chat)
    for episode in played(context, chat):
        parts = rows(episode)
        assert len(parts) == len(episode.turns)
        for index, part in enumerate(parts):
            assert set(part.turn) == {index}
            assert tuple(part.tokens[part.sampled]) == episode.turns[index].tokens
            tokens = torch.from_numpy(part.tokens)[None]
            with torch.inference_mode():
                expected = acting.model(tokens).logits[0].double().log_softmax(-1)
            chosen = expected[:-1].gather(1, tokens[0, 1:, None])[:, 0].numpy()
            np.testing.assert_allclose(part.logprobs[part.sampled], chosen[part.sampled[1:]], atol=1e-5)


def test_a_prompt_holds_the_window_and_no_more():
    tokenizer = byte_tokenizer(chat=True)
    for episode in played("window:2", chat=True):
        for index, turn in enumerate(episode.turns):
            text = tokenizer.decode(turn.prompt_tokens)
            assert text.count("You did:") == min(index, 2)
            assert text.startswith("<|im_start|>user\n" + manner_of(TextEnv).instructions)
            assert (f"Turns so far: {index}." in text) == (index > 0)
            assert turn.observation.strip() in text
            for before in episode.turns[max(index - 2, 0) : index]:
                assert f"You saw: {before.observation.strip()}\nYou did: {before.action}" in text


def test_results_do_not_depend_on_the_batch():
    for one, other in zip(played("window:1", batch=1), played("window:1", batch=8), strict=True):
        assert [turn.tokens for turn in one.turns] == [turn.tokens for turn in other.turns]


def test_with_the_full_context_an_episode_is_one_row():
    for episode in played("full"):
        (only,) = rows(episode)
        assert only.tokens.tolist() == [
            token for turn in episode.turns for token in (*turn.prompt_tokens, *turn.tokens)
        ]
        assert only.turn.max() == len(episode.turns) - 1
    (empty,) = rows(Episode(EpisodeKey(0, 0, "walk:0", 0)))
    assert len(empty.tokens) == 0


def test_no_sampled_token_is_lost_and_each_has_its_turns_advantage():
    episodes = played("window:2", count=8)
    estimator = Estimator(gigpo, gigpo.Config(), 10.0, 0.1)
    collected = from_episodes(episodes, estimator)
    assert len(collected.rows) == sum(len(episode.turns) for episode in episodes)
    assert sum(one.num_sampled for one in collected.rows) == sum(episode.num_sampled_tokens for episode in episodes)
    by_turn = np.concatenate(estimator.advantages(episodes)).astype(np.float32)
    for one, expected in zip(collected.rows, by_turn, strict=True):
        assert set(one.advantages) == {expected}


def test_a_window_outlives_a_context_that_a_growing_sequence_outgrows():
    keys = [EpisodeKey(5, 2, "walk:3", member) for member in range(8)]
    grown, windowed = (
        rollout(lambda: Corridor(30), policy(context, max_context=150), keys) for context in ("full", "window:1")
    )
    assert max(len(episode.turns) for episode in windowed) > max(len(episode.turns) for episode in grown)
    assert not any(episode.stop == "context" for episode in windowed)


def test_free_text_worlds_have_windows_too():
    assert manner_of(type("Riddles", (TextEnv,), {"free_text": True, "instructions": "Solve."}), "window:3") == Manner(
        "Solve.", True, 3
    )
