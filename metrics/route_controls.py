"""Controls of map reconstruction: true routes with as many wrong turns as a model's, so that what reconstruction itself makes of mistakes is known.

A ride is *known* up to its first move that the map does not have: until then it is certain where it stands. That move is its *illegal move*; what follows it
is not judged. A ride that goes wrong otherwise (another token, `end` elsewhere or never) has no illegal move: it is in no control.
    share(v, a) = rides whose illegal move is direction a at place v / moves, right or wrong, that known rides make from v
    share       = illegal moves / moves, right or wrong, that known rides make
Both controls take one true route from the origin to the destination of each ride, and replace single directions; the rest of the route stays as it was.
- uniform ("the true map with the model's share of errors", Vafa et al. 2024, arXiv 2406.03689): of all moves of the true routes, round(share * their number)
  are chosen, every set of that size being equally likely (of the moves from places that lack a direction); each becomes a uniform one of the directions that
  the map lacks where the true route stands.
- matched: wherever a true route leaves a place v, its direction becomes a with probability share(v, a), each time afresh: the model's own mistakes, at the
  same intersections, as often as it makes them there.

Where a model's red edges are as many as a control's, its rides look like those of the true map with random slips; where they are more, its mistakes are more
than slips. Neither control has mistakes that depend on more than the intersection.

Shape letters: N places, A directions, n routes, L longest route in moves.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.core import streams
from worldbench.core.graph import UNREACHABLE, Graph
from worldbench.metrics.reconstruction import PAST_END
from worldbench.metrics.rollout import draw

BLOCK = 256
"""Destinations whose distances are held at once."""


def places_along(graph: Graph, origin: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Where each move is made: int32 [n, L] for moves int [n, L]; -1 after the route's illegal move, its last one, and from a token that is no direction on."""
    place = np.full(moves.shape, -1, np.int32)
    at = np.asarray(origin, np.int32)
    for t in range(moves.shape[1]):
        turn = moves[:, t]
        at = np.where(turn >= 0, at, -1)
        if not (at >= 0).any():
            break
        place[:, t] = at
        at = np.where(at >= 0, graph.successor[np.maximum(at, 0), np.maximum(turn, 0)], -1)
    return place


def ends_of(graph: Graph, origin: np.ndarray, moves: np.ndarray) -> np.ndarray:
    """Where legal routes end: int [n]; -1 for a route that makes an illegal move or has a token that is no direction."""
    at = np.asarray(origin, np.int64)
    for turn in moves.T:
        going = turn != PAST_END
        if not going.any():
            break
        to = np.where((at >= 0) & (turn >= 0), graph.successor[np.maximum(at, 0), np.maximum(turn, 0)], -1)
        at = np.where(going, to, at)
    return at


@dataclass(frozen=True)
class Mistakes:
    """What illegal moves the known parts of rides hold. wrong, made: int64 [N, A] and [N], illegal moves by place and direction, all moves by place."""

    wrong: np.ndarray
    made: np.ndarray

    @property
    def share(self) -> float:
        """Illegal moves among all; 0 where there are no moves."""
        return float(self.wrong.sum() / max(self.made.sum(), 1))

    @property
    def rate(self) -> np.ndarray:
        """share(v, a), float64 [N, A]; 0 at places that no known ride leaves."""
        return self.wrong / np.maximum(self.made, 1)[:, None]


def mistakes(graph: Graph, origin: np.ndarray, moves: np.ndarray) -> Mistakes:
    """Count the illegal moves of routes."""
    n, a = graph.successor.shape
    place = places_along(graph, origin, moves)
    known = place >= 0
    v, turn = place[known].astype(np.int64), moves[known].astype(np.int64)
    illegal = graph.successor[v, turn] < 0
    wrong = np.bincount(v[illegal] * a + turn[illegal], minlength=n * a).reshape(n, a)
    return Mistakes(wrong, np.bincount(v, minlength=n))


