"""From a configuration to everything a run works with.

`check` finds what can be wrong with the arguments, without importing torch; `load_model` finds what can be wrong with
the model. Neither writes anything. `open_run` then needs the run's folder.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from agents.models import announce_download, choose_device, choose_dtype, locate_model, model_settings, quiet
from agents.prompts import parse_context
from agents.samplers import check_sampler
from agents.starts import WARM, is_made, start_folder, warmstart_command
from agents.targets import Target, check_installed, parse
from envs.errors import InputError, shortened
from envs.registry import make_from, options_of
from envs.types import TextEnv
from evals.panels import Panel, choose
from evals.sampling import check_temperatures
from training import fitting, selectors, trackers, warmstart
from training.config import RunConfig
from training.folder import LOG, RunFolder
from training.processes import current
from training.tasks import keep_back, training_tasks
from training.warmstart import WarmstartConfig

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

    from training.running import Run


MOST_BLOCKS = 10_000


@dataclass(frozen=True)
class Inputs:
    """What a configuration stands for.

    Attributes:
        config: the configuration.
        model_path: folder or hub id of the model.
        train_env: makes an environment of the training split.
        panel_env: makes an environment of the panel's split.
        tuning: the tasks for choosing temperatures, apart from those that training plays.
        probe: the tasks that selectors probe with, apart from both.
        panel: the evaluation tasks.
        data: which data is used for what.
    """

    config: RunConfig
    model_path: str
    train_env: Callable[[], TextEnv]
    panel_env: partial[TextEnv]
    tuning: Panel
    probe: Panel
    panel: Panel
    data: dict[str, str]


class Loaded(NamedTuple):
    """A loaded model.

    Attributes:
        model: the model.
        tokenizer: its tokenizer.
        device: where it is.
        dtype: type of its weights.
        base_sha256: `agents.deltas.base_fingerprint` of it, before any weight was rounded.
    """

    model: PreTrainedModel
    tokenizer: PreTrainedTokenizerBase
    device: str
    dtype: torch.dtype
    base_sha256: str


def check(config: RunConfig, panel_seed: int | None = None) -> Inputs:
    """Resolves model, layer, data and tasks.

    Args:
        config: the configuration.
        panel_seed: draws the panel, if another seed than the run's shall.

    Raises:
        InputError: one of them cannot be used.
    """
    episodes = config.train.groups * config.train.group_size
    if not config.train.update_rows and episodes % config.train.updates:
        raise InputError(
            f"train.updates={config.train.updates} does not divide the {episodes} episodes of an iteration "
            f"(train.groups={config.train.groups} times train.group_size={config.train.group_size})."
        )
    if 0 < config.train.dual_clip <= 1:
        raise InputError(f"train.dual_clip={config.train.dual_clip:g} must be more than 1, or 0 for none.")
    check_temperatures(config.temperatures)
    parse_context(config.model.context)
    check_sampler(config.sampler, config.vllm)
    fitting.check_frozen(config)
    trackers.chosen(config.trackers)
    train_env = partial(make_from, config.env)
    env = train_env()
    model_path = locate_start(config)
    check_layer(config.layer, model_path)
    drawn_by = config.seed if panel_seed is None else panel_seed
    panel_env, panel = choose(config.env, config.panel, env.evaluation_split, drawn_by, config.panel_tasks)
    trained = training_tasks(env, config.seed, config.iterations * config.train.groups)
    check_apart(config, trained, panel, panel_env.keywords)
    tuning, probe = keep_back(env, config.seed, trained, panel.tasks, config.tuning_tasks)
    data = {"training": env.describe_data(), "evaluation": panel_env().describe_data()}
    return Inputs(config, model_path, train_env, panel_env, tuning, probe, panel, data)


def locate_start(config: RunConfig) -> str:
    """Returns the folder or hub id of the policy that a run starts from; `model=warm` may still have to be made.

    Raises:
        InputError: there is no such model, or nothing to clone a starting policy from.
    """
    if config.model.path != WARM:
        return locate_model(config.model.path)
    warmstart.players_of(start_config(config))
    return str(start_folder(config.env))


def start_config(config: RunConfig) -> WarmstartConfig:
    """Returns how the starting policy of a run with `model=warm` is made."""
    return WarmstartConfig(env=config.env, pool=config.pool)


def make_start(config: RunConfig) -> None:
    """Makes the starting policy of a run with `model=warm`, if it is not there.

    Raises:
        InputError: it cannot be made.
    """
    if config.model.path == WARM and not is_made(start_folder(config.env)):
        command = warmstart_command(config.env)
        print(f"model=warm: env={config.env.name} has no starting policy yet, so one is made ({command}).", flush=True)
        warmstart.make(start_config(config))


def check_apart(config: RunConfig, trained: Sequence[str], panel: Panel, options: Mapping[str, Any]) -> None:
    """Makes sure that training plays neither the panel's split nor, whatever the splits are called, a task of it.

    Args:
        config: the run's configuration.
        trained: the tasks that training plays.
        panel: the evaluation tasks.
        options: the options of their environment.

    Raises:
        InputError: it would.
    """
    split = options_of(config.env).get("split")
    if split is not None and split == options.get("split"):
        raise InputError(f"env.split={split} is the split that panel {panel.name} is drawn from; train on another one.")
    shared = set(trained).intersection(panel.tasks)
    if shared:
        raise InputError(
            f"training would play {len(shared)} of the {len(panel.tasks)} tasks of panel {panel.name}, for example "
            f"{min(shared)}. Train on another split or score on another panel."
        )


def check_layer(layer: str, model_path: str) -> Target | None:
    """Checks `layer=` against the number of blocks that a local model's config.json states.

    Returns:
        The target; None for a selector, or if the number of blocks is not known before the model is loaded.

    Raises:
        InputError: the model has no such layer, or what training it needs is not installed.
    """
    num_blocks = _stated_blocks(model_path)
    return layer_of(layer, num_blocks) if num_blocks else None


def layer_of(layer: str, num_blocks: int) -> Target | None:
    """Checks `layer=` against a number of blocks.

    Returns:
        The target; None for a selector.

    Raises:
        InputError: there is no such layer, or what training it needs is not installed.
    """
    target = parse(layer, num_blocks, selectors.names())
    if target is not None:
        check_installed(target)
    return target


def block_count(model_path: str) -> int:
    """Number of blocks of a model, from its config.json or, if it is not local, from the hub's.

    Raises:
        InputError: it states none.
    """
    count = _stated_blocks(model_path)
    if not count and not Path(model_path).is_dir():
        count = int(getattr(_hub_settings(model_path), "num_hidden_layers", 0))
    if not count:
        raise InputError(f"model={model_path}: its config.json states no number of blocks.")
    return count


def model_type(model_path: str) -> str:
    """The architecture that a model's config.json names, or the hub's if it is not local."""
    if Path(model_path).is_dir():
        return str(model_settings(model_path).get("model_type", "unknown"))
    return str(_hub_settings(model_path).model_type)


def _hub_settings(model_path: str) -> Any:  # noqa: ANN401 - every architecture has a class of its own
    """The configuration of a hub id."""
    quiet()
    announce_download(model_path)
    from transformers import AutoConfig

    return AutoConfig.from_pretrained(model_path, trust_remote_code=False)


def _stated_blocks(model_path: str) -> int:
    """Number of blocks that a local model's config.json states; 0 if there is none."""
    settings = model_settings(model_path)
    count = settings.get("num_hidden_layers", settings.get("n_layer", 0))
    if not isinstance(count, int) or not 0 <= count <= MOST_BLOCKS:
        raise InputError(
            f"model={model_path}: its config.json should state from 1 to {MOST_BLOCKS} blocks, and states "
            f"{shortened(repr(count))}."
        )
    return count


