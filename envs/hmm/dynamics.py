"""The part of a process that `mixed_states.py`, `sampling.py` and `validity.py` use.

A separate file, so that these modules need not import `process.py`, which imports them.

Shape letters: V tokens, S states, N rows.
"""

from __future__ import annotations

from collections.abc import Sequence
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
    def transition(self) -> np.ndarray:
        """float64 [V, S, S]: the weight of the step from a state to a state that emits a token."""
        ...

    @property
    def phi(self) -> np.ndarray:
        """float64 [S]: turns weights into probabilities."""
        ...

    @property
    def hidden_markov(self) -> bool: ...

    @property
    def stationary(self) -> bool: ...

    @property
    def factors(self) -> Sequence[Dynamics]:
        """The independent processes of which this process is the product; empty if it is not given as a product."""
        ...

    @property
    def n_tokens(self) -> int: ...

    @property
    def n_states(self) -> int: ...

    def long_run(self) -> Sequence[tuple[float, Dynamics]]:
        """The stationary processes that it becomes in the long run, each with its probability."""
        ...

    def law(self, belief: np.ndarray) -> np.ndarray:
        """The next-token law at beliefs [N, S]: float64 [N, V]."""
        ...

    def update(self, belief: np.ndarray, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Beliefs [N, S] after one more token per row, tokens [N], and the probability [N] of that token."""
        ...

    def successors(self, belief: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Beliefs after every possible token: [N, S] -> [N, V, S], and the probabilities [N, V] of the tokens."""
        ...
