"""Map reconstruction (Vafa et al. 2024): the street map that explains a model's rides, true streets in black, invented
ones in red."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from worldbench.core import streams
from worldbench.core.abilities import HasMap
from worldbench.core.errors import InputError
from worldbench.core.graph import Graph
from worldbench.core.metric import Damage, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.options import require_at_least, small
from worldbench.core.statistics import mean_interval
from worldbench.core.text import counted
from worldbench.core.world import Automaton, Vocabulary, World
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.reconstruction import DRAWN, DRAWN_WITH_RED, FAILED, Reconstruction, reconstruct
from worldbench.metrics.route_controls import FOUND, completed_routes, ends_of, matched_errors, mistakes, uniform_errors
from worldbench.metrics.routes import NOT_A_DIRECTION, PAST_END, Moves, from_table, starts, stretches

SHARES = ("edge_precision", "edge_recall", "failed_routes", "routes_without_red", "routes_with_red")
DATA_BLOCK, DATA_LIMIT = 1024, 65_536
"""Held-out documents looked through at a time, and at most (or four for each prompt), for the routes of the
controls."""


def routes_of(tokens: np.ndarray, length: np.ndarray, vocabulary: Vocabulary, directions: int) -> np.ndarray:
    """The directions that each ride takes before its first `end`: int16 [N, L], PAST_END from there on.

    tokens: int [N, L], what follows the prompt; length: int [N], how many of them count. The first `directions` actions
    of the vocabulary are the directions. Any other token is NOT_A_DIRECTION; so is the missing `end` of a ride that
    spent its budget, which makes no claim to have arrived: such a route cannot be explained.
    """
    steps = np.arange(tokens.shape[1])[None, :]
    ended = vocabulary.closes(tokens) & (steps < length[:, None])
    stop = np.where(ended.any(1), ended.argmax(1), length)
    column = vocabulary.action_of_token[tokens]
    column = np.where((column >= 0) & (column < directions), column, NOT_A_DIRECTION)
    column = np.where(steps < stop[:, None], column, PAST_END).astype(np.int16)
    open_end = np.flatnonzero(~ended.any(1))
    column[open_end, np.maximum(length[open_end] - 1, 0)] = NOT_A_DIRECTION
    return column


def routes_from_data(world: World, graph: Graph, seed: int, prompts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """The route of the first held-out document with each prompt (tokens [N, P], lengths [N]): int16 [N, L]; one
    NOT_A_DIRECTION where none was found.

    Given its prompt, such a document is a draw from the exact law. Stops when all are found, or at DATA_LIMIT.
    """
    n, width = prompts.shape
    routes = np.full((n, world.longest), PAST_END, np.int16)
    routes[:, 0] = NOT_A_DIRECTION
    asked = np.where(np.arange(width)[None, :] < lengths[:, None], prompts, -1)
    missing = np.arange(n)
    for start in range(0, max(DATA_LIMIT, 4 * n), DATA_BLOCK):
        if not len(missing):
            break
        documents = world.sample(seed, "test", start, DATA_BLOCK)
        columns = np.arange(documents.tokens.shape[1])
        given = np.where(columns[None, :width] < documents.prompt_length[:, None], documents.tokens[:, :width], -1)
        _, first, which = np.unique(
            np.concatenate([given, asked[missing]]), axis=0, return_index=True, return_inverse=True
        )
        row = first[which.reshape(-1)[DATA_BLOCK:]]
        found = row < DATA_BLOCK
        row = row[found]
        take = np.minimum(documents.prompt_length[row][:, None] + np.arange(world.longest)[None, :], columns[-1])
        follows = np.take_along_axis(documents.tokens[row], take, axis=1)
        length = documents.length[row] - documents.prompt_length[row]
        routes[missing[found]] = routes_of(follows, length, world.vocabulary, len(graph.directions))
        missing = missing[~found]
    return routes


def scores_of(drawing: Reconstruction) -> dict[str, float]:
    """The scores of one order of the routes."""
    share = [
        float((drawing.status == s).mean()) if len(drawing.status) else float("nan")
        for s in (FAILED, DRAWN, DRAWN_WITH_RED)
    ]
    return {
        "edge_precision": drawing.precision,
        "edge_recall": drawing.recall,
        "black_edges": float(drawing.n_black),
        "red_edges": float(drawing.n_red),
        "unused_edges": float(len(drawing.edges) - drawing.n_black),
        "failed_routes": share[0],
        "routes_without_red": share[1],
        "routes_with_red": share[2],
    }


def over_orders(name: str, values: list[float]) -> Score:
    """The mean over orders of the same routes, with Student's t interval over orders (of shares, cut to 0..1)."""
    if not np.isfinite(values).all():
        return Score(float("nan"), len(values), None)
    mean = mean_interval(values)
    interval = mean.interval
    if interval is not None and name in SHARES:
        interval = max(0.0, interval[0]), min(1.0, interval[1])
    return Score(mean.value, mean.n, interval)


