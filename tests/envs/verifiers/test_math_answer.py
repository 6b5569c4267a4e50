"""Mathematical answers: the stated rules, equal values in many forms, and answers that are meant to hurt."""

from __future__ import annotations

import random
import threading
from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from envs.verifiers import Verdict
from envs.verifiers.math_answer import verify
from envs.verifiers.math_answer.comparison import same
from envs.verifiers.math_answer.extraction import final_answer

RIGHT = [
    # the last box; lists of boxes; #### and the last number
    (r"\boxed{5} is wrong, it is \boxed{6}", "6"),
    (r"\boxed{}" + "\n" + r"\boxed{4}", "4"),
    (r"\boxed{1} and \boxed{2}, or \boxed{3}", r"\{1, 2, 3\}"),
    (r"$\boxed{k = 45} \quad \text{and} \quad \boxed{n = 2}$", "k = 45, n = 2"),
    (r"\boxed{\frac{1}{\sqrt{2}}}", r"\frac{\sqrt{2}}{2}"),
    (r"\boxed 5", "5"),
    ("5 and more\n#### 72\n", "thus 72\n#### 72"),
    ("#### 72 apples", "72"),
    ("So 3 + 4 = 7", "7"),
    ("He has 3 apples and 4 pears, so $3+4=7$", "7"),
    ("The answer is 12 apples.", "12"),
    ("The probability is 3/4.", "3/4"),
    ("18 eggs - 3 = 15 eggs", "15"),
    ("It costs $12.50", "12.5"),
    ("it takes\n$$\n x = 12 \n$$", "12"),
    # percent, units, money
    (r"50\%", "50"),
    ("50", "50%"),
    (r"50\%", "0.5"),
    ("12.5 percent", "12.5"),
    (r"5\text{ cm}", "5"),
    ("5", "5 cm"),
    ("5 centimeters", "5 cm"),
    (r"15\mbox{ cm}^2", r"15\text{ square centimeters}"),
    (r"10\pi", r"10\pi\text{ cm}"),
    (r"90^\circ", "90"),
    ("90 degrees", r"90^\circ"),
    ("5 dollars", "$5"),
    (r"\$1,234.50", "1234.5"),
    # separators
    ("1,000", "1000"),
    ("1{,}000", "1000"),
    (r"1\,000", "1000"),
    ("1 000", "1000"),
    (r"\boxed{11,\! 111}", "11111"),
    ("2,74", "2.74"),
    # sets, lists, tuples, intervals
    (r"\{1,2\}", r"\{2,1\}"),
    ("1, 2", r"\{2,1\}"),
    (r"\boxed{2\text{ and }3}", "2, 3"),
    ("1,2", "(1,2)"),
    ("(1; 2)", "(1, 2)"),
    ("[1,2)", "[1, 2)"),
    (r"(-\infty, 3)", r"\left(-\infty,3\right)"),
    ("1 < x < 2", "(1,2)"),
    (r"x \in [-2,7]", r"-2 \le x \le 7"),
    ("x=1, y=2", "y=2, x=1"),
    ("1, 2", "x=1, y=2"),
    (r"1+\sqrt{19}, 1-\sqrt{19}", r"1\pm\sqrt{19}"),
    # names, approximations, bases
    ("x=5", "5"),
    ("5", "x = 5"),
    (r"x = 1/3 \approx 0.33", "1/3"),
    ("204_5", "204_{5}"),
    # choices and words
    ("C", "C"),
    ("(C)", "C"),
    (r"\boxed{\text{(C)}}", "C"),
    (r"\boxed{C. 12}", "C"),
    ("The answer is (C) 12.", "C"),
    ("Answer: **C**", r"\textbf{(C)}"),
    ("evelyn", r"\text{Evelyn}"),
    ("Yes.", "yes"),
    ("June 20", r"\text{June 20}"),
    # values
    ("0.333333", "1/3"),
    ("2 1/2", "5/2"),
    (r"2\frac{1}{2}", "2.5"),
    ("1.5e3", "1500"),
    ("2^10", "1024"),
    ("\u22125", "-5"),
    ("x^2+2x+1", "(x+1)^2"),
    (r"\begin{pmatrix}1\\2\end{pmatrix}", r"\begin{bmatrix}1\\2\end{bmatrix}"),
]
WRONG = [
    ("", "5"),
    (" \n ", "5"),
    (r"it was 5: \boxed{}", "5"),
    ("6", "5"),
    (r"\boxed{5}, \boxed{6}", "5"),
    (r"\boxed{5} then \boxed{6}", "5"),
    ("no idea", "5"),
    ("A", "C"),
    ("neither", "C"),
    ("(1,2]", "(1,2)"),
    ("[1,2]", "(1,2)"),
    (r"\{1,2\}", "(1,2)"),
    ("(2,1)", "(1,2)"),
    ("2, 1", "(1,2)"),
    ("2, 1", "x=1, y=2"),
    ("1,2,3", "1,2"),
    ("0.33", "1/3"),
    ("0.0000002", "0.0000001"),
    ("16386.17", "16386.16"),
    ("5 km", "5 m"),
    ("50 cents", "50 dollars"),
    ("50%", "0.05"),
    (r"\boxed{32, 349}", "32349"),
    ("1,22", "122"),
    ("204_5", "204_7"),
    ("y=1", "x=1"),
    ("1", "2x + z = 1"),
    ("5x", "5"),
    ("2ab", "2"),
    ("x^3", "x^2"),
    ("Debra", "Evelyn"),
    ("no", "yes"),
    ("9**9**9**9", "5"),
    ("5", ""),
]


