r"""Exact arithmetic on numbers as people and LaTeX write them, with limits.

Understood are numbers (`3`, `.5`, `1.5e3`), `+ - * / : ^ **`, brackets and braces, `\frac`, `\cdot`, `\times` and
`\div`. Everything else, two numbers side by side (`2\frac{1}{2}`) among it, is not arithmetic here. Nothing is
ever computed that would be longer than `MAX_BITS`, so that towers of powers cost nothing.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from fractions import Fraction
from typing import NamedTuple

MAX_LENGTH = 400
"""Characters of an expression."""
MAX_BITS = 20_000
"""Bits of a numerator or denominator."""
MAX_DEPTH = 40
"""Brackets within brackets."""

_TOKEN = re.compile(
    r"\s*(?:(?P<number>(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d{1,4}(?![\d.]))?)"
    r"|(?P<sign>\*\*|\\[dtc]?frac|\\cdot|\\times|\\div|[-+*/:^(){}]))"
)
_PRODUCTS = {"*": "*", "\\cdot": "*", "\\times": "*", "/": "/", ":": "/", "\\div": "/"}


class NotArithmeticError(ValueError):
    """The text is not arithmetic; the message says why."""


class TooLongError(NotArithmeticError):
    """It is arithmetic, but its value has more than `MAX_BITS` bits."""


class Value(NamedTuple):
    """A number.

    Attributes:
        exact: its value.
        decimal: whether a decimal point was written anywhere in it, so that it may have been rounded.
    """

    exact: Fraction
    decimal: bool


def evaluate(text: str) -> Value:
    """Evaluates an expression.

    Args:
        text: the expression.

    Returns:
        Its value.

    Raises:
        NotArithmeticError: it is not arithmetic, it divides by zero, or it or its value is too long.
    """
    if len(text) > MAX_LENGTH:
        raise NotArithmeticError(f"it is longer than {MAX_LENGTH} characters")
    return _Reader(text).value()


class _Reader:
    """Recursive descent over the tokens of one expression."""

    def __init__(self, text: str) -> None:
        self._tokens: list[str] = []
        self._numbers: list[bool] = []
        position = 0
        text = text.rstrip()
        while position < len(text):
            found = _TOKEN.match(text, position)
            if not found:
                raise NotArithmeticError(f"it has {text[position:].lstrip()[:1]!r} in it")
            self._tokens.append(found["number"] or found["sign"])
            self._numbers.append(found["number"] is not None)
            position = found.end()
        self._at = 0
        self._depth = 0
        self._decimal = False

    def value(self) -> Value:
        exact = self._sum()
        if self._at < len(self._tokens):
            raise NotArithmeticError(f"{self._tokens[self._at]!r} stands where an operator should")
        return Value(exact, self._decimal)

    @property
    def _next(self) -> str:
        return self._tokens[self._at] if self._at < len(self._tokens) else ""

    def _take(self) -> str:
        if not self._next:
            raise NotArithmeticError("it ends too early")
        self._at += 1
        return self._tokens[self._at - 1]

    def _sum(self) -> Fraction:
        result = self._product()
        while self._next in ("+", "-"):
            sign = self._take()
            other = self._product()
            result = _limited(result + other if sign == "+" else result - other)
        return result

    def _product(self) -> Fraction:
        result = self._signed()
        while self._next in _PRODUCTS:
            operator = _PRODUCTS[self._take()]
            other = self._signed()
            result = _limited(result * other) if operator == "*" else _divided(result, other)
        return result

    def _signed(self) -> Fraction:
        negative = False
        while self._next in ("+", "-"):
            negative ^= self._take() == "-"
        result = self._power()
        return -result if negative else result

    def _power(self) -> Fraction:
        base = self._primary()
        if self._next in ("^", "**"):
            self._take()
            return _power(base, self._nested(self._signed))
        return base

    def _primary(self) -> Fraction:
        is_number = self._at < len(self._numbers) and self._numbers[self._at]
        token = self._take()
        if is_number:
            self._decimal |= not token.isdigit()
            return _limited(Fraction(token))
        if token in "({":
            result = self._nested(self._sum)
            if self._next != (")" if token == "(" else "}"):
                raise NotArithmeticError(f"{token!r} is never closed")
            self._take()
            return result
        if token.endswith("frac"):
            top = self._argument()
            return _divided(top, self._argument())
        raise NotArithmeticError(f"{token!r} stands where a number should")

    def _argument(self) -> Fraction:
        r"""Reads what follows a \\frac: braces, or one digit as in `\\frac12`."""
        if self._next == "{":
            return self._primary()
        token = self._take()
        if not token.isdigit():
            raise NotArithmeticError(f"{token!r} stands where a fraction's part should")
        if len(token) > 1:
            self._tokens[self._at - 1 : self._at] = [token[0], token[1:]]
            self._numbers[self._at - 1 : self._at] = [True, True]
        return Fraction(token[0])

    def _nested(self, read: Callable[[], Fraction]) -> Fraction:
        self._depth += 1
        if self._depth > MAX_DEPTH:
            raise NotArithmeticError(f"it is nested more than {MAX_DEPTH} deep")
        result = read()
        self._depth -= 1
        return result


def _limited(value: Fraction) -> Fraction:
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > MAX_BITS:
        raise TooLongError("its value is too long")
    return value


def _divided(top: Fraction, bottom: Fraction) -> Fraction:
    if bottom == 0:
        raise NotArithmeticError("it divides by zero")
    return _limited(top / bottom)


def _power(base: Fraction, exponent: Fraction) -> Fraction:
    if exponent.denominator != 1:
        raise NotArithmeticError("an exponent is not a whole number")
    if base == 0 and exponent <= 0:
        raise NotArithmeticError("it divides by zero" if exponent else "it has 0^0 in it")
    bits = max(base.numerator.bit_length(), base.denominator.bit_length())
    if abs(base) != 1 and bits * abs(exponent.numerator) > MAX_BITS:
        raise TooLongError("its value is too long")
    if abs(base) == 1:
        return base if exponent.numerator % 2 else Fraction(1)
    return Fraction(base**exponent.numerator)
