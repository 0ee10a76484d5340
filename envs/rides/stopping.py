"""The law of the number of moves of a random walk.

Shape letter: L largest number of moves.
"""

from __future__ import annotations

import numpy as np


def weights(min_moves: int, max_moves: int, stop: float) -> np.ndarray:
    """The probability of each number of moves 0 .. L, up to a common factor: float64 [L + 1].

    It is 0 below `min_moves`. Each further move is 1 - stop times as likely. With stop 0 all weights are 1.
    """
    moves = np.arange(max_moves + 1)
    return np.where(moves < min_moves, 0.0, (1.0 - stop) ** np.maximum(moves - min_moves, 0))


def numbers(uniform: np.ndarray, min_moves: int, max_moves: int, stop: float) -> np.ndarray:
    """Numbers of moves, int64 [n], from random numbers [n] in [0, 1)."""
    if not stop:
        return min_moves + (uniform * (max_moves - min_moves + 1)).astype(np.int64)
    cumulated = np.cumsum(weights(min_moves, max_moves, stop)[min_moves:])
    return min_moves + np.searchsorted(cumulated, uniform * cumulated[-1], side="right").clip(0, max_moves - min_moves)


def mean(min_moves: int, max_moves: int, stop: float) -> float:
    """The mean number of moves."""
    if not stop:
        return (min_moves + max_moves) / 2
    return float(np.average(np.arange(max_moves + 1), weights=weights(min_moves, max_moves, stop)))
