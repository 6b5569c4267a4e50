"""`python -m evals.speed policy=tiny`: how fast a policy samples, against re-reading its history with `generate()`.

Plays the same episodes by the sampler as it is, which keeps keys and values across turns, by plain `generate()` on the
whole history at every turn, and by vLLM in this process where it is installed. Greedily all say the same, so that the
work is the same; how far they agree is printed. They take turns, round after round; medians are shown. Seconds are
those of sampling alone: what the world does between turns is left out.
"""

from __future__ import annotations

import platform
import statistics
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from agents.models import ModelConfig, choose_device, choose_dtype, quiet
from agents.prompts import manner_of, parse_context
from agents.samplers import VllmConfig, is_vllm_installed
from agents.starts import locate
from agents.types import Episode, EpisodeKey, Policy, Reply, Session, Streaming
from envs.command import run_command
from envs.config_schema import group, key
from envs.errors import InputError
from envs.registry import env_class, environment_key, make_from
from envs.types import Info
from envs.worlds import Players
from evals.folder import write_json
from evals.run import POLICY

if TYPE_CHECKING:
    from collections.abc import Callable

    from envs.types import TextEnv


@dataclass(frozen=True)
class SpeedConfig:
    """Keys of the benchmark."""

    aliases: ClassVar[Mapping[str, str]] = {"data": "env.data"}

    env: Any = environment_key("the world to play")
    policy: ModelConfig = group("the model that plays", POLICY)
    episodes: int = key(64, "episodes, all at a time", unit="episodes", minimum=1)
    rounds: int = key(3, "how often they are played", unit="times", minimum=1)
    temperature: float = key(0.0, "sampling temperature; at 0 both samplers say the same", minimum=0)
    seed: int = key(0, "keys the tasks and the draws", minimum=0)
    device: Literal["auto", "cpu", "cuda"] = key("auto", "where the model runs")
    out: str = key("", "a file for the figures, JSON")


class Timed:
    """A policy whose sampling is timed.

    Attributes:
        name: the policy's.
        format: the policy's.
        seconds: spent in replies so far.
    """

    def __init__(self, policy: Policy, device: str) -> None:
        """Wraps a policy."""
        self.name, self.format, self.seconds = policy.name, policy.format, 0.0
        self._policy, self._device = policy, device

    def open(self, keys: Sequence[EpisodeKey], players: Players) -> _TimedSession:
        """Starts a batch of conversations."""
        session = self._policy.open(keys, players)
        if isinstance(session, Streaming):
            return _TimedStream(self, session, self._device)
        return _TimedSession(self, session, self._device)


