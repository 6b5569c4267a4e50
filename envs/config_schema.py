"""What a configuration class says about its keys: names, types, meanings, limits, and which of them choose presets.

A configuration is a tree of frozen dataclasses whose fields all have defaults. A field says what it means in its
metadata: "help" (required), "unit", "choices", "minimum", "maximum", "presets". `key` and `group` write that metadata.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from types import NoneType
from typing import Any, Literal, NamedTuple, cast, get_args, get_origin, get_type_hints

from envs import presets
from envs.errors import InputError, shortened, unknown


@dataclasses.dataclass(frozen=True)
class Group:
    """A key whose value names a preset, and with it the class of the options below that key.

    Attributes:
        preset: the choice when none is made.
        options: the class of the options, or a function from the chosen name to that class.
        names: further valid names that have no preset file.
        accept: for a name that is no preset, the keys that it stands for, or None if the name is not valid.
        hint: what else the key takes, for messages.
    """

    preset: str
    options: type[Any] | Callable[[str], type[Any]]
    names: Callable[[], Iterable[str]] = tuple
    accept: Callable[[str], Mapping[str, Any] | None] = lambda name: None
    hint: str = ""

    def options_class(self, name: str) -> type[Any]:
        """Returns the class of the options for a chosen name, with a field `name` for that name."""
        return _with_name(self.options if isinstance(self.options, type) else self.options(name))


@cache
def _with_name(options: type[Any]) -> type[Any]:
    if "name" in {field.name for field in dataclasses.fields(options)}:
        return options
    frozen = cast(Any, options).__dataclass_params__.frozen
    field = ("name", str, key("", "what was chosen"))
    return dataclasses.make_dataclass(f"Named{options.__name__}", [field], bases=(options,), frozen=frozen)


class Key(NamedTuple):
    """One settable key.

    Attributes:
        path: full dotted name.
        type: its type annotation, resolved.
        default: its value when nothing sets it.
        help: its meaning.
        unit: what its number counts.
        choices: the allowed values; empty if any value of the type is allowed.
        minimum: the smallest allowed number, or None.
        maximum: the largest allowed number, or None.
    """

    path: str
    type: Any
    default: Any
    help: str
    unit: str
    choices: tuple[Any, ...]
    minimum: float | None
    maximum: float | None


def key(
    default: Any,  # noqa: ANN401 - the type of the field it becomes the default of
    help: str,
    *,
    unit: str = "",
    choices: Iterable[Any] = (),
    minimum: float | None = None,
    maximum: float | None = None,
    presets: str = "",
) -> Any:  # noqa: ANN401
    """Declares a key: a dataclass field with its meaning.

    Args:
        default: its default value.
        help: its meaning, for `--help`.
        unit: what its number counts.
        choices: the allowed values, where they are few; those of a `Literal` annotation need not be said again.
        minimum: the smallest allowed number.
        maximum: the largest allowed number.
        presets: a preset group: the key takes its names, or "" for none.
    """
    metadata = {"help": help, "unit": unit, "choices": tuple(choices), "minimum": minimum, "maximum": maximum}
    return dataclasses.field(default=default, metadata={**metadata, "presets": presets})


def group(help: str, chosen: Group) -> Any:  # noqa: ANN401
    """Declares a key that chooses a preset (`env=alfworld`) and holds the options below it (`env.max_turns=30`)."""
    metadata = {"help": help, "group": chosen}
    if isinstance(chosen.options, type):
        return dataclasses.field(default_factory=chosen.options_class(""), metadata=metadata)
    return dataclasses.field(default=None, metadata=metadata)


def groups_of(schema: type[Any]) -> dict[str, Group]:
    """Returns the groups of a configuration class by key name, in field order."""
    return {field.name: field.metadata["group"] for field in dataclasses.fields(schema) if "group" in field.metadata}


def keys_of(config: Any, prefix: str = "") -> list[Key]:  # noqa: ANN401
    """Lists every key of a configuration, in field order, nested ones by their dotted names."""
    hints = get_type_hints(type(config))
    keys: list[Key] = []
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            keys += keys_of(value, f"{prefix}{field.name}.")
        else:
            keys.append(_key(f"{prefix}{field.name}", hints[field.name], value, field.metadata))
    return keys


def _key(path: str, hint: Any, default: Any, metadata: Mapping[str, Any]) -> Key:  # noqa: ANN401
    choices = tuple(metadata.get("choices") or _literal_values(hint))
    if metadata.get("presets"):
        choices = ("", *presets.names(metadata["presets"]))
    limits = metadata.get("minimum"), metadata.get("maximum")
    return Key(path, hint, default, metadata["help"], metadata.get("unit", ""), choices, *limits)


def listed(text: str) -> list[str]:
    """The names in a value that separates them by commas; blanks around them, and empty ones, do not count."""
    return [part.strip() for part in text.split(",") if part.strip()]


def plain_types(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401
    """Returns the members of a union, or the one type itself."""
    origin = get_origin(hint)
    if origin is None or origin in (tuple, list, Literal):
        return (hint,)
    return get_args(hint)


def takes_names(hint: Any) -> bool:  # noqa: ANN401
    """Whether a key takes a list of texts, such as [a,b]."""
    return get_origin(hint) in (tuple, list) and get_args(hint)[0] is str


def _literal_values(hint: Any) -> tuple[Any, ...]:  # noqa: ANN401
    return tuple(value for part in plain_types(hint) if get_origin(part) is Literal for value in get_args(part))


def takes_text(hint: Any) -> bool:  # noqa: ANN401
    """Whether a value typed for this key is text as it stands, so that `layer=010` stays "010"."""
    members = set(plain_types(hint)) - {NoneType}
    return all(member is str or isinstance((get_args(member) or (None,))[0], str) for member in members)


def _number(value: float) -> str:
    return f"{value:,.0f}" if float(value).is_integer() else f"{value:g}"


def expected(key: Key) -> str:
    """Says in words what a key takes."""
    if key.choices:
        return "one of " + ", ".join("''" if choice == "" else str(choice) for choice in key.choices)
    words = {int: "a whole number", float: "a number", bool: "true or false", str: "text", NoneType: "null"}
    text = " or ".join(words.get(part, "a list such as [1,2]") for part in plain_types(key.type))
    if key.minimum is not None and key.maximum is not None:
        return f"{text} from {_number(key.minimum)} to {_number(key.maximum)}"
    if key.minimum is not None:
        text += f" of at least {_number(key.minimum)}"
    if key.maximum is not None:
        text += f" of at most {_number(key.maximum)}"
    return text


def check_values(config: Any) -> None:  # noqa: ANN401 - any configuration dataclass
    """Holds the values of a configuration that was made in Python to its keys' types, choices and limits.

    A number for a limit may be whole where any number is meant; one name may stand for a list of names.

    Args:
        config: an instance of a dataclass whose fields `key` declares.

    Raises:
        InputError: a value is not allowed.
    """
    schema: Any = type(config)
    for declared in _declared(schema):
        value = getattr(config, declared.path)
        of_type = any(_is_of(value, part) for part in plain_types(declared.type))
        if declared.choices:
            if not of_type or value not in declared.choices:
                raise unknown(declared.path, str(value), [str(choice) for choice in declared.choices if choice != ""])
            continue
        low, high = declared.minimum, declared.maximum
        # A number that is not one (nan) is beyond every limit.
        if not of_type or not ((low is None or value >= low) and (high is None or value <= high)):
            raise InputError(f"{declared.path} should be {expected(declared)}, got {shortened(repr(value))}.")


def names_in(given: str | Iterable[str]) -> tuple[str, ...]:
    """The names that a key of several holds, one of which may stand for the list of it."""
    return (given,) if isinstance(given, str) else tuple(given)


@cache
def _declared(schema: type[Any]) -> tuple[Key, ...]:
    """The keys of a configuration class by field name; an instance's limits are asked for with every task's name."""
    hints = get_type_hints(schema)
    return tuple(
        _key(field.name, hints[field.name], field.default, field.metadata)
        for field in dataclasses.fields(schema)
        if "help" in field.metadata and "group" not in field.metadata
    )


def _is_of(value: object, kind: Any) -> bool:  # noqa: ANN401 - a type annotation
    """Whether a value is of one type: true is no number, and a whole number is one of any sort."""
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if get_origin(kind) in (tuple, list):
        of_names = isinstance(value, str) and takes_names(kind)
        return of_names or (isinstance(value, tuple | list) and all(_is_of(one, get_args(kind)[0]) for one in value))
    if kind in (int, float):
        return isinstance(value, int if kind is int else int | float) and not isinstance(value, bool)
    return isinstance(value, kind)
