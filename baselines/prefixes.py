"""64-bit hashes of prefixes, extended token by token. Equal prefixes have equal hashes. Different prefixes have
different hashes almost always: among a million prefixes two collide with probability 3e-8."""

from __future__ import annotations

import numpy as np

_STEP = np.uint64(0x9E3779B97F4A7C15)


def mix(x: np.ndarray) -> np.ndarray:
    """The finalizer of splitmix64 (Steele, Lea, Flood 2014), uint64 -> uint64."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def extend(prefix: np.ndarray, tokens: np.ndarray) -> np.ndarray:
    """The hashes of prefixes, uint64 [N], after one more token each, int [N]."""
    return mix(prefix * np.uint64(3) + tokens.astype(np.uint64) + _STEP)


def uniforms(prefix: np.ndarray, width: int) -> np.ndarray:
    """Random numbers [N, width] between 0 and 1 (never 0 or 1), a function of the prefix hashes [N]."""
    bits = mix(prefix[:, None] + (np.arange(1, width + 1, dtype=np.uint64) * _STEP)[None, :])
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(prefix: np.ndarray, width: int) -> np.ndarray:
    """Standard normal numbers [N, width], a function of the prefix hashes [N]."""
    from scipy.special import ndtri

    return ndtri(uniforms(prefix, width))
