"""Distances between beliefs, and between codes that stand for them (Shai et al. 2024, arXiv 2405.15943).

Shape letters: M prefixes, P pairs, K entries of a code.
"""

from __future__ import annotations

import numpy as np

PAIRS = 20_000


def draw_pairs(w: np.ndarray, rng: np.random.Generator, count: int = PAIRS) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of different rows, each row drawn by its weight [M]: two int arrays [P], P at most `count`."""
    edges = np.cumsum(w / w.sum())
    drawn = np.minimum(np.searchsorted(edges, rng.random((2, count)), side="right"), len(w) - 1)
    first, second = drawn[:, drawn[0] != drawn[1]]
    return first, second


def distances(code: np.ndarray, pairs: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Euclidean, between the codes [M, K] of each pair: float64 [P]."""
    return np.linalg.norm(code[pairs[0]] - code[pairs[1]], axis=1)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's; nan where one of them does not vary."""
    if len(a) < 2 or np.ptp(a) < 1e-12 or np.ptp(b) < 1e-12:
        return float("nan")
    return float(np.corrcoef(a, b)[0, 1])
