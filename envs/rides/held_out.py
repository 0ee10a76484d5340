"""What of a map training never shows; which rides are left for each split, and why there may be none.

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
"""Up to so many it is counted which pairs have a ride: about three seconds, and 200 MB."""
ROWS = 256


@dataclass(frozen=True)
class HeldOut:
    """What training never shows: a fixed salted hash of (map, from, to), never of a run's seed.

    kind "pairs": rides from `origin` to `destination`. kind "states": rides that anywhere stand on `place` while
    heading for `destination`. A place paired with itself is never held out.
    """

    kind: str
    share: float
    salt: int

    @classmethod
    def of(cls, graph: Graph, kind: str, share: float | None) -> HeldOut:
        if share is None:
            small = graph.n_places < 200
            share = (0.2 if small else 0.01) if kind == "pairs" else (0.05 if small else 0.005)
        return cls(kind, share, streams.integer("held-out", graph.digest))

    def threshold(self, place: np.ndarray, destination: np.ndarray) -> np.ndarray:
        """float64, of the broadcast shape: the share above which (place, destination) is held out; a uniform number of
        its own for each pair."""
        x = (place.astype(np.uint64) << np.uint64(32)) ^ destination.astype(np.uint64) ^ np.uint64(self.salt)
        # splitmix64's finalizer (Steele et al. 2014)
        for shift, factor in ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB)):
            x = (x ^ (x >> np.uint64(shift))) * np.uint64(factor)
        x ^= x >> np.uint64(31)
        return (x >> np.uint64(11)) * 2.0**-53

    def holds(self, place: np.ndarray, destination: np.ndarray) -> np.ndarray:
        """bool, of the broadcast shape: is (place, destination) held out?"""
        return (self.threshold(place, destination) < self.share) & (place != destination)


def drawable(graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut, split: str) -> np.ndarray:
    """Which (origin, destination) pairs have a ride of the split: bool [N, N].

    One backward recursion for all destinations at once, as sets in packed bits: the destinations at which a ride that
    stands on a place after t moves can still stop.
    """
    n = graph.n_places
    place = np.arange(n)
    held = np.concatenate([
        np.packbits(held_out.holds(place[low : low + ROWS, None], place[None, :]), axis=1) for low in range(0, n, ROWS)
    ])  # fmt: skip
    here = np.packbits(np.eye(n, dtype=bool), axis=1)
    successor = np.where(graph.successor < 0, n, graph.successor)
    ahead = np.zeros((n + 1, here.shape[1]), np.uint8)  # the last row is for moves that do not exist

    def before() -> np.ndarray:
        out = ahead[successor[:, 0]]
        for way in successor.T[1:]:
            out |= ahead[way]
        return out

    def masked(sets: np.ndarray) -> np.ndarray:
        return sets & ~held if held_out.kind == "states" else sets

    for _ in range(min_moves, max_moves + 1):
        now = masked(before() | here)
        if np.array_equal(now, ahead[:-1]):  # longer rides lead nowhere else
            break
        ahead[:-1] = now
    for _ in range(1, min_moves):
        ahead[:-1] = masked(before())
    sets = before() & (held if split == "test" else ~held)
    return np.unpackbits(sets, axis=1, count=n).astype(bool)


def no_rides(
    graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut, split: str, walks: int, rides: int
) -> InputError:
    """The error for a split of which hardly a ride was found: why, and what to change."""
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
                f"{graph.name}: no {what} of its {counted(n, 'place')} is held out at {share}; "
                f"{_least_share(graph, min_moves, max_moves, held_out)}"
            )
        if not possible:
            those = f"the {held:,} held out" if split == "test" else f"those that are not held out ({held:,} are)"
            clear = " that passes through no held-out state" if held_out.kind == "states" else ""
            return InputError(
                f"{graph.name}: no pair of places, of {those}, has a route of {length}{clear}, at {share}; {change}"
            )
    found = "none" if not rides else f"only {rides}"
    return InputError(
        f"{graph.name}: of {walks:,} random walks of {length}, {found} can be rides of the {split} split, at "
        f"{share}; {change}"
    )


def _least_share(graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut) -> str:
    """What to do where nothing is held out: the least share, in hundredths, that holds out a pair with a route."""
    place = np.arange(graph.n_places)
    everything = HeldOut("pairs", 0.0, held_out.salt)
    routes = drawable(graph, min_moves, max_moves, everything, "train") & (place[:, None] != place[None, :])
    lowest = held_out.threshold(place[:, None], place[None, :])[routes]
    if not len(lowest):
        return "change env.min_moves and env.max_moves: no two places have a route of such a length"
    least = math.floor(lowest.min() * 100 + 1) / 100
    return f"set env.held_out_share to {least:g} or more" if least < 1 else "take a larger map"
