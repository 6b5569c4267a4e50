"""A Hugging Face hub on this machine: it serves model folders as the real one does, and notes what it is asked."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"


@dataclass
class ModelHub:
    """Where it listens, and the file of every download."""

    url: str = ""
    fetched: list[str] = field(default_factory=list)


@contextmanager
def serving(models: Mapping[str, Path]) -> Iterator[ModelHub]:
    """Serves folders by the ids of their models while the context lasts.

    Args:
        models: such as {"somebody/small": folder}.
    """
    hub = ModelHub()

    class Handler(_Handler):
        folders = models
        fetched = hub.fetched

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        hub.url = f"http://127.0.0.1:{server.server_address[1]}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield hub
        finally:
            server.shutdown()


class _Handler(BaseHTTPRequestHandler):
    folders: Mapping[str, Path]
    fetched: list[str]
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def log_message(self, format: str, *args: Any) -> None:
        """Says nothing."""

    def _answer(self, body: bool) -> None:
        parts = unquote(urlsplit(self.path).path).strip("/").split("/")
        if parts[:2] == ["api", "models"]:
            self._list("/".join(parts[2:4]), parts[4:5] == ["tree"])
        elif parts[2:3] == ["resolve"]:
            self._file("/".join(parts[:2]), "/".join(parts[4:]), body)
        else:
            self._refuse("RepoNotFound")

    def _list(self, model: str, tree: bool) -> None:
        if model not in self.folders:
            return self._refuse("RepoNotFound")
        files = sorted(file for file in self.folders[model].iterdir() if file.is_file())
        found: Any = [
            {"type": "file", "path": file.name, "size": file.stat().st_size, "oid": _tag(file)} for file in files
        ]
        if not tree:
            siblings = [{"rfilename": file.name} for file in files]
            found = {"id": model, "modelId": model, "sha": COMMIT, "siblings": siblings, "tags": [], "private": False}
        content = json.dumps(found).encode()
        self._send(200, content, {"Content-Type": "application/json"}, body=True)

    def _file(self, model: str, name: str, body: bool) -> None:
        if model not in self.folders:
            return self._refuse("RepoNotFound")
        file = self.folders[model] / name
        if not file.is_file():
            return self._refuse("EntryNotFound")
        if body:
            self.fetched.append(name)
        self._send(200, file.read_bytes(), {"ETag": f'"{_tag(file)}"', "X-Repo-Commit": COMMIT}, body)

    def _refuse(self, code: str) -> None:
        self._send(404, b"", {"X-Error-Code": code, "X-Error-Message": "not here"}, body=True)

    def _send(self, status: int, content: bytes, headers: Mapping[str, str], body: bool) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(content)


def _tag(file: Path) -> str:
    return hashlib.sha1(file.read_bytes(), usedforsecurity=False).hexdigest()
