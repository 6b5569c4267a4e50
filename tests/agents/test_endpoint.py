"""A model behind an endpoint, against a real HTTP server: what is sent, what is read, and what may go wrong."""

from __future__ import annotations

import socket
import threading
from typing import Any

import pytest

from agents import completions
from agents.completions import Answer, Endpoint, EndpointConfig, EndpointError, address
from agents.policies import endpoint
from agents.policies.endpoint import EndpointPolicy
from agents.prompts import manner_of
from agents.rollout import rollout
from agents.types import Episode, EpisodeKey, Format, StopReason
from envs.errors import InputError
from tests.agents.chat_server import ChatServer, Messages, chooser, drip, drip_headers, hang_up, refuse, serving
from tests.envs.corridor import Corridor

HELLO = [{"role": "user", "content": "hello"}]


def config(server: ChatServer, **options: Any) -> EndpointConfig:
    return EndpointConfig(**{"url": server.url, "model": "small", **options})


def world() -> Corridor:
    return Corridor(length=6, max_turns=5)


def played(
    server: ChatServer, temperature: float = 1.0, context: str = "full", count: int = 4, **options: Any
) -> list[Episode]:
    asked = config(server, **options)
    policy = EndpointPolicy(Endpoint(asked), asked.concurrency, temperature, manner_of(Corridor, context))
    return rollout(world, policy, [EpisodeKey(3, -1, task, 0) for task in world().sample_tasks(0, count)])


def test_what_is_sent_and_what_is_read():
    with serving(chooser) as server:
        (episode,) = played(server, 0.5, count=1, max_reply_tokens=40)
    assert episode.turns
    for number, (body, turn) in enumerate(zip(server.asked, episode.turns, strict=True)):
        assert (body["model"], body["temperature"], body["max_tokens"]) == ("small", 0.5, 40)
        roles = [said["role"] for said in body["messages"]]
        assert roles == ["user", "assistant"] * number + ["user"]
        assert turn.observation.strip() in body["messages"][-1]["content"]
        assert turn.reply == f"I go on. <action>{turn.action}</action>"
        assert (turn.valid, turn.num_tokens, turn.tokens) == (True, 7, ())
    first, *later = (body["messages"][-1]["content"] for body in server.asked)
    assert "between <action> and </action>" in first
    assert not any("between <action>" in message for message in later)
    seeds = [body["seed"] for body in server.asked]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**31 for seed in seeds)


def test_the_same_seeds_whatever_comes_first():
    with serving(chooser) as server:
        once = played(server, concurrency=1)
        asked = sorted(body["seed"] for body in server.asked)
        assert played(server, concurrency=4) == once
        assert sorted(body["seed"] for body in server.asked[len(asked) :]) == asked


def test_a_window_tells_the_last_turns_in_one_message():
    with serving(chooser) as server:
        (episode,) = played(server, 0.0, context="window:1", count=1)
    assert len(episode.turns) > 2
    assert all(len(body["messages"]) == 1 for body in server.asked)
    last = server.asked[-1]["messages"][0]["content"]
    assert f"You did: {episode.turns[-2].action}" in last
    assert f"Turns so far: {len(episode.turns) - 1}." in last
    assert "between <action> and </action>" in last


def test_a_world_of_free_text_gets_the_whole_reply():
    manner = manner_of(Corridor)._replace(free_text=True)
    with serving(lambda messages, body: ("two\nlines", None)) as server:
        policy = EndpointPolicy(Endpoint(config(server)), 2, 0.0, manner)
        assert policy.format is Format.WHOLE
        (episode,) = rollout(world, policy, [EpisodeKey(0, -1, world().sample_tasks(0, 1)[0], 0)])
    assert {turn.action for turn in episode.turns} == {"two\nlines"}
    assert {turn.num_tokens for turn in episode.turns} == {None}


def test_requests_run_at_a_time_and_not_more_than_asked_for():
    together, running, most = threading.Barrier(3), [0], [0]
    lock = threading.Lock()

    def brain(messages: Messages, body: dict[str, Any]) -> tuple[str, int | None]:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        if len(messages) == 1:
            together.wait(timeout=60)  # passed only if three are here at once
        with lock:
            running[0] -= 1
        return chooser(messages, body)

    with serving(brain) as server:
        assert len(played(server, 0.0, count=6, concurrency=3)) == 6
    assert most == [3]


