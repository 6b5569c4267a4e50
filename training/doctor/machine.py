"""Checks of the machine against a planned run: device, memory, model, Java, sandbox, and where it would write.

Nothing is downloaded, and no weight is read: a model's size follows from its configuration (`training.fitting`).
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from agents.starts import WARM, is_made, start_folder, warmstart_command
from envs import sandbox
from envs.cache import cache_folder
from envs.config_schema import listed
from envs.errors import InputError
from envs.files import expanded
from envs.sandbox.pool import INSTALL
from training.config import RunConfig
from training.doctor.findings import Finding, Level
from training.doctor.installation import constraints

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

LEAST_DISK = 200 << 20
"""What a run of the smallest model, its log and the compiled games take."""
_JAVA_SECONDS = 10
_OLDEST_JAVA = 8
_PYTHON = sys.executable
_DRIVER = Path("/proc/driver/nvidia/version")
_ALLOW = "sysctl user.max_user_namespaces=15000 kernel.apparmor_restrict_unprivileged_userns=0, or env.sandbox=unsafe"


def devices(config: RunConfig) -> list[Finding]:
    """Which devices there are, and whether the run's is one of them."""
    import psutil
    import torch

    memory = psutil.virtual_memory()
    cores = len(os.sched_getaffinity(0))
    free, total = memory.available / 1e9, memory.total / 1e9
    found = [Finding("fine", f"CPU: {cores} cores, {free:.1f} of {total:.1f} GB of memory free")]
    for number in range(torch.cuda.device_count()):
        free, total = (size / 1e9 for size in torch.cuda.mem_get_info(number))
        name = torch.cuda.get_device_name(number)
        found.append(Finding("fine", f"GPU {number}: {name}, {free:.1f} of {total:.1f} GB free"))
    if torch.cuda.is_available():
        return found
    unused = _unused_gpu(torch.version.cuda)
    if config.device == "cuda":
        mend = unused.mend if unused else "device=cpu, or device=auto"
        found.append(Finding("broken", "device=cuda: PyTorch sees no CUDA device here", mend))
    elif unused:
        found.append(unused)
    return found


def _unused_gpu(built_for: str | None) -> Finding | None:
    """A GPU that the driver knows and PyTorch does not."""
    if not _DRIVER.is_file():
        return None
    if built_for is None:
        mend = f"{_PYTHON} -m pip install --force-reinstall torch=={constraints()['torch']} (a build for CUDA)"
        return Finding("note", "there is an NVIDIA GPU, but PyTorch is a build for the CPU", mend)
    what = f"there is an NVIDIA driver, but PyTorch (built for CUDA {built_for}) sees no GPU"
    return Finding("note", what, "nvidia-smi (does it see one? is CUDA_VISIBLE_DEVICES empty?)")


def model(config: RunConfig) -> list[Finding]:
    """Whether the model is here, whole, and fits the memory."""
    from agents.models import choose_dtype, locate_model, quiet
    from training import fitting

    quiet()
    name, path = config.model.name, config.model.path
    if path == WARM:
        folder = start_folder(config.env)
        if not is_made(folder):
            what = f"model=warm: env={config.env.name} has no starting policy yet; the run makes it first"
            return [Finding("note", what, warmstart_command(config.env))]
        path = str(folder)
    try:
        path = locate_model(path)
    except InputError as error:
        return [Finding("broken", str(error), "model=tiny, or the path of a model's folder")]
    found = _cut(path) if Path(path).is_dir() else []
    known = _without_weights(name, path, choose_dtype(config.model.dtype, path))
    if known is None:
        what = f"model={name}: its size is not known, as its configuration is not on this machine or cannot be read"
        return [*found, Finding("note", what, f"hf download {path}" if not Path(path).is_dir() else "")]
    if not Path(path).is_dir():
        found += _on_hub(name, path, known)
    device = _device(config)
    try:
        fitting.check_fits(config, known, device)
    except InputError as error:
        what, _, advice = str(error).partition(" are free. ")
        return [*found, Finding("broken", f"{what} are free", advice)]
    weights, states = max(fitting.needs(config, known).values(), key=sum)
    free = fitting.free_bytes(device)
    line = (
        f"model={name}: weights {weights / 1e9:.3g} GB, gradients and optimizer {states / 1e9:.3g} GB, of "
        f"{free / 1e9:.1f} GB free on {device} (activations apart, which training.dry_run estimates)"
    )
    return [*found, Finding("fine", line)]


def _device(config: RunConfig) -> str:
    import torch

    return "cuda" if config.device != "cpu" and torch.cuda.is_available() else "cpu"


def _without_weights(name: str, path: str, dtype: torch.dtype) -> PreTrainedModel | None:
    """The model without weights, from its folder, from what the hub's cache has, or from a shape known here."""
    from training.bench.shapes import SHAPES, build
    from training.fitting import skeleton

    if not Path(path).is_dir() and name in SHAPES:
        return build(SHAPES[name], dtype, "meta")
    return skeleton(path, dtype, offline=True)


def _cut(folder: str) -> list[Finding]:
    """Weight files whose headers do not agree with their lengths: a download or a copy that was cut off."""
    from safetensors import SafetensorError, safe_open

    found = []
    for file in sorted(Path(folder).glob("*.safetensors")):
        try:
            with safe_open(file, "np"):
                pass
        except (OSError, SafetensorError) as error:
            found.append(Finding("broken", f"{file} cannot be read ({error})", f"copy or download {folder} again"))
    return found


