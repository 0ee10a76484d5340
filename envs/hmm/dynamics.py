"""What the modules of hidden Markov processes use of a process; `process.py` has the process itself.

Shape letters: V tokens, S states, N rows.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np


class Dynamics(Protocol):
    """Beliefs, and how tokens change them."""

    @property
    def name(self) -> str: ...

    @property
    def words(self) -> tuple[str, ...]: ...

    @property
    def start(self) -> np.ndarray:
        """float64 [S]: the belief before any token."""
        ...

    @property
    def n_tokens(self) -> int: ...

    @property
    def n_states(self) -> int: ...

    def law(self, belief: np.ndarray) -> np.ndarray:
        """The next-token law at beliefs [N, S]: float64 [N, V]."""
        ...

    def update(self, belief: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Beliefs [N, S] after one more token each [N], and the probability [N] of that token."""
        ...

    def successors(self, belief: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """`update` by every token: beliefs [N, S] -> [N, V, S], and the probabilities [N, V]."""
        ...
