"""The options of the taxi world."""

from __future__ import annotations

from dataclasses import dataclass, field

from worldbench.core.errors import InputError, unknown
from worldbench.core.options import FILE, LATER
from worldbench.envs.rides.config import RideConfig
from worldbench.envs.rides.weightings import MOST

KINDS = ("random", "shortest", "noisy")
"""The kinds of rides."""


@dataclass(frozen=True, kw_only=True)
class TaxiConfig(RideConfig):
    """Rides over a street map."""

    map: str = field(default="auto", metadata=FILE)
    """`manhattan`: Manhattan, downloaded once. `manhattan-plan`: Manhattan generated from public facts about its street
    plan, without a network. `auto`: `manhattan` if this map is available, otherwise `manhattan-plan`. `city:N`: a
    generated city with N intersections. A place with its country, such as `Lisbon, Portugal`: downloaded once from
    OpenStreetMap. Or a file: a street map (GraphML as osmnx writes it, OpenStreetMap XML, a GeoPackage, or a file of
    `worldbench map`; also packed: .gz, .xz, .bz2), or a table (.csv, .json)."""
    region: str = "all"
    """The part of the map to use. `all`: the whole map. `N@lat,lon`: the N intersections nearest to a point (on a
    generated city or a map in meters: `N@east,north`). `south,west,north,east`: a box in degrees. `village`: Greenwich
    Village if the map contains it, otherwise about 50 intersections around the middle of the map; if the map is small,
    generated or a table: the whole map. `village:N`: the same with N instead of 50 intersections."""
    city_seed: int = 0
    """Seed of the generated city. Used by `city:N` only."""
    rides: str = field(default="random", metadata=LATER)
    """The kind of rides. `random`: random walks; the destination is where the walk stops. `shortest`: the shortest path
    in meters between two random intersections. `noisy`: the same after a random weighting of all lengths. Or several
    kinds with their shares, such as `random:0.5,noisy:0.5`."""
    weightings: int = field(default=50, metadata=LATER)
    """How many random weightings of the map `noisy` rides use, 1 to 64."""
    trips: str = field(default="", metadata=FILE | LATER)
    """A CSV file of trips: each `shortest` or `noisy` ride goes between the ends of one trip, at the nearest
    intersections. The columns are origin_lon, origin_lat, destination_lon, destination_lat, in degrees; on a map in
    meters origin_x, origin_y, destination_x, destination_y. Empty: rides go between any two intersections."""
    ride_file: str = field(default="", metadata=FILE | LATER)
    """A text file of rides (docs/routes.md), one per line. The documents are the rides of this file. Empty: rides are
    drawn."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.city_seed and not self.map.startswith("city:"):
            raise InputError(
                f"city_seed {self.city_seed} has no effect on the map {self.map!r}; it is used by generated cities "
                "(city:N)"
            )
        if self.ride_file and self.rides != "random":
            raise InputError(
                f"env.ride_file and env.rides {self.rides!r} exclude each other: rides are read or drawn; leave one out"
            )
        kinds = dict(self.shares)
        if not 1 <= self.weightings <= MOST:
            raise InputError(f"env.weightings must be 1 to {MOST}, not {self.weightings}")
        drawn = "rides of a file" if self.ride_file else f"rides of the kind {self.rides!r}"
        for option, used_by in (("stop", ("random",)), ("weightings", ("noisy",)), ("trips", ("shortest", "noisy"))):
            value, default = getattr(self, option), type(self).__dataclass_fields__[option].default
            if value != default and (self.ride_file or not kinds.keys() & set(used_by)):
                raise InputError(
                    f"env.{option} {value!r} has no effect on {drawn}; it is used by {' and '.join(used_by)} rides "
                    "(--env.rides)"
                )

    @property
    def shares(self) -> tuple[tuple[str, float], ...]:
        """The kinds of rides, each with its share. Raises InputError for an unknown kind and for bad shares."""
        parts = [part.strip().partition(":") for part in self.rides.split(",")]
        for kind, _, _ in parts:
            if kind not in KINDS:
                raise unknown("kind of rides", kind, KINDS)
        if len(parts) == 1 and not parts[0][1]:
            return ((parts[0][0], 1.0),)
        try:
            shares = [float(share) for _, _, share in parts]
        except ValueError:
            shares = [0.0]
        kinds = [kind for kind, _, _ in parts]
        if len(kinds) < 2 or len(set(kinds)) < len(kinds) or not all(0 < s < 1 for s in shares):
            raise InputError(
                f"env.rides {self.rides!r} must be one kind, or different kinds with shares between 0 and 1, such as "
                "'random:0.5,noisy:0.5'"
            )
        if abs(sum(shares) - 1) > 1e-9:
            raise InputError(f"the shares of env.rides {self.rides!r} add up to {sum(shares):g}; they must add up to 1")
        return tuple(zip(kinds, shares))