def _on_hub(name: str, path: str, known: PreTrainedModel) -> list[Finding]:
    """Whether a hub model's weights are in the hub's cache, else whether there is room for them."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.constants import HF_HUB_CACHE
    from huggingface_hub.errors import CacheNotFound

    from training.estimate import weight_bytes

    try:
        here = any(
            str(file.file_name).endswith(".safetensors")
            for repository in scan_cache_dir(HF_HUB_CACHE).repos
            if repository.repo_id == path
            for revision in repository.revisions
            for file in revision.files
        )
    except CacheNotFound:
        here = False
    if here:
        return [Finding("fine", f"model={name}: {path} is in {HF_HUB_CACHE}")]
    size, room = weight_bytes(known), shutil.disk_usage(_existing(Path(HF_HUB_CACHE))).free
    what = f"model={name}: {path} is not on this machine yet; its {size / 1e9:.1f} GB go into {HF_HUB_CACHE}"
    if size > room:
        return [Finding("broken", f"{what}, where {room / 1e9:.1f} GB are free", "export HF_HOME=FOLDER_WITH_ROOM")]
    return [Finding("note", what, f"hf download {path}")]


def java(config: RunConfig) -> list[Finding]:
    """Whether there is a Java that ScienceWorld's simulator runs in."""
    from envs.scienceworld.server import find_java

    wanted = config.env.name == "scienceworld"
    level: Level = "broken" if wanted else "note"
    mend = "apt-get install default-jre-headless (or set JAVA_HOME)"
    try:
        program = find_java()
    except InputError as error:
        return [Finding(level, str(error).partition(" Install it")[0].rstrip("."), mend)]
    try:
        done = subprocess.run(
            [program, "-version"], capture_output=True, text=True, errors="replace", timeout=_JAVA_SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return [Finding(level, f"{program} does not start ({error})", mend)]
    said = re.search(r'version "(?:1\.)?(\d+)[^"]*"', done.stderr + done.stdout)
    if done.returncode or said is None:
        return [Finding(level, f"{program} -version fails (exit code {done.returncode})", mend)]
    if int(said[1]) < _OLDEST_JAVA:
        return [Finding(level, f"{program} is Java {said[1]}; ScienceWorld needs {_OLDEST_JAVA} or newer", mend)]
    return [Finding("fine", f"Java {said[1]}, {program}")]


def means(config: RunConfig) -> list[Finding]:
    """What confines programs that a model writes here, found out by running one."""
    problems = {name: sandbox.problem(name) for name in sandbox.MEANS}
    working = [name for name, problem in problems.items() if not problem]
    told = "; ".join(f"{name}: {problem}" for name, problem in problems.items() if problem)
    if not working:
        level: Level = "broken" if config.env.name == "code" and _walls(config) else "note"
        mend = _ALLOW if shutil.which("bwrap") else INSTALL
        return [Finding(level, f"programs cannot be confined here, so env=code does not run them ({told})", mend)]
    return [Finding("fine", f"programs are confined by {working[0]}" + (f" ({told})" if told else ""))]


def _walls(config: RunConfig) -> bool:
    return getattr(config.env, "sandbox", "auto") != "unsafe"


def writing(config: RunConfig) -> list[Finding]:
    """Whether the run folder and the cache can be written, and how much room there is."""
    from training.folder import RunFolder
    from training.run import RUNS

    found = []
    out = Path(config.out) if config.out else RUNS
    if config.out:
        try:
            RunFolder.check(out)
        except InputError as error:
            found.append(Finding("broken", str(error), "out=NEW_FOLDER"))
    for what, folder, mend in (
        ("run folder", out, "out=FOLDER"),
        ("cache", cache_folder(), "export KEYSTONE_CACHE=FOLDER"),
        ("scratch", Path(tempfile.gettempdir()), "export TMPDIR=FOLDER"),
    ):
        found += _writable(what, folder, mend)
    return found


def _writable(what: str, folder: Path, mend: str) -> list[Finding]:
    place = _existing(folder)
    try:
        with tempfile.TemporaryFile(dir=place) as file:
            file.write(b"keystone")
        free = shutil.disk_usage(place).free
    except OSError as error:
        reason = error.strerror or str(error)
        return [Finding("broken", f"{what}: {folder.absolute()} cannot be written ({reason})", mend)]
    line = f"{what}: {folder.absolute()}, {free / 1e9:.1f} GB free"
    if free < LEAST_DISK:
        return [Finding("broken", f"{line}; {LEAST_DISK / 1e9:.1f} GB are needed at least", mend)]
    return [Finding("fine", line)]


def _existing(folder: Path) -> Path:
    """The nearest thing of a path that is there already."""
    folder = expanded(folder).absolute()
    return next(place for place in (folder, *folder.parents) if place.exists())


def extras_needed(config: RunConfig) -> dict[str, str]:
    """The extras that a run cannot do without, and what for."""
    name = config.env.name
    found = {name: f"env={name}"} if name in ("textworld", "scienceworld") else {}
    if getattr(config.env, "engine", "") == "reference":
        found["alfworld"] = "env.engine=reference"
    if getattr(config.env, "source", "") == "reasoning_gym":
        found["reasoning-gym"] = "env.source=reasoning_gym"
    if config.layer.strip().lower().startswith("lora"):
        found["lora"] = f"layer={config.layer}"
    if config.train.frozen != "plain":
        found["quantized"] = f"train.frozen={config.train.frozen}"
    found |= {name: f"trackers={name}" for name in ("wandb", "trackio") if name in listed(config.trackers)}
    if config.sampler == "vllm" and not config.vllm.url:
        found["vllm"] = "sampler=vllm"
    return found