@pytest.mark.parametrize(("answer", "reference"), RIGHT)
def test_right(answer: str, reference: str):
    verdict = verify(answer, reference)
    assert verdict == Verdict(1.0, True, verdict.reason), verdict


@pytest.mark.parametrize(("answer", "reference"), WRONG)
def test_wrong(answer: str, reference: str):
    verdict = verify(answer, reference)
    assert verdict == Verdict(0.0, False, verdict.reason), verdict
    assert verdict.reason


def written(value: Fraction) -> list[str]:
    """The value as people write it."""
    one, other = value.numerator, value.denominator
    forms = [
        f"{one}/{other}",
        rf"\frac{{{one}}}{{{other}}}",
        rf"\boxed{{\dfrac{{{3 * one}}}{{{3 * other}}}}}",
        f"Therefore it is ${one}/{other}$.",
        f"x = {one}/{other}",
        f"{one} / {other} km",
    ]
    if other == 1:
        forms += [str(one), f"{one:,}", f"{one}.0", f"The answer is {one:,}.", f"#### {one}", f"$${one}$$", f"{one}%"]
    if 10**6 % other == 0:
        forms.append(f"{'-' if one < 0 else ''}{abs(one) * 10**6 // other / 10**6:.6f}")
    return forms


values = st.fractions(min_value=-(10**6), max_value=10**6, max_denominator=64)


