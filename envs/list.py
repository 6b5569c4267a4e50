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
        try:
            what = (inspect.getdoc(env_class(name)) or "").partition("\n")[0]
        except InputError as error:
            what = f"unavailable: {error}"
        table.add_row(name, gymnasium_id(name), what)
    Console().print(table)


if __name__ == "__main__":
    sys.exit(run_command("python -m envs.list", ListConfig, main, description="Lists the environments."))
