"""Map reconstruction (Vafa et al. 2024): the street map that explains a model's rides, true streets in black, invented ones in red."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core import streams
from worldbench.core.metric import Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.statistics import mean_interval
from worldbench.core.world import Vocabulary, World
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.reconstruction import DRAWN, DRAWN_WITH_RED, FAILED, NOT_A_DIRECTION, PAST_END, Reconstruction, reconstruct
from worldbench.metrics.rollout import Rides

SHARES = ("edge_precision", "edge_recall", "failed_routes", "routes_without_red", "routes_with_red")


def routes_of(rides: Rides, vocabulary: Vocabulary, directions: int) -> np.ndarray:
    """The directions that each ride takes before its first `end`: int16 [N, L], PAST_END from there on.

    The first `directions` actions of the vocabulary are the directions. Any other token is NOT_A_DIRECTION; so is the missing `end` of a ride that spent its
    budget, which makes no claim to have arrived: such a route cannot be explained.
    """
    steps = np.arange(rides.tokens.shape[1])[None, :]
    inside = steps < rides.length[:, None]
    ended = (rides.tokens == vocabulary.end) & inside
    length = np.where(ended.any(1), ended.argmax(1), rides.length)
    column = vocabulary.action_of_token[rides.tokens]
    column = np.where((column >= 0) & (column < directions), column, NOT_A_DIRECTION)
    column = np.where(steps < length[:, None], column, PAST_END).astype(np.int16)
    open_end = np.flatnonzero(~ended.any(1))
    column[open_end, np.maximum(rides.length[open_end] - 1, 0)] = NOT_A_DIRECTION
    return column


def scores_of(drawing: Reconstruction) -> dict[str, float]:
    """The scores of one order of the routes."""
    share = [float((drawing.status == s).mean()) if len(drawing.status) else float("nan") for s in (FAILED, DRAWN, DRAWN_WITH_RED)]
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


class MapReconstruction(Metric):
    """Share of true streets among all that are needed to explain the model's rides (precision), and of the true ones that get used (recall).

    See `reconstruction.py` for the algorithm. Scores are means over several orders of the same rides (the first as decoded, the rest shuffled), with an
    interval over orders. Sees: which streets a model's mistakes imply. Cannot see: how likely the model finds them; it is given the true map and the ends of
    each ride, and draws greedily, so red edges bound nothing. Rides that cannot be explained draw nothing: read precision beside `failed_routes`.
    No floor: a model of legal moves only invents no street wherever it ends (precision 1, most rides failed), and one that never names a direction draws no
    map at all (precision undefined).
    """

    name, version, direction = "map_reconstruction", 1, "higher"
    line = "the street map that explains the rides: true edges black, invented ones red"
    primary = "edge_precision"
    floor = None
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (Expectation("edge_precision", 1, 1), Expectation("red_edges", 0, 0), Expectation("failed_routes", 0, 0)),
        "random-legal": (Expectation("red_edges", 0, 0), Expectation("routes_with_red", 0, 0)),
    }

    def applies(self, world: World, model: SequenceModel) -> str | None:
        return None if world.graph() is not None else f"the world {world.name!r} has no street map"

    def measure(self, evaluation: Evaluation) -> Report:
        world, settings = evaluation.world, evaluation.settings
        graph = world.graph()
        assert graph is not None
        rides = evaluation.rides(settings.reconstruction_decoding, settings.reconstruction_rides)
        origin, destination = world.route_ends(rides.prompts)
        moves = routes_of(rides, world.vocabulary, len(graph.directions))
        drawings = []
        for k in range(settings.reconstruction_orders):
            order = streams.generator("bootstrap", evaluation.seed, "orders", k).permutation(len(moves)) if k else None
            degree, distance = settings.reconstruction_degree, settings.reconstruction_distance
            drawings.append(reconstruct(graph, origin, destination, moves, degree=degree, distance=distance, order=order))
        by_order = [scores_of(d) for d in drawings]
        series = {name: [s[name] for s in by_order] for name in by_order[0]}
        first = drawings[0]
        report = Report(
            scores={name: over_orders(name, values) for name, values in series.items()},
            series={"by_order": {"order": list(range(len(drawings))), **series}},
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
                "moves": moves,
            },
        )
        if graph.lonlat is not None:
            report.arrays["lonlat"] = graph.lonlat
        report.notes.append(
            f"{len(moves)} {settings.reconstruction_decoding} rides; {first.n_failed} of them could not be explained (in the order decoded), and draw nothing"
        )
        if first.n_black + first.n_red == 0:
            report.notes.append("no ride could be explained: no map is drawn, and its precision is undefined")
        if len(moves) < settings.reconstruction_rides:
            report.notes.append(f"{len(moves)} rides: there are no more held-out prompts (asked: {settings.reconstruction_rides})")
        return report


METRIC = MapReconstruction()