def measure_routes(
    graph: Graph, origin: np.ndarray, destination: np.ndarray, moves: Moves, true: Moves, *,
    degree: int, distance: float, orders: int, roll_back: bool, seed: int,
) -> Report:  # fmt: skip
    """Everything that is measured on n routes, whoever made them: origin, destination int [n].

    true: a legal route for each pair that the controls are made of; pairs whose route is none are left out of the
    controls, and counted in a note.
    orders: how often the routes are drawn; the first time as given, then shuffled.
    """

    def draw(o: np.ndarray, d: np.ndarray, m: Moves, order: np.ndarray | None = None) -> Reconstruction:
        return reconstruct(graph, o, d, m, degree=degree, distance=distance, roll_back=roll_back, order=order)

    drawings = []
    for k in range(orders):
        order = streams.generator("bootstrap", seed, "orders", k).permutation(len(moves)) if k else None
        drawings.append(draw(origin, destination, moves, order))
    by_order = [scores_of(d) for d in drawings]
    series = {name: [s[name] for s in by_order] for name in by_order[0]}
    first = drawings[0]
    report = Report(
        scores={name: over_orders(name, values) for name, values in series.items()},
        series={"by_order": {"order": list(range(orders)), **series}},
        arrays={
            "map": np.array(graph.name),
            "places": np.array(graph.places),
            "directions": np.array(graph.directions),
            "metres": graph.metres,
            "edges": first.edges,
            "uses": first.uses,
            "black": first.black,
            "red": first.red,
            "red_uses": first.red_uses,
            "status": first.status,
            "origin": np.asarray(origin, np.int32),
            "destination": np.asarray(destination, np.int32),
        },
    )
    if (streets := graph.street[first.edges[:, 0], first.edges[:, 2]].astype(str)).any():
        report.arrays["streets"] = streets
    if graph.lonlat is not None:
        report.arrays["lonlat"] = graph.lonlat
    if first.n_black + first.n_red == 0:
        report.notes.append("no ride could be explained: no map is drawn, and its precision is undefined")

    found = mistakes(graph, origin, moves)
    made = int(found.made.sum())
    report.scores["illegal_moves"] = Score(found.share, made)
    there = ends_of(graph, origin, true) == destination
    o, d, t = origin[there], destination[there], true.take(there)
    for name, wrong in (
        ("uniform", uniform_errors(graph, o, t, found.share, seed)),
        ("matched", matched_errors(graph, o, t, found.rate, seed)),
    ):
        drawing = draw(o, d, wrong)
        report.scores[f"control_{name}_precision"] = Score(drawing.precision, len(o))
        report.scores[f"control_{name}_red"] = Score(float(drawing.n_red), len(o))
        report.scores[f"control_{name}_failed"] = Score(drawing.n_failed / len(o) if len(o) else float("nan"), len(o))
        report.arrays |= {f"control_{name}_{part}": getattr(drawing, part) for part in ("black", "red", "status")}
        if drawing.n_black + drawing.n_red == 0:
            report.notes.append(f"no route of the {name} control could be explained: its precision is undefined")
    report.arrays["control_rides"] = np.flatnonzero(there).astype(np.int32)
    if len(o) < len(moves):
        report.notes.append(
            counted(
                len(moves) - len(o), "ride has no true route between its ends, and is left out",
                "rides have no true route between their ends, and are left out", commas=False,
            ) + " of the controls"
        )  # fmt: skip
    if not made:
        report.notes.append("no ride names a direction: there are no illegal moves to hold the controls against")
    return report


def completed(
    graph: Graph, origin: np.ndarray, destination: np.ndarray, moves: Moves, most: int | None = None
) -> tuple[Moves, np.ndarray]:
    """True routes by `completed_routes`, as `measure_routes` takes them: one NOT_A_DIRECTION where none is found; and
    what became of them, int8 [n]."""
    routes, became = completed_routes(graph, origin, destination, moves, most)
    reached = became == FOUND
    lengths = np.where(reached, routes.lengths, 1)
    start = starts(lengths)
    words = np.full(start[-1], NOT_A_DIRECTION, np.int16)
    words[stretches(start[:-1][reached], lengths[reached])] = routes.take(reached).words
    return Moves(words, start, routes.width), became


NO_MISTAKES = tuple(
    Expectation(f"control_{name}_{score}", value, value)
    for name in ("uniform", "matched")
    for score, value in (("precision", 1), ("red", 0), ("failed", 0))
)
"""Without illegal moves both controls are legal routes, and reconstruction invents nothing for those: its
self-check."""


