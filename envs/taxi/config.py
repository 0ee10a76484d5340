"""The options of the taxi world."""

from __future__ import annotations

from dataclasses import dataclass, field

from worldbench.core.options import FILE
from worldbench.envs.rides.config import RideConfig

VILLAGE = "50@40.7355,-74.0000"
"""Greenwich Village: on the map of March 2025, 43 intersections and 75 moves remain of it."""


@dataclass(frozen=True, kw_only=True)
class TaxiConfig(RideConfig):
    """Rides over a street map."""

    map: str = field(default="auto", metadata=FILE)
    """A street map in GraphML as osmnx writes it (.graphml, also packed: .gz, .xz, .bz2), a table (.csv, .json),
    `manhattan` (downloaded once), `city:N` (generated, N intersections), or `auto`."""
    region: str = "all"
    """`all`; `N@lat,lon`: the N intersections nearest to a point; `south,west,north,east`: a box in degrees. (On a
    city, and on a map in metres: `N@east,north`.) `village`: Greenwich Village; or all of a generated city, of a table
    and of a small map; or, of another map, about as many intersections around its middle."""
    city_seed: int = 0
    """Which generated city (only with `city:N`)."""
