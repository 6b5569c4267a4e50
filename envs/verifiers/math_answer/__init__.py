r"""Is an answer to a mathematical problem right? Rules first, then math-verify in a process that can be killed.

`extraction` says which part of a text is the answer, `comparison` when two answers say the same. What can be decided by
these rules alone (numbers, fractions, lists of them, words, choices) is decided here at once; formulas go to a process
(`envs.verifiers.processes`), which runs the same comparison with math-verify for what is left. Answers come from a
model: any text gives a verdict, in bounded time and memory, from any thread. Left out: converting units, and proofs.
"""

from __future__ import annotations

import re

from envs.verifiers import Verdict, processes
from envs.verifiers.math_answer.comparison import UndecidedError, decimal_comma, same
from envs.verifiers.math_answer.extraction import MAX_ANSWER, Final, final_answer, is_bare
from envs.verifiers.math_answer.units import FUNCTIONS
from envs.verifiers.math_answer.writing import MAX_DEPTH, clean, depth

_COMPARE = "envs.verifiers.math_answer.symbolic:compare"
_CHOICE = re.compile(r"\(?([A-J])\)?\.?")
_CHOICE_SAID = re.compile(r"\(([A-J])\)|(?:answer|choice|option)(?:\s+is)?\s*:?\s*\**\(?([A-J])\b|\b([A-J])[\s.)*]*\Z")
_MARKUP = re.compile(r"\\(?:text|textbf|textit|textrm|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")


def verify(answer: str, reference: str) -> Verdict:
    """Says whether an answer is right.

    Args:
        answer: what was answered: a whole solution or only its result. Any text.
        reference: the right answer, alone or at the end of a solution.

    Returns:
        The verdict: score 1 or 0, and the reason with the two answers that were compared.
    """
    if not answer.strip():
        return _wrong("the answer is empty")
    wanted = _reference(reference)
    if not wanted.text:
        return _wrong("the reference is empty")
    choice = _CHOICE.fullmatch(_MARKUP.sub(r"\1", wanted.text).strip(" $"))
    if choice:
        return _verify_choice(answer, choice[1])
    found = final_answer(answer, needs_digit=bool(re.search(r"\d", wanted.text)))
    if found is None or (not found.formula and _is_words(wanted.text)):
        found = found if found and found.formula else Final(answer.strip()[: MAX_ANSWER + 1], formula=False)
    if len(found.text) > MAX_ANSWER or len(wanted.text) > MAX_ANSWER:
        return _wrong(f"the answer is longer than {MAX_ANSWER:,} characters")
    if max(depth(found.text), depth(wanted.text)) > MAX_DEPTH:
        return _wrong(f"the answer is nested more than {MAX_DEPTH} deep")
    return _compare(found, wanted)


def _reference(text: str) -> Final:
    stripped = text.strip()
    plain = not any(mark in stripped for mark in ("\\boxed", "\\fbox", "####", "$", "\\(", "\\["))
    # "June 20" and "12 apples" are answers as they stand, "The answer is 20" is a sentence with one.
    short = len(stripped.split()) <= 5 and not re.search(r"\b(?:answer|is|are|equals)\b|:\s", stripped, re.IGNORECASE)
    if plain and (is_bare(stripped) or short):
        return Final(stripped, formula=False)
    return final_answer(text) or Final(stripped[: MAX_ANSWER + 1], formula=False)


def _is_words(reference: str) -> bool:
    """Whether a reference is words, with or without numbers after them ("June 20")."""
    plain = _MARKUP.sub(r"\1", reference)
    first = re.match(r"[^\W\d_]{3,}", plain)
    return first is not None and first[0].lower() not in FUNCTIONS and not re.search(r"[=+^\\]", plain)


def _verify_choice(answer: str, wanted: str) -> Verdict:
    box = final_answer(answer)
    text = _MARKUP.sub(r"\1", box.text if box and box.formula else answer[-MAX_ANSWER:]).strip(" $")
    only = _CHOICE.match(text) if re.match(r"\(?[A-J](?:[).:,\s]|$)", text) and box and box.formula else None
    said = only or _CHOICE.fullmatch(text)
    letter = said[1] if said else _last_choice(text)
    if letter is None:
        return _wrong(f"no choice is named; the right one is {wanted}")
    return _verdict(letter == wanted, letter, wanted)


def _last_choice(text: str) -> str | None:
    found = [next(filter(None, groups)) for groups in _CHOICE_SAID.findall(text)]
    return found[-1] if found else (text.upper() if re.fullmatch(r"[a-j]", text) else None)


def _compare(found: Final, wanted: Final) -> Verdict:
    ours, theirs = clean(wanted.text), clean(found.text)
    if not theirs:
        return _wrong("the answer is empty")
    if not found.formula:
        theirs = decimal_comma(theirs, ours)
    if not wanted.formula:
        ours = decimal_comma(ours, theirs)
    try:
        return _verdict(same(ours, theirs, _undecided), theirs, ours)
    except UndecidedError:
        pass
    try:
        return _verdict(bool(processes.call(_COMPARE, ours, theirs)), theirs, ours)
    except processes.FailedCallError as error:
        return _wrong(str(error))


def _undecided(reference: str, answer: str) -> bool:
    raise UndecidedError


def _verdict(right: bool, found: str, wanted: str) -> Verdict:
    relation = "is" if right else "is not"
    return Verdict(float(right), right, f"{_shown(found)} {relation} {_shown(wanted)}")


def _wrong(reason: str) -> Verdict:
    return Verdict(0.0, False, reason)


def _shown(text: str) -> str:
    return text if len(text) <= 60 else f"{text[:60]}..."


__all__ = ["verify"]
