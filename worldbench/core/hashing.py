"""Hashes of rows of integers, vectorized: for rules of what is held out, and for noise that depends on a text.

Shape letters: N rows, W words of a row.
"""

from __future__ import annotations

import numpy as np

STEP = np.uint64(0x9E3779B97F4A7C15)
"""The increment of splitmix64."""


def mix(x: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64 (Steele, Lea & Flood 2014): uint64 -> uint64, elementwise."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def extended(hashes: np.ndarray, words: np.ndarray) -> np.ndarray:
    """The hash of each row after one more word: uint64 [N], from the hashes so far uint64 [N] and the words int [N]."""
    return mix(hashes * np.uint64(3) + words.astype(np.uint64) + STEP)


def hashed(words: np.ndarray, salt: int = 0) -> np.ndarray:
    """A hash of each row of words int [N, W]: uint64 [N]."""
    out = np.full(len(words), np.uint64(salt))
    for column in words.T:
        out = extended(out, column)
    return out


def share_of(hashes: np.ndarray) -> np.ndarray:
    """Hashes uint64 [N] as numbers in [0, 1), float64 [N]. A rule `share_of(h) < p` holds for a share p of all rows."""
    return (hashes >> np.uint64(11)) * 2.0**-53
