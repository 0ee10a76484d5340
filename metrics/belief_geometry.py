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


def correlation(a: np.ndarray, b: np.ndarray, w: np.ndarray | None = None) -> float:
    """Pearson's, of a and b [P], weighted by w [P]; NaN where one of them does not vary."""
    w = np.ones(len(a)) if w is None else w
    if np.count_nonzero(w) < 2 or np.ptp(a[w > 0]) < 1e-12 or np.ptp(b[w > 0]) < 1e-12:
        return float("nan")
    x, y = a - w @ a / w.sum(), b - w @ b / w.sum()
    return float((w * x) @ y / np.sqrt(((w * x) @ x) * ((w * y) @ y)))
