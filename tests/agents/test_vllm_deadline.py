"""A server in vLLM's place that answers late or without end; what a real one does is in `tests/agents/vllm`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from agents.policies.synced import SyncError
from agents.policies.vllm import server as engine_server
from agents.policies.vllm.engine import Request
from agents.policies.vllm.server import ServerEngine
from tests.agents.chat_server import chooser, drip, drip_headers, serving

LATE, WRONG, DRIPS = 7, 8, 9
SAMPLES = f"""
from agents.policies.vllm.engine import Request
from agents.policies.vllm.server import ServerEngine
engine = ServerEngine("{{url}}", 64, 600.0)
print("sampling", flush=True)
engine.sample([Request(({LATE},), 0, 1.0, 5, ()) for _ in range(200)])
"""


def test_an_answer_that_never_ends_is_one_line_with_its_request():
    engine = object.__new__(ServerEngine)
    with serving(chooser) as server:
        server.troubles = [drip]
        engine._url, engine._seconds = server.url.removesuffix("/v1"), 0.3
        with pytest.raises(SyncError, match=r"gave no answer to /v1/completions \(timed out.*vllm\.seconds=0\.3"):
            engine._post("/v1/completions", {"model": "small", "messages": []})


class Server(ThreadingHTTPServer):
    """Speaks as much of vLLM's language as an engine needs to sample.

    A reply repeats its prompt. The prompt `LATE` is answered only when the server ends, `WRONG` is refused,
    and of the answer to `DRIPS` there are only headers, without end.

    Attributes:
        late: given free for each request that is not answered.
        closing: set once it is to end.
    """

    daemon_threads = True
    request_queue_size = 256

    def __init__(self) -> None:
        self.late, self.closing = threading.Semaphore(0), threading.Event()
        super().__init__(("127.0.0.1", 0), Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested here."""


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        served = [{"id": "tiny", "max_model_len": 64}]
        self.answer({"data": served} if self.path == "/v1/models" else {"weight_version": "0"})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.path != "/v1/completions":
            self.answer({"results": [{}]})
            return
        prompt = body["prompt"]
        if prompt == [DRIPS]:
            drip_headers(self)
            return
        if prompt == [LATE]:
            self.server.late.release()
            self.server.closing.wait()
        told = [None, *({str(token): {"logprob": -1.0}} for token in prompt[1:])]
        choice = {"token_ids": prompt[:1], "logprobs": {"token_logprobs": [-2.0]}, "prompt_logprobs": told}
        self.answer({"choices": [choice], "usage": {}}, 400 if prompt == [WRONG] else 200)

    def answer(self, content: Any, status: int = 200) -> None:
        data = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


@contextmanager
def listening() -> Iterator[tuple[Server, str]]:
    """A running server and its address."""
    server = Server()
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server, f"http://127.0.0.1:{server.server_port}"
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def request(first: int) -> Request:
    return Request((first,), seed=0, temperature=1.0, max_tokens=5, stops=())


def test_replies_come_in_the_order_of_their_requests():
    with listening() as (_, url):
        said = ServerEngine(url, 64, 60.0).sample([request(100 + number) for number in range(300)])
    assert [one.tokens for one in said] == [(100 + number,) for number in range(300)]


def test_a_refused_request_ends_the_wait_for_the_others():
    with listening() as (_, url), pytest.raises(SyncError, match="answers 400 to /v1/completions"):
        ServerEngine(url, 64, 600.0).sample([request(LATE), request(WRONG), request(LATE)])


def test_headers_without_end_are_one_line_too(monkeypatch: pytest.MonkeyPatch):
    with listening() as (_, url):
        engine = ServerEngine(url, 64, 60.0)
        # The socket's limit is for each header alone and is never met; what ends the wait is the engine's own.
        engine._seconds = 1.0
        monkeypatch.setattr(engine_server, "_GRACE_SECONDS", -0.7)
        line = r"gave no answer \(none of 2 calls ended within 0\.3 s; vllm\.seconds=1 are"
        with pytest.raises(SyncError, match=line):
            engine.sample([request(DRIPS)] * 2)


def test_a_command_that_waits_for_the_server_can_be_stopped():
    with listening() as (server, url):
        environment = os.environ | {"PYTHONPATH": str(Path(__file__).parents[2])}
        command = [sys.executable, "-c", SAMPLES.format(url=url)]
        child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment, text=True)
        try:
            assert child.stdout is not None
            assert child.stdout.readline() == "sampling\n"
            assert server.late.acquire(timeout=60)
            child.send_signal(signal.SIGINT)
            # Far less than the 600 seconds that an answer may take.
            _, errors = child.communicate(timeout=60)
        finally:
            child.kill()
            child.communicate()
    assert errors.strip().endswith("KeyboardInterrupt")
    assert child.returncode == -signal.SIGINT
