"""The options of the taxi world."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from worldbench.core.errors import InputError, unknown
from worldbench.core.options import FILE, LATER
from worldbench.envs.rides.config import RideConfig
from worldbench.envs.rides.weightings import MOST

VILLAGE = "50@40.7355,-74.0000"
"""Greenwich Village. On the map of March 2025, 43 of its intersections, with 75 moves, can all reach each other."""

KINDS = ("random", "shortest", "noisy")
"""The kinds of rides."""


@dataclass(frozen=True, kw_only=True)
class TaxiConfig(RideConfig):
    """Rides over a street map."""

    map: str = field(default="auto", metadata=FILE)
    """`manhattan`: Manhattan, downloaded once. `manhattan-plan`: Manhattan generated from public facts about its street
    plan, without a network. `auto`: `manhattan` if this map is available, otherwise `manhattan-plan`. `city:N`: a
    generated city with N intersections. Or a file: a street map in GraphML as osmnx writes it (.graphml, also packed:
    .gz, .xz, .bz2), or a table (.csv, .json)."""
    region: str = "all"
    """The part of the map to use. `all`: the whole map. `N@lat,lon`: the N intersections nearest to a point (on a
    generated city or a map in meters: `N@east,north`). `south,west,north,east`: a box in degrees. `village`: Greenwich
    Village if the map contains it, otherwise about 50 intersections around the middle of the map; if the map is small,
    generated or a table: the whole map."""
    city_seed: int = 0
    """Seed of the generated city. Used by `city:N` only."""
    rides: Literal["random", "shortest", "noisy"] = field(default="random", metadata=LATER)
    """The kind of rides. "random": random walks; the destination is where the walk stops. "shortest": the shortest path
    in meters between two random intersections. "noisy": the same after a random weighting of all lengths."""
    weightings: int = field(default=50, metadata=LATER)
    """How many random weightings of the map `noisy` rides use, 1 to 64. Used by `noisy` only."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.rides not in KINDS:
            raise unknown("kind of rides", self.rides, KINDS)
        if not 1 <= self.weightings <= MOST:
            raise InputError(f"env.weightings must be 1 to {MOST}, not {self.weightings}")
