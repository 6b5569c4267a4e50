"""Environments by name.

An environment is a module or package directly in `envs/`; its file name is its name on the command line. There is no
table: the file (for a package, its `__init__.py`) says at top level, in one line, where its class is:

    ENVIRONMENT = "envs.alfworld.environment:ALFWorld"

or `ENVIRONMENT = "zork = envs.old.games:Zork"`, as entry points are written, where its name is another than the file's.
The line is read as text and the class is imported only when it is wanted, so that an environment whose packages are
missing disturbs nobody else. Environments of other projects need no file here. An installed package names its own in
its metadata, under the entry-point group "keystone.environments":

    [project.entry-points."keystone.environments"]
    zork = "my_package.zork:Zork"

A program registers one with `register`, and everywhere a name is taken, "my_package.zork:Zork" names a class directly.
Each known name also has a Gymnasium id, `keystone/<class>-v0`.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.metadata
import os
import re
import warnings
from functools import cache, partial
from pathlib import Path
from typing import Any

import gymnasium

from envs.config_schema import Group, group
from envs.errors import InputError, unknown
from envs.types import TextEnv

_FOLDER = Path(__file__).parent
_LINE = re.compile(r"""^ENVIRONMENT = ["'](?:(\w+) = )?([\w.]+:\w+)["']$""", re.MULTILINE)
_ENTRY_POINTS = "keystone.environments"
_NAME = re.compile(r"\w+")
_TARGET = re.compile(r"[^\W\d][\w.]*:[^\W\d]\w*")
_registered: dict[str, str] = {}

# Short names of the options that most environments have; a command's configuration class takes them as its `aliases`.
ENVIRONMENT_ALIASES = {"data": "env.data", "split": "env.split"}


def names() -> list[str]:
    """Lists the names of all environments, sorted."""
    return sorted(_targets())


def make(name: str, **options: Any) -> TextEnv:  # noqa: ANN401 - each environment has its own options
    """Makes an environment.

    Args:
        name: a name of `names()`, or "my_package.module:Class".
        **options: the fields of the environment's `config_class`.

    Returns:
        The environment.

    Raises:
        InputError: the name, an option or an option's value is not valid.
    """
    made = env_class(name)
    fields = {field.name: field for field in dataclasses.fields(made.config_class)}
    for option, value in options.items():
        if option not in fields:
            raise unknown(f"option of environment {name!r}:", option, fields)
        choices = fields[option].metadata.get("choices")
        if choices and value not in choices:
            raise unknown(f"{option} of environment {name!r}:", str(value), map(str, choices))
    return made(**options)


def make_from(config: Any) -> TextEnv:  # noqa: ANN401 - the options class differs between environments
    """Makes the environment that the options below a command's key `env` (see `environment_key`) describe."""
    return make(config.name, **options_of(config))


def options_of(config: Any) -> dict[str, Any]:  # noqa: ANN401
    """Returns the keyword arguments of `make` that a command's `env` options stand for."""
    return {field.name: getattr(config, field.name) for field in dataclasses.fields(config_class(config.name))}


def register(name: str, target: str) -> None:
    """Adds an environment of another project.

    Args:
        name: its name from now on, in `make` and on the command line.
        target: its class, "my_package.zork:Zork". The module is imported when the environment is first made.

    Raises:
        InputError: the name or its Gymnasium id is taken, or the target is not of that form.
    """
    if not _NAME.fullmatch(name):
        raise InputError(f"an environment's name is made of letters, digits and underscores, got {name!r}.")
    _check_target(target)
    if _targets().get(name, target) != target:
        raise InputError(f"the environment name {name!r} already stands for {_targets()[name]!r}.")
    if name not in _targets():
        _register_gymnasium(name, target)
        _registered[name] = target


def target_of(name: str) -> str:
    """Returns where an environment's class is, "my_package.module:Class": what its name stands for in any process.

    Raises:
        InputError: there is no such environment.
    """
    if ":" not in name and name not in _targets():
        error = unknown("environment", name, names())
        raise InputError(f"{error} An environment of your own is named my_package.module:Class.")
    target = _targets().get(name, name)
    _check_target(target)
    return target


def env_class(name: str) -> type[TextEnv]:
    """Imports an environment's class.

    Raises:
        InputError: there is no such environment, or its class cannot be imported.
    """
    module_name, _, class_name = target_of(name).partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(
            f"environment {name!r} needs the module {error.name!r}, which is neither installed nor in the current"
            f" folder {os.getcwd()}."
        ) from error
    found = getattr(module, class_name, None)
    if not (isinstance(found, type) and issubclass(found, TextEnv)):
        raise InputError(f"environment {name!r}: {module_name} has no subclass of envs.TextEnv named {class_name!r}.")
    return found


def config_class(name: str) -> type[Any]:
    """Returns the dataclass of an environment's options.

    Raises:
        InputError: there is no such environment, or it has an option `name`, which stands for the environment itself.
    """
    options = env_class(name).config_class
    if "name" in {field.name for field in dataclasses.fields(options)}:
        raise InputError(
            f"environment {name!r} has an option 'name'. Rename it: env.name is the environment's own name."
        )
    return options


def gymnasium_id(name: str) -> str:
    """Returns the Gymnasium id of a known environment, for example "keystone/ALFWorld-v0"."""
    return _gymnasium_id(_targets()[name])


def environment_key(help: str = "the world", preset: str = "alfworld") -> Any:  # noqa: ANN401 - becomes a field's default
    """Declares the key `env` of a command's configuration: `env=NAME` chooses, `env.OPTION=VALUE` sets its options."""
    hint = "Or an environment of your own: my_package.module:Class."
    return group(help, Group(preset, config_class, names=names, accept=_accept, hint=hint))


def register_gymnasium() -> None:
    """Gives every environment of this package and of installed ones its Gymnasium id."""
    for name, target in _targets().items():
        _register_gymnasium(name, target)


@cache
def _shipped() -> dict[str, str]:
    files = {path.stem: path for path in _FOLDER.glob("*.py")}
    files |= {path.parent.name: path for path in _FOLDER.glob("*/__init__.py")}
    found = {stem: _LINE.search(path.read_text(encoding="utf-8")) for stem, path in sorted(files.items())}
    return {line[1] or stem: line[2] for stem, line in found.items() if line}


@cache
def _installed() -> dict[str, str]:
    """Returns the environments of installed packages; one that cannot have its name or its id is left out, and said."""
    found: dict[str, str] = {}
    for point in importlib.metadata.entry_points(group=_ENTRY_POINTS):
        taken = {**_shipped(), **found}
        ids = {_gymnasium_id(target) for target in taken.values()}
        package = point.dist.name if point.dist else "an unknown package"
        if not (_NAME.fullmatch(point.name) and _TARGET.fullmatch(point.value)):
            problem = 'an entry point is written name = "my_package.module:Class"'
        elif point.name in taken:
            problem = f"the name stands for {taken[point.name]!r} already"
        elif _gymnasium_id(point.value) in ids:
            problem = f"the Gymnasium id {_gymnasium_id(point.value)!r} is taken"
        else:
            found[point.name] = point.value
            continue
        warnings.warn(
            f"the environment {point.name!r} of {package} is left out: {problem}. It can be named by its class,"
            f" env={point.value}.",
            stacklevel=2,
        )
    return found


def _targets() -> dict[str, str]:
    return {**_shipped(), **_installed(), **_registered}


def _accept(name: str) -> dict[str, Any] | None:
    return {} if name in _targets() or ":" in name else None


def _check_target(target: str) -> None:
    if not _TARGET.fullmatch(target):
        raise InputError(f"an environment's class is named my_package.module:Class, got {target!r}.")


def _gymnasium_id(target: str) -> str:
    return f"keystone/{target.partition(':')[2]}-v0"


def _register_gymnasium(name: str, target: str) -> None:
    identifier = _gymnasium_id(target)
    if identifier in gymnasium.registry:
        raise InputError(
            f"environment {name!r}: the Gymnasium id {identifier!r} is taken. Rename the class {target!r}."
        )
    # Gymnasium's checker knows nothing of text worlds; `envs.check` and the contract tests do its work.
    gymnasium.register(identifier, entry_point=partial(make, name), disable_env_checker=True)
