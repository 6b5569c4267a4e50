"""Every environment in `envs/` keeps the contract. New files are found by themselves."""

from __future__ import annotations

import pytest

import envs
from envs.contract import CHECKS, Subject
from envs.errors import MissingExtraError


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("name", envs.names())
def test_the_contract_is_kept(name: str, check: str):
    try:
        assert CHECKS[check](Subject(name, seed=1, num_tasks=4))
    except MissingExtraError as error:
        pytest.skip(str(error))
