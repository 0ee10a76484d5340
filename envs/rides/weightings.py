"""Lengths of the moves of a map, in whole millimeters, and random weightings of these lengths.

Whole numbers make sums of lengths exact. So equal paths are equal on every machine, and ties can be decided by a rule.

Shape letters: N places, A directions, K weightings.
"""

from __future__ import annotations

import hashlib

import numpy as np

from worldbench.core import streams
from worldbench.core.graph import Graph

MILLIMETERS = 1000.0
NO_MOVE = -1
MOST = 64
"""Most weightings of one world: the key of a state has one bit of 64 for each."""


def lengths(graph: Graph) -> np.ndarray:
    """The length of each move in millimeters, at least 1: int64 [N, A], NO_MOVE where there is no move.

    A move without a length gets the straight distance between its ends.
    """
    meters = graph.length
    unknown = (graph.successor >= 0) & ~np.isfinite(meters)
    if unknown.any():
        source, direction = np.nonzero(unknown)
        ends = graph.metres[graph.successor[source, direction]] - graph.metres[source]
        meters = meters.copy()
        meters[source, direction] = np.hypot(*ends.T)
    known = np.where(graph.successor >= 0, meters, 0.0)
    return np.where(graph.successor >= 0, np.maximum(np.rint(known * MILLIMETERS), 1), NO_MOVE).astype(np.int64)


def noisy(plain: np.ndarray, number: int, salt: int) -> np.ndarray:
    """Weighting `number` (from 0) of the lengths int64 [N, A]: int64 of the same shape.

    Each length of W meters becomes W + Gamma(shape W, scale 1) meters (Vafa et al. 2024). The random number of a move
    depends only on salt, weighting, place and direction. So maps that differ in some moves have the same noise
    elsewhere.
    """
    from scipy.special import gammaincinv

    uniform = streams.uniform(0, len(plain), plain.shape[1], "weighting", salt, number)
    out = plain.copy()
    at = plain != NO_MOVE
    out[at] += np.rint(gammaincinv(plain[at] / MILLIMETERS, uniform[at]) * MILLIMETERS).astype(np.int64)
    return out


def digest(graph: Graph, plain: np.ndarray) -> str:
    """SHA-256 of the moves of a map and their lengths int64 [N, A]."""
    h = hashlib.sha256(graph.digest.encode())
    h.update(np.ascontiguousarray(plain, dtype="<i8").tobytes())
    return h.hexdigest()
