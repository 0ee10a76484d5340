"""Scores that are infinite, or so large that no interval can be computed of them.

An infinite loss is the worst one, and not a missing one: means, tables and comparisons keep it, and say in how many
seeds it occurs.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from worldbench.core.metric import Direction
from worldbench.core.statistics import LARGEST_VALUE, finite_square
from worldbench.core.text import counted


@dataclass(frozen=True)
class Extremes:
    """How many of `n` values are extreme: infinite, or beyond LARGEST_VALUE. high, low: how many above and below 0.
    infinite: whether one of them is infinite.
    """

    n: int
    high: int = 0
    low: int = 0
    infinite: bool = False

    @classmethod
    def of(cls, values: Sequence[float]) -> Extremes:
        extreme = [v for v in values if not finite_square(v)]
        high = sum(v > 0 for v in extreme)
        return cls(len(values), high, len(extreme) - high, any(map(math.isinf, extreme)))

    @property
    def count(self) -> int:
        return self.high + self.low

    def share(self, what: str) -> str:
        """ "2 of 5 seeds"."""
        return f"{self.count} of {counted(self.n, what)}"

    def words(self, what: str) -> str:
        """ "infinite in 2 of 5 seeds". what: a noun for one value."""
        return f"{'infinite' if self.infinite else f'beyond {LARGEST_VALUE:g}'} in {self.share(what)}"


def verdict(
    names: tuple[str, str], values: tuple[Sequence[float], Sequence[float]], better: Direction, what: str
) -> str | None:
    """The comparison of two models in words, if a value of one of them is extreme; None if no value is.

    The model with extreme values is worse (or better, if they lie on the good side). If both models have some on the
    same side, or one model has some on both sides, the two are not separable. No test is made, because a test of
    infinite values does not exist.
    """
    a, b = (Extremes.of(mine) for mine in values)
    if not a.count + b.count:
        return None
    above = a.low + b.high == 0
    if not above and a.high + b.low:
        mine = " and ".join(f"{name} {e.words(what)}" for name, e in zip(names, (a, b)) if e.count)
        return f"not separable: {mine}"
    sides = [(name, e, up) for name, e, up in ((names[0], a, above), (names[1], b, not above)) if e.count]
    if better == "none":
        name, which, up = max(sides, key=lambda side: side[2])
        return f"{name} {'higher' if up else 'lower'}: {which.words(what)}"
    name, which, up = min(sides, key=lambda side: side[2] == (better == "higher"))
    return f"{name} {'better' if up == (better == 'higher') else 'worse'}: {which.words(what)}"
