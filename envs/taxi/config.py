"""The options of the taxi world."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worldbench.core.errors import InputError

VILLAGE = "50@40.7355,-74.0000"
"""Greenwich Village: on the map of March 2025, 43 intersections and 75 moves remain of it."""


@dataclass(frozen=True, kw_only=True)
class TaxiConfig:
    """Rides over a street map."""

    map: str = "auto"
    """A GraphML file as osmnx writes it (.graphml or .graphml.gz), `manhattan` (downloaded once), `city:N` (generated, N intersections), or `auto`."""
    region: str = "all"
    """`all`; `N@lat,lon`: the N intersections nearest to a point; `south,west,north,east`: a box in degrees. (On a city: `N@east,north` in metres.) `village`:
    Greenwich Village, or all of a generated city."""
    city_seed: int = 0
    """Which generated city (only with `city:N`)."""
    min_moves: int = 2
    """Fewest moves of a ride."""
    max_moves: int = 99
    """Most moves of a ride, and the budget of decoding."""
    held_out: Literal["pairs", "states"] = "pairs"
    """What training never shows: (origin, destination) pairs, or being anywhere on the way to a destination: (intersection, destination) states."""
    held_out_share: float | None = None
    """Share that is held out; by default 0.2 below 200 intersections and 0.01 above."""

    def __post_init__(self) -> None:
        if not 1 <= self.min_moves <= self.max_moves:
            raise InputError(f"env.min_moves and env.max_moves must satisfy 1 <= min <= max, not {self.min_moves} and {self.max_moves}")
        if self.max_moves > 1000:
            raise InputError(f"env.max_moves must be at most 1000, not {self.max_moves}")
        if self.held_out_share is not None and not 0 < self.held_out_share < 1:
            raise InputError(f"env.held_out_share must lie between 0 and 1, not {self.held_out_share}")
        if self.held_out not in ("pairs", "states"):
            raise InputError(f"env.held_out must be 'pairs' or 'states', not {self.held_out!r}")
