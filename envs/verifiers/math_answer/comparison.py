r"""Whether two final answers say the same.

The rules, for what `extraction` found on either side:

- Numbers are compared exactly. Where one is written with a decimal point both are rounded to six places first (below
  0.1 to six significant digits), as math-verify does: `0.333333` is `1/3`, `0.33` is not.
- A percent sign is dropped, or taken at its value, where the other side has none: `50\%` is `50`, and is `0.5`.
- A unit or currency is dropped where the other side has none; different known units are different answers.
- `1,000`, `1{,}000`, `1\,000` and `1 000` are one number; inside brackets a comma always separates. `1,22` outside of
  a formula is `1.22` if the other side is no list.
- Lists without brackets and sets have neither order nor repetitions, tuples have: `1, 2` is `\{2, 1\}` and is
  `(1, 2)`, but no set is a tuple. A list whose every item is named (`x=1, y=2`) has the order of the names.
- Ends of intervals are open or closed on both sides alike.
- `x = 5` is `5`, and `x \in S` is `S`; of a chain `a = b = c` the last counts. What follows `\approx` is dropped
  behind a value.
- A number to a base (`204_5`) keeps its base where both sides have one.
- Words are compared without regard to case. Names of variables and functions matter: `f(x)` is not `f(y)`.
- Everything else is left to math-verify (`symbolic`).
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from fractions import Fraction

from envs.verifiers.math_answer.arithmetic import NotArithmeticError, TooLongError, Value, evaluate
from envs.verifiers.math_answer.units import FUNCTIONS, measured
from envs.verifiers.math_answer.writing import MAX_ITEMS, Form, form, is_name, sides, squeezed

Symbolic = Callable[[str, str], bool]
"""Compares a reference and an answer that are no plain numbers; both are LaTeX without dollars."""

_TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mbox|mathbf)\s*\{([^{}]*)\}")
_WORDS = re.compile(r"[^\W\d_][\w' .,-]*")
_DECIMAL_COMMA = re.compile(r"[-+]?\d+,\d+")
_BASE = re.compile(r"([0-9a-zA-Z]+)_\s*\{?\s*(\d{1,2})\s*\}?")


class UndecidedError(Exception):
    """Raised by a `Symbolic` that leaves the question to another process."""


def same(reference: str, answer: str, symbolic: Symbolic) -> bool:
    """Whether two cleaned answers say the same.

    Args:
        reference: the right answer.
        answer: the answer in question.
        symbolic: decides what is neither numbers nor structure.

    Returns:
        The verdict.
    """
    if squeezed(reference) == squeezed(answer):
        return True
    one, other = form(_expanded(reference)), form(_expanded(answer))
    if one.kind != "list" and other.kind != "list":
        cut = _without_names(reference, answer)
        if cut != (reference, answer):
            return same(*cut, symbolic)
    if one.kind == other.kind == "scalar":
        return _same_scalar(one.items[0], other.items[0], symbolic)
    if max(len(one.items), len(other.items)) > MAX_ITEMS:
        return False
    return _same_structure(one, other, symbolic)


def _expanded(text: str) -> str:
    r"""Writes `a \pm b` as the list of two that it is."""
    if text.count("\\pm") != 1 or "," in text:
        return text
    return ", ".join(text.replace("\\pm", sign) for sign in "+-")


def _without_names(reference: str, answer: str) -> tuple[str, str]:
    ours, theirs = sides(reference), sides(answer)
    if len(theirs) > 1 and len(ours) == 1:
        last = theirs[-1]
        return ours[0], theirs[0] if is_name(last) and not is_name(theirs[0]) and not is_name(ours[0]) else last
    if len(ours) > 1 and is_name(ours[0]) and (len(theirs) == 1 or squeezed(ours[0]) == squeezed(theirs[0])):
        return ours[-1], theirs[-1]
    return ("=".join(ours), "=".join(theirs)) if len(ours) == len(theirs) == 1 else (reference, answer)


def _same_structure(one: Form, other: Form, symbolic: Symbolic) -> bool:
    kinds = {one.kind, other.kind}
    if kinds in ({"tuple"}, {"list", "tuple"}):
        return _in_order(one.items, other.items, symbolic)
    if kinds == {"interval"}:
        return one.brackets == other.brackets and _in_order(one.items, other.items, symbolic)
    if kinds == {"list"}:
        ours, theirs = _named(one.items), _named(other.items)
        if (ours is None) != (theirs is None):
            return _in_order(ours or one.items, theirs or other.items, symbolic)
    if kinds <= {"list", "set"}:
        return _covers(one.items, other.items, symbolic) and _covers(other.items, one.items, symbolic, swapped=True)
    if kinds == {"set", "scalar"}:
        sets, scalar = (one, other) if one.kind == "set" else (other, one)
        if len(sets.items) == 1:
            pair = (sets.items[0], scalar.items[0])
            return same(*(pair if one.kind == "set" else pair[::-1]), symbolic)
    if "scalar" in kinds:
        return symbolic(_written(one), _written(other))
    return False


def _written(made: Form) -> str:
    inside = ", ".join(made.items)
    if not made.brackets:
        return inside
    return rf"\{{{inside}\}}" if made.kind == "set" else f"{made.brackets[0]}{inside}{made.brackets[-1]}"


def _named(items: Sequence[str]) -> list[str] | None:
    """Returns the values of a list whose every item has a name of its own, else None."""
    parts = [sides(item) for item in items]
    names = {squeezed(part[0]) for part in parts if len(part) > 1 and is_name(part[0])}
    return [part[-1] for part in parts] if len(names) == len(items) else None


def _in_order(ours: Sequence[str], theirs: Sequence[str], symbolic: Symbolic) -> bool:
    return len(ours) == len(theirs) and all(same(a, b, symbolic) for a, b in zip(ours, theirs, strict=True))


def _covers(ours: Sequence[str], theirs: Sequence[str], symbolic: Symbolic, swapped: bool = False) -> bool:
    return all(any(same(*((b, a) if swapped else (a, b)), symbolic) for b in theirs) for a in ours)


def _same_scalar(reference: str, answer: str, symbolic: Symbolic) -> bool:
    ours, theirs = measured(reference), measured(answer)
    if ours.unit and theirs.unit and ours.unit != theirs.unit:
        return False
    if _same_value(ours.value, theirs.value, symbolic):
        return True
    if ours.percent == theirs.percent:
        return False
    one, two = _value(ours.value), _value(theirs.value)
    if isinstance(one, Value) and isinstance(two, Value):
        pair = (_hundredth(one), two) if ours.percent else (one, _hundredth(two))
        return _same_number(*pair)
    return False


def _hundredth(value: Value) -> Value:
    return Value(value.exact / 100, value.decimal)


def _same_value(reference: str, answer: str, symbolic: Symbolic) -> bool:
    if squeezed(reference) == squeezed(answer):
        return True
    ours, theirs = _value(reference), _value(answer)
    if isinstance(ours, Value) and isinstance(theirs, Value):
        return _same_number(ours, theirs)
    if isinstance(theirs, TooLongError) or isinstance(ours, TooLongError):
        return False
    bases = _BASE.fullmatch(reference), _BASE.fullmatch(answer)
    if any(bases):
        return _same_in_bases(reference, answer, *bases)
    our_words, their_words = _words(reference), _words(answer)
    if our_words or their_words:
        return our_words == their_words
    return symbolic(reference, answer)


def _value(text: str) -> Value | NotArithmeticError:
    try:
        return evaluate(text)
    except NotArithmeticError as error:
        return error


def _same_number(one: Value, other: Value) -> bool:
    if one.exact == other.exact:
        return True
    if not (one.decimal or other.decimal):
        return False
    smaller = min(abs(one.exact), abs(other.exact))
    if smaller == 0:
        return False
    places = 6 if smaller >= Fraction(1, 10) else 6 - math.floor(_log10(smaller)) - 1
    return round(one.exact, places) == round(other.exact, places)


def _log10(value: Fraction) -> float:
    return math.log10(value.numerator) - math.log10(value.denominator)


def _same_in_bases(reference: str, answer: str, ours: re.Match[str] | None, theirs: re.Match[str] | None) -> bool:
    if ours and theirs:
        try:
            return int(ours[1], int(ours[2])) == int(theirs[1], int(theirs[2]))
        except ValueError:
            return False
    return (ours[1] if ours else reference) == (theirs[1] if theirs else answer)


def _words(text: str) -> str:
    """Returns the words of an answer that is words, in one spelling, else ""."""
    marked = _TEXT.search(text) is not None
    plain = " ".join(_TEXT.sub(r"\1", text).split()).strip(" .()").casefold()
    if not _WORDS.fullmatch(plain):
        return ""
    words = re.findall(r"[^\W\d_]+", plain)
    longest = max(map(len, words), default=0)
    if marked or FUNCTIONS.isdisjoint(words):
        enough = longest >= (2 if marked else 3 if " " in plain else 5)
        return plain if enough or plain in ("yes", "no", "true", "none") else ""
    return ""


def decimal_comma(text: str, other: str) -> str:
    """Reads `1,22` as `1.22` if the other side is no list."""
    return text.replace(",", ".") if _DECIMAL_COMMA.fullmatch(text) and form(other).kind == "scalar" else text
