"""The program under test, in its own sandboxed process: runs it and calls its functions on request.

Nothing here is trusted: the program shares this process and may change all of it. It can only ever spoil its own
answers, since it knows of the tests no more than the arguments that it is called with.

Requests are lists. [what, ...] is one of

    ["global", name]                            ["call", number, arguments, keywords]
    ["get" or "set", number, name, (value)]     ["item" or "put", number, key, (value)]
    ["length" or "iterate" or "next" or "text", number]

and is answered by {"value": ...}, with "arguments" where a call changed them, or by {"raised": [names of the
exception's classes, its text]}. While it is called a function may itself ask ["call", number, arguments, keywords]
for a function of the tests. Runs inside the sandbox, with the standard library only.
"""

from __future__ import annotations

import builtins
import types
from collections.abc import Callable
from typing import Any

from envs.verifiers.exchange import Link, LinkError, decode, encode

_LINK = 4
_MUTABLE = (list, dict, set, bytearray)


def main(source: str) -> None:
    """Runs a program, then serves requests until the other side hangs up.

    Args:
        source: the program's text.
    """
    module = types.ModuleType("program")
    link = Link(_LINK)
    try:
        exec(compile(source, "program.py", "exec"), module.__dict__)
    except BaseException as error:
        # The boundary: whatever a program raises is told.
        link.send({"raised": _describe(error)})
        return
    link.send({"names": [name for name in module.__dict__ if not name.startswith("__")]})
    server = _Server(link, module.__dict__)
    try:
        while True:
            link.send(server.answer(link.receive()))
    except LinkError:
        return


class _Server:
    """Answers requests about a program's values."""

    def __init__(self, link: Link, names: dict[str, Any]) -> None:
        self._link = link
        self._names = names
        self._kept: list[Any] = []
        self._numbers: dict[int, int] = {}
        self._requests: dict[str, Callable[..., Any]] = {
            "global": self._names.__getitem__,
            "get": lambda number, name: getattr(self._kept[number], name),
            "set": lambda number, name, value: setattr(self._kept[number], name, self._decode(value)),
            "item": lambda number, key: self._kept[number][self._decode(key)],
            "put": lambda number, key, value: self._kept[number].__setitem__(self._decode(key), self._decode(value)),
            "length": lambda number: len(self._kept[number]),
            "iterate": lambda number: iter(self._kept[number]),
            "next": lambda number: next(self._kept[number]),
            "text": lambda number: str(self._kept[number]),
        }

    def answer(self, request: list[Any]) -> dict[str, Any]:
        """Does what is asked."""
        what, *rest = request
        try:
            if what == "call":
                return self._call(*rest)
            return {"value": self._encode(self._requests[what](*rest))}
        except LinkError:
            raise
        except BaseException as error:
            # The boundary: whatever a program raises is told.
            return {"raised": _describe(error)}

    def _call(self, number: int, arguments: list[Any], keywords: dict[str, Any]) -> dict[str, Any]:
        values = [self._decode(argument) for argument in arguments]
        named = {name: self._decode(argument) for name, argument in keywords.items()}
        answer = {"value": self._encode(self._kept[number](*values, **named))}
        now = [self._encode(value) if isinstance(value, _MUTABLE) else None for value in values]
        if any(changed is not None and changed != given for changed, given in zip(now, arguments, strict=True)):
            answer["arguments"] = now
        return answer

    def _encode(self, value: Any) -> Any:  # noqa: ANN401 - any value of the program's
        return encode(value, self._keep)

    def _decode(self, data: Any) -> Any:  # noqa: ANN401
        return decode(data, self._find)

    def _keep(self, value: Any) -> list[Any]:  # noqa: ANN401
        if isinstance(value, _TheirFunction):
            return ["yours", value.number]
        if id(value) not in self._numbers:
            self._numbers[id(value)] = len(self._kept)
            self._kept.append(value)
        return ["theirs", self._numbers[id(value)]]

    def _find(self, kind: str, number: int) -> Any:  # noqa: ANN401
        return self._kept[number] if kind == "yours" else _TheirFunction(number, self._ask)

    def _ask(self, number: int, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:  # noqa: ANN401
        named = {name: self._encode(value) for name, value in keywords.items()}
        self._link.send(["call", number, [self._encode(value) for value in arguments], named])
        while isinstance(answer := self._link.receive(), list):
            self._link.send(self.answer(answer))
        if "raised" in answer:
            raise getattr(builtins, answer["raised"][0], RuntimeError)(answer["raised"][1])
        return self._decode(answer["value"])


class _TheirFunction:
    """A function of the tests, as the program sees it."""

    def __init__(self, number: int, ask: Callable[[int, tuple[Any, ...], dict[str, Any]], Any]) -> None:
        self.number = number
        self._ask = ask

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
        return self._ask(self.number, arguments, keywords)


def _describe(error: BaseException) -> list[Any]:
    return [[kind.__name__ for kind in type(error).__mro__], str(error)[:1000]]
