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
from training.bench.load import GROUP, synchronize, tokenizer
from training.memory import peak_bytes, reset_peak

if TYPE_CHECKING:
    from transformers import PreTrainedModel

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
        from transformers import AutoModelForCausalLM, TrainerCallback
        from trl import GRPOConfig, GRPOTrainer

        config = self._config
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            self._folder, dtype=getattr(torch, dtype), attn_implementation="sdpa", trust_remote_code=False
        )
        select(model, self._target)
        each = max(1, config.micro_batch_tokens // (config.prompt_tokens + config.reply_tokens))
        each = max(size for size in range(1, each + 1) if (len(rows) // config.updates) % size == 0)
        batches = len(rows) // each
        args = GRPOConfig(
            output_dir=scratch,
            per_device_train_batch_size=each,
            steps_per_generation=batches,
            gradient_accumulation_steps=batches // config.updates,
            num_generations=min(GROUP, len(rows)),
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
        started, ended = list[float](), list[float]()

        def roll_out(prompts: list[Any], trainer: Any) -> dict[str, Any]:  # noqa: ANN401
            given = [row.row.tokens.tolist() for row in rows]
            synchronize(trainer.accelerator.device)
            reset_peak(trainer.accelerator.device)
            started.append(time.perf_counter())
            return {
                "prompt_ids": [tokens[: config.prompt_tokens] for tokens in given],
                "completion_ids": [tokens[config.prompt_tokens :] for tokens in given],
                "logprobs": [row.old.tolist() for row in rows],
            }

        def reward(completions: list[Any], **_: Any) -> list[float]:  # noqa: ANN401
            return [float(number % 3) for number in range(len(completions))]

        class Ends(TrainerCallback):
            def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:  # noqa: ANN401
                synchronize(args.device)
                ended.append(time.perf_counter())

        os.environ["TRL_EXPERIMENTAL_SILENCE"] = "1"
        trainer = GRPOTrainer(
            model=model,
            reward_funcs=reward,
            args=args,
            train_dataset=Dataset.from_dict({"prompt": [str(number) for number in range(1, len(rows) + 1)]}),
            processing_class=tokenizer(model.config.vocab_size),
            rollout_func=roll_out,
            callbacks=[Ends()],
        )
        trainer.train()
        peak = peak_bytes(args.device)
        return ended[-1] - started[-1], peak
