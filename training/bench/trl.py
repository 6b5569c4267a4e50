"""The same updates by TRL's own `GRPOTrainer`: the same rows, the same frozen parameters.

Its rollout function hands out the rows; what is timed goes from there to the end of the last update made from them, so
that its scoring (old and reference log-probabilities) counts, as ours does. Its reference policy is a second model.
"""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from agents.targets import Target, select
from training.batches import TrainingRow
from training.bench.load import group_size, synchronize, tokenizer
from training.memory import peak_bytes, reset_peak

if TYPE_CHECKING:
    from transformers import PreTrainedModel, TrainerCallback
    from trl import GRPOConfig

    from training.bench.__main__ import BenchConfig


class Racer:
    """TRL's trainer on one target, ready to make one iteration's updates again and again."""

    def __init__(self, folder: str, target: Target, config: BenchConfig, *, checkpointing: bool) -> None:
        """Notes what to run.

        Args:
            folder: the model, which TRL loads itself, its reference too.
            target: what is trained.
            config: the load.
            checkpointing: as TRL ships it (True), or without.
        """
        self._folder, self._target, self._config, self._checkpointing = folder, target, config, checkpointing

    def seconds(self, rows: Sequence[TrainingRow], dtype: str) -> tuple[float, int]:
        """Seconds of one iteration's updates after one that warms up, and the peak of memory meanwhile."""
        # Its base class reports its use unless it believes to be tested.
        os.environ["CI"] = "1"
        from transformers.utils import logging

        logging.set_verbosity_error()
        with contextlib.redirect_stdout(io.StringIO()), tempfile.TemporaryDirectory() as scratch:
            return self._run(rows, dtype, scratch)

    def _run(self, rows: Sequence[TrainingRow], dtype: str, scratch: str) -> tuple[float, int]:
        import torch
        from datasets import Dataset
        from transformers import AutoModelForCausalLM
        from trl import GRPOTrainer

        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            self._folder, dtype=getattr(torch, dtype), attn_implementation="sdpa", trust_remote_code=False
        )
        select(model, self._target)
        args, watch = self._arguments(len(rows), scratch), _Watch(rows, self._config.prompt_tokens)
        os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=_reward,
            args=args,
            train_dataset=Dataset.from_dict({"prompt": [str(number) for number in range(1, len(rows) + 1)]}),
            processing_class=tokenizer(model.config.vocab_size),
            rollout_func=watch.roll_out,
            callbacks=[watch.callback()],
        )
        trainer.train()
        return watch.ended - watch.started, peak_bytes(args.device)

    def _arguments(self, rows: int, scratch: str) -> GRPOConfig:
        """Two iterations of as many updates as ours, each on as many rows, with nothing written."""
        import torch
        from trl import GRPOConfig

        config = self._config
        each = max(1, config.micro_batch_tokens // (config.prompt_tokens + config.reply_tokens))
        each = max(size for size in range(1, each + 1) if (rows // config.updates) % size == 0)
        return GRPOConfig(
            output_dir=scratch,
            per_device_train_batch_size=each,
            steps_per_generation=rows // each,
            gradient_accumulation_steps=rows // each // config.updates,
            num_generations=group_size(rows),
            num_iterations=config.epochs,
            max_steps=2 * config.updates * config.epochs,
            max_completion_length=config.reply_tokens,
            beta=0.01 if config.reference else 0.0,
            learning_rate=1e-6,
            bf16=False,
            gradient_checkpointing=self._checkpointing,
            model_init_kwargs=None,
            report_to=[],
            save_strategy="no",
            logging_strategy="no",
            disable_tqdm=True,
            use_cpu=config.device == "cpu" or not torch.cuda.is_available(),
            seed=config.seed,
        )


class _Watch:
    """Hands out the rows in the place of a rollout, and times what TRL does with them.

    Attributes:
        started: when the rows were handed out last.
        ended: when the last update was through.
    """

    def __init__(self, rows: Sequence[TrainingRow], prompt_tokens: int) -> None:
        self.started = self.ended = 0.0
        self._rows, self._prompt_tokens = rows, prompt_tokens

    def roll_out(self, prompts: list[Any], trainer: Any) -> dict[str, Any]:  # noqa: ANN401 - TRL's signature
        """What TRL calls for replies."""
        given = [row.row.tokens.tolist() for row in self._rows]
        synchronize(trainer.accelerator.device)
        reset_peak(trainer.accelerator.device)
        self.started = time.perf_counter()
        return {
            "prompt_ids": [tokens[: self._prompt_tokens] for tokens in given],
            "completion_ids": [tokens[self._prompt_tokens :] for tokens in given],
            "logprobs": [row.old.tolist() for row in self._rows],
        }

    def callback(self) -> TrainerCallback:
        """What notes the end of each update."""
        from transformers import TrainerCallback

        watch = self

        class Ends(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
                synchronize(args.device)
                watch.ended = time.perf_counter()

        return Ends()


def _reward(completions: list[Any], **_: Any) -> list[float]:  # noqa: ANN401 - TRL's signature
    return [float(number % 3) for number in range(len(completions))]
