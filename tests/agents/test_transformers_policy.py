"""Sampling with the cache equals plain execution, whatever the batch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from agents.draws import uniforms
from agents.policies import session
from agents.policies.sampling import draw_tokens
from agents.policies.transformers import Sampling, TransformersPolicy, load
from agents.rollout import rollout
from agents.rows import Row
from agents.rows import rows as rows_of
from agents.types import Episode, EpisodeKey, Format, StopReason
from envs.errors import InputError
from envs.types import Info
from envs.worlds import LocalWorlds
from tests.agents.models import Corridor, byte_tokenizer, model

KINDS = ["qwen3", "qwen2", "llama"]


def keys(count: int, kind: str = "walk", seed: int = 5) -> list[EpisodeKey]:
    return [EpisodeKey(seed, 2, f"{kind}:{index % 7}", index // 7) for index in range(count)]


def policy(
    kind: str = "qwen3", chat: bool = False, temperature: float = 1.0, tokens: int = 9, **kwargs: int
) -> TransformersPolicy:
    return TransformersPolicy(model(kind), byte_tokenizer(chat), Sampling(temperature, tokens), **kwargs)


def row(episode: Episode) -> Row:
    (only,) = rows_of(episode)
    return only


def plain_logprobs(played: TransformersPolicy, episode: Episode, temperature: float = 1.0) -> np.ndarray:
    tokens = torch.from_numpy(row(episode).tokens)[None]
    with torch.inference_mode():
        logprobs = (played.model(tokens).logits[0].double() / temperature).log_softmax(-1)
    return np.append(0.0, logprobs[:-1].gather(1, tokens[0, 1:, None])[:, 0].numpy())


def same(first: list[Episode], second: list[Episode]) -> None:
    assert len(first) == len(second)
    for one, other in zip(first, second, strict=True):
        assert row(one).tokens.tolist() == row(other).tokens.tolist()
        np.testing.assert_allclose(row(one).logprobs, row(other).logprobs, atol=1e-5)
        assert (one.stop, one.won, one.key) == (other.stop, other.won, other.key)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize(("chat", "temperature"), [(False, 1.0), (True, 0.7)])
def test_logprobs_equal_a_plain_forward_pass(kind: str, chat: bool, temperature: float) -> None:
    played = policy(kind, chat, temperature)
    for episode in rollout(Corridor, played, keys(8), batch=4):
        assert len(episode.turns) > 0
        packed = row(episode)
        expected = plain_logprobs(played, episode, temperature)
        np.testing.assert_allclose(packed.logprobs[packed.sampled], expected[packed.sampled], atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_results_do_not_depend_on_batch_size(kind: str) -> None:
    played = policy(kind)
    together = rollout(Corridor, played, keys(64), batch=64)
    assert len({turn.tokens for episode in together for turn in episode.turns}) > 100
    same(together[:24], rollout(Corridor, played, keys(24), batch=8))
    same(together[:4], rollout(Corridor, played, keys(4), batch=1))


def test_results_do_not_depend_on_the_order_of_rows() -> None:
    played = policy()
    order = np.random.default_rng(0).permutation(20)
    shuffled = rollout(Corridor, played, [keys(20)[index] for index in order], batch=6)
    same(rollout(Corridor, played, keys(20), batch=20), [shuffled[place] for place in np.argsort(order)])


def test_greedy_is_the_most_likely_token() -> None:
    played = policy(temperature=0.0)
    for episode in rollout(Corridor, played, keys(3)):
        packed = row(episode)
        with torch.inference_mode():
            best = played.model(torch.from_numpy(packed.tokens)[None]).logits[0].argmax(-1).numpy()
        places = np.flatnonzero(packed.sampled)
        assert (packed.tokens[places] == best[places - 1]).all()


def test_replies_that_end_early_leave_the_others_alone() -> None:
    """Rows speak for 1 to 40 tokens, so most are idle most of the time, and are picked out."""
    played = policy(tokens=40)
    episodes = rollout(lambda: Corridor(3), played, keys(24), batch=24)
    lengths = [len(turn.tokens) for episode in episodes for turn in episode.turns]
    assert min(lengths) < 10
    assert max(lengths) == 40
    same(rollout(lambda: Corridor(3), played, keys(2), batch=1), episodes[:2])


@pytest.mark.parametrize("share", [0.01, 0.5, 1.0])
def test_results_do_not_depend_on_how_many_are_heard_at_a_time(share: float, monkeypatch: pytest.MonkeyPatch) -> None:
    played = policy(tokens=20)
    expected = rollout(Corridor, played, keys(24), batch=16)
    monkeypatch.setattr(session, "_SHARE_HEARD", share)
    same(rollout(Corridor, played, keys(24), batch=16), expected)


def test_nobody_waits_for_the_longest_reply() -> None:
    """Those who have spoken are asked again, and heard again, while others are in the midst of the same reply."""
    played = policy(tokens=60)
    # Of about eight tokens, and now and then of many more.
    played.dialogue.stops = frozenset(range(0, 420, 8))
    running = played.open(keys(16), LocalWorlds(Corridor))
    info = Info(admissible_commands=[], anchor="", won=False, goal="", task="", task_type="")
    running.ask(range(16), ["You see a door ."] * 16, [info] * 16)
    turns = dict.fromkeys(range(16), 0)
    while 0 in turns.values() and max(turns.values()) < 4:
        heard = running.listen()
        assert 0 < len(heard) < 16
        for each in heard:
            turns[each] += 1
        running.ask(list(heard), ["Nothing happens ."] * len(heard), [info] * len(heard))
    assert max(turns.values()) >= 2 + min(turns.values())


def test_asking_all_and_hearing_all_is_what_reply_does() -> None:
    played = policy(tokens=20)
    info = Info(admissible_commands=[], anchor="", won=False, goal="", task="", task_type="")
    asked = (range(8), ["You see a door ."] * 8, [info] * 8)
    expected = played.open(keys(8), LocalWorlds(Corridor)).reply(*asked)
    running, heard = played.open(keys(8), LocalWorlds(Corridor)), {}
    running.ask(*asked)
    while len(heard) < 8:
        heard |= running.listen()
    assert [heard[each].tokens for each in range(8)] == [reply.tokens for reply in expected]


def test_turns_hold_the_text_of_their_tokens() -> None:
    played = policy()
    tokenizer = byte_tokenizer()
    for episode in rollout(Corridor, played, keys(6)):
        text = ""
        for turn in episode.turns:
            cut = bool(text) and text[-1] != "\n"
            text += tokenizer.decode(turn.prompt_tokens)
            assert text.endswith(("\n" if cut else "") + turn.observation + "\n\n>")
            text += tokenizer.decode(turn.tokens)
            assert tokenizer.decode(turn.tokens).removesuffix("\n").strip() == turn.reply
            assert len(turn.logprobs) == len(turn.tokens)


def test_an_episode_that_outgrows_the_context_ends() -> None:
    played = policy(max_context=110)
    episodes = rollout(lambda: Corridor(steps=12), played, keys(8))
    assert {episode.stop for episode in episodes} >= {StopReason.CONTEXT}
    for episode in episodes:
        assert len(row(episode).tokens) <= 110
    roomy = rollout(lambda: Corridor(steps=12), policy(), keys(8))
    for short, long in zip(episodes, roomy, strict=True):
        assert [turn.tokens for turn in short.turns] == [turn.tokens for turn in long.turns[: len(short.turns)]]


def test_a_first_prompt_beyond_the_context_ends_the_episode_without_turns() -> None:
    """Where others fit: a task too long is no reason to lose a run, and counted."""
    lengths = [len(episode.turns[0].prompt_tokens) for episode in rollout(Corridor, policy(), keys(5))]
    limit = sorted(lengths)[2] + 9
    episodes = rollout(Corridor, policy(max_context=limit), keys(5))
    assert 0 < sum(length + 9 > limit for length in lengths) < 5
    for length, episode in zip(lengths, episodes, strict=True):
        assert (episode.stop is StopReason.CONTEXT and not episode.turns) == (length + 9 > limit)


def test_first_prompts_none_of_which_fits_are_said_at_once() -> None:
    with pytest.raises(InputError, match=r"the shortest has \d+ tokens, and of a context of 12 a reply takes up to 9"):
        rollout(Corridor, policy(max_context=12), keys(2))


def test_the_models_own_limit_holds() -> None:
    small = TransformersPolicy(model(context=64), byte_tokenizer(), Sampling(1.0, 8))
    assert small.max_context == 64
    assert {episode.stop for episode in rollout(lambda: Corridor(30), small, keys(4))} <= {
        StopReason.CONTEXT,
        StopReason.LOST,
    }


def test_a_training_model_is_read_in_inference_mode_and_left_as_it_was() -> None:
    played = policy()
    expected = rollout(Corridor, played, keys(3))
    before = played.model.config._attn_implementation
    played.model.train()
    same(expected, rollout(Corridor, played, keys(3)))
    assert played.model.training
    assert played.model.config._attn_implementation == before


def test_new_weights_are_played_at_once() -> None:
    played = policy()
    first = rollout(Corridor, played, keys(3))
    with torch.no_grad():
        played.model.get_output_embeddings().weight.mul_(1.5)
    second = rollout(Corridor, played, keys(3))
    assert [row(episode).tokens.tolist() for episode in first] != [row(episode).tokens.tolist() for episode in second]


def test_half_precision_runs() -> None:
    played = TransformersPolicy(model().to(torch.bfloat16), byte_tokenizer(), Sampling(1.0, 6))
    for episode in rollout(Corridor, played, keys(9), batch=5):
        packed = row(episode)
        np.testing.assert_allclose(
            packed.logprobs[packed.sampled], plain_logprobs(played, episode)[packed.sampled], atol=0.5
        )


def test_chat_replies_carry_their_end() -> None:
    played = policy(chat=True)
    assert played.format is Format.CHAT
    end = played.dialogue.end
    assert byte_tokenizer(chat=True).convert_ids_to_tokens(end) == "<|im_end|>"
    for episode in rollout(Corridor, played, keys(4)):
        whole = byte_tokenizer(chat=True).decode(row(episode).tokens)
        assert whole.count("<|im_start|>assistant\n") == len(episode.turns)
        assert whole.count("<|im_end|>\n<|im_start|>user\n") == len(episode.turns) - 1


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-8, 8), min_size=2, max_size=12), st.floats(0, 1, exclude_max=True))
def test_a_draw_is_the_inverse_of_the_cumulative_distribution(logits: list[float], number: float) -> None:
    number = np.floor(number * 2**48) / 2**48
    tokens, logprobs = draw_tokens(torch.tensor([[*logits, -torch.inf]]), np.array([number]), 1.0)
    probabilities = torch.tensor(logits).double().softmax(-1).numpy()
    below = probabilities[: tokens[0]].sum()
    assert tokens[0] < len(logits)
    assert below - 1e-6 <= number <= below + probabilities[tokens[0]] + 1e-6
    assert logprobs[0] == pytest.approx(np.log(probabilities[tokens[0]]), abs=1e-5)


def test_the_largest_draw_never_picks_an_impossible_token() -> None:
    tokens, _ = draw_tokens(torch.tensor([[0.0, 1.0, -torch.inf, -torch.inf]]), np.array([1 - 2.0**-48]), 1.0)
    assert tokens.tolist() == [1]


def test_draws_follow_the_distribution() -> None:
    numbers = np.concatenate([uniforms(EpisodeKey(0, 0, f"t{index}", 0), 0, 10) for index in range(400)])
    logits = torch.tensor([0.0, 1.0, 2.0, -1.0])
    tokens, _ = draw_tokens(logits.expand(len(numbers), -1), numbers, 0.5)
    expected = (logits / 0.5).softmax(-1).numpy()
    np.testing.assert_allclose(np.bincount(tokens, minlength=4) / len(tokens), expected, atol=0.025)


def test_load_round_trip(tmp_path: Path) -> None:
    model("llama").save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    loaded, tokenizer = load(str(tmp_path))
    again = TransformersPolicy(loaded, tokenizer, Sampling(1.0, 9))
    same(rollout(Corridor, policy("llama"), keys(3)), rollout(Corridor, again, keys(3)))


def test_load_refuses_what_is_no_model(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such folder"):
        load(str(tmp_path / "nowhere"))
    with pytest.raises(InputError, match=r"no config\.json"):
        load(str(tmp_path))
    model().save_pretrained(tmp_path)
    byte_tokenizer().save_pretrained(tmp_path)
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(InputError, match="no weights"):
        load(str(tmp_path))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("good") / "model"
    model().save_pretrained(made)
    byte_tokenizer().save_pretrained(made)
    return made


def broken(good: Path, made: Path, file: str, content: Any) -> Path:
    """A copy of a model folder with other content in one file: for a mapping, some of its keys."""
    shutil.copytree(good, made)
    known = json.loads((made / file).read_text()) if content else {}
    (made / file).write_text(json.dumps(known | content if content else content))
    return made


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("tokenizer.json", {}, "cannot be loaded: KeyError: "),
        ("tokenizer.json", [], "cannot be loaded: TypeError: "),
        ("tokenizer.json", {"model": None}, "cannot be loaded: Exception: "),
        ("tokenizer_config.json", [], "cannot be loaded: TypeError: "),
        ("generation_config.json", [], "cannot be loaded: TypeError: "),
        ("config.json", {"hidden_size": "many"}, "field 'hidden_size': TypeError: Field 'hidden_size' expected int"),
        ("config.json", {"hidden_size": 64}, "30 of its weights have other shapes than its config.json says, for"),
        ("config.json", {"num_attention_heads": 0}, "cannot be loaded: ZeroDivisionError: "),
        ("config.json", {"model_type": "nope"}, "cannot be loaded: The checkpoint"),
    ],
)
def test_a_broken_model_folder_is_one_line(folder: Path, tmp_path: Path, file: str, content: Any, words: str) -> None:
    path = broken(folder, tmp_path / "model", file, content)
    with pytest.raises(InputError) as refusal:
        load(str(path))
    assert str(refusal.value).startswith(f"the model {path}")
    assert words in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_too_little_memory_is_no_fault_of_the_folder(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def exhausted(*_: Any, **__: Any) -> None:
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 7 bytes")

    monkeypatch.setattr("transformers.AutoModelForCausalLM.from_pretrained", exhausted)
    with pytest.raises(RuntimeError, match="can't allocate memory"):
        load(str(folder))


@pytest.mark.parametrize("template", [7, "{% if", "{{ nope.x }}", "{{ 1 + 'a' }}", "{{ 1 // 0 }}"])
def test_a_broken_chat_template_is_one_line(folder: Path, tmp_path: Path, template: Any) -> None:
    path = broken(folder, tmp_path / "model", "tokenizer_config.json", {"chat_template": template})
    with pytest.raises(InputError, match="this model's chat template cannot be rendered: "):
        rollout(Corridor, TransformersPolicy(*load(str(path)), Sampling(0.0, 4)), keys(1))


def test_a_prompt_that_is_too_long_names_the_limit_without_a_commands_prefix() -> None:
    narrow = TransformersPolicy(model(), byte_tokenizer(), Sampling(0.0, 30), max_context=40)
    with pytest.raises(InputError, match=r"a reply takes up to 30 \(max_reply_tokens\)\. Allow shorter replies"):
        rollout(Corridor, narrow, keys(1))


def test_a_context_without_a_length_is_refused(folder: Path, tmp_path: Path) -> None:
    path = broken(folder, tmp_path / "model", "config.json", {"max_position_embeddings": 0})
    with pytest.raises(InputError, match=r"its config\.json should say how long an episode may be"):
        TransformersPolicy(*load(str(path)), Sampling())


def test_a_model_with_another_memory_is_refused() -> None:
    other = model()
    other.config.layer_types = ["full_attention", "linear_attention", "full_attention"]
    with pytest.raises(InputError, match="linear_attention"):
        TransformersPolicy(other, byte_tokenizer(), Sampling())


@pytest.mark.parametrize("bad", [{"temperature": -1.0}, {"temperature": float("nan")}, {"max_reply_tokens": 0}])
def test_sampling_checks_its_values(bad: dict[str, float]) -> None:
    with pytest.raises(InputError):
        Sampling(**bad)


def test_rows_may_be_asked_in_any_order_and_subset() -> None:
    """Straight at the session: rows join late, pause, and come in any order."""
    played = policy()
    info = Info(admissible_commands=[], anchor="", won=False, goal="", task="", task_type="")
    schedule = [[3, 1], [1, 4, 0], [0], [4, 3], [1, 0, 3, 4]]

    def text(index: int, turn: int) -> str:
        return f"You see{' a key' * ((index * 7 + turn * 3) % 5)} ."

    turns = dict.fromkeys(range(5), 0)
    session = played.open(keys(5), {})
    together: dict[int, list[tuple[int, ...]]] = {index: [] for index in range(5)}
    for rows in schedule:
        replies = session.reply(rows, [text(index, turns[index]) for index in rows], [info] * len(rows))
        for index, reply in zip(rows, replies, strict=True):
            together[index].append(reply.tokens)
            turns[index] += 1
    for index, said in together.items():
        alone = played.open(keys(5), {})
        assert [alone.reply([index], [text(index, turn)], [info])[0].tokens for turn in range(len(said))] == said