def load_model(inputs: Inputs) -> Loaded:
    """Loads the model.

    Raises:
        InputError: it or the device cannot be used, it does not fit the memory, or it has no such layer.
    """
    quiet()
    announce_download(inputs.model_path)
    from agents.blocks import find_stack
    from agents.deltas import base_fingerprint
    from agents.policies.transformers import load
    from agents.quantized import settings

    device = choose_device(inputs.config.device)
    dtype = choose_dtype(inputs.config.model.dtype, inputs.model_path)
    config, path = inputs.config, inputs.model_path
    known, frozen = fitting.skeleton(path, dtype), config.train.frozen
    if known is None or frozen == fitting.PLAIN:
        if known is not None:
            fitting.check_fits(config, known, device)
        model, tokenizer = load(path, device, dtype)
        parse(config.layer, len(find_stack(model)), selectors.names())
        return Loaded(model, tokenizer, device, dtype, base_fingerprint(model))
    fitting.check_fits(config, known, device)
    # A delta names the model by its own weights, not by rounded ones.
    plain = base_fingerprint(load(path, "cpu", dtype)[0])
    model, tokenizer = load(path, device, dtype, settings(frozen, fitting.kept(config, known), dtype))
    return Loaded(model, tokenizer, device, dtype, plain)


def open_run(inputs: Inputs, loaded: Loaded, folder: RunFolder, *, echo: bool = True) -> Run:
    """Puts a run together, whose pool is to be closed; says what it works with, in the log alone if not `echo`."""
    from agents.policies.vllm.start import open_sampler
    from envs.pool import Pool, place
    from envs.screen import Screen
    from evals.stopping import Stop
    from training.running import Run

    config, main = inputs.config, current().main
    screen = Screen(folder / LOG if main else None, echo=echo and main)
    model, tokenizer, device, dtype, base_sha256 = loaded
    count = model.num_parameters()
    screen.print(f"run folder: {folder.path}")
    for use, line in inputs.data.items():
        screen.print(f"{use} data: {line}")
    screen.print(f"panel: {inputs.panel.name}, {len(inputs.panel.tasks)} tasks, sha256 {inputs.panel.sha256[:12]}")
    stored = "" if config.train.frozen == fitting.PLAIN else f", what is frozen in {config.train.frozen}"
    screen.print(f"model: {config.model.name}, {count:,} parameters, {dtype} on {device}{stored}")
    pool = Pool(config.pool, screen.print)
    train_env = place(config.env.name, options_of(config.env), pool)
    panel_env = place(config.env.name, inputs.panel_env.keywords, pool)
    tasks = (inputs.panel, inputs.tuning, inputs.probe)
    sampler = open_sampler(model, config.vllm) if config.sampler == "vllm" else None
    envs = (train_env, panel_env, pool)
    stop = Stop(lambda: config.reserve.shortage(folder.path))
    return Run(config, folder, screen, stop, model, tokenizer, base_sha256, *envs, *tasks, sampler)
