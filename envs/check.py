"""`python -m envs.check env=NAME`: does an environment keep the contract?

Runs the checks of `envs.contract` and prints one line for each. Exits with 1 if one fails.
"""

from __future__ import annotations

import sys
import traceback
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from envs.command import run_command
from envs.config_schema import key
from envs.contract import CHECKS, ContractError, Subject
from envs.registry import ENVIRONMENT_ALIASES, environment_key, options_of


@dataclass(frozen=True)
class CheckConfig:
    """Keys of `envs.check`."""

    aliases: ClassVar[Mapping[str, str]] = ENVIRONMENT_ALIASES

    env: Any = environment_key("the environment to check")
    seed: int = key(0, "keys the tasks and commands that are tried", minimum=0)
    tasks: int = key(5, "tasks to try", unit="tasks", minimum=1)


def main(config: CheckConfig) -> int:
    """Checks one environment and prints the table. Returns 1 if a check failed."""
    subject = Subject(config.env.name, options_of(config.env), config.seed, config.tasks)
    with subject.fresh() as env:
        title = f"{config.env.name}: {env.describe_data()}"
    table = Table("check", "", "what was seen", title=escape(title), title_justify="left")
    failed = 0
    for name, check in CHECKS.items():
        try:
            table.add_row(name, "[green]kept[/]", escape(check(subject)))
        except ContractError as error:
            failed += 1
            table.add_row(name, "[red]broken[/]", escape(str(error)))
        except Exception as error:  # A world may fail in any way of its own; the other checks go on.
            failed += 1
            table.add_row(name, "[red]broken[/]", escape(_described(error)))
    Console().print(table)
    return int(failed > 0)


def _described(error: Exception) -> str:
    """What was raised, and where."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    return f"raised {type(error).__name__}: {error} ({frame.filename}:{frame.lineno})"


if __name__ == "__main__":
    sys.exit(
        run_command("python -m envs.check", CheckConfig, main, description="Does an environment keep the contract?")
    )
