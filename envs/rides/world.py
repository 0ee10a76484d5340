"""Worlds of rides over a map with labeled moves. A ride is `origin destination direction .. direction end`.

Shape letters: N rows, P prompt tokens, A actions (the directions of the map, then `end`), E edges.
"""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from typing import Any, ClassVar, Generic, Self, TypeVar

import numpy as np

from worldbench.core.graph import Graph
from worldbench.core.text import counted
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Automaton, Documents, Vocabulary
from worldbench.envs.rides import controls, stopping
from worldbench.envs.rides.config import RideConfig
from worldbench.envs.rides.distances import Distances
from worldbench.envs.rides.goals import Goals, one_of
from worldbench.envs.rides.held_out import HeldOut
from worldbench.envs.rides.law import LawTable, blind_weights
from worldbench.envs.rides.source import RideSource
from worldbench.envs.rides.states import RideStates
from worldbench.envs.rides.walker import Walker

PAD, END, FIRST_DIRECTION = 0, 1, 2
PROMPT_BLOCK = 4096
"""Test rides that are drawn together when prompts are collected."""
MOST_COUNTED = 2000
"""Largest map, in places, on which the number of possible prompts is computed."""


C = TypeVar("C", bound=RideConfig)

LARGE_MAP = 1000
"""From this number of places on, statements of LARGE are not claimed."""
_SELDOM = "on a large map, a ride hardly ever passes a place where the likeliest token of such a driver is an end"
LARGE: dict[str, str] = dict.fromkeys(("next_token.top1_legal wrong_goal", "next_token.top1_legal blind"), _SELDOM)
"""Statements of metrics that do not hold on large maps (`World.exceptions`)."""


