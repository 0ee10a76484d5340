"""64-bit hashes of prefixes, one row at a time step by step: equal prefixes have equal hashes, others (but for one in
10^7 tables of a million) do not."""

from __future__ import annotations

import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)


def mix(x: np.ndarray) -> np.ndarray:
    """splitmix64's finaliser (Steele, Lea, Flood 2014), uint64 -> uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def extend(prefix: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The hash of each prefix (uint64) with one more token (int)."""
    return mix(prefix * np.uint64(3) + tokens.astype(np.uint64) + _STEP)


def normals(prefix: np.ndarray, width: int) -> np.ndarray:
    """Standard normal draws [N, width] that belong to each prefix: the same whenever it is asked for."""
    from scipy.special import ndtri

    bits = mix(prefix[:, None] + (np.arange(1, width + 1, dtype=np.uint64) * _STEP)[None, :])
    return ndtri(((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53)
