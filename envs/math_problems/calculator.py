"""The calculator: a turn whose last line is `calculate: EXPRESSION` asks for a value instead of giving an answer.

Expressions of numbers, `+ - * / ^` and brackets are evaluated exactly, with limits
(`envs.verifiers.math_answer.arithmetic`).
"""

from __future__ import annotations

import re
from fractions import Fraction

from envs.errors import shortened
from envs.verifiers.math_answer.arithmetic import NotArithmeticError, evaluate

_CALL = re.compile(r"\s*calculate:(.*)", re.IGNORECASE)
_MOST_CHARACTERS = 200


def called(turn: str) -> str | None:
    """Returns the expression that a turn asks the value of, or None if the turn is an answer."""
    lines = turn.strip().splitlines()
    found = _CALL.fullmatch(lines[-1]) if lines else None
    return found[1].strip() if found else None


def calculate(expression: str) -> str:
    """Evaluates an expression.

    Args:
        expression: any text.

    Returns:
        "EXPRESSION = VALUE", or why it has no value.
    """
    try:
        value = evaluate(expression)
    except NotArithmeticError as error:
        return f"The calculator cannot do {shortened(expression)!r}: {error}."
    return f"{expression} = {_written(value.exact)}"


def _written(value: Fraction) -> str:
    """Writes a value: whole numbers and short decimals as such, everything else as a fraction."""
    if max(value.numerator.bit_length(), value.denominator.bit_length()) > 3 * _MOST_CHARACTERS:
        return "a number too long to write"
    if value.denominator == 1:
        return str(value.numerator)
    if 10**12 % value.denominator == 0:
        digits = str(abs(value.numerator) * 10**12 // value.denominator).rjust(13, "0")
        decimal = f"{'-' if value < 0 else ''}{digits[:-12]}.{digits[-12:]}".rstrip("0")
        return decimal.rstrip(".")
    return f"{value.numerator}/{value.denominator}"
