"""A service that speaks OpenAI's chat completions, as most servers of language models do: its address and its answers.

What a busy service or a lost connection may cause is tried again, later each time, until a deadline. The key is read
from an environment variable and goes into the request's header alone: no file, no message and no log has it.
`agents.policies.endpoint` plays with it. Left out: streams of tokens, tools, and log-probabilities.
"""

from __future__ import annotations

import math
import os
import time
import urllib.parse
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from envs.config_schema import key
from envs.errors import InputError, KeystoneError, shortened

if TYPE_CHECKING:
    import httpx

ENDPOINT = "endpoint"
_KEY_VARIABLE = "OPENAI_API_KEY"
_COMPLETIONS = "/chat/completions"
_LOCAL = ("localhost", "127.0.0.1", "::1")
_FIRST_WAIT, _LONGEST_WAIT = 0.5, 20.0
# Request timeout, conflict, too early, too many requests; and whatever is the server's own fault.
_WORTH_ANOTHER_TRY = (408, 409, 425, 429)
_TOO_LONG = ("context_length_exceeded", "maximum context length", "context window", "exceeds the model")


class EndpointError(KeystoneError):
    """The endpoint gave no usable answer within its deadline."""


@dataclass(frozen=True)
class EndpointConfig:
    """An OpenAI-compatible endpoint and how it is asked."""

    name: str = key("", "what was chosen: endpoint")
    url: str = key("", "where it answers: http://host:port/v1")
    model: str = key("", "the model's name there; empty takes the one that it serves, if it serves one")
    key_variable: str = key(
        _KEY_VARIABLE, "the environment variable that holds the key; unset, no key is sent. The key is written nowhere"
    )
    max_reply_tokens: int = key(512, "longest reply", unit="tokens a turn", minimum=1)
    limit: Literal["max_tokens", "max_completion_tokens"] = key(
        "max_tokens", "the name by which the service takes that limit"
    )
    context: str = key(
        "full",
        "what it is shown: full, an episode as one conversation, or window:K, the last K turns told in one message",
    )
    concurrency: int = key(8, "requests at a time", unit="requests", minimum=1)
    timeout: float = key(120.0, "how long one try of a request may take", unit="seconds", minimum=0.1)
    deadline: float = key(600.0, "how long a request may take with all of its tries", unit="seconds", minimum=0.1)


class Answer(NamedTuple):
    """What an endpoint said.

    Attributes:
        text: the reply.
        tokens: how many the endpoint says it sampled; None if it does not say.
        too_long: whether the conversation outgrew the model's context; then there is no text.
    """

    text: str
    tokens: int | None = None
    too_long: bool = False


class _Try(NamedTuple):
    """What came of one try that gave no answer: why, and how long the service asks to be left alone."""

    problem: str
    wait: float = 0.0


def address(url: str) -> str:
    """The address below which an endpoint's functions are, without a slash at its end.

    Raises:
        InputError: it is no address, or has a key or a password in it, which would be written into files.
    """
    if not url:
        raise InputError(f"policy={ENDPOINT} needs policy.url=http://host:port/v1 and policy.model=NAME.")
    try:
        parts = urllib.parse.urlsplit(url.strip())
        known = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        known = False
    if not known:
        raise InputError(f"policy.url={shortened(url)} is no address; write http://host:port/v1.")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise InputError(
            f"policy.url may hold no user, password or question mark: it is written into files. Put the key into an"
            f" environment variable ({_KEY_VARIABLE}, or policy.key_variable=NAME)."
        )
    path = parts.path.rstrip("/").removesuffix(_COMPLETIONS)
    return f"{parts.scheme}://{parts.netloc}{path or '/v1'}"


