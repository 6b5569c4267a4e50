"""The program under test as its tests see it: its names, and stand-ins for what is not plain data.

Runs inside the sandbox, beside the tests, with the standard library only. What the program answers is its word alone:
whatever cannot be understood is a `LinkError`, and nothing it says makes this process do more than the tests ask.
"""

from __future__ import annotations

import builtins
from typing import Any

from envs.verifiers.exchange import Link, LinkError, decode, encode

_MUTABLE = (list, dict, set, bytearray)


class Program:
    """The program under test, seen from here.

    Attributes:
        names: its global names.
    """

    def __init__(self, link: Link) -> None:
        """Knows nothing of it yet; `begin` waits for it.

        Args:
            link: the line to the process it runs in.
        """
        self.names: frozenset[str] = frozenset()
        self._link = link
        self._remotes: dict[int, Remote] = {}
        self._functions: list[Any] = []

    def begin(self) -> str:
        """Waits until the program has been run. Returns what went wrong, "" if nothing did."""
        try:
            told = self._link.receive()
            if "raised" in told:
                kinds, text = told["raised"]
                return f"the program does not run: {kinds[0]}: {text}"
            self.names = frozenset(map(str, told["names"]))
        except LinkError:
            return "the program ended before its functions could be called"
        except (TypeError, ValueError, LookupError):
            return "the program spoilt its answers"
        return ""

    def ask(self, request: list[Any]) -> Any:  # noqa: ANN401
        """Sends a request, serves what is asked back meanwhile, and returns the value.

        Raises:
            LinkError: the program is gone or answers nonsense.
            Exception: the program raised one of this class.
        """
        return self._decode(self._answer(request)["value"])

    def call(self, number: int, arguments: tuple[Any, ...], keywords: dict[str, Any]) -> Any:  # noqa: ANN401
        """Calls a function of the program; arguments that it changes in place are changed here too."""
        named = {name: self.encode(value) for name, value in keywords.items()}
        answer = self._answer(["call", number, [self.encode(value) for value in arguments], named])
        value = self._decode(answer["value"])
        for argument, changed in zip(arguments, answer.get("arguments", ()), strict=False):
            if changed is not None and isinstance(argument, _MUTABLE):
                _replace(argument, self._decode(changed))
        return value

    def encode(self, value: Any) -> Any:  # noqa: ANN401
        """Writes a value for the program."""
        return encode(value, self._keep)

    def _answer(self, request: list[Any]) -> dict[str, Any]:
        self._link.send(request)
        while isinstance(answer := self._link.receive(), list):
            self._link.send(self._serve(answer))
        if not isinstance(answer, dict) or not ("value" in answer or "raised" in answer):
            raise LinkError("the program spoilt its answers")
        if "raised" in answer:
            _raise(answer["raised"])
        return answer

    def _serve(self, request: list[Any]) -> dict[str, Any]:
        """Calls a function that the tests handed over; the program can do nothing else here."""
        try:
            _, number, arguments, keywords = request
            named = {str(name): self._decode(value) for name, value in keywords.items()}
            return {"value": self.encode(self._functions[number](*map(self._decode, arguments), **named))}
        except Exception as error:
            # The boundary: what a function of the tests raises goes back to its caller.
            return {"raised": [type(error).__name__, str(error)]}

    def _decode(self, data: Any) -> Any:  # noqa: ANN401
        return decode(data, self._find)

    def _find(self, kind: str, number: int) -> Any:  # noqa: ANN401
        if kind == "yours":
            return self._functions[number]
        if number not in self._remotes:
            self._remotes[number] = Remote(self, number)
        return self._remotes[number]

    def _keep(self, value: Any) -> list[Any]:  # noqa: ANN401
        if isinstance(value, Remote):
            return ["yours", object.__getattribute__(value, "_number")]
        if not callable(value):
            raise TypeError(f"tests can hand over plain values and functions, not a {type(value).__name__}")
        self._functions.append(value)
        return ["theirs", len(self._functions) - 1]


class Remote:
    """A value of the program that is not plain data: a function, a class, an object of a class of its own.

    It is equal to itself only: what its own class says of equality would be the program's word.
    """

    _program: Program
    _number: int

    def __init__(self, program: Program, number: int) -> None:
        """Stands for a value.

        Args:
            program: whose value it is.
            number: which.
        """
        object.__setattr__(self, "_program", program)
        object.__setattr__(self, "_number", number)

    def __call__(self, *arguments: Any, **keywords: Any) -> Any:  # noqa: ANN401
        """Calls it with values."""
        return self._program.call(self._number, arguments, keywords)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401
        """Returns an attribute's value."""
        return self._program.ask(["get", self._number, name])

    def __setattr__(self, name: str, value: Any) -> None:  # noqa: ANN401
        """Sets an attribute."""
        self._program.ask(["set", self._number, name, self._program.encode(value)])

    def __getitem__(self, key: Any) -> Any:  # noqa: ANN401
        """Returns an item."""
        return self._program.ask(["item", self._number, self._program.encode(key)])

    def __setitem__(self, key: Any, value: Any) -> None:  # noqa: ANN401
        """Sets an item."""
        self._program.ask(["put", self._number, self._program.encode(key), self._program.encode(value)])

    def __len__(self) -> int:
        """Returns its length."""
        return int(self._program.ask(["length", self._number]))

    def __bool__(self) -> bool:
        """An object is true; what its own class says would be the program's word."""
        return True

    def __iter__(self) -> Any:  # noqa: ANN401
        """Returns an iterator over it."""
        return self._program.ask(["iterate", self._number])

    def __next__(self) -> Any:  # noqa: ANN401
        """Returns its next item, for an iterator."""
        return self._program.ask(["next", self._number])

    def __str__(self) -> str:
        """Returns its text."""
        return str(self._program.ask(["text", self._number]))

    def __repr__(self) -> str:
        """Returns its text."""
        return str(self)


def _replace(value: Any, changed: Any) -> None:  # noqa: ANN401 - mutable containers
    """Gives a container the content of another of its kind."""
    if type(value) is not type(changed):
        raise LinkError("the program spoilt its answers")
    if isinstance(value, list | bytearray):
        value[:] = changed
    else:
        value.clear()
        value.update(changed)


def _raise(told: Any) -> None:  # noqa: ANN401
    """Raises the nearest built-in exception to what the program raised.

    Raises:
        Exception: that.
    """
    try:
        kinds, text = list(told[0]), str(told[1])
    except (TypeError, LookupError, ValueError):
        raise LinkError("the program spoilt its answers") from None
    for name in kinds:
        kind = vars(builtins).get(name) if isinstance(name, str) else None
        if isinstance(kind, type) and issubclass(kind, Exception):
            # The Unicode errors want more than a text.
            raise (ValueError if issubclass(kind, UnicodeError) else kind)(text)
    raise LinkError(f"the program raised {kinds[0] if kinds else 'something'}: {text}")
