"""Which pairs or states of a map are held out, so that no training ride contains them, and which rides remain for each
split.

Shape letters: N places, A directions.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
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

    def count(self, n: int) -> int:
        """How many pairs of n places are held out."""
        place = np.arange(n)
        return sum(int(self.holds(place[low : low + ROWS, None], place[None, :]).sum()) for low in range(0, n, ROWS))


def goals_ahead(
    graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut, low: int = 0, high: int | None = None
) -> Iterator[np.ndarray]:
    """For t = max_moves, .., 0: the destinations that a ride can have which is at a place after t moves.

    Each set is a row of packed bits, uint8 [N, ceil(D / 8)], so that all D destinations from `low` to `high` - 1 (None:
    to the last place) are computed together. A backward recursion over t. Arrays that are equal from one t to the next
    are one object. At t = 0, the sets contain destinations for which the place itself is a held-out state, because a
    test ride may start there.
    """
    n = graph.n_places
    goal = np.arange(low, n if high is None else high)
    here = np.packbits(np.arange(n)[:, None] == goal, axis=1)
    held = _held_states(n, held_out, goal)
    # The last row (no destination) stands for moves that do not exist.
    successor, none = np.where(graph.successor < 0, n, graph.successor), np.zeros((1, here.shape[1]), np.uint8)
    sets, steady = np.zeros_like(here), False
    for t in range(max_moves, -1, -1):
        if not steady or t < max(min_moves, 1):
            padded = np.concatenate([sets, none])
            earlier = padded[successor[:, 0]]
            for way in successor.T[1:]:
                earlier |= padded[way]
            if t >= min_moves:
                earlier |= here
            if t:
                earlier &= ~held
            steady = t >= max(min_moves, 1) and np.array_equal(earlier, sets)  # longer rides reach no other destination
            sets = sets if steady else earlier
        yield sets


def _held_states(n: int, held_out: HeldOut, goal: np.ndarray) -> np.ndarray:
    """Those of the destinations `goal` [D] for which each of n places is a held-out state: packed bits, uint8 [N,
    ceil(D / 8)]."""
    if held_out.kind != "states":
        return np.zeros((n, -(-len(goal) // 8)), np.uint8)
    place = np.arange(n)
    return np.concatenate([
        np.packbits(held_out.holds(place[low : low + ROWS, None], goal[None, :]), axis=1) for low in range(0, n, ROWS)
    ])  # fmt: skip


def goals_possible(
    graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut, low: int = 0, high: int | None = None
) -> list[np.ndarray]:
    """For t = 0, .., max_moves: the destinations of the rides, of either split, that are at a place after t moves.

    Packed bits as in `goals_ahead`. A forward recursion finds the destinations with which a ride can have come to the
    place.
    """
    ahead = list(goals_ahead(graph, min_moves, max_moves, held_out, low, high))[::-1]
    held = _held_states(graph.n_places, held_out, np.arange(low, graph.n_places if high is None else high))
    edges = graph.edges[np.argsort(graph.edges[:, 1], kind="stable")]
    entered, first = np.unique(edges[:, 1], return_index=True)
    behind, out = np.full(held.shape, 255, np.uint8), [ahead[0]]
    for t in range(1, max_moves + 1):
        later = np.zeros_like(held)
        later[entered] = np.bitwise_or.reduceat(behind[edges[:, 0]], first, axis=0)
        later &= ~held
        steady = np.array_equal(later, behind)
        behind = behind if steady else later
        out.append(out[-1] if steady and t > 1 and ahead[t] is ahead[t - 1] else ahead[t] & behind)
    return out


def drawable(graph: Graph, min_moves: int, max_moves: int, held_out: HeldOut, split: str) -> np.ndarray:
    """bool [N, N]: is there a ride of the split from this origin (row) to this destination (column)?"""
    n = graph.n_places
    *_, first = goals_ahead(graph, min_moves, max_moves, held_out)
    out = np.unpackbits(first, axis=1, count=n).astype(bool)
    place = np.arange(n)
    for low in range(0, n, ROWS):
        held = held_out.holds(place[low : low + ROWS, None], place[None, :])
        out[low : low + ROWS] &= held if split == "test" else ~held
    return out


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
        held = held_out.count(n)
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
