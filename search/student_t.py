"""Quantiles of Student's t, so that a handful of seeds gets the wide interval it deserves."""

from __future__ import annotations

import math
from functools import cache


def student_cdf(t: float, df: float) -> float:
    """P(T ≤ t) for `df` > 0 degrees of freedom, by the incomplete beta function; Abramowitz & Stegun 26.7.1."""
    if t == 0:
        return 0.5
    tail = 0.5 * _incomplete_beta(df / 2, 0.5, df / (df + t * t), t * t / (df + t * t))
    return 1 - tail if t > 0 else tail


@cache
def student_quantile(p: float, df: float) -> float:
    """The t with P(T ≤ t) = p, to about 1e-12 relative; 0 < p < 1, `df` > 0."""
    if not 0 < p < 1 or not df > 0:
        raise ValueError(f"no Student quantile for p = {p} and df = {df}")
    if p < 0.5:
        return -student_quantile(1 - p, df)
    low, high = 0.0, 1.0
    while student_cdf(high, df) < p:
        low, high = high, 2 * high
    while high - low > 1e-13 * max(1.0, high):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        low, high = (middle, high) if student_cdf(middle, df) < p else (low, middle)
    return (low + high) / 2


def _incomplete_beta(a: float, b: float, x: float, y: float) -> float:
    """Regularised I_x(a, b) with y = 1 − x, by the continued fraction of Numerical Recipes §6.4."""
    if x <= 0 or y <= 0:
        return float(y <= 0)
    front = math.exp(math.lgamma(a + b) - math.lgamma(a) - math.lgamma(b) + a * math.log(x) + b * math.log(y))
    if x < (a + 1) / (a + b + 2):
        return front * _beta_fraction(a, b, x) / a
    return 1 - front * _beta_fraction(b, a, y) / b


def _beta_fraction(a: float, b: float, x: float) -> float:
    tiny = 1e-300  # Lentz's guard against a zero denominator
    c, d = 1.0, 1 / (1 - (a + b) * x / (a + 1) or tiny)
    value = d
    for m in range(1, 10_000):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for step in (even, odd):
            d = 1 / (1 + step * d or tiny)
            c = 1 + step / c or tiny
            value *= c * d
        if abs(c * d - 1) < 1e-15:
            break
    return value
