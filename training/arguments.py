"""Arguments of the group trainer, beside those of `transformers.TrainingArguments`."""

from __future__ import annotations

from dataclasses import dataclass, field

from transformers import TrainingArguments

from envs.errors import InputError, unknown
from training import deepspeed_settings
from training.collect import Estimator
from training.detectors import WatchConfig
from training.loss import LossConfig
from training.mismatch import CORRECTIONS
from training.processes import asked_for, check_launcher, take_over

# More updates than any iteration makes.
_MANY = 2**24


@dataclass
class GroupConfig(TrainingArguments):
    """Arguments of a `GroupTrainer`, beside those of `transformers.TrainingArguments`.

    Attributes:
        iterations: rollouts to make.
        tasks: tasks an iteration P.
        group_size: episodes of each task G.
        updates: optimizer updates an epoch, each on its share of the rows.
        update_rows: most rows in an update; an epoch then makes as few updates as this allows, of nearly the same size,
            and `updates` is not asked. 0 makes `updates` of them.
        epochs: how often an iteration's episodes are learned from.
        boosted_learning_rate: of the blocks that a "boost" target names; `learning_rate` is that of all others.
        lora_rank: of the adapters of a LoRA target.
        lora_alpha: their outputs are scaled by lora_alpha / lora_rank.
        rollouts: rollouts of an iteration at most, until `tasks` groups have a learning signal; the other groups are
            left out (DAPO's dynamic sampling). 0 plays once and leaves nothing out.
        temperature: sampling temperature of the rollouts.
        max_reply_tokens: longest reply, where the trainer makes the policy.
        context: what it is shown there, "full" or "window:K".
        mismatch: how what the sampler and the trainer disagree on is put right (training.mismatch). Below float32, or
            where the sampler is another engine: otherwise both say the same.
        mismatch_cap: its bound C on pi_trainer / pi_sampler; 0 leaves the mismatch uncorrected.
        loss: coefficients of the loss.
        aggregation: how token losses are summed (training.loss).
        aggregation_length: divisor of "sequence_mean_token_sum_norm", in tokens.
        micro_batch_tokens: padded tokens a micro-batch may hold.
        checkpointing: recompute activations in the backward pass.
        prefix_bytes: hidden states below the target that are kept on the device (agents.prefix); 0 keeps none.
        prefix_host_bytes: further ones in host memory.
        estimator: how advantages are made; GiGPO with its defaults if None.
        watch: what counts as training that goes wrong, and what is done about it (training.watch).
        shard: on several processes, spread the weights over them between passes (FSDP2, training.sharding), as
            `accelerate launch --use_fsdp` asks for too.
        zero: on several processes, spread the optimizer over them with DeepSpeed: masters and moments (stage 1), or
            gradients as well (2); 0 for neither (training.zero). `accelerate launch --use_deepspeed` asks for it too,
            and so does a configuration in `deepspeed` (training.deepspeed_settings).
        start_iteration: first iteration to play (a resumed run's next one).
        set_aside: tasks of the training split that are not played.
    """

    output_dir: str | None = "runs/trainer"
    iterations: int = 30
    tasks: int = 8
    group_size: int = 8
    updates: int = 4
    update_rows: int = 0
    epochs: int = 1
    rollouts: int = 0
    boosted_learning_rate: float = 5e-6
    lora_rank: int = 8
    lora_alpha: int = 16
    temperature: float = 1.0
    max_reply_tokens: int = 512
    context: str = "full"
    mismatch: str = "token_truncate"
    mismatch_cap: float = 2.0
    loss: LossConfig = field(default_factory=LossConfig)
    aggregation: str = "token_mean"
    aggregation_length: int = 512
    micro_batch_tokens: int = 16384
    checkpointing: bool = False
    prefix_bytes: int = 2**31
    prefix_host_bytes: int = 2**33
    estimator: Estimator | None = None
    watch: WatchConfig = field(default_factory=WatchConfig)
    shard: bool = False
    zero: int = 0
    start_iteration: int = 0
    set_aside: tuple[str, ...] = ()

    def updates_of(self, rows: int) -> int:
        """Optimizer updates that an epoch makes of so many rows."""
        return max(-(-rows // self.update_rows), 1) if self.update_rows else self.updates

    def __post_init__(self) -> None:
        """Sets what a group trainer never varies: one loader item an update, nothing saved by the base class."""
        if self.iterations < 0 or self.start_iteration < 0:
            raise InputError(f"iterations={self.iterations}: at least 0 are needed.")
        if self.update_rows < 0:
            raise InputError(f"update_rows={self.update_rows}: 0 or more are needed.")
        if not self.update_rows and (self.tasks * self.group_size) % self.updates:
            raise InputError(
                f"updates={self.updates} does not divide the {self.tasks * self.group_size} episodes of an iteration."
            )
        if self.mismatch not in CORRECTIONS:
            raise unknown("mismatch", self.mismatch, CORRECTIONS)
        self._spread()
        if self.epochs < 1:
            raise InputError(f"epochs={self.epochs}: at least 1 is needed.")
        # How many updates there will be is not known where their number follows from the rows: then the trainer stops
        # after the last iteration.
        left = max(self.iterations - self.start_iteration, 0)
        self.max_steps = left * (_MANY if self.update_rows else self.updates * self.epochs)
        self.per_device_train_batch_size = 1
        self.remove_unused_columns = False
        self.dataloader_pin_memory = False
        self.report_to = self.report_to if self.report_to is not None else []
        self.save_strategy, self.logging_strategy, self.disable_tqdm = "no", "no", True
        # Every pass meets every trained parameter, and no buffer changes: only gradients need to be exchanged.
        self.ddp_find_unused_parameters = self.ddp_broadcast_buffers = False
        super().__post_init__()  # type: ignore[no-untyped-call]

    def _spread(self) -> None:
        """Notes what is spread over the processes, which the base class and accelerate are not to know."""
        check_launcher()
        self.shard |= asked_for("FSDP")
        given = deepspeed_settings.asked(self.deepspeed)
        take_over()
        self.deepspeed = None
        if self.zero and given is None:
            given = {"zero_optimization": {"stage": self.zero}}
        self.deepspeed_settings = deepspeed_settings.checked(given, self.max_grad_norm) if given is not None else {}
        stage = self.deepspeed_settings["zero_optimization"]["stage"] if given is not None else 0
        if self.zero not in (0, stage):
            raise InputError(f"zero={self.zero}, but the launcher or deepspeed= asks for stage {stage}.")
        self.zero = stage
        if self.shard and self.zero:
            raise InputError(f"shard=True and zero={self.zero}: FSDP2 spreads the optimizer as well; choose one.")
