"""What a score was measured on: processor, memory, GPU and the versions of what computes."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

_PACKAGES = ("keystone-rl", "torch", "transformers", "numpy")


def hardware() -> dict[str, Any]:
    """Processor, number of cores this process may use, memory in bytes, and the GPU's name or None."""
    import psutil

    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "processor": _processor(),
        "cores": cores,
        "memory_bytes": int(psutil.virtual_memory().total),
        "gpu": _gpu(),
    }


def versions() -> Mapping[str, str]:
    """Versions of Python and of the packages that decide what a policy says."""
    found = {"python": platform.python_version()}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    """The processor's name as Linux tells it, else the kind of machine."""
    file = Path("/proc/cpuinfo")
    lines = file.read_text(encoding="utf-8", errors="replace").splitlines() if file.is_file() else []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names and names[0] else platform.processor() or platform.machine()


def _gpu() -> str | None:
    """The GPU's name. Where no model was played torch is not loaded, and need not be."""
    torch = sys.modules.get("torch")
    return str(torch.cuda.get_device_name()) if torch is not None and torch.cuda.is_available() else None
