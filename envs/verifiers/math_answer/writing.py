r"""One spelling for what can be written in several: spaces, signs, fractions, thousands separators, brackets.

Also the cuts that a comparison makes in a cleaned text: at its commas, its equals signs, around its brackets.
"""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

MAX_DEPTH = 40
MAX_ITEMS = 200

Kind = Literal["scalar", "list", "set", "tuple", "interval"]

_SIGNS = str.maketrans(
    {
        "\u2212": "-",
        "\u2013": "-",
        "\u00d7": r"\times ",
        "\u00f7": r"\div ",
        "\u00b7": r"\cdot ",
        "\u03c0": r"\pi ",
        "\u221e": r"\infty ",
        "\u2264": r"\le ",
        "\u2265": r"\ge ",
        "\u2260": r"\ne ",
        "\u222a": r"\cup ",
        "\u2229": r"\cap ",
        "\u2208": r"\in ",
        "\u2248": r"\approx ",
        "\u00b1": r"\pm ",
        "\u00a0": " ",
        "\u202f": " ",
        "\u2009": " ",
        "\uff05": "%",
    }
)
_REPLACEMENTS = [
    (re.compile(r"\\(?:left|right|[bB]igg?[lr]?)(?![a-zA-Z])\s*\.?(?=[\s()\[\]|\\{}]|$)"), ""),
    (re.compile(r"\\(?:displaystyle|textstyle|limits|!)(?![a-zA-Z])"), ""),
    (re.compile(r"\\[dtc]frac(?![a-zA-Z])"), r"\\frac"),
    (re.compile(r"\\l[aA]ngle(?![a-zA-Z])"), "("),
    (re.compile(r"\\r[aA]ngle(?![a-zA-Z])"), ")"),
    (re.compile(r"\\lbrace(?![a-zA-Z])"), r"\\{"),
    (re.compile(r"\\rbrace(?![a-zA-Z])"), r"\\}"),
    # 1{,}000 and 1,\!000 and 1\,000
    (re.compile(r"(?<=\d)(?:\{,\}|\\[, ])\s*(?=\d{3}(?!\d))"), ""),
    (re.compile(r"(?<!\\)\\(?:[,;:> ]|q?quad(?![a-zA-Z]))"), " "),
    (re.compile(r"~"), " "),
    (re.compile(r"\s+"), " "),
]
_NARROW_COMMA = re.compile(r"(?<=\d),\\!\s*(?=\d{3}(?!\d))")
_THOUSANDS = re.compile(r"(?<![\d.,])[1-9]\d{0,2}(?:,\d{3})+(?![\d]|,\d)")
_SPACED_THOUSANDS = re.compile(r"(?<![\d.,_^])[1-9]\d{0,2}(?: \d{3})+(?!\d)")
_MIXED = re.compile(r"(?<![\d/.])(\d+) (\d+)/(\d+)$")
_AND = re.compile(
    r"\\(?:text|textrm|mathrm|mbox)\s*\{\s*,?\s*(?:and|or)\s*,?\s*\}|(?<![a-zA-Z\\])(?:and|or)(?![a-zA-Z])"
)
_EQUALS = re.compile(r"(?<![<>!:\\=])=(?!=)")
_APPROXIMATELY = re.compile(r"\\(?:approx|simeq|doteq)(?![a-zA-Z])")
_MEMBER = re.compile(r"\\in(?![a-zA-Z])")
_NAME = re.compile(r"[a-zA-Z\\(){}\[\]|,:' ]+")


def clean(text: str) -> str:
    """Brings a final answer into one spelling.

    Args:
        text: the answer, as written.

    Returns:
        The same answer; equal texts mean equal answers, not the other way round.
    """
    if "\\begin" not in text:
        # Backslashes that were escaped once too often.
        text = re.sub(r"\\\\(?=[a-zA-Z{}])", r"\\", text)
    text = _NARROW_COMMA.sub("", text.translate(_SIGNS))
    for pattern, replacement in _REPLACEMENTS:
        text = pattern.sub(replacement, text)
    text = re.sub(r"(?<!\\)\$", "", text).strip() if "$" in text.strip("$ ") else text.strip("$ ")
    text = re.sub(r"(?:\\\\|[.,;:\s])+$", "", text).strip()
    if not re.search(r"[(\[]|\\\{|^\{", text):
        text = _THOUSANDS.sub(lambda found: found[0].replace(",", ""), text)
    text = _SPACED_THOUSANDS.sub(lambda found: found[0].replace(" ", ""), text)
    return _MIXED.sub(r"\1\\frac{\2}{\3}", text)


