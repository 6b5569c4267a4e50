"""The kinds of problems that are generated, from one-digit sums to stories of several steps.

A family turns a random generator and a level (1 to 5) into a question, its answer and the steps between them. Levels
set the digits of the numbers and the number of steps. All answers are whole numbers or fractions in lowest terms.
"""

from __future__ import annotations

import math
import random
from collections.abc import Callable, Mapping
from fractions import Fraction
from typing import NamedTuple

from envs.math_problems.stories import tell


class Made(NamedTuple):
    """A problem that was made.

    Attributes:
        question: what is asked.
        answer: the answer alone.
        steps: the way to it, one sentence a line.
        calculations: the expressions worth a calculator, in order.
    """

    question: str
    answer: str
    steps: tuple[str, ...]
    calculations: tuple[str, ...]

    @property
    def solution(self) -> str:
        """The steps and the answer behind `####`."""
        return "\n".join((*self.steps, f"#### {self.answer}"))


class Family(NamedTuple):
    """A kind of problem.

    Attributes:
        level: the lowest level that has it when families are not chosen.
        make: makes one.
    """

    level: int
    make: Callable[[random.Random, int], Made]


def _number(draw: random.Random, digits: int) -> int:
    return draw.randrange(10 ** (digits - 1) if digits > 1 else 0, 10**digits)


def _addition(draw: random.Random, level: int) -> Made:
    numbers = [_number(draw, level) for _ in range(2 if level < 4 else 3)]
    steps = []
    total = numbers[0]
    for number in numbers[1:]:
        steps += _sum_steps(total, number)
        total += number
    written = " + ".join(map(str, numbers))
    return Made(f"What is {written}?", str(total), tuple(steps), (written,))


