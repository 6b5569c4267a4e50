"""Comparing formulas by math-verify (https://github.com/huggingface/Math-Verify), in a process that may be killed.

Formulas are parsed into sympy expressions and compared numerically, symbolically, as sets and as relations. Its time
limits rest on signals and are off: whoever calls this holds the deadline.
"""

from __future__ import annotations

import logging
from dataclasses import replace
from functools import lru_cache
from typing import Any

from math_verify import LatexExtractionConfig, parse, verify
from sympy import Basic, MatrixBase

from envs.verifiers.math_answer.comparison import same

# It warns once that its time limits are off.
logging.getLogger("math_verify").setLevel(logging.CRITICAL)
logging.getLogger("latex2sympy2_extended").setLevel(logging.CRITICAL)

# Units are dealt with in `units`; there, single letters would be taken for units.
_PLAIN = replace(LatexExtractionConfig().normalization_config, units=False)
_LATEX = LatexExtractionConfig(normalization_config=_PLAIN)


def compare(reference: str, answer: str) -> bool:
    """Compares two cleaned answers by all rules (`comparison.same`), formulas by math-verify."""
    return same(reference, answer, same_formula)


def same_formula(reference: str, answer: str) -> bool:
    """Whether two formulas say the same.

    Args:
        reference: LaTeX without dollars.
        answer: the same.

    Returns:
        Whether math-verify takes both as formulas and finds them equal.
    """
    ours, theirs = _parsed(reference), _parsed(answer)
    if ours is None or theirs is None:
        return False
    return bool(verify(ours, theirs, allow_set_relation_comp=True, timeout_seconds=None))


@lru_cache(maxsize=512)
def _parsed(formula: str) -> Any:  # noqa: ANN401 - an expression or a matrix of sympy, which is not typed
    found = parse(f"${formula}$", [_LATEX], fallback_mode="no_fallback", parsing_timeout=None)
    return next((one for one in found if isinstance(one, Basic | MatrixBase)), None)


# The first comparison fills caches; processes forked from here on inherit them.
same_formula(r"\frac{x^2}{2}+\sqrt{2}", r"\sqrt{2}+\frac{1}{2}x^2")
