"""Playing episodes: the loop between a policy and many environments.

All running episodes speak together, and what some have said is played together, in this process or in a pool of worker
processes, while the others speak on (where the policy's session streams; else all are heard at once). When an episode
ends, the next waiting one takes its place. A failing environment is data, not a crash:
its episode ends with the error on it, and the others go on.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice

from agents.parsing import parse
from agents.types import Episode, EpisodeKey, Group, Policy, Reply, Session, StopReason, Streaming, Turn
from envs.pool import Pooled
from envs.types import Info, TextEnv
from envs.worlds import Answer, Failure, LocalWorlds, Start, Worlds


@dataclass(slots=True)
class _Running:
    """An episode in play, and what its environment said last."""

    episode: Episode
    observation: str
    info: Info


def rollout(
    make_env: Callable[[], TextEnv],
    policy: Policy,
    keys: Sequence[EpisodeKey],
    *,
    batch: int = 128,
    ended: Callable[[Episode], None] | None = None,
    policy_version: int = 0,
    stop: Callable[[], bool] | None = None,
) -> list[Episode]:
    """Plays one episode for each key.

    Args:
        make_env: makes an environment; at most `batch` are made, each plays one episode after another. Or an
            `envs.pool.Pooled`: then the episodes are played in its pool.
        policy: what plays.
        keys: the episodes.
        batch: how many run at a time, if a pool has room for as many. Results do not depend on it.
        ended: called with each episode as soon as it has ended.
        policy_version: number of weight updates the policy has seen, noted on each episode.
        stop: asked before each turn; when it says True, the episodes that still run or wait are left out.

    Returns:
        The episodes in the order of their keys.

    Raises:
        InputError: the environment refuses its configuration or a task.
    """
    worlds = make_env if isinstance(make_env, Pooled) else LocalWorlds(make_env)
    return _Rollout(worlds, policy, keys, ended, policy_version).play(batch, stop)


def group(episodes: Sequence[Episode]) -> list[Group]:
    """Puts the episodes of the same iteration, seed and task together, in order of first appearance."""
    groups: dict[tuple[int, int, str], Group] = {}
    for episode in episodes:
        key = episode.key
        groups.setdefault((key.seed, key.iteration, key.task), Group(key.task, [])).episodes.append(episode)
    return list(groups.values())


class _Rollout:
    """The state of one call of `rollout`."""

    def __init__(
        self,
        worlds: Worlds,
        policy: Policy,
        keys: Sequence[EpisodeKey],
        ended: Callable[[Episode], None] | None,
        policy_version: int,
    ) -> None:
        self._worlds = worlds
        self._policy = policy
        self._report = ended
        self._episodes = [Episode(key, policy_version=policy_version) for key in keys]
        self._running: dict[int, _Running] = {}
        self._began: dict[int, float] = {}
        self._ended: set[int] = set()
        session = policy.open(keys, worlds)
        self._session = session if isinstance(session, Streaming) else _AllAtOnce(session)
        self._answered: list[int] = []

    def play(self, batch: int, stop: Callable[[], bool] | None) -> list[Episode]:
        waiting = iter(range(len(self._episodes)))
        most = min(batch, self._worlds.capacity)
        try:
            while not (stop is not None and stop()):
                while rows := list(islice(waiting, most - len(self._running))):
                    self._start(rows)
                if not self._running:
                    break
                self._turn()
        finally:
            self._worlds.release(set(range(len(self._episodes))) - self._ended)
        return [episode for row, episode in enumerate(self._episodes) if row in self._ended]

    def _start(self, rows: Sequence[int]) -> None:
        """Starts episodes; one whose environment fails at once has ended."""
        self._began |= dict.fromkeys(rows, time.perf_counter())
        starts = self._worlds.reset({row: self._episodes[row].key.task for row in rows})
        for row in rows:
            start = starts[row]
            if isinstance(start, Failure):
                self._fail(row, start)
            else:
                self._begin(row, start)

    def _begin(self, row: int, start: Start) -> None:
        observation, info = start
        episode = self._episodes[row]
        episode.task_type, episode.goal = info["task_type"], info["goal"]
        self._running[row] = _Running(episode, observation, info)
        self._answered.append(row)

    def _turn(self) -> None:
        """Asks the episodes whose worlds have answered, and plays what is said first."""
        if self._answered:
            asked = [self._running[row] for row in self._answered]
            self._session.ask(self._answered, [one.observation for one in asked], [one.info for one in asked])
            self._answered = []
        replies = self._session.listen()
        commands = {row: self._say(row, reply) for row, reply in replies.items() if not reply.out_of_context}
        answers = self._worlds.step(commands)
        before = set(self._ended)
        for row in replies:
            if row in commands:
                self._take(row, answers[row])
            else:
                self._end(row, StopReason.CONTEXT)
        self._session.drop(sorted(self._ended - before))

    def _say(self, row: int, reply: Reply) -> str:
        """Notes the turn of a reply; returns its command."""
        state = self._running[row]
        parsed = parse(reply.text, self._policy.format)
        turn = Turn(
            observation=state.observation,
            reply=reply.text,
            action=parsed.action,
            valid=parsed.ok,
            reward=0.0,
            anchor=state.info["anchor"],
            prompt_tokens=reply.prompt_tokens,
            tokens=reply.tokens,
            logprobs=reply.logprobs,
            fresh=reply.fresh,
            sampled=reply.sampled,
        )
        state.episode.turns.append(turn)
        return parsed.action

    def _take(self, row: int, answer: Answer | Failure) -> None:
        """Notes what came of a row's command."""
        if isinstance(answer, Failure):
            self._fail(row, answer)
            return
        state = self._running[row]
        turn, listed = state.episode.turns[-1], state.info["admissible_commands"]
        state.observation, reward, terminated, truncated, state.info = answer
        turn.reward = float(reward)
        taken = state.info.get("is_action_valid", not listed or turn.action in listed)
        turn.valid = turn.valid and taken
        if terminated or truncated:
            self._end(row, _reason(terminated, state.info))
        else:
            self._answered.append(row)

    def _end(self, row: int, reason: StopReason) -> None:
        state = self._running.pop(row)
        state.episode.stop = reason
        state.episode.won = bool(state.info["won"])
        state.episode.final_observation = state.observation
        self._close(row)

    def _fail(self, row: int, failure: Failure) -> None:
        state = self._running.pop(row, None)
        episode = self._episodes[row]
        episode.stop = StopReason.ERROR
        episode.error = failure.cause
        episode.final_observation = "" if state is None else state.observation
        self._close(row)

    def _close(self, row: int) -> None:
        self._worlds.release([row])
        self._episodes[row].seconds = time.perf_counter() - self._began.pop(row)
        self._ended.add(row)
        if self._report is not None:
            self._report(self._episodes[row])


class _AllAtOnce:
    """A session that hears all rows together, as one that streams."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._heard: dict[int, Reply] = {}

    def ask(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> None:
        self._heard = dict(zip(rows, self._session.reply(rows, observations, infos), strict=True))

    def listen(self) -> dict[int, Reply]:
        return self._heard

    def drop(self, rows: Sequence[int]) -> None:
        self._session.drop(rows)


def _reason(terminated: bool, info: Info) -> StopReason:
    if info["won"]:
        return StopReason.WON
    return StopReason.LOST if terminated else StopReason.TURN_LIMIT
