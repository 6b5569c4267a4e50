"""Every environment in `envs/` keeps the contract. New files are found by themselves."""

from __future__ import annotations

import pytest

import envs
from envs.contract import CHECKS, ContractError, Subject
from envs.errors import MissingExtraError
from envs.registry import env_class

KNOWN = {("scienceworld", "commands"): "the simulator lists a few commands that it does not understand"}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", envs.names())
def test_the_contract_is_kept(name: str, check: str):
    # Two tasks of a world that is slow to start or to make say enough.
    num_tasks = 4 if env_class(name).in_process else 2
    try:
        assert CHECKS[check](Subject(name, seed=1, num_tasks=num_tasks))
    except MissingExtraError as error:
        pytest.skip(str(error))
    except ContractError as error:
        if (name, check) not in KNOWN:
            raise
        pytest.xfail(f"{KNOWN[name, check]}: {error}")
