"""The taxi world: `origin destination direction .. direction end` over a street map."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

from worldbench.core import streams
from worldbench.core.graph import Graph
from worldbench.envs.rides import weightings, words
from worldbench.envs.rides.file_rides import FileRides
from worldbench.envs.rides.held_out import HeldOut
from worldbench.envs.rides.mixed import MixedRides
from worldbench.envs.rides.path_rides import PathRides, path_rides
from worldbench.envs.rides.path_world import PathWorld
from worldbench.envs.rides.source import RideSource
from worldbench.envs.rides.world import RideWorld
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.regions import VILLAGE
from worldbench.envs.taxi.trips import Trips, read_trips

COUNTED = 5000
"""Rides whose mean number of moves stands in the card."""


class TaxiWorld(RideWorld[TaxiConfig]):
    """Rides over a street map (Vafa et al. 2024, arXiv 2406.03689).

    State: (intersection, destination, moves so far). Words: padding, `end`, the map's directions, one word per
    intersection.
    Rides: `env.rides` names their kind; see `rides/walker.py` and `rides/path_rides.py`. Ground truth: legal moves, the
    exact law (`rides/law.py`, `rides/path_world.py`), distances, the map.

    On a square of four one-way streets, a -E-> b -S-> c -W-> d -N-> a, two rides of 2 to 5 moves read
        a c E S end                (two moves)
        b b S W N E end            (round the block)
    """

    name, version = "taxi", 1
    place_words = ("intersection", "intersections")
    dropped: ClassVar[dict[str, tuple[str, str]]] = {
        "loops_dropped": ("loop", "loops"),
        "same_position_dropped": (
            "street between two intersections at one position",
            "streets between two intersections at one position",
        ),
        "parallel_dropped": ("parallel street", "parallel streets"),
        "collisions_dropped": (
            "street that shares a direction with a shorter one",
            "streets that share a direction with a shorter one",
        ),
        "places_without_street": ("intersection without a street", "intersections without a street"),
        "places_outside_largest_part": (
            "intersection outside the largest strongly connected part",
            "intersections outside the largest strongly connected part",
        ),
        "places_cut_off_by_collisions": (
            "intersection that only such streets join to the others",
            "intersections that only such streets join to the others",
        ),
        "places_lost_in_region": (
            "intersection at the edge of the region",
            "intersections at the edge of the region",
        ),
    }

    def __new__(cls, config: TaxiConfig, *args: Any, **kwargs: Any) -> TaxiWorld:
        """`TaxiWorld(config)` is a world of the class for the kind of rides that the options name."""
        chosen: type[Any] = cls
        if cls is TaxiWorld and (config.rides != "random" or config.ride_file):
            chosen = TaxiFile if config.ride_file else TaxiPaths if len(config.shares) == 1 else TaxiMixture
        return object.__new__(chosen)

    def __init__(self, config: TaxiConfig, graph: Graph | None = None, held_out: HeldOut | None = None) -> None:
        """graph: None reads the map that the options name.

        held_out: None makes the rule from the options and the map.
        """
        if graph is None:
            from worldbench.envs.taxi.maps import load_map, settle

            config, _ = settle(config)
            graph = load_map(config)
        super().__init__(config, graph, held_out)

    @classmethod
    def settle(cls, config: TaxiConfig) -> tuple[TaxiConfig, str]:
        """The options with the map `auto` and the region `village` replaced by what they mean here (`maps.settle`)."""
        from worldbench.envs.taxi.maps import settle

        return settle(config)

    def summary(self, documents: int) -> str:
        """The line of every world of rides, then the notes of the map reader for people."""
        notes = self._graph.report.get("notes")
        return super().summary(documents) + (f"; {notes}" if notes else "")

    @classmethod
    def in_words(cls, identity: Mapping[str, Any], card: Mapping[str, Any]) -> str:
        """The map with its region, or Greenwich Village, and the number of its intersections."""
        place = words.region(card)
        if place == VILLAGE:
            place = "Greenwich Village"
        elif place != "all":
            place = f"{card.get('map')}, region {place}"
        return words.in_words(identity, card, cls.place_words, "" if place == "all" else place)


class _Measured(TaxiWorld):
    """Rides whose mean number of moves is measured by counting."""

    def _mean_moves(self) -> float:
        """The mean of COUNTED training rides."""
        *_, moves, _ = self.walker.rides(streams.integer("moves of rides"), "train", 0, COUNTED)
        return float(moves.mean())


class _Kinds(_Measured):
    """Code shared by the kinds of drawn rides other than random walks alone."""

    @cached_property
    def _trips(self) -> Trips | None:
        return read_trips(Path(self.config.trips), self._graph) if self.config.trips else None

    def _paths_of(self, kind: str, held_out: HeldOut) -> PathRides:
        """The rides of the kind "shortest" or "noisy"."""
        c, trips = self.config, self._trips
        count = c.weightings if kind == "noisy" else 0
        pairs = None if trips is None else trips.pairs
        return path_rides(self._graph, count, c.min_moves, c.max_moves, held_out, pairs)

    def _kind(self) -> dict[str, Any]:
        """What says which rides are drawn, for the identity and the card."""
        shares = self.config.shares
        out: dict[str, Any] = {"rides": shares[0][0] if len(shares) == 1 else ",".join(f"{k}:{s!r}" for k, s in shares)}
        out["lengths"] = weightings.digest(self._graph, weightings.lengths(self._graph))
        if "noisy" in dict(shares):
            out["weightings"] = self.config.weightings
        if self._trips is not None:
            out["trips"] = self._trips.digest
        return out

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), **self._kind()}

    def card(self, documents: int) -> dict[str, Any]:
        trips = {} if self._trips is None else {"trips": self._trips.summary()}
        return {**super().card(documents), "kind_of_rides": self._kind(), **trips}

    def summary(self, documents: int) -> str:
        text = super().summary(documents) + f"; rides: {self.config.rides}"
        return text if self._trips is None else f"{text}, {self._trips.summary()}"


class TaxiPaths(_Kinds, PathWorld[TaxiConfig]):
    """Rides on shortest paths, or on shortest paths of random weightings of the map.

    On the square of `TaxiWorld`, the ride from a to c is always `a c E S end`.
    """

    def _source(self, held_out: HeldOut) -> PathRides:
        return self._paths_of(self.config.shares[0][0], held_out)


class TaxiMixture(_Kinds):
    """Rides of several kinds. Nothing in a ride names its kind, and the law is not known.

    (A law would weigh each kind by its share among the rides of the split between the two places. This share differs
    between the splits.)
    """

    law = None  # type: ignore[assignment]
    blind_law = None  # type: ignore[assignment]

    def _source(self, held_out: HeldOut) -> RideSource:
        walks = super()._source
        parts = [
            walks(held_out) if kind == "random" else self._paths_of(kind, held_out) for kind, _ in self.config.shares
        ]
        return MixedRides(parts, [share for _, share in self.config.shares])


class TaxiFile(_Measured):
    """The rides of a text file. Their law is not known, and no ride of theirs is known on a damaged map."""

    law = None  # type: ignore[assignment]
    blind_law = None  # type: ignore[assignment]
    damaged = None  # type: ignore[assignment]

    def _source(self, held_out: HeldOut) -> FileRides:
        c = self.config
        return FileRides(Path(c.ride_file), self._graph, c.min_moves, c.max_moves, held_out)

    @property
    def _file(self) -> FileRides:
        assert isinstance(self.walker, FileRides)
        return self.walker

    def identity(self) -> dict[str, Any]:
        return {**super().identity(), "ride_file": self._file.sha256}

    def most_documents(self) -> int:
        return self._file.count("train")

    def card(self, documents: int) -> dict[str, Any]:
        return {**super().card(documents), "ride_file": self._file.summary()}

    def summary(self, documents: int) -> str:
        return f"{super().summary(documents)}; {self._file.summary()}"