@given(value=values, draw=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_equal_values_are_right_in_every_form_and_both_ways(value: Fraction, draw: random.Random):
    answer, reference = (draw.choice(written(value)) for _ in range(2))
    assert verify(answer, reference).passed
    assert verify(reference, answer).passed


@given(one=values, other=values, draw=st.randoms(use_true_random=False))
@settings(deadline=None, max_examples=100)
def test_different_values_are_wrong_in_every_form(one: Fraction, other: Fraction, draw: random.Random):
    # A percent sign may stand for a hundredth.
    if one not in (other, other * 100, other / 100):
        assert not verify(draw.choice(written(one)), draw.choice(written(other))).passed


@given(numbers=st.lists(st.integers(-999, 999), min_size=2, max_size=6, unique=True), draw=st.randoms())
@settings(deadline=None, max_examples=50)
def test_sets_have_no_order_and_tuples_have(numbers: list[int], draw: random.Random):
    shuffled = list(numbers)
    draw.shuffle(shuffled)
    one, other = ", ".join(map(str, numbers)), ", ".join(map(str, shuffled))
    assert verify(rf"\boxed{{\{{{one}\}}}}", rf"\{{{other}\}}").passed
    assert verify(rf"\boxed{{{one}}}", rf"\{{{other}\}}").passed
    assert verify(f"({one})", f"({other})").passed == (numbers == shuffled)
    assert not verify(f"({one})", rf"\{{{one}\}}").passed


@given(one=values, other=values)
@settings(deadline=None, max_examples=40)
def test_what_is_decided_at_once_is_what_math_verify_decides(one: Fraction, other: Fraction):
    from envs.verifiers.math_answer.symbolic import same_formula

    def never(reference: str, answer: str) -> bool:
        raise AssertionError("plain numbers need no math-verify")

    for pair in ((one, other), (one, one)):
        forms = [rf"\frac{{{value.numerator}}}{{{value.denominator}}}" for value in pair]
        assert same(forms[0], forms[1], never) == same_formula(forms[0], forms[1])
        decimals = [f"{float(value):.2f}" for value in pair]
        assert same(decimals[0], decimals[1], never) == same_formula(decimals[0], decimals[1])


@given(text=st.text(max_size=200) | st.text(alphabet=r"\{}[]()$0123456789+-*/^_,.=#x boxedfrac", max_size=60))
@settings(deadline=None, max_examples=100)
def test_extraction_takes_any_text(text: str):
    found = final_answer(text)
    assert found is None or isinstance(found.text, str)


@given(text=st.text(alphabet="\\{}[]()$0123456789+-*/^_,.=#x\u0663\ud800 frac", max_size=40))
@settings(deadline=None, max_examples=100)
def test_any_text_gets_a_verdict(text: str):
    assert verify(text, r"x^2+\sqrt{2}").score in (0.0, 1.0)


HOSTILE = {
    "tower": "9**9**9**9",
    "tower in LaTeX": r"\boxed{9^{9^{9^{9}}}}",
    "a tower that hung math-verify": (
        r"\boxed{\dfrac{5^{\left(5^{\left(5^{\left(5^5\right)}\right)} - 4\right)} - 5}{16}}"
    ),
    "factorials": r"\boxed{((((9!)!)!)!)!}",
    "long expansion": r"\boxed{(x+1)^{100000}}",
    "product": r"\boxed{\prod_{i=1}^{10^9} i}",
    "megabytes of digits": "9" * 3_000_000,
    "megabytes in a box": r"\boxed{" + "1" * 3_000_000 + "}",
    "boxes in boxes": r"\boxed{" * 300_000,
    "many boxes": r"\boxed{1}, " * 200_000,
    "joined boxes": r"\boxed{1}" + " and " * 100_000 + r"\boxed{2}",
    "many brackets": r"\boxed{" + "(" * 1000 + "1" + ")" * 1000 + "}",
    "many fractions": r"\boxed{" + r"\frac{1}{" * 200 + "2" + "}" * 200 + "}",
    "roots in roots": r"\boxed{" + r"\sqrt{" * 38 + "2" + "}" * 38 + "}",
    "malformed": r"\boxed{\frac{1}{}\sqrt[}",
    "backslashes": "\\" * 1_000_000,
    "dollars": "$a " * 300_000,
    "double dollars": "$$x$" * 200_000,
    "displays": r"\[" * 500_000,
    "blanks": " " * 3_000_000 + "5x",
    "numbers": "1,000" * 400_000,
    "ratios": "1/" * 500_000,
    "hashes": "#" * 2_000_000,
    "items": r"\boxed{" + ",".join("x" * 900) + "}",
    "big exponent": "1e99999999",
    "no numbers at all": "\x00" * 1000,
    "a lone surrogate": "\ud800",
    "other digits": "\u0663",
    "Python": r"\boxed{__import__('os').system('true')}",
    "division by zero": "1/0",
}


@pytest.mark.parametrize("answer", HOSTILE.values(), ids=HOSTILE)
def test_hostile_answers_are_wrong_with_a_reason(answer: str):
    verdict = verify(answer, r"x^2+\sqrt{2}" if "!" not in answer else "5")
    assert not verdict.passed
    assert verdict.reason
    assert len(verdict.reason) < 300


def test_hostile_references_give_verdicts():
    for reference in ("9**9**9**9", r"\boxed{", "$" * 1000, "x" * 10**6):
        assert not verify("5", reference).passed


def test_it_works_from_threads():
    verdicts: list[bool] = []

    def work(number: int) -> None:
        verdicts.append(verify(rf"\sqrt{{{number * number * 2}}}", rf"{number}\sqrt{{2}}").passed)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(2, 10)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert verdicts == [True] * 8
