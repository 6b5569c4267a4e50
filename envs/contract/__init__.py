"""The contract of `envs.types` as executable checks, for `python -m envs.check` and for the tests of every environment.

A check takes a `Subject` and returns in a few words what it saw; it raises `ContractError` where the environment breaks
a rule.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from envs.contract import robustness, rules
from envs.contract.subject import ContractError, Subject, play

__all__ = ["CHECKS", "ContractError", "Subject", "play"]

CHECKS: Mapping[str, Callable[[Subject], str]] = {
    "options": rules.check_options,
    "tasks": rules.check_tasks,
    "splits": rules.check_splits,
    "reset": rules.check_reset,
    "commands": rules.check_commands,
    "episodes": rules.check_episodes,
    "players": rules.check_players,
    "spaces": robustness.check_spaces,
    "closing": robustness.check_closing,
    "errors": robustness.check_errors,
    "pickling": robustness.check_pickling,
    "processes": robustness.check_processes,
}
