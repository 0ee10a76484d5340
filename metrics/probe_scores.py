"""Scores of probes with intervals over documents, in which the fit of the probe has its share.

A probe is fitted again without each tenth of the documents (delete-a-group jackknife: Shao and Tu, The Jackknife and
Bootstrap, 1995, section 2.3; groups at random: documents are drawn independently). The linearized interval of the sums
over documents leaves out the fit, and covers in 75 to 90 of 100 evaluations.

Shape letters: M rows (positions, or distinct prefixes), O occurrences of rows in documents, P pairs of rows, G groups.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from worldbench.core.metric import Score
from worldbench.core.statistics import finite_square, t_quantile

UNITS = "documents"
GROUPS = 10


@dataclass(frozen=True)
class Occurrences:
    """Which documents a row is in. A prefix may occur in several documents; a position is in one.

    document, row: int [O], of each occurrence. documents, rows: how many there are.
    """

    document: np.ndarray
    row: np.ndarray
    documents: int
    rows: int

    def weight(self, kept: np.ndarray | None = None) -> np.ndarray:
        """How often each row occurs, float [M]. kept: bool [documents], the documents that count; None: all of them."""
        counted = None if kept is None else kept[self.document].astype(float)
        return np.bincount(self.row, counted, minlength=self.rows).astype(float)


@dataclass(frozen=True)
class Part:
    """What a refit may use. left_out: the group that is left out, -1 for none. groups: how many there are."""

    left_out: int
    groups: int

    def kept(self, count: int, width: int = 1) -> np.ndarray:
        """bool [count]: which of `count` documents (or pairs) are kept. width: how many neighbors share a group."""
        return np.arange(count) // width % max(self.groups, 1) != self.left_out


def refitted(
    measure: Callable[[Part], dict[str, float]],
    documents: int,
    bounds: Callable[[str], tuple[float, float]] = lambda name: (-np.inf, np.inf),
) -> dict[str, Score]:
    """The values of `measure` on all documents, with intervals from its values without each group of them.

    measure: gets a Part, fits and scores on the documents that the part keeps, and returns values by name. bounds: the
    least and the greatest possible value of a score; intervals end there. There is no interval for fewer than four
    documents, or where a value is not finite.
    """
    groups = min(GROUPS, documents // 2)
    values = measure(Part(-1, groups))
    without = [measure(Part(g, groups)) for g in range(groups)] if groups > 1 else []
    out = {}
    for name, value in values.items():
        others = np.array([part.get(name, np.nan) for part in without])
        ends = None
        if len(others) and finite_square(value) and all(map(finite_square, others)):
            half = t_quantile(groups - 1) * float(np.std(others)) * (groups - 1) ** 0.5
            low, high = bounds(name)
            ends = max(low, value - half), min(high, value + half)
        out[name] = Score(value, documents, ends, UNITS) if ends else single(value, documents)
    return out


def single(value: float, documents: int) -> Score:
    """A score without interval; missing if the value is NaN."""
    reason = "what the probe should predict is the same everywhere: there is nothing to predict"
    return Score.missing(reason, documents) if np.isnan(value) else Score(value, documents)
