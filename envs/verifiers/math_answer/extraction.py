r"""Which part of a text is the final answer.

The last `\boxed{}` wins; boxes joined only by commas, semicolons, "and" or "or" are one list. Without a box, what
follows the last `#### ` is the answer (the form of GSM8K); without that, a text that is nothing but one mathematical
expression is the answer as a whole; else the last formula (`$...$`, `\(...\)`, `\[...\]`) or number outside of
formulas, whichever ends last. An unclosed box is no box. Reading takes time linear in the length of the text.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import NamedTuple

from envs.verifiers.math_answer.units import FUNCTIONS, PERCENT, UNIT_WORDS

MAX_ANSWER = 2000
"""Characters of a final answer."""
_TAIL = 20_000
"""Characters, from the end, among which the last formula or number is looked for."""
_MAX_JOINED = 100

_BOX = re.compile(r"\\(?:boxed|fbox)\s*(?:\{|(?P<single>[^\s\\{}$]+))")
_JOINER = re.compile(
    r"(?:[\s,;$~]|\\(?:q?quad|[,;:! ()\[\]])|\\(?:text|textrm|mathrm|mbox)\s*\{\s*,?\s*(?:and|or)"
    r"\s*,?\s*\}|and\b|or\b)*"
)
_JOINS = re.compile(r"(?<!\\)[,;]|and|or")
_HASHES = re.compile(r"####[^\S\n]*([^\n]*)")
_FORMULA = re.compile(
    r"(?<!\\)\$\$(?P<display>(?:\\.|[^$\\]){1,2000}?)\$\$|(?<!\\)\$(?P<inline>(?:\\.|[^$\\\n]){1,2000}?)\$"
    r"|\\\[(?P<bracket>.{1,2000}?)\\\]|\\\((?P<round>.{1,2000}?)\\\)",
    re.DOTALL,
)
_NUMBER = re.compile(
    r"(?<![\w.,/\\^{])(?P<sign>[-+\u2212](?=[\d.$\u20ac\u00a3]))?(?:\\?[$\u20ac\u00a3\u00a5])?"
    r"(?P<digits>(?:[1-9]\d{0,2}(?:,\d{3})+(?!\d)|\d+)(?:[.,]\d+)?|\.\d+)"
    r"(?P<rest>(?:\s*[/:]\s*-?\d+(?:\.\d+)?)*)(?P<percent>\s*(?:" + PERCENT + r"))?(?:\s?(?P<word>[^\W\d_]+))?"
)
_COMMAND = re.compile(
    r"\\(?:begin|end)\s*\{[a-z*]*\}(?:\{[a-z|]*\})?"
    r"|\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mbox|operatorname)"
    r"\s*\{[^{}]*\}|\\[a-zA-Z]+"
)
_WORD = re.compile(r"[^\W\d_]{2,}")
_NO_PROSE = FUNCTIONS | UNIT_WORDS


class Final(NamedTuple):
    """A final answer.

    Attributes:
        text: the answer, as written.
        formula: whether it was marked as a formula, by a box or by dollars.
    """

    text: str
    formula: bool


def final_answer(text: str, needs_digit: bool = False) -> Final | None:
    """Finds the final answer in a text.

    Args:
        text: what was written; any text.
        needs_digit: whether only formulas with a digit count, because the answer looked for has one. Boxes and bare
            expressions count always.

    Returns:
        The answer, or None if there is none.
    """
    boxes = _last_boxes(text)
    if boxes is not None:
        return Final(", ".join(boxes), formula=True)
    hashes = text.rfind("####")
    if hashes >= 0:
        line = _HASHES.match(text, hashes)
        if line and re.match(r"[-+\u2212.$\\\d\u20ac\u00a3(\[{]", line[1]):
            return Final(line[1].strip(), formula=False)
    bare = text.strip().rstrip(".").strip()
    if is_bare(bare):
        return Final(bare, formula=False)
    return _last_in_prose(text[-_TAIL:], needs_digit)


def is_bare(text: str) -> bool:
    """Whether a text is nothing but one mathematical expression: no dollars, no line ends in prose, no words."""
    if not text or len(text) > MAX_ANSWER or "$" in text.replace("\\$", "") or "\\(" in text or "\\[" in text:
        return False
    left = _COMMAND.sub(" ", text)
    words = _WORD.findall(left)
    alphabetic = [word for word in words if word.lower() not in _NO_PROSE]
    # AB and CD are lengths; a text that is one word is that word.
    return all(len(word) <= 3 and word.isupper() for word in alphabetic) and ("\n" not in left or "\\begin" in text)


def _last_boxes(text: str) -> list[str] | None:
    """Returns the contents of the last box and of those joined to it, or None if there is no closed box."""
    found: list[str] = []
    start_of_next = -1
    end = len(text)
    while len(found) < _MAX_JOINED:
        start = max(text.rfind("\\boxed", 0, end), text.rfind("\\fbox", 0, end))
        if start < 0:
            break
        end = start
        box = _closed_box(text, start)
        if box is None:
            continue
        content, stop = box
        if found:
            between = text[stop:start_of_next]
            if len(between) > 200 or not _JOINER.fullmatch(between) or not _JOINS.search(between):
                break
        found.insert(0, content)
        start_of_next = start
    return found or None


def _closed_box(text: str, start: int) -> tuple[str, int] | None:
    opening = _BOX.match(text, start)
    if not opening:
        return None
    if opening["single"]:
        return opening["single"].rstrip(".,;"), opening.end()
    depth = 1
    position = opening.end()
    limit = min(len(text), position + MAX_ANSWER + 100)
    while position < limit:
        character = text[position]
        if character == "\\":
            position += 1
        elif character in "{}":
            depth += 1 if character == "{" else -1
            if not depth:
                return text[opening.end() : position].strip(), position + 1
        position += 1
    # Too long to be an answer, or never closed.
    return None if limit == len(text) else (text[opening.end() : limit], limit)


def _formulas(text: str) -> Iterator[tuple[int, int, str]]:
    """Yields start, end and content of each formula; dollars of money are none."""
    position = 0
    while found := _FORMULA.search(text, position):
        content = next(group for group in found.groups() if group is not None)
        stripped = content.strip()
        money = stripped[:1].isdigit() and found["inline"] and content[:1] != " " and content[-1:] == " "
        if (
            stripped
            and not money
            and stripped[-1] not in "=+-*/"
            and is_bare(stripped.replace("\n", " ").replace("$", ""))
        ):
            yield found.start(), found.end(), stripped
            position = found.end()
        else:
            position = found.start() + (2 if text.startswith(("\\", "$$"), found.start()) else 1)


def _last_in_prose(text: str, needs_digit: bool) -> Final | None:
    formulas = list(_formulas(text))
    last_number = _last_number(text, formulas)
    usable = [number for number, formula in enumerate(formulas) if not needs_digit or re.search(r"\d", formula[2])]
    if usable and (last_number is None or formulas[usable[-1]][1] > last_number[0]):
        first = last = usable[-1]
        while first > 0:
            between = text[formulas[first - 1][1] : formulas[first][0]]
            if not (len(between) < 20 and _JOINER.fullmatch(between) and _JOINS.search(between)):
                break
            first -= 1
        joined = ", ".join(formula[2] for formula in formulas[first : last + 1])
        percent = re.match(rf"\s*(?:{PERCENT})", text[formulas[last][1] :])
        return Final(joined + ("%" if percent else ""), formula=True)
    return Final(last_number[1], formula=False) if last_number else None


def _last_number(text: str, formulas: list[tuple[int, int, str]]) -> tuple[int, str] | None:
    """Returns the end and the text of the last number outside of formulas."""
    pieces = []
    position = 0
    for start, end, _ in formulas:
        pieces.append(text[position:start])
        pieces.append(" " * (end - start))
        position = end
    last: tuple[int, str] | None = None
    for found in _NUMBER.finditer("".join(pieces) + text[position:]):
        word = found["word"] or ""
        attached = word and found.start("word") == max(found.end("digits"), found.end("rest"), found.end("percent"))
        if attached and word.lower() not in UNIT_WORDS:
            continue
        unit = f" {word}" if word.lower() in UNIT_WORDS else ""
        percent = "%" if found["percent"] else ""
        digits = (found["sign"] or "") + found["digits"] + re.sub(r"\s", "", found["rest"])
        last = found.end("digits"), digits + percent + unit
    return last