class RideWorld(Automaton[RideStates], Generic[C]):
    """Rides over any map. A subclass reads the map that its options name, and says what a place is called.

    Attributes:
        place_words: the singular and the plural for a place of the map, for people.
        dropped: by key of the map's report, the singular and the plural of what reading the map left out.
        kind_exceptions: statements of metrics that do not hold for this kind of rides (`World.exceptions`).
    """

    place_words: ClassVar[tuple[str, str]]
    dropped: ClassVar[dict[str, tuple[str, str]]]
    kind_exceptions: ClassVar[dict[str, str]] = {}

    def __init__(self, config: C, graph: Graph, held_out: HeldOut | None = None) -> None:
        """held_out: None makes the rule from the options and the map."""
        self.config, self._graph = config, graph
        self.n_directions = len(graph.directions)
        self.first_place = FIRST_DIRECTION + self.n_directions
        self.vocabulary = Vocabulary(
            words=("<pad>", "end", *graph.directions, *graph.places),
            pad=PAD,
            end=END,
            actions=(*range(FIRST_DIRECTION, self.first_place), END),
        )
        self.exceptions = self.kind_exceptions | (LARGE if graph.n_places >= LARGE_MAP else {})
        self.prompt_length = 2
        self.longest = config.max_moves + 1
        self.context = self.prompt_length + self.longest
        self.held_out = held_out or HeldOut.of(graph, config.held_out, config.held_out_share)
        self.walker = self._source(self.held_out)
        if held_out is None:
            self.walker.check()
        self._column = self.vocabulary.action_of_token
        # By seed: pairs found so far, blocks of rides drawn, and how many of the last blocks added no pair.
        self._found: dict[int, tuple[np.ndarray, int, int]] = {}

    def _source(self, held_out: HeldOut) -> RideSource:
        """What draws the rides of the map."""
        return Walker(self._graph, self.config.min_moves, self.config.max_moves, held_out, self.config.stop)

    @cached_property
    def _law(self) -> LawTable:
        return LawTable(self._graph, self.config.min_moves, self.config.max_moves, self.held_out, self.config.stop)

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        origin, destination, moves, directions = self.walker.rides(seed, split, start, count)
        tokens = np.zeros((count, self.context), np.int32)
        tokens[:, :2] = np.stack([origin, destination], axis=1) + self.first_place
        step = np.arange(self.config.max_moves)[None, :]
        tokens[:, 2:-1] = np.where(step < moves[:, None], directions + np.int32(FIRST_DIRECTION), PAD)
        tokens[np.arange(count), 2 + moves] = END
        return Documents(tokens, (moves + 3).astype(np.int32), np.full(count, 2, np.int32))

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Distinct held-out (origin, destination) pairs, in the order of their first test ride under `seed`.

        Returns tokens int32 [N, 2] and lengths int32 [N]; N is below `count` if there are no more pairs.
        """
        n, counted_pairs = self._graph.n_places, self._graph.n_places <= MOST_COUNTED
        wanted = min(count, self.held_out.count(n)) if counted_pairs else count
        found, block, fruitless = self._found.get(seed, (np.empty(0, np.int64), 0, 0))
        while len(found) < wanted and fruitless < 50:
            if fruitless and counted_pairs and len(found) >= self._test_pairs:
                break  # the other pairs have no ride
            origin, destination, _, _ = self.walker.rides(seed, "test", block * PROMPT_BLOCK, PROMPT_BLOCK)
            both = np.concatenate([found, origin * n + destination])
            _, first = np.unique(both, return_index=True)
            fruitless = fruitless + 1 if len(first) == len(found) else 0
            found = both[np.sort(first)]
            block += 1
        self._found = {seed: (found, block, fruitless)}
        pairs = found[:wanted]
        tokens = np.stack([pairs // n, pairs % n], axis=1) + self.first_place
        return tokens.astype(np.int32), np.full(len(pairs), 2, np.int32)

    @cached_property
    def _test_pairs(self) -> int:
        """The number of possible prompts."""
        return int(self.walker.drawable("test").sum())

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> RideStates:
        n = self._graph.n_places
        ends = tokens[:, :2].astype(np.int64) - self.first_place
        good = ((ends >= 0) & (ends < n)).all(1) & (lengths == 2)
        ends, status = np.where(good[:, None], ends, 0), np.where(good, OPEN, ILLEGAL).astype(np.int8)
        return RideStates(ends[:, 0], ends[:, 1], np.zeros(len(tokens), np.int64), status)

    def step(self, states: RideStates, tokens: np.ndarray) -> RideStates:
        column = self._column[tokens]
        going = states.status == OPEN
        directed = going & (column >= 0) & (column < self.n_directions)
        nxt = self._graph.successor[states.place, np.clip(column, 0, self.n_directions - 1)]
        moving = directed & (nxt >= 0)
        status = states.status.copy()
        status[going & ~moving] = ILLEGAL
        ending = going & (tokens == END)
        status[ending] = np.where(states.place == states.destination, ARRIVED, MISPLACED_END)[ending]
        return RideStates(np.where(moving, nxt, states.place), states.destination, states.moves + moving, status)

    def legal(self, states: RideStates) -> np.ndarray:
        moves = self._graph.successor[states.place] >= 0
        legal = np.concatenate([moves, (states.place == states.destination)[:, None]], axis=1)
        return legal & (states.status == OPEN)[:, None]

    def outcome(self, states: RideStates) -> np.ndarray:
        return states.status

    def key(self, states: RideStates) -> tuple[np.ndarray, np.ndarray]:
        """(place, destination, outcome) for the rule. The law depends on the number of moves too."""
        structural = np.stack([states.place, states.destination, states.status.astype(np.int64)], axis=1)
        return structural, np.concatenate([structural, states.moves[:, None]], axis=1)

    def targets(self, states: RideStates) -> dict[str, np.ndarray]:
        return {"node": states.place, "metres": self._graph.metres[states.place]}

    def classes(self, target: str) -> int:
        assert target == "node"
        return self._graph.n_places

    def draw_states(self, uniform: np.ndarray) -> RideStates:
        """Open states before the first move: a uniform place, and a uniform destination other than the place.

        uniform: float64 [N, 2 or more] in [0, 1).
        """
        n = self._graph.n_places
        place = (uniform[:, 0] * n).astype(np.int64)
        destination = (place + 1 + (uniform[:, 1] * (n - 1)).astype(np.int64)) % n
        return RideStates(place, destination, np.zeros(len(place), np.int64), np.full(len(place), OPEN, np.int8))

    @cached_property
    def _backward(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Edges sorted by target place: in-degree of each place [N], index of the first edge into each place [N], and
        (source, direction) of the edges [E, 2]."""
        edges = self._graph.edges
        order = np.argsort(edges[:, 1], kind="stable")
        degree = np.bincount(edges[:, 1], minlength=self._graph.n_places)
        return degree, np.cumsum(degree) - degree, edges[order][:, [0, 2]].astype(np.int64)

    def histories(self, states: RideStates, moves: np.ndarray, uniform: np.ndarray) -> Documents:
        """A uniform random walk backward from each state. Where the walk stops is the origin in the prompt."""
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

    goal: ClassVar[str] = "destination"

    def goals(self, states: RideStates) -> np.ndarray:
        return states.destination

    @cached_property
    def _goals(self) -> Goals:
        return Goals(self._graph, self.config.min_moves, self.config.max_moves, self.held_out)

    def other_goals(self, states: RideStates, uniform: np.ndarray) -> np.ndarray:
        """Uniform over the other destinations of rides, of either split, that are at the place after as many moves. The
        ride can have any origin."""
        out = np.full(len(states), -1, np.int64)
        going = np.flatnonzero((states.status == OPEN) & (states.moves <= self.config.max_moves))
        for some, possible in self._goals.sets(states.place[going], states.moves[going]):
            rows = going[some]
            out[rows] = one_of(possible, states.destination[rows], uniform[rows])
        return out

    def with_goals(self, states: RideStates, goals: np.ndarray) -> RideStates:
        """An ended ride arrives where its place is the new destination, and has a misplaced end elsewhere."""
        ended = (states.status == ARRIVED) | (states.status == MISPLACED_END)
        end = np.where(states.place == goals, ARRIVED, MISPLACED_END)
        status = np.where(ended, end, states.status).astype(np.int8)
        return replace(states, destination=np.asarray(goals, np.int64), status=status)

    def prompts_with_goals(self, prompts: np.ndarray, lengths: np.ndarray, goals: np.ndarray) -> np.ndarray:
        out = prompts.copy()
        out[:, 1] = goals + self.first_place
        return out

    def blind_law(self, states: RideStates) -> np.ndarray:
        """The average over destinations is over all random walks, as if nothing were held out. After more than
        `max_moves` moves, uniform over the moves that leave the place."""
        c = self.config
        weights = blind_weights(self._graph, c.min_moves, c.max_moves, states.place, states.moves, c.stop)
        late = states.moves > c.max_moves
        weights[late, :-1] = self._graph.successor[states.place[late]] >= 0
        weights[states.status != OPEN] = 1
        return weights / weights.sum(axis=1, keepdims=True)

    def law(self, states: RideStates) -> np.ndarray:
        return self._shares(states, self._law.weights(states.place, states.destination, states.moves))

    def _shares(self, states: RideStates, weights: np.ndarray) -> np.ndarray:
        """The weights [N, A] divided by their sum. A row without any weight becomes uniform over the legal actions, or
        over all where none is legal."""
        weights[states.status != OPEN] = 0
        none = weights.sum(1) == 0
        if none.any():
            legal = self.legal(states)
            weights[none] = np.where(legal.any(1, keepdims=True), legal, True)[none]
        return weights / weights.sum(1, keepdims=True)

    @cached_property
    def _distances(self) -> Distances:
        return Distances(self._graph)

    def hops(self, place: np.ndarray, destination: np.ndarray) -> np.ndarray:
        """Smallest number of moves from place to destination: int16, of the broadcast shape.

        The distances to a destination are computed at its first use.
        """
        return self._distances.hops(place, destination)

    def distance(self, states: RideStates) -> np.ndarray:
        return self.hops(states.place, states.destination).astype(np.int64)

    def within_budget(self, states: RideStates) -> np.ndarray:
        nxt = self._graph.successor[states.place]
        hops = self.hops(np.maximum(nxt, 0), states.destination[:, None])
        moves = (
            (nxt >= 0)
            & (hops <= (self.config.max_moves - states.moves - 1)[:, None])
            & (states.status == OPEN)[:, None]
        )
        return np.concatenate([moves, np.zeros((len(nxt), 1), bool)], axis=1)

    def graph(self) -> Graph:
        return self._graph

    def damageable(self) -> int:
        return len(self._graph.edges)

    def damaged(self, deleted: int, added: int, rewired: int, seed: int) -> Self:
        from worldbench.envs.rides.damage import damaged_map

        return type(self)(self.config, damaged_map(self._graph, deleted, added, rewired, seed), held_out=self.held_out)

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
            **({"stop": self.config.stop} if self.config.stop else {}),
        }

    def summary(self, documents: int) -> str:
        report = self._graph.report
        dropped = [counted(int(report[key]), *words) for key, words in self.dropped.items() if report.get(key)]
        places, moves = counted(self._graph.n_places, *self.place_words), counted(len(self._graph.edges), "move")
        text = f"{self._graph.name}: {places}, {moves}"
        text += f" (dropped: {', '.join(dropped)})" if dropped else ""
        return text + (
            f"; {counted(documents, 'ride')}, {documents / self._graph.n_places**2:.2g} per pair" if documents else ""
        )

    def _mean_moves(self) -> float:
        """The mean number of moves of a ride, for the card."""
        c = self.config
        return stopping.mean(c.min_moves, c.max_moves, c.stop)

    def card(self, documents: int) -> dict[str, Any]:
        g, (low, high) = self._graph, (self.config.min_moves, self.config.max_moves)
        degree = (g.successor >= 0).sum(1)
        held = "(origin, destination) pairs"
        if self.held_out.kind == "states":
            held = f"({self.place_words[0]}, destination) states"
        return {
            "map": g.name,
            "map_digest": g.digest,
            self.place_words[1]: g.n_places,
            "moves": len(g.edges),
            "out_degree": {str(k): int((degree == k).sum()) for k in np.unique(degree)},
            "ride_moves": [low, high],
            "vocabulary": len(self.vocabulary),
            "held_out": f"{self.held_out.share:.3g} of the {held}, by a salted hash of the map and the pair",
            "rides": documents,
            "rides_per_pair": documents / g.n_places**2,
            "visits_per_state": documents * (self._mean_moves() + 1) / g.n_places**2,
            "counter_accuracy": controls.counter_accuracy(self.walker),
            "beeline_arrival": controls.beeline_arrival(self.walker),
            "map_report": g.report,
        }
