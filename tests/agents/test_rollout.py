"""The loop between policies and environments, and the rows made of its episodes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

import numpy as np
import pytest

from agents.policies.scripted import ScriptedPolicy
from agents.rollout import group, rollout
from agents.rows import rows
from agents.types import Episode, EpisodeKey, Format, Reply, StopReason, Turn
from envs.errors import InputError
from envs.types import Info, TextEnv
from envs.worlds import Players
from tests.agents.models import Corridor


class Walker:
    """Waits for its turn, by seed and task: opens the door at turn `number`."""

    def __init__(self, env: TextEnv, seed: int) -> None:
        assert isinstance(env, Corridor)
        self.left = env.number
        self.seed = seed

    def act(self, text: str, info: Info) -> str:
        self.left -= 1
        if self.left == 0:
            return "open door"
        return "go to door" if self.seed % 2 else "go nowhere"


class Played(Corridor):
    """The corridor with a player, counting how many were made."""

    players: ClassVar = {"walker": Walker}
    made = 0

    def __init__(self, steps: int = 6) -> None:
        super().__init__(steps)
        Played.made += 1


class Refusing(Corridor):
    """A world that refuses its tasks."""

    def reset(self, *, seed: int | None = None, options: dict[str, str] | None = None) -> tuple[str, Info]:
        raise InputError("no such task.")


class Talker:
    """A policy that says the same to everyone, and remembers whom it was asked about."""

    name = "talker"

    def __init__(self, text: str, reply_format: Format) -> None:
        self.text = text
        self.format = reply_format
        self.asked: list[list[int]] = []
        self.dropped: list[int] = []

    def open(self, keys: Sequence[EpisodeKey], players: Players) -> Talker:
        return self

    def reply(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> list[Reply]:
        self.asked.append(list(rows))
        return [Reply(self.text) for _ in rows]

    def drop(self, rows: Sequence[int]) -> None:
        self.dropped += rows


class Essay(Corridor):
    """A world of free text."""

    free_text = True

    def reset(self, *, seed: int | None = None, options: dict[str, str] | None = None) -> tuple[str, Info]:
        text, info = super().reset(seed=seed, options=options)
        return text, {**info, "admissible_commands": []}

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        text, reward, terminated, truncated, info = super().step(action)
        return text, reward, terminated, truncated, {**info, "admissible_commands": []}


def keys(*tasks: str) -> list[EpisodeKey]:
    return [EpisodeKey(0, 0, task, member) for member, task in enumerate(tasks)]


def play(*tasks: str, batch: int = 128) -> list[Episode]:
    return rollout(Played, ScriptedPolicy("walker"), keys(*tasks), batch=batch, policy_version=4)


def test_episodes_come_in_the_order_of_their_keys_with_why_they_ended() -> None:
    tasks = ["walk:3", "walk:99", "walk:1", "broken:2", "broken:0"]
    episodes = play(*tasks, batch=2)
    assert [episode.key.task for episode in episodes] == tasks
    assert [episode.stop for episode in episodes] == [
        StopReason.WON,
        StopReason.TURN_LIMIT,
        StopReason.WON,
        StopReason.ERROR,
        StopReason.ERROR,
    ]
    assert [episode.won for episode in episodes] == [True, False, True, False, False]
    assert [len(episode.turns) for episode in episodes] == [3, 6, 1, 2, 0]
    assert [episode.total_reward for episode in episodes] == [1, 0, 1, 0, 0]
    assert {episode.policy_version for episode in episodes} == {4}
    assert episodes[0].task_type == "walk"
    assert episodes[0].goal == "leave"


def test_a_failing_environment_is_data() -> None:
    late, early = play("broken:2", "broken:0")
    assert late.error == "RuntimeError: broke at turn 2"
    assert early.error == "RuntimeError: broke at turn 0"
    assert late.final_observation != ""


def test_a_refused_task_is_the_users_error() -> None:
    with pytest.raises(InputError, match="no such task"):
        rollout(Refusing, ScriptedPolicy("walker"), keys("walk:1"))


def test_an_unknown_player_is_named() -> None:
    with pytest.raises(InputError, match=r"unknown player 'walkr'.*'walker'"):
        rollout(Played, ScriptedPolicy("walkr"), keys("walk:1"))


def test_batches_share_environments_and_change_nothing() -> None:
    tasks = [f"walk:{number}" for number in (2, 5, 1, 9, 3, 3, 8, 1, 4)]
    Played.made = 0
    narrow = play(*tasks, batch=3)
    assert Played.made == 3
    assert narrow == play(*tasks, batch=1) == play(*tasks)


def test_ended_rows_are_dropped_and_waiting_ones_take_their_place() -> None:
    talker = Talker("wait", Format.PLAIN)
    rollout(Corridor, talker, keys(*["walk:1"] * 5), batch=2)
    assert talker.asked == [[0, 1], [2, 3], [4]]
    assert talker.dropped == [0, 1, 2, 3, 4]


def test_turns_hold_what_was_seen_said_and_got() -> None:
    (episode,) = rollout(lambda: Corridor(2), Talker("so: <action>go to door</action>", Format.CHAT), keys("walk:2"))
    first, second = episode.turns
    assert first.observation.startswith("You are in a room .")
    assert (first.reply, first.action, first.valid) == ("so: <action>go to door</action>", "go to door", True)
    assert (first.anchor, second.anchor) == ("walk:2/0", "walk:2/1")
    assert second.observation != first.observation
    assert episode.final_observation


@pytest.mark.parametrize(
    ("text", "reply_format", "action"),
    [
        ("open door", Format.CHAT, "open door"),
        ("<action>fly</action>", Format.CHAT, "fly"),
        ("fly", Format.PLAIN, "fly"),
        (" ", Format.PLAIN, ""),
    ],
)
def test_an_unparsable_or_inadmissible_reply_is_played_and_marked(text: str, reply_format: Format, action: str) -> None:
    (episode,) = rollout(lambda: Corridor(1), Talker(text, reply_format), keys("walk:2"))
    assert [(turn.action, turn.valid) for turn in episode.turns] == [(action, False)]
    assert episode.final_observation


class Generous(Corridor):
    """Takes an action that it does not list, and refuses one that it does."""

    def step(self, action: str) -> tuple[str, float, bool, bool, Info]:
        *said, info = super().step(action)
        return *said, {**info, "is_action_valid": action == "knock"}  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("text", "reply_format", "valid"),
    [
        ("knock", Format.PLAIN, True),
        ("go to door", Format.PLAIN, False),
        ("<action>knock</action>", Format.CHAT, True),
        ("knock", Format.CHAT, False),
    ],
)
def test_a_world_may_say_itself_what_was_valid(text: str, reply_format: Format, valid: bool) -> None:
    (episode,) = rollout(lambda: Generous(2), Talker(text, reply_format), keys("walk:2"))
    assert [turn.valid for turn in episode.turns] == [valid, valid]


def test_losing_is_not_running_out_of_turns() -> None:
    (episode,) = rollout(Corridor, Talker("wait", Format.PLAIN), keys("walk:2"))
    assert (episode.stop, len(episode.turns)) == (StopReason.LOST, 1)


def test_stopping_keeps_what_has_ended() -> None:
    ended: list[Episode] = []
    kept = rollout(
        Played,
        ScriptedPolicy("walker"),
        keys("walk:5", "walk:1", "walk:2"),
        batch=2,
        ended=ended.append,
        stop=lambda: len(ended) >= 2,
    )
    assert [episode.key.task for episode in kept] == ["walk:1", "walk:2"]
    assert ended == kept


def test_groups_hold_the_episodes_of_one_task_and_iteration() -> None:
    made = [EpisodeKey(0, 0, "a", 0), EpisodeKey(0, 0, "b", 0), EpisodeKey(0, 0, "a", 1), EpisodeKey(0, 1, "a", 0)]
    groups = group([Episode(key) for key in made])
    assert [(each.task, [episode.key for episode in each.episodes]) for each in groups] == [
        ("a", [made[0], made[2]]),
        ("b", [made[1]]),
        ("a", [made[3]]),
    ]


def test_a_row_is_the_turns_one_after_another() -> None:
    def turn(prompt: tuple[int, ...], tokens: tuple[int, ...], logprobs: tuple[float, ...]) -> Turn:
        return Turn("", "", "", True, 0.0, "", prompt, tokens, logprobs)

    (packed,) = rows(Episode(keys("a")[0], [turn((1, 2), (3,), (-1.0,)), turn((), (4, 5), (-2.0, -3.0))]))
    assert packed.tokens.tolist() == [1, 2, 3, 4, 5]
    assert packed.sampled.tolist() == [False, False, True, True, True]
    assert packed.turn.tolist() == [0, 0, 0, 1, 1]
    assert packed.logprobs.tolist() == [0, 0, -1, -2, -3]
    assert packed.logprobs.dtype == np.float32


def test_a_scripted_episode_gives_an_empty_row() -> None:
    (episode,) = play("walk:2")
    assert [len(part) for part in rows(episode)[0]] == [0, 0, 0, 0]


def test_players_are_seeded_by_the_episode() -> None:
    actions = {turn.action for episode in play(*["walk:9"] * 12) for turn in episode.turns}
    assert actions == {"go to door", "go nowhere"}


def test_free_text_reaches_the_world_whole_and_is_valid() -> None:
    (episode,) = rollout(Essay, Talker(" one\n  two\n", Format.WHOLE), keys("walk:3"))
    assert {turn.action for turn in episode.turns} == {"one\n  two"}
    assert all(turn.valid for turn in episode.turns)
    (empty,) = rollout(Essay, Talker("\n", Format.WHOLE), keys("walk:3"))
    assert not any(turn.valid for turn in empty.turns)
