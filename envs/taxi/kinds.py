"""The taxi world with rides on shortest paths, and with rides of several kinds."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.envs.rides import weightings
from worldbench.envs.rides.file_rides import FileRides
from worldbench.envs.rides.held_out import HeldOut
from worldbench.envs.rides.mixed import MixedRides
from worldbench.envs.rides.path_rides import PathRides, path_rides
from worldbench.envs.rides.path_world import PathWorld
from worldbench.envs.rides.source import RideSource
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.trips import Trips, read_trips
from worldbench.envs.taxi.world import TaxiWorld

COUNTED = 5000


class _Measured(TaxiWorld):
    """Rides whose mean number of moves is counted."""

    def _mean_moves(self) -> float:
        """The mean of COUNTED training rides."""
        *_, moves, _ = self.walker.rides(streams.integer("moves of rides"), "train", 0, COUNTED)
        return float(moves.mean())


class _Kinds(_Measured):
    """What the kinds of rides share that are drawn, and are not random walks alone."""

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
        out: dict[str, Any] = {"rides": shares[0][0] if len(shares) == 1 else [list(part) for part in shares]}
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
        return MixedRides(parts, np.array([share for _, share in self.config.shares]).tolist())


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

    def card(self, documents: int) -> dict[str, Any]:
        return {**super().card(documents), "ride_file": self._file.summary()}

    def summary(self, documents: int) -> str:
        return f"{super().summary(documents)}; {self._file.summary()}"
