"""Random numbers that depend on a prefix alone, through its hash (`core.hashing.extended`). Different prefixes have
different hashes almost always: among a million prefixes two collide with probability 3e-8."""

from __future__ import annotations

import numpy as np

from worldbench.core.hashing import STEP, mix


def uniforms(prefix: np.ndarray, width: int) -> np.ndarray:
    """Random numbers [N, width] between 0 and 1 (never 0 or 1), a function of the prefix hashes [N]."""
    bits = mix(prefix[:, None] + (np.arange(1, width + 1, dtype=np.uint64) * STEP)[None, :])
    return ((bits >> np.uint64(11)).astype(np.float64) + 0.5) * 2.0**-53


def normals(prefix: np.ndarray, width: int) -> np.ndarray:
    """Standard normal numbers [N, width], a function of the prefix hashes [N]."""
    from scipy.special import ndtri

    return ndtri(uniforms(prefix, width))
