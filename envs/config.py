"""Configuration of every command: `key=value` arguments over YAML presets over frozen dataclasses.

Whatever their order on the command line, values are applied in this one: the defaults of the dataclasses; the presets
that are chosen by default; a saved configuration (`config=RUN/config.yaml`); the presets chosen on the command line
(`env=NAME`, `model=NAME`, ...); a recipe (`recipe=NAME`, a preset that may set any key, and chooses other presets by
`model: NAME` or by a `name` among the keys it sets there); and the keys given one by one (`env.max_turns=30`). So the
choice of a preset never undoes a key that was typed out. The result is checked against types, choices and limits, and
is saved in full, so that it runs again by itself.

Left out on purpose: sweeps over values.
"""

from __future__ import annotations

import dataclasses
import difflib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import NoneType
from typing import Any, NamedTuple, TypeVar

import yaml
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from envs import presets
from envs.config_schema import Group, Key, expected, groups_of, keys_of, plain_types, takes_names, takes_text
from envs.errors import InputError, nearest, shortened, unknown
from envs.files import writing

T = TypeVar("T")


class _Arguments(NamedTuple):
    """A command line taken apart: preset choices, single keys in typed order, and the saved configuration's content."""

    choices: dict[str, str]
    keys: list[tuple[str, str]]
    saved: dict[str, Any]


class _Layer(NamedTuple):
    """Values to apply together, and where they come from, for messages."""

    values: Mapping[str, Any]
    source: str


def load(schema: type[T], argv: Sequence[str]) -> T:
    """Builds a configuration from command-line arguments.

    Args:
        schema: the configuration's dataclass, declared with `envs.config_schema.key` and `group`. A class attribute
            `aliases` may map a short name to a full key ("data" to "env.data").
        argv: the arguments, each `key=value`.

    Returns:
        An instance of `schema`, complete and checked.

    Raises:
        InputError: an argument is malformed, or names or holds something that is not allowed.
    """
    return resolve(schema, argv)[0]


def save(config: Any, path: Path) -> None:  # noqa: ANN401 - any configuration dataclass
    """Writes a configuration as YAML, every key of it, for `config=FILE`.

    Raises:
        StorageError: it cannot be written.
    """
    with writing(path):
        path.write_text(OmegaConf.to_yaml(OmegaConf.structured(config)), encoding="utf-8")


def resolve(schema: type[T], argv: Sequence[str]) -> tuple[T, list[Key]]:
    """Does what `load` does and returns the configuration's keys too, their defaults being those of the dataclasses."""
    arguments = _read_arguments(schema, argv)
    options, layers = _layers(schema, arguments)
    composed = schema(**{name: cls() for name, cls in options.items()})
    keys = {key.path: key for key in keys_of(composed)}
    config = OmegaConf.structured(composed)
    _thaw(config)
    for layer in layers:
        for path, value in _leaves(layer.values):
            _assign(config, _find(keys, path, layer.source), value, layer.source)
    aliases = getattr(schema, "aliases", {})
    for path, text in arguments.keys:
        short = f" (short for {aliases[path]!r})" if path in aliases else ""
        key = _find(keys, aliases.get(path, path), short, given=path)
        _assign(config, key, _value(key, text), "", given=text)
    return OmegaConf.to_object(config), list(keys.values())  # type: ignore[return-value]


def _read_arguments(schema: type[Any], argv: Sequence[str]) -> _Arguments:
    arguments = _Arguments({}, [], {})
    groups = groups_of(schema)
    for word in argv:
        name, equals, value = word.partition("=")
        if not equals or not name or name.startswith("-"):
            example = (
                f" Write {name.lstrip('-')}={value or 'VALUE'}." if name.startswith("-") and name.strip("-") else ""
            )
            raise InputError(f"expected key=value, got {word!r}.{example} --help lists every key.")
        if name == "config":
            arguments.saved.update(presets.read_yaml(Path(value)))
        elif name in groups:
            arguments.choices[name] = value
        elif name.endswith(".name") and name.removesuffix(".name") in groups:
            raise InputError(f"{name!r} cannot be set by itself. Write {name.removesuffix('.name')}={value}.")
        else:
            arguments.keys.append((name, value))
    return arguments


def _layers(schema: type[Any], arguments: _Arguments) -> tuple[dict[str, type[Any]], list[_Layer]]:
    """Decides on the presets. Returns the options class of every group and the layers of values in order."""
    fields = {field.name for field in dataclasses.fields(schema)}
    recipe_name = dict(arguments.keys).get("recipe", "") if "recipe" in fields else ""
    recipe = presets.read("recipe", recipe_name) if recipe_name else {}
    saved = dict(arguments.saved)
    groups = groups_of(schema)
    choices = _recipe_choices(recipe, groups) | arguments.choices
    options: dict[str, type[Any]] = {}
    before: list[_Layer] = []
    after: list[_Layer] = []
    for name, group in groups.items():
        default, recorded = _saved_choice(saved, name, group.preset)
        chosen = choices.get(name, default)
        typed = name in choices and chosen != recorded
        if typed:
            saved.pop(name, None)
        values = _preset(name, group, chosen, required=chosen != recorded)
        options[name] = group.options_class(values[name]["name"])
        (after if typed else before).append(_Layer(values, f" (in configs/{name}/{chosen}.yaml)"))
    file = _Layer(saved, " (in the file of config=)")
    return options, [*before, file, *after, _Layer(recipe, f" (in configs/recipe/{recipe_name}.yaml)")]