def squeezed(text: str) -> str:
    """Returns the text without white space and without braces around single characters."""
    return re.sub(r"\{([a-zA-Z0-9])\}", r"\1", re.sub(r"\s+", "", text)) if "\\text" not in text else text


def depth(text: str) -> int:
    """Returns how deeply brackets are nested."""
    deepest = now = 0
    for character in text:
        if character in "([{":
            now += 1
            deepest = max(deepest, now)
        elif character in ")]}":
            now = max(0, now - 1)
    return deepest


class Form(NamedTuple):
    """What an answer is made of.

    Attributes:
        kind: a list has no brackets, a set braces, a tuple round brackets, an interval two ends and a square bracket.
        items: the parts; of a scalar itself alone.
        brackets: the outer brackets.
    """

    kind: Kind
    items: list[str]
    brackets: str


def form(text: str) -> Form:
    """Takes an answer apart at its outermost brackets and commas."""
    items = _cut(text)
    if len(items) > 1:
        return Form("list", items, "")
    opening, closing, inside = _unwrapped(text)
    if not opening:
        return Form("scalar", [text], "")
    items = _cut(inside)
    if "{" in opening:
        # Braces without backslash group; with commas in them a set is meant.
        is_set = opening == "\\{" or len(items) > 1
        return Form("set", items, "{}") if is_set else form(inside)
    if len(items) == 1:
        return form(inside) if opening + closing == "()" else Form("scalar", [text], "")
    if opening + closing != "()" and len(items) == 2:
        return Form("interval", items, opening + closing)
    return Form("tuple", items, opening + closing)


def sides(text: str) -> list[str]:
    """Cuts at outer equals signs. An approximation of a value is dropped; one of a name counts as equal."""
    first, *others = (part.strip() for part in _APPROXIMATELY.split(text))
    if others and (not first or is_name(_EQUALS.split(first)[-1])):
        first = f"{first}={others[0]}" if first else others[0]
    member = _MEMBER.split(first)
    if len(member) == 2 and is_name(member[0]):
        return [member[0].strip(), member[1].strip()]
    if not _EQUALS.search(first) or "\\begin" in first or "," in _outside(first):
        return [first]
    return [part.strip() for part in _EQUALS.split(first)]


def is_name(text: str) -> bool:
    """Whether a side of an equation only names what the other side says: `x`, `f(x)`, `(p,q)`, `|AB|`, `a_3`."""
    bare = re.sub(r"_\s*(?:\{\s*\w+\s*\}|\w)", "", text).strip()
    return bool(bare) and len(bare) <= 40 and bool(_NAME.fullmatch(bare)) and "\\sqrt" not in bare


def _outside(text: str) -> str:
    """Returns what of a text stands in no brackets."""
    kept = []
    now = 0
    for character in text:
        now += (character in "([{") - (character in ")]}")
        if now <= 0 and character not in ")]}":
            kept.append(character)
    return "".join(kept)


def _cut(text: str) -> list[str]:
    """Cuts at commas, semicolons, "and" and "or" outside of brackets."""
    marked = _AND.sub(lambda found: "\x00" * len(found[0]), text)
    items = [""]
    now = 0
    for position, character in enumerate(marked):
        now += (character in "([{") - (character in ")]}")
        if now <= 0 and character in ",;\x00":
            items.append("")
        else:
            items[-1] += text[position]
    return [item.strip() for item in items if item.strip()] or [text]


def _unwrapped(text: str) -> tuple[str, str, str]:
    """Returns the two brackets around a text and what is inside, or three blanks if no pair spans all of it."""
    width = 2 if text.startswith("\\{") else 1
    if text[:width] not in ("(", "[", "{", "\\{") or not text.endswith((")", "]", "}")):
        return "", "", ""
    now = 0
    for position, character in enumerate(text):
        now += (character in "([{") - (character in ")]}")
        if now == 0 and position >= width - 1:
            if position < len(text) - 1:
                return "", "", ""
            break
    closing = "\\}" if text.endswith("\\}") else text[-1]
    inside = text[width : len(text) - len(closing)].strip()
    if (("{" in text[:width]) != ("}" in closing)) or not inside:
        return "", "", ""
    return text[:width], closing, inside
