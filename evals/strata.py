"""The interval of a mean over groups of values that are alike within, such as the seeds of several studies."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from envs.errors import InputError
from evals.statistics import UNBOUNDED, Interval, quantile


def stratified_mean_interval(strata: Sequence[Sequence[float]], level: float = 0.95) -> Interval:
    """Student's interval of the mean over all values of several fixed groups.

    The groups are the ones that are meant, as the strata of a stratified sample (Cochran 1977, Sampling Techniques,
    chapter 5): what varies is the values within each. With n_h values of variance s_h^2 in group h and n in all,

        mean -+ t * sqrt(sum_h v_h)        v_h = (n_h / n)^2 s_h^2 / n_h

    with Welch's and Satterthwaite's degrees of freedom, (sum_h v_h)^2 / sum_h(v_h^2 / (n_h - 1)). Of groups that were
    not looked at it says nothing.

    Args:
        strata: the values of each group, at least one group.
        level: confidence level.

    Returns:
        The interval; unbounded if a group has a single value, whose spread is unknown.

    Raises:
        InputError: if there is no group, or one without values, or a value is not finite.
    """
    groups = [np.asarray(values, dtype=np.float64) for values in strata]
    if not groups or not all(len(values) and np.isfinite(values).all() for values in groups):
        raise InputError("a mean over groups needs at least one value in each, all of them finite.")
    if any(len(values) == 1 for values in groups):
        return UNBOUNDED
    counts = np.array([len(values) for values in groups])
    mean = float(np.concatenate(groups).mean())
    parts = np.array([values.var(ddof=1) * len(values) for values in groups]) / counts.sum() ** 2
    if not parts.any():
        return Interval(mean, mean)
    shares = parts / parts.sum()
    freedom = float(1 / (shares**2 / (counts - 1)).sum())
    half = quantile(level, freedom) * math.sqrt(float(parts.sum()))
    return Interval(mean - half, mean + half)