def test_what_passes_is_tried_again(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(completions, "_FIRST_WAIT", 0.01)
    with serving(chooser) as server:
        server.troubles = [
            refuse(503), hang_up, refuse(429, Retry_After="0"), refuse(429, Retry_After="Wed, 21 Oct 2015 07:28:00 GMT")
        ]  # fmt: skip
        answer = Endpoint(config(server)).complete([{"role": "user", "content": "Admissible commands: a, b"}], 0, 1)
        assert answer == Answer("I go on. <action>a</action>", 7)
        assert len(server.asked) == 5


@pytest.mark.fault
def test_a_deadline_ends_in_one_line(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with serving(chooser) as server:
        server.troubles = [refuse(500, "key sk-very-secret is\nunlucky")] * 50
        with pytest.raises(EndpointError) as caught:
            Endpoint(config(server, deadline=1.2)).complete(HELLO, 0, 1)
    line = str(caught.value)
    assert "no answer within 1.2 s, after 2 tries; the last one: HTTP 500" in line
    assert "\n" not in line
    assert "sk-very-secret" not in line
    assert "key *** is" in line


@pytest.mark.parametrize("wait", ["nan", "inf", "-inf", "-3", "1e999", "soon", ""])
def test_a_wait_that_is_no_time_is_not_waited_for(wait: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(completions, "_FIRST_WAIT", 0.01)
    with serving(chooser) as server:
        server.troubles = [refuse(429, Retry_After=wait)]
        asked = [{"role": "user", "content": "Admissible commands: a, b"}]
        assert Endpoint(config(server)).complete(asked, 0, 1).text == "I go on. <action>a</action>"


def test_a_server_that_asks_for_more_time_than_there_is():
    with serving(chooser) as server:
        server.troubles = [refuse(429, "later", Retry_After="3600")]
        with pytest.raises(EndpointError, match=r"after 1 tries; the last one: HTTP 429.*later"):
            Endpoint(config(server)).complete(HELLO, 0, 1)


def test_a_silent_server_is_left_after_the_timeout():
    free = threading.Event()
    with serving(lambda messages, body: (str(free.wait(60)), None)) as server:
        with pytest.raises(EndpointError, match=r"no whole answer came within 0\.1"):
            Endpoint(config(server, timeout=0.1, deadline=0.3)).complete(HELLO, 0, 1)
        free.set()


@pytest.mark.fault
def test_an_answer_that_comes_byte_by_byte_is_left_after_the_timeout():
    with serving(chooser) as server:
        server.troubles = [drip] * 50
        with pytest.raises(EndpointError, match=r"no whole answer came within 0\.2"):
            Endpoint(config(server, timeout=0.2, deadline=0.5)).complete(HELLO, 0, 1)
        # One such answer costs a try.
        server.troubles = [drip]
        asked = [{"role": "user", "content": "Admissible commands: a, b"}]
        assert Endpoint(config(server, timeout=2.0)).complete(asked, 0, 1).tokens == 7


def test_a_service_that_never_ends_an_answer_ends_the_command(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(endpoint, "_GRACE_SECONDS", 0.3)
    with serving(chooser) as server:
        server.troubles = [drip_headers] * 50
        with pytest.raises(EndpointError) as caught:
            played(server, timeout=0.2, deadline=0.3, count=3)
    assert f"policy.url={server.url}: none of 3 requests was answered within 0.6 s" in str(caught.value)


@pytest.mark.parametrize(
    ("trouble", "line"),
    [
        (refuse(401, "bad key sk-very-secret"), r"refuses the key in the variable OPENAI_API_KEY \(HTTP 401.*\*\*\*"),
        (refuse(400, "temperature is not supported"), r"refuses model 'small' \(HTTP 400.*temperature"),
        (lambda handler: handler.answer(200, b"<html>"), "does not answer as chat completions do: <html>"),
        (lambda handler: handler.answer(200, {"choices": []}), "does not answer as chat completions do"),
        (lambda handler: handler.answer(200, {"choices": [{"message": {"content": [1]}}]}), "does not answer as chat"),
    ],
)
def test_what_stays_is_refused_in_one_line(trouble: Any, line: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", "sk-very-secret")
    with serving(chooser) as server:
        server.troubles = [trouble]
        with pytest.raises(InputError, match=line) as caught:
            Endpoint(config(server)).complete(HELLO, 0, 1)
        assert "sk-very-secret" not in str(caught.value)
        assert len(server.asked) == 1
        assert server.headers[0]["Authorization"] == "Bearer sk-very-secret"


def test_a_conversation_that_outgrows_the_model_ends_its_episode_only():
    with serving(chooser) as server:
        server.troubles = [refuse(400, "This model's maximum context length is 8 tokens")]
        episodes = played(server, 0.0, count=3, concurrency=1)
    stops = [episode.stop for episode in episodes]
    assert stops.count(StopReason.CONTEXT) == 1
    assert all(episode.turns for episode in episodes if episode.stop is not StopReason.CONTEXT)


def test_a_refusal_in_the_middle_is_raised_where_replies_are_awaited():
    with serving(chooser) as server:
        server.troubles = [refuse(404, "gone")]
        with pytest.raises(InputError, match=r"refuses model 'small' \(HTTP 404.*gone"):
            played(server, 0.0)


def test_the_model_is_the_one_that_is_served():
    with serving(chooser, ["only"]) as server:
        assert Endpoint(config(server, model="")).model == "only"
    with (
        serving(chooser, ["b", "a"]) as server,
        pytest.raises(InputError, match=r"serves 2 models: a, b\. Give policy\.model=NAME"),
    ):
        Endpoint(config(server, model=""))


def test_nothing_answers():
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{closed.getsockname()[1]}/v1"
        with pytest.raises(InputError, match=r"nothing answers there \(ConnectError"):
            Endpoint(EndpointConfig(url=url, model="small"))


def test_a_variable_that_was_named_must_be_there(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("NO_SUCH_KEY", raising=False)
    with serving(chooser) as server, pytest.raises(InputError, match="NO_SUCH_KEY: there is no such environment"):
        Endpoint(config(server, key_variable="NO_SUCH_KEY"))


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("http://localhost:8000", "http://localhost:8000/v1"),
        ("http://localhost:8000/v1/", "http://localhost:8000/v1"),
        ("https://here.example/api/v2/chat/completions", "https://here.example/api/v2"),
    ],
)
def test_addresses(given: str, found: str):
    assert address(given) == found


@pytest.mark.parametrize("given", ["localhost:8000", "ftp://here", "http://", "http://[half", "http://here:99999"])
def test_what_is_no_address(given: str):
    with pytest.raises(InputError, match="is no address; write http://host:port/v1"):
        address(given)


@pytest.mark.parametrize("given", ["http://me:word@here/v1", "http://here/v1?key=word", "http://here/v1#word"])
def test_an_address_with_a_secret_is_refused_without_repeating_it(given: str):
    with pytest.raises(InputError, match="may hold no user, password or question mark") as caught:
        address(given)
    assert "word " not in str(caught.value).replace("password", "")
