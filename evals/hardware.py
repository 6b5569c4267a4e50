"""What a measurement ran on: the same greedy policy may say another word on another processor or library."""

from __future__ import annotations

import importlib.metadata
import os
import platform
import sys
from pathlib import Path
from typing import Any

_PACKAGES = ("keystone-rl", "numpy", "tokenizers", "torch", "transformers")


def hardware() -> dict[str, Any]:
    """Describes this machine.

    Returns:
        "processor" (its name), "cores" (those that this process may use), "memory_bytes", "gpu" (its name, or None),
        and "threads", with which PyTorch computes (None where it is not loaded).
    """
    import psutil

    torch = sys.modules.get("torch")
    gpu = torch.cuda.get_device_name() if torch is not None and torch.cuda.is_available() else None
    return {
        "processor": _processor(),
        "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
        "memory_bytes": int(psutil.virtual_memory().total),
        "gpu": gpu,
        "threads": None if torch is None else torch.get_num_threads(),
    }


def versions() -> dict[str, str]:
    """The versions of Python and of the packages that have a say in what a model answers."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """The processor's name, which Linux keeps in a file of its own."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    named = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(named, "") or platform.processor() or platform.machine()
