"""The verifier on real data: 127 pairs of answers, and every gold answer of GSM8K's training set."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from typing import Any

from envs.verifiers.math_answer import verify

# Row: (what the table expects, the rule by which we say otherwise).
DISAGREEMENTS = {
    4: (False, "a formula may run over several lines; the row's source reads \\( \\) on one line only"),
    10: (True, "names of variables matter: f(x) is not f(y); the row's source compares without names"),
    48: (True, "the last box wins, here over the phrase 'the final answer is' after it"),
    55: (True, "boxes are one list only if joined by commas, and, or; 'for part (a) and' is more"),
    107: (True, "decimals are rounded to six places, and 0.33 is not 1/3; the row's source rounds to two"),
    109: (True, "decimals are rounded to six places, and 2.6667 is not 8/3; the row's source rounds to four"),
}


def _lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]


def test_pairs_of_answers(real_data: Path):
    rows = _lines(real_data / "math_equiv" / "triples.jsonl")
    assert len(rows) == 127
    verdicts = [verify(row["pred"], row["gold"]).passed for row in rows]
    found = {
        number: row["expected"]
        for number, (row, right) in enumerate(zip(rows, verdicts, strict=True))
        if row["expected"] != right
    }
    assert found == {number: expected for number, (expected, _) in DISAGREEMENTS.items()}


def test_every_gold_answer_of_gsm8k(real_data: Path):
    rows = _lines(real_data / "gsm8k" / "train.jsonl")
    assert len(rows) == 7473
    for row in rows:
        gold = row["answer"].rpartition("#### ")[2]
        value = Fraction(gold.replace(",", ""))
        fraction = rf"So $x = \frac{{{3 * value.numerator}}}{{{3 * value.denominator}}}$."
        for answer in (row["answer"], rf"\boxed{{{gold}}}", fraction):
            assert verify(answer, row["answer"]).passed, (answer, gold)
        for wrong in (value + 1, value * 2 + 1):
            assert not verify(f"The answer is {wrong}.", row["answer"]).passed, (wrong, gold)
