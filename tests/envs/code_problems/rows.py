"""Rows of programming problems in both forms, made here."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

MBPP_ROW: dict[str, Any] = {
    "text": "Write a function to add two numbers.",
    "code": "import math\r\ndef add(a, b):\r\n\treturn a + b",
    "task_id": 601,
    "test_setup_code": "",
    "test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0", "assert math.isclose(add(0.1, 0.2), 0.3)"],
    "challenge_test_list": [],
}

HUMAN_EVAL_ROW: dict[str, Any] = {
    "task_id": "HumanEval/500",
    "prompt": '''import math
from typing import List


def poly(coefficients: List[float], x: float) -> float:
    """Value of a polynomial."""
    return sum(c * math.pow(x, i) for i, c in enumerate(coefficients))


def root(coefficients: List[float]) -> float:
    """ Finds where a line a + b * x is zero.
    >>> root([-1.0, 2.0])
    0.5
    >>> root([0.0, 3.0])
    -0.0
    >>> print(round(root([1, 2]), 2))
    -0.5
    """
''',
    "entry_point": "root",
    "canonical_solution": "    a, b = coefficients\n    return -a / b\n",
    "test": """

METADATA = {'author': 'somebody'}


def check(candidate):
    for a, b in ((1.0, 2.0), (-3.0, 0.5), (7.0, -2.0)):
        assert abs(poly([a, b], candidate([a, b]))) < 1e-4
    assert candidate([2.0, 4.0]) == -0.5, "a half"
""",
}


def write(path: Path, *rows: Any) -> str:
    """Writes rows as JSON lines. Returns the file's name."""
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return str(path)
