"""The taxi world: `origin destination direction .. direction end` over a street map.

Shape letters: N rows, A actions (eight directions, then `end`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.graph import Graph
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Documents, States, Vocabulary, World
from worldbench.envs.taxi.config import VILLAGE, TaxiConfig
from worldbench.envs.taxi.law import LawTable
from worldbench.envs.taxi.rides import HeldOut, Walker

PAD, END, FIRST_DIRECTION = 0, 1, 2
PROMPT_BLOCK = 4096
_DROPPED = {
    "loops_dropped": "loops",
    "parallel_dropped": "parallel streets",
    "collisions_dropped": "streets that share a direction with a shorter one",
    "places_outside_largest_part": "intersections outside the largest strongly connected part",
    "places_lost_in_region": "of the region's",
}


@dataclass
class TaxiStates(States):
    """place, destination, moves: int64 [N]; outcome: int8 [N]. Once ended or lost, a state stays as it is."""

    place: np.ndarray
    destination: np.ndarray
    moves: np.ndarray
    status: np.ndarray


class TaxiWorld(World[TaxiStates]):
    """Rides over a street map (Vafa et al. 2024, arXiv 2406.03689; random-walk data).

    State: (intersection, destination, moves so far). Words: padding, `end`, the map's directions, one word per intersection.
    Rides: see `rides.py`. Ground truth: legal turns, the exact law (`law.py`), distances, the map.

    On a square of four one-way streets, a -E-> b -S-> c -W-> d -N-> a, two rides of 2 to 5 moves read
        a c E S end                (two moves)
        b b S W N E end            (round the block)
    """

    name = "taxi"
    version = 1

    def __init__(self, config: TaxiConfig, graph: Graph | None = None, held_out: HeldOut | None = None) -> None:
        """graph: None reads the one that the options name. held_out: None derives it from the map."""
        if graph is None:
            from worldbench.envs.taxi.maps import load_map

            config, _ = self.settle(config)
            graph = load_map(config)
        self.config, self._graph = config, graph
        self.n_directions = len(graph.directions)
        self.first_place = FIRST_DIRECTION + self.n_directions
        self.vocabulary = Vocabulary(
            words=("<pad>", "end", *graph.directions, *graph.places),
            pad=PAD,
            end=END,
            actions=(*range(FIRST_DIRECTION, self.first_place), END),
        )
        self.prompt_length = 2
        self.longest = config.max_moves + 1
        self.context = self.prompt_length + self.longest
        self.held_out = held_out or HeldOut.of(graph, config.held_out, config.held_out_share)
        self.walker = Walker(graph, config.min_moves, config.max_moves, self.held_out)
        self._column = self.vocabulary.action_of_token
        self._asked: dict[int, tuple[np.ndarray, int, int]] = {}  # by seed: pairs found so far, blocks of rides looked through, fruitless ones at the end

    @cached_property
    def _law(self) -> LawTable:
        return LawTable(self._graph, self.config.min_moves, self.config.max_moves, self.held_out)

    @classmethod
    def settle(cls, config: TaxiConfig) -> tuple[TaxiConfig, str]:
        """`auto` becomes Manhattan or a generated city of the size asked for (all of it, or a village), and `village` the region that it means there."""
        from worldbench.envs.taxi.maps import resolve_auto
        from worldbench.envs.taxi.table_maps import is_table

        if config.region != "village":
            return resolve_auto(config, city="city:4500" if config.region == "all" else "city:48")
        config, announcement = resolve_auto(replace(config, region="all"), region_on_manhattan=VILLAGE, city="city:48")
        if not announcement and not config.map.startswith("city:") and not is_table(config.map):
            config = replace(config, region=VILLAGE)
        return config, announcement

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        origin, destination, moves, directions = self.walker.rides(seed, split, start, count)
        tokens = np.zeros((count, self.context), np.int32)
        tokens[:, 0] = origin + self.first_place
        tokens[:, 1] = destination + self.first_place
        step = np.arange(self.config.max_moves)[None, :]
        tokens[:, 2:-1] = np.where(step < moves[:, None], directions + np.int32(FIRST_DIRECTION), PAD)
        tokens[np.arange(count), 2 + moves] = END
        return Documents(tokens, (moves + 3).astype(np.int32), np.full(count, 2, np.int32))

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Distinct held-out (origin, destination) pairs, in the order in which the test rides of `seed` first ask for them."""
        n = self._graph.n_places
        place = np.arange(n)
        there_are = int(self.held_out.holds(place[:, None], place[None, :]).sum()) if n <= 2000 else n * n
        wanted = min(count, there_are)
        found, block, seen_for_nothing = self._asked.get(seed, (np.empty(0, np.int64), 0, 0))
        while len(found) < wanted and seen_for_nothing < 50:
            origin, destination, _, _ = self.walker.rides(seed, "test", block * PROMPT_BLOCK, PROMPT_BLOCK)
            both = np.concatenate([found, origin * n + destination])
            _, first = np.unique(both, return_index=True)
            seen_for_nothing = seen_for_nothing + 1 if len(first) == len(found) else 0
            found = both[np.sort(first)]
            block += 1
        self._asked = {seed: (found, block, seen_for_nothing)}
        pairs = found[:wanted]
        tokens = np.stack([pairs // n, pairs % n], axis=1) + self.first_place
        return tokens.astype(np.int32), np.full(len(pairs), 2, np.int32)

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> TaxiStates:
        n = self._graph.n_places
        ends = tokens[:, :2].astype(np.int64) - self.first_place
        good = ((ends >= 0) & (ends < n)).all(1) & (lengths == 2)
        ends = np.where(good[:, None], ends, 0)
        return TaxiStates(ends[:, 0], ends[:, 1], np.zeros(len(tokens), np.int64), np.where(good, OPEN, ILLEGAL).astype(np.int8))

    def step(self, states: TaxiStates, tokens: np.ndarray) -> TaxiStates:
        column = self._column[tokens]
        going = states.status == OPEN
        turning = going & (column >= 0) & (column < self.n_directions)
        nxt = self._graph.successor[states.place, np.clip(column, 0, self.n_directions - 1)]
        moving = turning & (nxt >= 0)
        status = states.status.copy()
        status[going & ~moving] = ILLEGAL
        ending = going & (tokens == END)
        status[ending] = np.where(states.place == states.destination, ARRIVED, MISPLACED_END)[ending]
        return TaxiStates(np.where(moving, nxt, states.place), states.destination, states.moves + moving, status)

    def legal(self, states: TaxiStates) -> np.ndarray:
        turns = self._graph.successor[states.place] >= 0
        legal = np.concatenate([turns, (states.place == states.destination)[:, None]], axis=1)
        return legal & (states.status == OPEN)[:, None]

    def outcome(self, states: TaxiStates) -> np.ndarray:
        return states.status

    def key(self, states: TaxiStates) -> tuple[np.ndarray, np.ndarray]:
        """(intersection, destination, outcome) for the rule; the law also counts moves."""
        structural = np.stack([states.place, states.destination, states.status.astype(np.int64)], axis=1)
        return structural, np.concatenate([structural, states.moves[:, None]], axis=1)

    def targets(self, states: TaxiStates) -> dict[str, np.ndarray]:
        return {"node": states.place, "metres": self._graph.metres[states.place]}

    def classes(self, target: str) -> int:
        assert target == "node"
        return self._graph.n_places

    def draw_states(self, uniform: np.ndarray) -> TaxiStates:
        """Uniform (intersection, other destination)."""
        n = self._graph.n_places
        place = (uniform[:, 0] * n).astype(np.int64)
        destination = (place + 1 + (uniform[:, 1] * (n - 1)).astype(np.int64)) % n
        return TaxiStates(place, destination, np.zeros(len(place), np.int64), np.full(len(place), OPEN, np.int8))

    @cached_property
    def _backward(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Edges sorted by where they lead: in-degree [N], first edge into each place [N], (from, direction) of the edges [E, 2]."""
        edges = self._graph.edges
        order = np.argsort(edges[:, 1], kind="stable")
        degree = np.bincount(edges[:, 1], minlength=self._graph.n_places)
        return degree, np.cumsum(degree) - degree, edges[order][:, [0, 2]].astype(np.int64)

    def histories(self, states: TaxiStates, moves: np.ndarray, uniform: np.ndarray) -> Documents:
        """A uniform backward walk into each state; its first intersection is the origin of the prompt."""
        degree, first, edges = self._backward
        n, most = len(states), int(moves.max(initial=0))
        tokens = np.zeros((n, 2 + most), np.int32)
        at, good = states.place.copy(), np.ones(n, bool)
        for k in range(most):
            walking = np.flatnonzero((k < moves) & good)
            here = at[walking]
            dead = degree[here] == 0
            good[walking[dead]] = False
            walking, here = walking[~dead], here[~dead]
            edge = edges[first[here] + (uniform[walking, k] * degree[here]).astype(np.int64)]
            tokens[walking, 2 + moves[walking] - 1 - k] = edge[:, 1] + FIRST_DIRECTION
            at[walking] = edge[:, 0]
        tokens[:, 0], tokens[:, 1] = at + self.first_place, states.destination + self.first_place
        return Documents(tokens, np.where(good, 2 + moves, 0).astype(np.int32), np.full(n, 2, np.int32))

    def law(self, states: TaxiStates) -> np.ndarray:
        weights = self._law.weights(states.place, states.destination, states.moves)
        weights[states.status != OPEN] = 0
        none = weights.sum(1) == 0
        if none.any():
            legal = self.legal(states)
            weights[none] = np.where(legal.any(1, keepdims=True), legal, True)[none]
        return weights / weights.sum(1, keepdims=True)

    @cached_property
    def _hops(self) -> tuple[np.ndarray, np.ndarray]:
        n = self._graph.n_places
        return np.empty((n, n), np.int16), np.zeros(n, bool)

    def hops(self, place: np.ndarray, destination: np.ndarray) -> np.ndarray:
        """Fewest moves, int16, of the broadcast shape; rows of destinations are computed when first asked for."""
        table, known = self._hops
        missing = np.unique(destination[~known[destination]])
        if len(missing):
            table[missing] = self._graph.hops_to(missing)
            known[missing] = True
        return table[destination, place]

    def distance(self, states: TaxiStates) -> np.ndarray:
        return self.hops(states.place, states.destination).astype(np.int64)

    def within_budget(self, states: TaxiStates) -> np.ndarray:
        nxt = self._graph.successor[states.place]
        hops = self.hops(np.maximum(nxt, 0), states.destination[:, None])
        turns = (nxt >= 0) & (hops <= (self.config.max_moves - states.moves - 1)[:, None]) & (states.status == OPEN)[:, None]
        return np.concatenate([turns, np.zeros((len(nxt), 1), bool)], axis=1)

    def graph(self) -> Graph:
        return self._graph

    def damaged(self, deleted: int, added: int, rewired: int, seed: int) -> TaxiWorld:
        from worldbench.envs.taxi.damage import damaged_map

        return TaxiWorld(self.config, damaged_map(self._graph, deleted, added, rewired, seed), held_out=self.held_out)

    def route_ends(self, prompts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        return prompts[:, 0].astype(np.int64) - self.first_place, prompts[:, 1].astype(np.int64) - self.first_place

    def identity(self) -> dict[str, Any]:
        return {
            "world": self.name,
            "version": self.version,
            "map_digest": self._graph.digest,
            "min_moves": self.config.min_moves,
            "max_moves": self.config.max_moves,
            "held_out": self.held_out.kind,
            "held_out_share": self.held_out.share,
        }

    def summary(self, documents: int) -> str:
        report = self._graph.report
        dropped = [f"{report[key]} {word}" for key, word in _DROPPED.items() if report.get(key)]
        told = f"{self._graph.name}: {self._graph.n_places:,} intersections, {len(self._graph.edges):,} moves"
        told += f" (dropped: {', '.join(dropped)})" if dropped else ""
        return told + (f"; {documents:,} rides, {documents / self._graph.n_places**2:.2g} a pair" if documents else "")

    def card(self, documents: int) -> dict[str, Any]:
        g, (low, high) = self._graph, (self.config.min_moves, self.config.max_moves)
        degree = (g.successor >= 0).sum(1)
        mean_moves = (low + high) / 2
        rule = {"pairs": "(origin, destination) pairs", "states": "(intersection, destination) states"}[self.held_out.kind]
        return {
            "map": g.name,
            "map_digest": g.digest,
            "intersections": g.n_places,
            "moves": len(g.edges),
            "out_degree": {str(k): int((degree == k).sum()) for k in np.unique(degree)},
            "ride_moves": [low, high],
            "vocabulary": len(self.vocabulary),
            "held_out": f"{self.held_out.share:.3g} of the {rule}, by a salted hash of the map and the pair",
            "rides": documents,
            "rides_per_pair": documents / g.n_places**2,
            "visits_per_state": documents * (mean_moves + 1) / g.n_places**2,
            "counter_accuracy": self.counter_accuracy(),
            "map_report": g.report,
        }

    def counter_accuracy(self, rides: int = 20_000) -> float:
        """Share of rides whose end is the place nearest to origin + a linear function of how often each direction was taken.

        1 on a lattice, where counting is enough and no map is needed; below .3 is a fair test (metrics.md, section 7). Fitted on one half of the rides,
        scored on the other.
        """
        from scipy.spatial import KDTree

        origin, destination, moves, directions = self.walker.rides(streams.integer("counter accuracy"), "train", 0, rides)
        directions = np.where(np.arange(self.config.max_moves)[None, :] < moves[:, None], directions, self.n_directions)
        counts = np.stack([(directions == a).sum(1) for a in range(self.n_directions)], axis=1).astype(float)
        metres, half = self._graph.metres, rides // 2
        shift = metres[destination] - metres[origin]
        fit, *_ = np.linalg.lstsq(counts[:half], shift[:half], rcond=None)
        _, nearest = KDTree(metres).query(metres[origin[half:]] + counts[half:] @ fit)
        return float((nearest == destination[half:]).mean())
