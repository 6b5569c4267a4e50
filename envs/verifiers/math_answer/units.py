r"""Units and percent signs at the end of a number.

A unit, like a percent sign, is dropped where the other side has none. Two known units that differ make two answers
differ; words that are no known unit ("apples") are always dropped. Left out: converting units into each other.
"""

from __future__ import annotations

import re
from typing import NamedTuple

PERCENT = r"\\?%|[Pp]ercent(?:age)?\b|[Pp]ct\b"

_UNITS = {
    "meter": "m meter meters metre metres",
    "centimeter": "cm centimeter centimeters centimetre centimetres",
    "millimeter": "mm millimeter millimeters millimetre millimetres",
    "kilometer": "km kilometer kilometers kilometre kilometres",
    "inch": "in inch inches",
    "foot": "ft foot feet",
    "yard": "yd yard yards",
    "mile": "mi mile miles",
    "gram": "g gram grams",
    "kilogram": "kg kilogram kilograms",
    "milligram": "mg milligram milligrams",
    "pound": "lb lbs pound pounds",
    "ounce": "oz ounce ounces",
    "ton": "ton tons",
    "liter": "l liter liters litre litres",
    "milliliter": "ml milliliter milliliters millilitre millilitres",
    "gallon": "gallon gallons",
    "second": "s sec secs second seconds",
    "minute": "min mins minute minutes",
    "hour": "h hr hrs hour hours",
    "day": "day days",
    "week": "week weeks",
    "month": "month months",
    "year": "yr yrs year years",
    "degree": "degree degrees",
    "radian": "rad radian radians",
    "dollar": "dollar dollars usd",
    "cent": "cent cents",
    "euro": "euro euros eur",
    "mph": "mph",
    "kph": "kph",
    "unit": "unit units",
}
_NAMES = {written: unit for unit, forms in _UNITS.items() for written in forms.split()}
UNIT_WORDS = frozenset(word for word in _NAMES if len(word) > 1) | {"percent", "percentage", "pct"}
"""Known units that are written without further marks; one letter alone is a variable."""
_FUNCTIONS = "sin cos tan cot sec csc log ln exp sqrt pi and or mod gcd lcm max min inf infinity"
FUNCTIONS = frozenset(_FUNCTIONS.split())
"""Words that formulas consist of."""

_MARKED = re.compile(
    r"(?:\\(?:text|textrm|textnormal|mathrm|mbox|rm)\s*\{(?P<words>[^{}]*)\})\s*(?P<power>\^\s*\{?\s*\d\s*\}?)?\s*$"
)
_PLAIN = re.compile(
    r"(?<=[\d)}\].!])(?P<space>\s*)(?P<words>[A-Za-z]{2,}(?:[ /-]+[A-Za-z]{2,})*\.?|(?<= )[mgslh])"
    r"\s*(?P<power>\^\s*\{?\s*\d\s*\}?)?$"
)
_DEGREES = re.compile(r"(?:\^\s*(?:\{\s*\\circ\s*\}|\\circ)|\\degree|\u00b0)\s*$")
_PERCENT_END = re.compile(rf"\s*(?:{PERCENT})\s*$|\s*\\(?:text|mathrm|mbox)\s*\{{\s*(?:{PERCENT})\s*\}}\s*$")
_CURRENCIES = {"$": "dollar", "\u20ac": "euro", "\u00a3": "pound sterling", "\u00a5": "yen"}
_CURRENCY = re.compile(r"\\?([$\u20ac\u00a3\u00a5])")


class Measured(NamedTuple):
    """A value and what it is measured in.

    Attributes:
        value: the text without percent sign and unit.
        percent: whether a percent sign stood behind it.
        unit: the name of a known unit with its power, or "".
    """

    value: str
    percent: bool
    unit: str


def measured(text: str) -> Measured:
    """Takes percent signs, units and currency signs off a value.

    Args:
        text: one value, not a list.

    Returns:
        The value and what was taken off.
    """
    unit = ""
    currency = _CURRENCY.search(text)
    if currency:
        unit = _CURRENCIES[currency[1]]
        text = _CURRENCY.sub("", text).strip()
    percent = _PERCENT_END.search(text)
    if percent and percent.start() > 0:
        return Measured(text[: percent.start()].strip(), True, unit)
    degrees = _DEGREES.search(text)
    if degrees and degrees.start() > 0:
        return Measured(text[: degrees.start()].strip(), False, "degree")
    found = _MARKED.search(text)
    if found is None:
        found = _PLAIN.search(text)
        if found and not _is_plain_unit(found["words"], found["space"]):
            found = None
    if found is None or not re.search(r"\d|\\pi", text[: found.start()]):
        return Measured(text, False, unit)
    return Measured(text[: found.start()].strip(), False, _unit_name(found["words"], found["power"]) or unit)


def _is_plain_unit(words: str, space: str) -> bool:
    parts = re.findall(r"[a-z]+", words.lower())
    if all(part in UNIT_WORDS for part in parts) or (space and words in _NAMES):
        return True
    return bool(space) and all(len(part) > 2 and part not in FUNCTIONS for part in parts)


def _unit_name(words: str, power: str | None) -> str:
    parts = re.findall(r"[a-z]+", words.lower())
    exponent = re.search(r"\d", power or "")
    if parts[:1] in (["square"], ["cubic"]) and len(parts) > 1:
        exponent_text = "2" if parts[0] == "square" else "3"
        parts = parts[1:]
    else:
        exponent_text = exponent[0] if exponent else ""
    if not parts or any(part not in _NAMES and part != "per" for part in parts):
        return ""
    return " ".join(_NAMES.get(part, part) for part in parts) + exponent_text
