"""The states of rides."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.core.world import States


@dataclass
class RideStates(States):
    """place, destination, moves (made so far): int64 [N]; status (the outcome): int8 [N].

    After `end` or an illegal token, a state does not change any more.
    """

    place: np.ndarray
    destination: np.ndarray
    moves: np.ndarray
    status: np.ndarray
