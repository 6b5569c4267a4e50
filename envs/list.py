"""`python -m envs.list`: which environments there are."""

from __future__ import annotations

import inspect
import sys
from dataclasses import dataclass

from rich.console import Console
from rich.table import Table

from envs.command import run_command
from envs.errors import InputError
from envs.registry import env_class, gymnasium_id, names


@dataclass(frozen=True)
class ListConfig:
    """`envs.list` has no keys of its own."""


def main(config: ListConfig) -> None:
    """Prints a table of all environments; one that cannot be imported says what it needs."""
    del config
    table = Table("env=", "Gymnasium id", "what it is")
    for name in names():
        table.add_row(name, gymnasium_id(name), _what(name))
    Console().print(table)


def _what(name: str) -> str:
    try:
        return (inspect.getdoc(env_class(name)) or "").partition("\n")[0]
    except InputError as error:
        return f"unavailable: {error}"
    except Exception as error:  # Another project's module may fail in any way, and says so in its own row.
        return f"cannot be imported: {type(error).__name__}: {error}"


if __name__ == "__main__":
    sys.exit(run_command("python -m envs.list", ListConfig, main, description="Lists the environments."))
