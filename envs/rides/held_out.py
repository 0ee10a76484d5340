"""Which pairs or states of a map no training ride contains, and which rides that leaves to each split.

Shape letters: N places, A directions.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.core.text import counted

MOST_PLACES = 5000
"""Largest map, in places, for which `no_rides` computes which pairs have a ride. At this size the computation takes
about three seconds and 200 MB."""
ROWS = 256
"""Rows of a [N, N] array that are computed at one time, to bound memory."""


@dataclass(frozen=True)
class HeldOut:
    """The rule that decides what is held out: a hash of (map, place, destination), the same for every run.

    kind: "pairs" holds out rides from `place` to `destination`; "states" holds out rides to `destination` that visit
    `place`, as origin or later. A place is never held out together with itself. share: the expected share of pairs
    that is held out. salt: enters the hash; it depends on the map.
    """

    kind: str
    share: float
    salt: int

    @classmethod
    def of(cls, graph: Graph, kind: str, share: float | None) -> HeldOut:
        """The rule for a map. share: None takes the default for the size of the map and the kind."""
        if share is None:
            small = graph.n_places < 200
            share = (0.2 if small else 0.01) if kind == "pairs" else (0.05 if small else 0.005)
        return cls(kind, share, streams.integer("held-out", graph.digest))

    def threshold(self, place: np.ndarray, destination: np.ndarray) -> np.ndarray:
        """A uniform pseudo-random number in [0, 1) for each (place, destination): float64, of the broadcast shape.

        The pair is held out if `share` is larger than this number.
        """
        x = (place.astype(np.uint64) << np.uint64(32)) ^ destination.astype(np.uint64) ^ np.uint64(self.salt)
        # the finalizer of splitmix64 (Steele et al. 2014)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
        return (x >> np.uint64(11)) * 2.0**-53

    def holds(self, place: np.ndarray, destination: np.ndarray) -> np.ndarray:
        """bool, of the broadcast shape: is (place, destination) held out?"""
        return (self.threshold(place, destination) < self.share) & (place != destination)


def drawable(graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut, split: str) -> np.ndarray:
    """bool [N, N]: is there a ride of the split from this origin (row) to this destination (column)?

    A backward recursion over the number of moves already made. For each place, it keeps the set of destinations at
    which a ride that has reached this place can still end. A set is a row of packed bits, so that all destinations are
    computed together.
    """
    n = graph.n_places
    place = np.arange(n)
    held = np.concatenate([
        np.packbits(held_out.holds(place[low : low + ROWS, None], place[None, :]), axis=1) for low in range(0, n, ROWS)
    ])  # fmt: skip
    here = np.packbits(np.eye(n, dtype=bool), axis=1)
    successor = np.where(graph.successor < 0, n, graph.successor)
    # The last row (no destination) stands for moves that do not exist.
    ahead = np.zeros((n + 1, here.shape[1]), np.uint8)

    def before() -> np.ndarray:
        """The sets one move earlier: the union over the moves that leave each place."""
        out = ahead[successor[:, 0]]
        for way in successor.T[1:]:
            out |= ahead[way]
        return out

    def masked(sets: np.ndarray) -> np.ndarray:
        """The sets without the destinations for which the place itself is a held-out state."""
        return sets & ~held if held_out.kind == "states" else sets

    for _ in range(min_moves, max_moves + 1):
        now = masked(before() | here)
        if np.array_equal(now, ahead[:-1]):  # longer rides reach no further destination
            break
        ahead[:-1] = now
    for _ in range(1, min_moves):
        ahead[:-1] = masked(before())
    sets = before() & (held if split == "test" else ~held)
    return np.unpackbits(sets, axis=1, count=n).astype(bool)


def no_rides(
    graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut, split: str, walks: int, rides: int
) -> InputError:
    """The error for a split of which almost no ride was found.

    walks: number of walks drawn. rides: number of rides of the split among them.
    """
    n, share = graph.n_places, f"env.held_out_share {held_out.share:g}"
    length = counted(min_moves, "move") if min_moves == max_moves else f"{min_moves} to {max_moves} moves"
    change = "change env.min_moves and env.max_moves, or env.held_out_share"
    what = "pair (origin, destination)" if held_out.kind == "pairs" else "state (place, destination)"
    if n <= MOST_PLACES:
        place = np.arange(n)
        held = sum(
            int(held_out.holds(place[low : low + ROWS, None], place[None, :]).sum()) for low in range(0, n, ROWS)
        )
        possible = int(drawable(graph, min_moves, max_moves, held_out, split).sum())
        if split == "test" and not held:
            return InputError(
                f"{graph.name}: no {what} of its {counted(n, 'place')} is held out with {share}; "
                f"{_least_share(graph, min_moves, max_moves, held_out)}"
            )
        if not possible:
            if split == "test":
                pairs = counted(held, "held-out pair of places", "held-out pairs of places")
            else:
                pairs = counted(n * n - held, "pair") + " of places that are not held out"
            clear = " that avoids all held-out states" if held_out.kind == "states" else ""
            return InputError(f"{graph.name}: of {pairs}, none has a route of {length}{clear}, with {share}; {change}")
    found = "none" if not rides else f"only {rides}"
    return InputError(
        f"{graph.name}: of {walks:,} random walks of {length}, {found} are rides of the {split} split, with "
        f"{share}; {change}"
    )


def _least_share(graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut) -> str:
    """The advice for a map without a held-out pair: the smallest share, in hundredths, that holds out a pair with a
    route."""
    place = np.arange(graph.n_places)
    everything = HeldOut("pairs", 0.0, held_out.salt)
    routes = drawable(graph, min_moves, max_moves, everything, "train") & (place[:, None] != place[None, :])
    lowest = held_out.threshold(place[:, None], place[None, :])[routes]
    if not len(lowest):
        return "change env.min_moves and env.max_moves: no route of such a length joins two places"
    least = math.floor(lowest.min() * 100 + 1) / 100
    return f"set env.held_out_share to {least:g} or more" if least < 1 else "take a larger map"