class Endpoint:
    """A service that completes conversations.

    Attributes:
        url: its address.
        model: the model's name there.
        deadline: seconds that a request may take with all of its tries.
    """

    def __init__(self, config: EndpointConfig) -> None:
        """Finds the service and the model.

        Args:
            config: where it is and how it is asked.

        Raises:
            InputError: nothing answers there, it refuses the key, or it is not clear which model is meant.
        """
        import httpx

        self.url, self.deadline = address(config.url), config.deadline
        self._config = config
        self._key = os.environ.get(config.key_variable, "")
        if not self._key and config.key_variable != _KEY_VARIABLE:
            raise InputError(f"policy.key_variable={config.key_variable}: there is no such environment variable.")
        self._client = httpx.Client(
            headers={"Authorization": f"Bearer {self._key}"} if self._key else {},
            timeout=config.timeout,
            limits=httpx.Limits(max_connections=config.concurrency),
            # A proxy of the environment is for services elsewhere.
            trust_env=urllib.parse.urlsplit(self.url).hostname not in _LOCAL,
        )
        served = self._served()
        if not config.model and len(served) != 1:
            names = f": {', '.join(sorted(served))}" if served else ""
            raise InputError(
                f"policy.url={self.url} serves {len(served) or 'no named'} models{names}. Give policy.model=NAME."
            )
        self.model = config.model or served[0]

    def complete(self, messages: Sequence[dict[str, str]], temperature: float, seed: int) -> Answer:
        """Asks for the next message of a conversation, again and again until the deadline.

        Args:
            messages: the conversation.
            temperature: 0 takes the most likely token.
            seed: of this reply.

        Returns:
            The answer.

        Raises:
            EndpointError: there was none within the deadline.
            InputError: the service refuses the request for good.
        """
        config = self._config
        body = {
            "model": self.model,
            "messages": list(messages),
            "temperature": temperature,
            "seed": seed,
            config.limit: config.max_reply_tokens,
        }
        began = time.monotonic()
        for tries in count(1):
            left = config.deadline - (time.monotonic() - began)
            found = self._try(body, min(config.timeout, max(left, 0.1)))
            if isinstance(found, Answer):
                return found
            wait = max(found.wait, min(_FIRST_WAIT * 2 ** (tries - 1), _LONGEST_WAIT))
            if time.monotonic() - began + wait >= config.deadline:
                raise EndpointError(
                    f"policy.url={self.url}: no answer within {config.deadline:g} s, after {tries} tries; the last one:"
                    f" {found.problem}. What was played is kept with out=DIR, and the same command goes on."
                )
            time.sleep(wait)
        raise AssertionError("tries end by an answer or an error")

    def _served(self) -> list[str]:
        """The models that the service says it has; none if it does not say."""
        import httpx

        try:
            answer = self._send("GET", "/models", min(self._config.timeout, 10.0))
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            raise InputError(f"policy.url={self.url}: nothing answers there ({self._said(error)}).") from None
        if answer.status_code in (401, 403):
            raise self._refusal(answer)
        try:
            return [str(each["id"]) for each in answer.json()["data"]] if answer.status_code == 200 else []
        except (ValueError, KeyError, TypeError):
            return []

    def _send(self, method: str, path: str, seconds: float, body: dict[str, Any] | None = None) -> httpx.Response:
        """Sends a request and reads the whole answer; the client's own limit is for each piece of it alone."""
        import httpx

        until, content = time.monotonic() + seconds, bytearray()
        with self._client.stream(method, self.url + path, json=body, timeout=seconds) as answer:
            for part in answer.iter_bytes():
                content += part
                if time.monotonic() > until:
                    raise httpx.ReadTimeout("the answer comes too slowly")
        wait = {"Retry-After": answer.headers["Retry-After"]} if "Retry-After" in answer.headers else {}
        return httpx.Response(answer.status_code, headers=wait, content=bytes(content))

    def _try(self, body: dict[str, Any], seconds: float) -> Answer | _Try:
        import httpx

        try:
            answer = self._send("POST", _COMPLETIONS, seconds, body)
        except httpx.TimeoutException:
            return _Try(f"no whole answer came within {seconds:.3g} s")
        except httpx.HTTPError as error:
            return _Try(self._said(error))
        if answer.status_code == 200:
            return self._read(answer)
        if answer.status_code in _WORTH_ANOTHER_TRY or answer.status_code >= 500:
            return _Try(f"HTTP {answer.status_code}{self._quoted(answer)}", _asked_to_wait(answer))
        if answer.status_code in (400, 413, 422) and any(words in answer.text.lower() for words in _TOO_LONG):
            return Answer("", too_long=True)
        raise self._refusal(answer)

    def _read(self, answer: httpx.Response) -> Answer:
        try:
            content = answer.json()
            text = content["choices"][0]["message"]["content"] or ""
            tokens = (content.get("usage") or {}).get("completion_tokens")
        except (ValueError, LookupError, TypeError, AttributeError):
            text = tokens = None
        if not isinstance(text, str):
            raise InputError(f"policy.url={self.url} does not answer as chat completions do{self._quoted(answer)}.")
        return Answer(text, tokens if isinstance(tokens, int) and not isinstance(tokens, bool) else None)

    def _refusal(self, answer: httpx.Response) -> InputError:
        said = f"HTTP {answer.status_code}{self._quoted(answer)}"
        if answer.status_code in (401, 403):
            key = "refuses the key in" if self._key else "wants a key; put it into"
            return InputError(f"policy.url={self.url} {key} the variable {self._config.key_variable} ({said}).")
        return InputError(f"policy.url={self.url} refuses model {self._config.model or self.model!r} ({said}).")

    def _quoted(self, answer: httpx.Response) -> str:
        """What a service said of its refusal, without the key that it may have repeated."""
        text = " ".join(self._hidden(answer.text).split())
        return f": {shortened(text, 200)}" if text else ""

    def _said(self, error: Exception) -> str:
        return self._hidden(f"{type(error).__name__}: {error}")

    def _hidden(self, text: str) -> str:
        return text.replace(self._key, "***") if self._key else text


def _asked_to_wait(answer: httpx.Response) -> float:
    """Seconds that the service asks to wait for; 0 if it names none, or a date."""
    try:
        seconds = float(answer.headers.get("Retry-After", 0))
    except ValueError:
        return 0.0
    return max(seconds, 0.0) if math.isfinite(seconds) else 0.0