def _recipe_choices(recipe: dict[str, Any], groups: Mapping[str, Group]) -> dict[str, str]:
    """Takes the presets that a recipe chooses out of it: `model: warm`, or `name: warm` among keys of the model."""
    choices: dict[str, str] = {}
    for name in groups:
        below = recipe.get(name)
        if isinstance(below, str):
            choices[name] = recipe.pop(name)
        elif isinstance(below, Mapping) and isinstance(below.get("name"), str):
            choices[name] = below["name"]
            recipe[name] = {key: value for key, value in below.items() if key != "name"}
    return choices


def _saved_choice(saved: dict[str, Any], name: str, otherwise: str) -> tuple[str, str | None]:
    """Returns a group's choice where none is typed, and the one that a saved configuration records with its options.

    A hand-written file may choose as the command line does (`env: alfworld`); then no options stand beside the choice.
    """
    below = saved.get(name, {})
    if not isinstance(below, Mapping):
        del saved[name]
        return str(below), None
    recorded = str(below["name"]) if "name" in below else None
    return recorded or otherwise, recorded


def _preset(name: str, group: Group, chosen: str, required: bool) -> dict[str, Any]:
    """Returns the keys that a group's chosen name stands for, `<group>.name` among them."""
    if chosen in presets.names(name):
        values = presets.read(name, chosen)
    else:
        accepted = group.accept(chosen)
        if accepted is None and required and chosen not in group.names():
            error = unknown(name, chosen, {*presets.names(name), *group.names()})
            raise InputError(f"{error} {group.hint}".rstrip())
        values = dict(accepted or {})
    return {**values, name: {"name": chosen, **values.get(name, {})}}


def _thaw(config: DictConfig) -> None:
    """Makes a configuration of frozen dataclasses writable while it is being put together."""
    OmegaConf.set_readonly(config, None)
    for name in config:
        if OmegaConf.is_dict(config._get_node(name)):
            _thaw(config[name])


def _leaves(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in values.items():
        if isinstance(value, Mapping):
            yield from _leaves(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _find(keys: Mapping[str, Key], path: str, source: str, given: str = "") -> Key:
    if path in keys:
        return keys[path]
    path, given = shortened(path), shortened(given)
    if any(known.startswith(f"{path}.") for known in keys):
        raise InputError(f"{path!r} is a group of keys{source}. Write {path}.KEY=VALUE. --help lists every key.")
    settable = [known for known in keys if not known.endswith(".name")]
    last_parts = {known.rpartition(".")[2]: known for known in settable}
    near = difflib.get_close_matches(path, settable, n=1, cutoff=0.6) or [
        last_parts[part] for part in difflib.get_close_matches(path.rpartition(".")[2], last_parts, n=1, cutoff=0.7)
    ]
    hint = f" Did you mean {near[0]!r}?" if near else ""
    raise InputError(f"unknown key {given or path!r}{source}.{hint} --help lists every key.")


def _value(key: Key, text: str) -> Any:  # noqa: ANN401 - whatever YAML reads
    """Reads a typed value as the key's type wants it."""
    if takes_text(key.type):
        return None if text == "null" and NoneType in plain_types(key.type) else text
    try:
        value = yaml.safe_load(text)
    except (RecursionError, ValueError, yaml.YAMLError):
        return text
    # One name stands for the list of it.
    return [value] if takes_names(key.type) and isinstance(value, str) else value


def _assign(config: DictConfig, key: Key, value: Any, source: str, given: str | None = None) -> None:  # noqa: ANN401
    if "${" in str(value):
        # OmegaConf would put in another key's value, or an environment variable's.
        raise _refusal(key, str(value) if given is None else given, source)
    try:
        OmegaConf.update(config, key.path, value)
        result = OmegaConf.select(config, key.path)
    except (OmegaConfBaseException, RecursionError, ValueError, TypeError, OverflowError):
        raise _refusal(key, str(value) if given is None else given, source) from None
    allowed = not key.choices or result in key.choices
    # A number that is not one (nan) is beyond every limit.
    above = key.minimum is None or result is None or result >= key.minimum
    below = key.maximum is None or result is None or result <= key.maximum
    if not (allowed and above and below):
        raise _refusal(key, str(value) if given is None else given, source)


def _refusal(key: Key, given: str, source: str) -> InputError:
    given = shortened(given)
    hint = nearest(given, [str(choice) for choice in key.choices if choice])
    return InputError(f"{key.path} must be {expected(key)}, got {given!r}{source}.{hint}")
