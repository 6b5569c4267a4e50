"""A real HTTP server that speaks /v1/models and /v1/chat/completions, for the tests of endpoints."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Messages = Sequence[dict[str, str]]
Brain = Callable[[Messages, dict[str, Any]], tuple[str, int | None]]
Trouble = Callable[["_Handler"], None]


class ChatServer(ThreadingHTTPServer):
    """Answers by a brain; before that it makes the troubles that are left, one a request.

    Attributes:
        brain: from a conversation and the request's body to the reply and its tokens.
        models: what /v1/models lists.
        troubles: what to do in place of an answer, from the first request on; None answers.
        asked: bodies of all chat requests.
        headers: their headers.
        closing: set once it is to end.
    """

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, brain: Brain, models: Sequence[str] = ("small",)) -> None:
        self.brain, self.models = brain, list(models)
        self.troubles: list[Trouble | None] = []
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.lock = threading.Lock()
        self.closing = threading.Event()
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Clients that hang up are what is tested here."""


class _Handler(BaseHTTPRequestHandler):
    server: ChatServer
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        data = [{"id": name, "object": "model"} for name in self.server.models]
        self.answer(200, {"object": "list", "data": data})

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with self.server.lock:
            self.server.asked.append(body)
            self.server.headers.append(dict(self.headers))
            trouble = self.server.troubles.pop(0) if self.server.troubles else None
        if trouble is not None:
            trouble(self)
        elif body["model"] not in self.server.models:
            self.answer(404, {"error": {"message": f"there is no model {body['model']}"}})
        else:
            text, tokens = self.server.brain(body["messages"], body)
            choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
            usage = {} if tokens is None else {"usage": {"completion_tokens": tokens}}
            self.answer(200, {"object": "chat.completion", "choices": [choice], **usage})

    def answer(self, status: int, content: Any, **headers: str) -> None:
        data = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Length": str(len(data)), **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""


def refuse(status: int, message: str = "busy", **headers: str) -> Trouble:
    return lambda handler: handler.answer(status, {"error": {"message": message}}, **headers)


def hang_up(handler: _Handler) -> None:
    handler.close_connection = True
    handler.connection.close()


def drip(handler: _Handler) -> None:
    """Answers byte by byte, never to the end: each comes in time, the whole does not."""
    handler.answer(200, b"", **{"Content-Length": "1000000"})
    _drip(handler, b" ")


def drip_headers(handler: _Handler) -> None:
    """Sends one header after another, without end."""
    handler.wfile.write(b"HTTP/1.1 200 OK\r\n")
    _drip(handler, b"More: to come\r\n")


def _drip(handler: _Handler, drop: bytes) -> None:
    with suppress(OSError):
        while not handler.server.closing.wait(0.02):
            handler.wfile.write(drop)


@contextmanager
def serving(brain: Brain, models: Sequence[str] = ("small",)) -> Iterator[ChatServer]:
    """A running server."""
    server = ChatServer(brain, models)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()
        thread.join()


def admissible(messages: Messages) -> list[str]:
    """The commands that the last message lists."""
    return messages[-1]["content"].rpartition("Admissible commands: ")[2].split(", ")


def chooser(messages: Messages, body: dict[str, Any]) -> tuple[str, int | None]:
    """A player: takes the first command greedily, else the one that the seed names."""
    commands = admissible(messages)
    place = 0 if body["temperature"] == 0 else body["seed"] % len(commands)
    return f"I go on. <action>{commands[place]}</action>", 7
