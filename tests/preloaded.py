"""What the process imports of which `tests.forked` makes copies."""

from __future__ import annotations

import importlib
from contextlib import suppress

from agents.models import quiet

quiet()
for name in (
    "evals.report",
    "evals.run",
    "training.job",
    "training.sweep",
    "training.tune",
    "training.warmstart",
    # What a training run loads as late as it can.
    "training.arms",
    "training.selection",
    "agents.policies.transformers",
    "transformers.models.qwen3.modeling_qwen3",
):
    importlib.import_module(name)
with suppress(ImportError):
    importlib.import_module("peft")
