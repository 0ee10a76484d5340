"""The two kinds of errors in the figures of a reconstructed map. Illegal turns imply streets: red edges. Rides of legal
moves that end elsewhere than at their destination: a ring around each place where they end, the larger the more rides.
Both kinds, rides that never end and rides that cannot be explained are counted apart.

Evidence from version 3 of the metric on has these places, and the map from moves alone. Older evidence has the map with
the forced end, in which wrong ends are red edges.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from worldbench.core.text import counted
from worldbench.figures.style import BLUE

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SMALLEST, LARGEST = 2.6, 8.0
"""Radii of rings, in points, on a map whose streets are long on paper."""
NO_END = -3
"""Value in `moves` that ends a ride which never ends."""
WITH_RED, FAILED = 1, 2
"""Values in `status`: a ride that needs red edges, and a ride that cannot be explained."""
KIND = "ends elsewhere"
"""The kind of these rows in the CSV file."""


@dataclass(frozen=True)
class WrongEnds:
    """place: int [P], the places where rides end wrongly. rides: int [P], how many end there. at: meters [P, 2]."""

    place: np.ndarray
    rides: np.ndarray
    at: np.ndarray

    def inside(self, box: tuple[float, float, float, float]) -> WrongEnds:
        """The places in a rectangle: its west, south, east and north edge, in meters."""
        (x, y), (west, south, east, north) = self.at.T, box
        kept = (x >= west) & (x <= east) & (y >= south) & (y <= north)
        return WrongEnds(self.place[kept], self.rides[kept], self.at[kept])

    @property
    def total(self) -> int:
        return int(self.rides.sum())


def moves_alone(data: dict[str, np.ndarray]) -> bool:
    """True if the evidence holds the map from moves alone."""
    return "wrong_ends" in data


def wrong_ends(data: dict[str, np.ndarray]) -> WrongEnds | None:
    """The wrong ends of the evidence; None if it does not hold where rides end."""
    if not moves_alone(data):
        return None
    place, rides = np.unique(data["wrong_ends"].astype(np.int64), return_counts=True)
    return WrongEnds(place, rides, data["metres"][place])


def red_words(data: dict[str, np.ndarray]) -> tuple[str, str]:
    """What red edges are, and the kind of their rows in the CSV file."""
    if moves_alone(data):
        return "streets implied by illegal turns", "implied"
    return "invented streets (forced end)", "invented"


@dataclass(frozen=True)
class Counts:
    """How many rides are of which kind. turned: have an illegal turn, and are explained by red edges. elsewhere: have
    legal moves alone and end elsewhere. never: spend their budget without an end. unexplained: draw nothing, because no
    streets explain them. elsewhere, never: None where the evidence does not hold them. A ride that never ends may also
    be one of `turned` or `unexplained`."""

    rides: int
    turned: int
    elsewhere: int | None
    never: int | None
    unexplained: int

    @classmethod
    def of(cls, data: dict[str, np.ndarray]) -> Counts:
        """The counts of the evidence of a map reconstruction."""
        status = data["status"]
        never = int((data["moves"] == NO_END).sum()) if moves_alone(data) and "moves" in data else None
        elsewhere = len(data["wrong_ends"]) if moves_alone(data) else None
        return cls(len(status), int((status == WITH_RED).sum()), elsewhere, never, int((status == FAILED).sum()))

    def kinds(self) -> dict[str, int]:
        """Words for each kind -> how many rides, for tables."""
        found = {
            "all rides": self.rides, "rides with illegal turns, explained": self.turned,
            "rides that end elsewhere": self.elsewhere, "rides that never end": self.never,
            "rides not explained": self.unexplained,
        }  # fmt: skip
        return {kind: n for kind, n in found.items() if n is not None}

    def lines(self) -> list[tuple[str, str | None]]:
        """Lines of a legend about rides, each with the color of its mark."""
        never = "" if self.never is None else f"{self.never:,} never end; "
        out: list[tuple[str, str | None]] = []
        if self.elsewhere is not None:
            out.append((f"{self.elsewhere:,} of {counted(self.rides, 'ride')} end elsewhere (rings)", BLUE))
        return [*out, (f"{never}{self.unexplained:,} of {counted(self.rides, 'ride')} not explained", None)]


def draw_rings(axes: Axes, ends: WrongEnds, scale: float, color: str = BLUE) -> None:
    """Draw the rings. scale: 1 where streets are long on paper, less where they are short."""
    if not len(ends.place):
        return
    radius = np.clip(SMALLEST * np.sqrt(ends.rides), None, LARGEST) * (0.5 + 0.5 * scale)
    axes.scatter(
        *ends.at.T, s=(2 * radius) ** 2, facecolors="none", edgecolors=color, linewidths=0.5 + 0.7 * scale, zorder=6
    )


def rows(ends: WrongEnds | None, places: np.ndarray) -> list[tuple]:
    """The rows of the CSV file: one for each place, in the columns of the edges."""
    if ends is None:
        return []
    at = np.round(ends.at, 1).tolist()
    return [
        (str(places[v]), "", "", KIND, n, *where, "", "")
        for v, n, where in zip(ends.place.tolist(), ends.rides.tolist(), at)
    ]