def _sum_steps(one: int, other: int) -> list[str]:
    """Adds place by place: 47 + 38 is 40 + 30 = 70, 7 + 8 = 15, 70 + 15 = 85."""
    if max(one, other) < 10:
        return [f"{one} + {other} = {one + other}"]
    steps = []
    total = 0
    for place in reversed(range(len(str(max(one, other))))):
        ours, theirs = (value // 10**place % 10 * 10**place for value in (one, other))
        steps.append(f"{ours} + {theirs} = {ours + theirs}")
        if total:
            steps.append(f"{total} + {ours + theirs} = {total + ours + theirs}")
        total += ours + theirs
    return [*steps, f"{one} + {other} = {one + other}"]


def _subtraction(draw: random.Random, level: int) -> Made:
    larger, smaller = sorted((_number(draw, level), _number(draw, level)), reverse=True)
    if level >= 4 and draw.random() < 0.5:
        larger, smaller = smaller, larger
    written = f"{larger} - {smaller}"
    difference = larger - smaller
    steps = _difference_steps(larger, smaller) if difference >= 0 else _difference_steps(smaller, larger)
    if difference < 0:
        steps.append(f"{written} = {difference}")
    return Made(f"What is {written}?", str(difference), tuple(steps), (written,))


def _difference_steps(larger: int, smaller: int) -> list[str]:
    """Takes place by place away: 62 - 38 is 62 - 30 = 32, 32 - 8 = 24."""
    steps = []
    left = larger
    for place in reversed(range(len(str(smaller)))):
        part = smaller // 10**place % 10 * 10**place
        if part or smaller == 0:
            steps.append(f"{left} - {part} = {left - part}")
            left -= part
    return steps


def _multiplication(draw: random.Random, level: int) -> Made:
    one, other = _number(draw, max(1, level - 1)), _number(draw, 1 if level < 4 else 2)
    written = f"{one} * {other}"
    parts = [int(digit) * 10**place for place, digit in enumerate(reversed(str(one)))]
    steps = []
    if one >= 10:
        steps = [f"{part} * {other} = {part * other}" for part in reversed(parts)]
        steps.append(f"{' + '.join(str(part * other) for part in reversed(parts))} = {one * other}")
    return Made(f"What is {written}?", str(one * other), (*steps, f"{written} = {one * other}"), (written,))


def _division(draw: random.Random, level: int) -> Made:
    divisor, quotient = draw.randrange(2, 10 if level < 4 else 50), _number(draw, max(1, level - 2))
    dividend = divisor * quotient
    steps = f"{divisor} * {quotient} = {dividend}", f"{dividend} / {divisor} = {quotient}"
    return Made(f"What is {dividend} / {divisor}?", str(quotient), steps, (f"{dividend} / {divisor}",))


def _expression(draw: random.Random, level: int) -> Made:
    """Brackets first, then products, then sums: each step computes one operation."""
    digits = 1 if level < 4 else 2
    value = _number(draw, digits)
    written = str(value)
    steps: list[str] = []
    loose = False
    for _ in range(max(2, level - 1)):
        operator, number = draw.choice("+-*"), _number(draw, digits) or 1
        if operator == "*" and loose:
            written = f"({written})"
        result = {"+": value + number, "-": value - number, "*": value * number}[operator]
        written = f"{written} {operator} {number}"
        steps.append(f"{value} {operator} {number} = {result}")
        value, loose = result, operator != "*"
    return Made(f"What is {written}?", str(value), tuple(steps), tuple(step.partition(" =")[0] for step in steps))


def _equation(draw: random.Random, level: int) -> Made:
    factor, solution, shift = draw.randrange(2, 10), _number(draw, max(1, level - 2)), _number(draw, max(1, level - 2))
    total = factor * solution + shift
    steps = (
        f"{factor}x = {total} - {shift} = {total - shift}",
        f"x = {total - shift} / {factor} = {solution}",
    )
    question = f"Solve for x: {factor}x + {shift} = {total}"
    return Made(question, str(solution), steps, (f"{total} - {shift}", f"{total - shift} / {factor}"))


def _percentage(draw: random.Random, level: int) -> Made:
    percent = draw.choice((10, 20, 25, 50, 75) if level < 4 else tuple(range(5, 100, 5)))
    whole = draw.randrange(1, 10 if level < 4 else 50) * (100 // math.gcd(percent, 100))
    part = percent * whole // 100
    steps = f"{percent} * {whole} = {percent * whole}", f"{percent * whole} / 100 = {part}"
    return Made(f"What is {percent}% of {whole}?", str(part), steps, (f"{percent} * {whole} / 100",))


def _fraction(draw: random.Random, level: int) -> Made:
    most = 6 if level < 5 else 13
    denominators = draw.randrange(2, most), draw.randrange(2, most)
    one, other = (Fraction(draw.randrange(1, denominator), denominator) for denominator in denominators)
    common = math.lcm(one.denominator, other.denominator)
    ours, theirs = (value.numerator * common // value.denominator for value in (one, other))
    total = one + other
    steps = [f"{one} = {ours}/{common}, {other} = {theirs}/{common}", f"{ours} + {theirs} = {ours + theirs}"]
    if total.denominator != common:
        steps.append(f"{ours + theirs}/{common} = {total}")
    question = f"What is {one} + {other}? Give a whole number or a fraction in lowest terms."
    return Made(question, str(total), tuple(steps), (f"{one} + {other}",))


def _story(draw: random.Random, level: int) -> Made:
    story = tell(draw, num_steps=max(1, level - 1), digits=1 if level < 3 else 2)
    return Made(story.question, str(story.answer), story.steps, story.calculations)


FAMILIES: Mapping[str, Family] = {
    "addition": Family(1, _addition),
    "subtraction": Family(1, _subtraction),
    "multiplication": Family(2, _multiplication),
    "story": Family(2, _story),
    "division": Family(3, _division),
    "expression": Family(3, _expression),
    "percentage": Family(3, _percentage),
    "equation": Family(4, _equation),
    "fraction": Family(4, _fraction),
}