class _TimedSession:
    def __init__(self, timed: Timed, session: Session, device: str) -> None:
        self._timed, self._session, self._device = timed, session, device

    def reply(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> list[Reply]:
        with self._clock():
            return self._session.reply(rows, observations, infos)

    @contextmanager
    def _clock(self) -> Iterator[None]:
        started = time.perf_counter()
        yield
        if self._device != "cpu":
            import torch

            torch.cuda.synchronize()
        self._timed.seconds += time.perf_counter() - started

    def drop(self, rows: Sequence[int]) -> None:
        self._session.drop(rows)


class _TimedStream(_TimedSession):
    _session: Streaming

    def ask(self, rows: Sequence[int], observations: Sequence[str], infos: Sequence[Info]) -> None:
        with self._clock():
            self._session.ask(rows, observations, infos)

    def listen(self) -> dict[int, Reply]:
        with self._clock():
            return self._session.listen()


@dataclass(frozen=True)
class Pace:
    """What one sampler did in one round.

    Attributes:
        seconds: of sampling.
        tokens: sampled.
        episodes: played.
        replies: everything that was said, episode by episode.
    """

    seconds: float
    tokens: int
    episodes: int
    replies: list[list[str]]


def main(config: SpeedConfig) -> int:
    """Runs the command."""
    if not config.policy.path:
        raise InputError(f"policy={config.policy.name} is no model; the speed of a model's sampling is measured.")
    if parse_context(config.policy.context) is not None:
        raise InputError(
            "policy.context=window:K reads every prompt from the start anyway; there is nothing to compare."
        )
    make_env = partial(make_from, config.env)
    env = make_env()
    path = locate(config.policy.path, config.env, "policy")
    quiet()
    from agents.policies.rereading import RereadingPolicy
    from agents.policies.transformers import Sampling, TransformersPolicy, load

    device, dtype = choose_device(config.device), choose_dtype(config.policy.dtype, path)
    model, tokenizer = load(path, device, dtype)
    sampling = Sampling(config.temperature, config.policy.max_reply_tokens)
    manner = manner_of(env_class(config.env.name), thinking=config.policy.thinking)
    cached = TransformersPolicy(model, tokenizer, sampling, name="cached", manner=manner)
    keys = [EpisodeKey(config.seed, 0, task, 0) for task in env.sample_tasks(config.seed, config.episodes)]
    samplers: dict[str, Policy] = {"cached": cached, "generate, re-reading": RereadingPolicy(cached)}
    if is_vllm_installed():
        from agents.policies.vllm.policy import VllmPolicy
        from agents.policies.vllm.start import open_sampler

        weights = open_sampler(model, VllmConfig())
        samplers["vLLM"] = VllmPolicy(weights, tokenizer, sampling, manner=manner)
    found: dict[str, list[Pace]] = {name: [] for name in samplers}
    for number in range(config.rounds):
        for name, policy in samplers.items():
            found[name].append(pace(make_env, Timed(policy, device), keys))
            print(f"round {number + 1} of {config.rounds}, {name}: {found[name][-1].seconds:.2f} s", flush=True)
    content = report(config, found)
    for line in lines(content):
        print(line)
    if config.out:
        write_json(Path(config.out), content)
    return 0


def pace(make_env: Callable[[], TextEnv], policy: Timed, keys: Sequence[EpisodeKey]) -> Pace:
    """Plays the episodes once."""
    from agents.rollout import rollout

    before = policy.seconds
    episodes: list[Episode] = rollout(make_env, policy, keys, batch=len(keys))
    tokens = sum(episode.num_sampled_tokens for episode in episodes)
    said = [[turn.reply for turn in episode.turns] for episode in episodes]
    return Pace(policy.seconds - before, tokens, len(episodes), said)


def report(config: SpeedConfig, found: dict[str, list[Pace]]) -> dict[str, Any]:
    """The figures: medians over rounds, and how many episodes all samplers played alike."""
    import torch
    import transformers

    first = [paces[0].replies for paces in found.values()]
    alike = sum(all(one == said[0] for one in said) for said in zip(*first, strict=True))
    rows: list[dict[str, Any]] = [
        {
            "sampler": name,
            "seconds": statistics.median(one.seconds for one in paces),
            "tokens": paces[0].tokens,
            "turns": sum(map(len, paces[0].replies)),
            "tokens_per_second": statistics.median(one.tokens / one.seconds for one in paces),
            "episodes_per_second": statistics.median(one.episodes / one.seconds for one in paces),
        }
        for name, paces in found.items()
    ]
    return {
        "rows": rows,
        "ratio": rows[0]["tokens_per_second"] / rows[1]["tokens_per_second"],
        "episodes_alike": alike,
        "load": {**asdict(config), "env": str(config.env), "out": ""},
        "threads": torch.get_num_threads(),
        "versions": {
            "python": platform.python_version(),
            "torch": torch.__version__,
            "transformers": transformers.__version__,
        },
    }


def lines(content: dict[str, Any]) -> list[str]:
    """What is printed."""
    said = [
        f"{row['sampler']:22} {row['tokens_per_second']:9,.0f} tokens/s  {row['episodes_per_second']:7.2f} episodes/s"
        f"  ({row['turns']} turns, {row['tokens']} tokens)"
        for row in content["rows"]
    ]
    played = content["load"]["episodes"]
    return [
        *said,
        f"ratio {content['ratio']:.1f}; {content['episodes_alike']} of {played} episodes word for word alike",
    ]


if __name__ == "__main__":
    sys.exit(run_command("python -m evals.speed", SpeedConfig, main, description="Measures how fast a policy samples."))
