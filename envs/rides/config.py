"""The options that all worlds of rides share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from worldbench.core.errors import InputError
from worldbench.core.options import LATER


@dataclass(frozen=True, kw_only=True)
class RideConfig:
    """Rides over a map."""

    min_moves: int = 2
    """Smallest number of moves of a ride."""
    max_moves: int = 99
    """Largest number of moves of a ride. Decoding stops after the same number of moves."""
    held_out: Literal["pairs", "states"] = "pairs"
    """What is held out, so that no training ride contains it. "pairs": pairs of origin and destination. "states": pairs
    of a place and a destination, at any point of a ride."""
    held_out_share: float | None = None
    """Share of the pairs or states that is held out. Default on maps with fewer than 200 places: 0.2 of the
    pairs, 0.05 of the states; on larger maps: 0.01 of the pairs, 0.005 of the states."""

    stop: float = field(default=0.0, metadata=LATER)
    """How much rarer longer random walks are: with one more move, a ride is 1 - stop times as likely. 0: all numbers of
    moves are equally likely."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_moves <= self.max_moves:
            raise InputError(
                f"env.min_moves and env.max_moves must satisfy 1 <= min <= max, not {self.min_moves} "
                f"and {self.max_moves}"
            )
        if self.max_moves > 1000:
            raise InputError(f"env.max_moves must be at most 1000, not {self.max_moves}")
        if self.held_out_share is not None and not 0 < self.held_out_share < 1:
            raise InputError(f"env.held_out_share must be above 0 and below 1, not {self.held_out_share}")
        if not 0 <= self.stop < 1:
            raise InputError(f"env.stop must be at least 0 and below 1, not {self.stop}")
        if self.held_out not in ("pairs", "states"):
            raise InputError(f"env.held_out must be 'pairs' or 'states', not {self.held_out!r}")