@dataclass(frozen=True, kw_only=True)
class ReconstructionOptions:
    """Which rides the map is reconstructed from, and which streets may be invented."""

    reconstruction_rides: int = field(default=6400, metadata=small(400))
    """Rides that the map is reconstructed from (or as many as there are prompts)."""
    reconstruction_decoding: Literal["greedy", "sampled"] = "greedy"
    """How these rides are decoded."""
    reconstruction_degree: int = 4
    """Most outgoing streets that reconstruction gives an intersection beyond the true map's own (Vafa 4, NextLat 8)."""
    reconstruction_distance: float = 804.672
    """Longest street that reconstruction may invent, in metres (half a mile)."""
    reconstruction_orders: int = field(default=5, metadata=small(2))
    """Orders of the rides that reconstruction is repeated in."""
    reconstruction_roll_back: bool = True
    """A ride that cannot be explained leaves no street behind; the released code of Vafa et al. keeps what it had
    drawn."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "reconstruction_rides", "reconstruction_degree", "reconstruction_orders")
        if self.reconstruction_distance <= 0:
            raise InputError(f"eval.reconstruction_distance must be above 0 metres, not {self.reconstruction_distance}")
        if self.reconstruction_decoding not in ("greedy", "sampled"):
            raise InputError(
                f"eval.reconstruction_decoding must be 'greedy' or 'sampled', not {self.reconstruction_decoding!r}"
            )


class MapReconstruction(Metric):
    """Share of true streets among all that are needed to explain the model's rides (precision), and of the true ones
    that get used (recall).

    See `reconstruction.py` for the algorithm. Scores are means over several orders of the same rides (the first as
    decoded, the rest shuffled), with an interval over orders. Sees: which streets a model's mistakes imply. Cannot see:
    how likely the model finds them; it is given the true map and the ends of each ride, and draws greedily, so red
    edges bound nothing. Rides that cannot be explained draw nothing: read precision beside `failed_routes`.
    No floor: a model of legal moves only invents no street wherever it ends (precision 1, most rides failed), and one
    that never names a direction draws no map at all (precision undefined).

    Controls (precision, red streets, share of failed routes; one order): true routes between the same ends with wrong
    directions put in, `control_uniform_*` as many for each move as the rides' illegal moves, at random places;
    `control_matched_*` the rides' own wrong directions at the same intersections, as often. See `route_controls.py` for
    both, word by word; `illegal_moves` is the share. The true route of a ride is that of the first held-out document
    with the same prompt (a draw from the exact law given the prompt); where none is found, the ride itself as far as it
    is legal, then a shortest way to its destination.
    Source: Vafa et al. 2024 (arXiv 2406.03689): the algorithm, and the true map with noise as a control; the matched
    control is ours.
    """

    name, version, direction = "map_reconstruction", 2, "higher"
    primary = "edge_precision"
    needs = (Automaton, HasMap)
    floor = None
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("edge_precision", 1, 1),
            Expectation("red_edges", 0, 0),
            Expectation("failed_routes", 0, 0),
            Expectation("illegal_moves", 0, 0),
            *NO_MISTAKES,
        ),
        "random-legal": (
            Expectation("red_edges", 0, 0),
            Expectation("routes_with_red", 0, 0),
            Expectation("illegal_moves", 0, 0),
            *NO_MISTAKES,
        ),
    }
    damage: ClassVar[tuple[Damage, ...]] = (Damage("edge_precision", "unchanged", "worse", "worse", "unchanged"),)

    def applies(self, world: World, model: SequenceModel) -> str | None:
        if world.vocabulary.end is None:
            return f"rides of the world {world.name!r} have no end that would say where they stop"
        return None

    def measure(self, evaluation: Evaluation) -> Report:
        world, settings, seed = evaluation.world, evaluation.settings, evaluation.seed
        graph = world.graph()
        rides = evaluation.rides(settings.reconstruction_decoding, settings.reconstruction_rides)
        origin, destination = world.route_ends(rides.prompts)
        table = routes_of(rides.tokens, rides.length, world.vocabulary, len(graph.directions))
        moves = from_table(table)
        true = from_table(routes_from_data(world, graph, seed, rides.prompts, rides.prompt_lengths))
        lacking = ends_of(graph, origin, true) != destination
        if lacking.any():
            own, _ = completed(graph, origin, destination, moves)
            true = true.followed_by(own).take(np.arange(len(moves)) + lacking * len(moves))
        report = measure_routes(
            graph,
            origin,
            destination,
            moves,
            true,
            degree=settings.reconstruction_degree,
            distance=settings.reconstruction_distance,
            orders=settings.reconstruction_orders,
            roll_back=settings.reconstruction_roll_back,
            seed=seed,
        )
        report.arrays["moves"] = table
        failed = int((report.arrays["status"] == FAILED).sum())
        kept = (
            "and draw nothing"
            if settings.reconstruction_roll_back
            else "and leave what they had drawn, as in the released code"
        )
        report.notes.insert(
            0,
            (
                f"{len(moves)} {settings.reconstruction_decoding} rides; {failed} of them could not be "
                f"explained (in the order decoded), {kept}"
            ),
        )
        if len(moves) < settings.reconstruction_rides:
            report.notes.append(
                f"{counted(len(moves), 'ride', commas=False)}: there are no more held-out prompts "
                f"(asked: {settings.reconstruction_rides})"
            )
        if lacking.any():
            report.notes.append(
                f"{int(lacking.sum())} true routes of the controls are no draws from the data, but the "
                "rides themselves, completed"
            )
        return report


METRIC = MapReconstruction()
