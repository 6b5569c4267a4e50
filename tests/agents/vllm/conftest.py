"""A real vLLM engine for the tests of this folder, one a process; without vLLM they are skipped."""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agents.samplers import VllmConfig
from tests.agents.vllm.tiny import CONTEXT, tiny_model

if TYPE_CHECKING:
    from agents.policies.vllm.local import LocalEngine

_HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marks = [pytest.mark.timeout(1200)]  # an engine starts in seconds, but in minutes where the machine is busy
    if importlib.util.find_spec("vllm") is None:
        marks.append(pytest.mark.skip(reason="vLLM is not installed here: make test-vllm"))
    for item in items:
        if _HERE in item.path.parents:
            for mark in marks:
                item.add_marker(mark)


@pytest.fixture(scope="session")
def engine() -> Iterator[LocalEngine]:
    from agents.policies.vllm.local import LocalEngine

    made = LocalEngine(tiny_model(), VllmConfig(cache_megabytes=256), CONTEXT)
    yield made
    made.close()
