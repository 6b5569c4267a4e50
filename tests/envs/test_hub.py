"""Data sets of the hub: every world that takes one says at once that there is none."""

import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from envs.code_problems.datasets import read
from envs.errors import InputError
from envs.registry import make

datasets = pytest.importorskip("datasets", reason="needs pip install 'keystone-rl[datasets]'")
WORLDS = ("math", "code")


@pytest.fixture
def loaded(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the data sets that the library was asked to load, which it does not do here."""
    asked: list[str] = []
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    monkeypatch.setattr(datasets, "load_dataset", lambda name, subset: asked.append(name))
    return asked


@pytest.fixture
def hub() -> Iterator[str]:
    """The address of a hub that knows no data set."""

    class Nothing(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(404)
            self.send_header("X-Error-Code", "RepoNotFound")
            self.end_headers()

        def log_message(self, *parts: object) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Nothing)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("world", WORLDS)
def test_a_hub_that_cannot_be_reached_is_asked_once(world: str, loaded: list[str], monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(InputError, match=r"no file or folder 'nobody/nothing', and the Hugging Face hub.* be reached"):
        make(world, data="nobody/nothing")
    assert not loaded


@pytest.mark.parametrize("world", WORLDS)
def test_a_name_that_the_hub_does_not_know(world: str, loaded: list[str], hub: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub)
    with pytest.raises(InputError, match="no data set of that name on the hub"):
        make(world, data="nobody/nothing")
    assert not loaded


def test_problems_in_the_home_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    row = '{"task_id": 601, "text": "t", "code": "def f():\\n    return 1", "test_list": ["assert f() == 1"]}'
    (tmp_path / "mbpp.jsonl").write_text(row)
    monkeypatch.setenv("HOME", str(tmp_path))
    assert [problem.name for problem in read("~/mbpp.jsonl", "train", 1)] == ["mbpp/601"]
