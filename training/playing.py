"""The episodes of an iteration, played with the present weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from transformers import PreTrainedModel, PreTrainedTokenizerBase

from agents.policies.synced import ModelPolicy
from agents.policies.transformers import Sampling, TransformersPolicy
from agents.prompts import Manner
from agents.rollout import rollout
from agents.tokenizers import load_tokenizer
from agents.types import Episode
from envs.errors import InputError
from envs.types import TextEnv
from training.arguments import GroupConfig
from training.collect import Collected, Estimator, from_episodes, row_tokens, with_signal
from training.processes import Processes
from training.shares import played
from training.synchronizing import Synchronizer
from training.tasks import iteration_keys


@dataclass(frozen=True)
class Player:
    """Plays the rollouts of a trainer.

    Attributes:
        config: the trainer's arguments.
        make_env: makes an environment of the training split.
        task_env: draws the tasks.
        policy: what plays.
        estimator: makes advantages of what was played.
        synchronizer: knows which weights the policy samples with.
        processes: who plays.
        progress: called with 1 as each episode ends, with 0 for those of further rollouts.
    """

    config: GroupConfig
    make_env: Callable[[], TextEnv]
    task_env: TextEnv
    policy: ModelPolicy
    estimator: Estimator
    synchronizer: Synchronizer
    processes: Processes
    progress: Callable[[int], None] | None

    def play(self, iteration: int, rolled_out: Callable[[], None]) -> Collected:
        """Plays an iteration's episodes; with `rollouts`, further ones in place of groups without a signal.

        Args:
            iteration: its number, which is also that of the weights.
            rolled_out: called after each rollout.

        Raises:
            SyncError: episodes were sampled by other weights.
        """
        config, episodes, rounds = self.config, list[Episode](), 0
        while True:
            # Further tasks come after those of all iterations, so that every arm's iterations begin alike.
            number = iteration + rounds * config.iterations
            keys = iteration_keys(self.task_env, config.seed, number, config.tasks, config.group_size, config.set_aside)
            ended = partial(self._ended, counts=not rounds)
            version = self.synchronizer.version(self.policy, iteration)
            play = partial(rollout, self.make_env, self.policy, ended=ended, policy_version=version)
            episodes += played(self.processes, keys, play, ended)
            self.synchronizer.refuse_stale(episodes, iteration)
            rolled_out()
            collected, rounds = from_episodes(episodes, self.estimator), rounds + 1
            if not config.rollouts:
                return collected
            rows = with_signal(collected.rows, config.tasks)
            if rounds >= config.rollouts or len({row.group for row in rows}) == config.tasks:
                break
        collected.metrics["rollouts"] = float(rounds)
        # An update of no rows would be none.
        collected.rows = rows if len(rows) >= config.updates_of(len(rows)) else collected.rows
        collected.metrics |= row_tokens(collected.rows)
        return collected

    def _ended(self, episode: Episode, *, counts: bool) -> None:
        if self.progress is not None:
            self.progress(int(counts))


def own_policy(
    model: PreTrainedModel, args: GroupConfig, tokenizer: PreTrainedTokenizerBase | None, manner: Manner
) -> TransformersPolicy:
    """A policy that samples with a model as the arguments say.

    Raises:
        InputError: no tokenizer was given, and there is none where the model came from.
    """
    if tokenizer is None:
        try:
            tokenizer = load_tokenizer(model.name_or_path or "", local=False)
        except (OSError, ValueError) as error:
            raise InputError(
                f"no tokenizer at {model.name_or_path!r}, where the model came from; give processing_class=."
            ) from error
    sampling = Sampling(args.temperature, args.max_reply_tokens)
    return TransformersPolicy(model, tokenizer, sampling, manner=manner)