def uniform_errors(graph: Graph, origin: np.ndarray, moves: np.ndarray, share: float, seed: int) -> np.ndarray:
    """The uniform control: a copy of the true routes `moves` [n, L] with wrong directions. Draws: stream ("evaluation", seed, "control uniform"), by route."""
    n, longest = moves.shape
    uniform = streams.uniform(0, n, 2 * longest, "evaluation", seed, "control uniform")
    place = places_along(graph, origin, moves)
    missing = graph.successor < 0
    lacks = (~missing).sum(1) < missing.shape[1]
    row, step = np.nonzero((place >= 0) & lacks[place])
    count = min(round(share * int((place >= 0).sum())), len(row))
    chosen = np.argsort(uniform[row, step], kind="stable")[:count]
    row, step = row[chosen], step[chosen]
    out = moves.copy()
    out[row, step] = draw(missing[place[row, step]].astype(float), uniform[row, longest + step]) if count else 0
    return out


def matched_errors(graph: Graph, origin: np.ndarray, moves: np.ndarray, rate: np.ndarray, seed: int) -> np.ndarray:
    """The matched control: a copy of the true routes `moves` [n, L], wrong as often as `rate` [N, A] says. Draws: ("evaluation", seed, "control matched")."""
    n, longest = moves.shape
    uniform = streams.uniform(0, n, longest, "evaluation", seed, "control matched")
    place = places_along(graph, origin, moves)
    row, step = np.nonzero((place >= 0) & (rate.sum(1) > 0)[place])
    turn = (np.cumsum(rate, axis=1)[place[row, step]] <= uniform[row, step][:, None]).sum(1)
    out = moves.copy()
    out[row, step] = np.where(turn < rate.shape[1], turn, moves[row, step])
    return out


def shortest_routes(graph: Graph, origin: np.ndarray, destination: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """A route of fewest moves for each pair (of several the one whose first directions come first): moves int16 [n, L], and bool [n], is there a way?"""
    n = len(origin)
    columns: list[np.ndarray] = []
    reached = np.zeros(n, bool)
    wanted, which = np.unique(destination, return_inverse=True)
    for low in range(0, len(wanted), BLOCK):
        rows = np.flatnonzero((which >= low) & (which < low + BLOCK))
        hops = graph.hops_to(wanted[low : low + BLOCK]).astype(np.int64)
        goal, at = which[rows] - low, np.asarray(origin, np.int64)[rows]
        left = hops[goal, at]
        reached[rows] = left < UNREACHABLE
        rows, goal, at, left = (x[left < UNREACHABLE] for x in (rows, goal, at, left))
        step = 0
        while (left > 0).any():
            rows, goal, at, left = (x[left > 0] for x in (rows, goal, at, left))
            if step == len(columns):
                columns.append(np.full(n, PAST_END, np.int16))
            to = graph.successor[at]
            closer = (to >= 0) & (hops[goal[:, None], np.maximum(to, 0)] == left[:, None] - 1)
            turn = closer.argmax(1)
            columns[step][rows] = turn
            at, left, step = to[np.arange(len(at)), turn].astype(np.int64), left - 1, step + 1
    return np.stack(columns, axis=1) if columns else np.full((n, 1), PAST_END, np.int16), reached


def completed_routes(graph: Graph, origin: np.ndarray, destination: np.ndarray, moves: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """True routes that stay with given ones: each as far as it is legal, then a shortest way from there to the destination. A legal one that arrives is itself.

    moves: int [n, L]. Returns moves int16 [n, L'], and bool [n], is there a way?
    """
    place = places_along(graph, origin, moves)
    to = np.where(place >= 0, graph.successor[np.maximum(place, 0), np.maximum(moves, 0)], -1)
    legal = (to >= 0).sum(1)
    rows = np.arange(len(moves))
    at = np.where(legal > 0, to[rows, np.maximum(legal - 1, 0)], origin)
    rest, reached = shortest_routes(graph, at, destination)
    out = np.full((len(moves), moves.shape[1] + rest.shape[1]), PAST_END, np.int16)
    out[:, : moves.shape[1]][to >= 0] = moves[to >= 0]
    row, step = np.nonzero(rest >= 0)
    out[row, legal[row] + step] = rest[row, step]
    return out[:, : max(1, int((out >= 0).sum(1).max(initial=0)))], reached
