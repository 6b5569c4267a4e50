"""A server in vLLM's place that answers without end; what a real one does is tested in `tests/agents/vllm`."""

from __future__ import annotations

import pytest

from agents.policies.synced import SyncError
from agents.policies.vllm.server import ServerEngine
from tests.agents.chat_server import chooser, drip, serving


def test_an_answer_that_never_ends_is_one_line_with_its_request():
    engine = object.__new__(ServerEngine)
    with serving(chooser) as server:
        server.troubles = [drip]
        engine._url, engine._seconds = server.url.removesuffix("/v1"), 0.3
        with pytest.raises(SyncError, match=r"gave no answer to /v1/completions \(timed out.*vllm\.seconds=0\.3"):
            engine._post("/v1/completions", {"model": "small", "messages": []})
