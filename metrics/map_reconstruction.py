"""Map reconstruction (Vafa et al. 2024): the street map that explains a model's rides, true streets in black, invented
ones in red."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from worldbench.core.abilities import HasMap
from worldbench.core.errors import InputError
from worldbench.core.metric import Damage, Expectation, Metric, Report
from worldbench.core.model import SequenceModel
from worldbench.core.options import require_at_least, small
from worldbench.core.text import counted
from worldbench.core.world import Automaton, World
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.measured_routes import completed, measure_routes
from worldbench.metrics.reconstruction import FAILED
from worldbench.metrics.ride_routes import routes_from_data, routes_of
from worldbench.metrics.route_controls import ends_of
from worldbench.metrics.routes import from_table

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
    """Number of rides from which the map is reconstructed; fewer if the world has fewer prompts."""
    reconstruction_decoding: Literal["greedy", "sampled"] = "greedy"
    """How the model decodes these rides."""
    reconstruction_degree: int = 4
    """Largest number of used streets that may leave an intersection (Vafa et al.: 4, NextLat: 8). At an
    intersection with more true streets, the limit is the number of its true streets."""
    reconstruction_distance: float = 804.672
    """Longest street that may be added to the map, in meters (804.672 m is half a mile)."""
    reconstruction_orders: int = field(default=5, metadata=small(2))
    """Number of reconstructions, each of which takes the rides in another random order."""
    reconstruction_roll_back: bool = True
    """What happens to the streets that were added for a ride if the ride cannot be explained in the end. True: remove
    them. False: keep them, as the released code of Vafa et al. does."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "reconstruction_rides", "reconstruction_degree", "reconstruction_orders")
        if self.reconstruction_distance <= 0:
            raise InputError(f"eval.reconstruction_distance must be above 0 metres, not {self.reconstruction_distance}")
        if self.reconstruction_decoding not in ("greedy", "sampled"):
            raise InputError(
                f"eval.reconstruction_decoding must be 'greedy' or 'sampled', not {self.reconstruction_decoding!r}"
            )


class MapReconstruction(Metric):
    """Precision: the share of true streets among all streets that explain the model's rides. Recall: the share of the
    true streets that are used.

    `reconstruction.py` has the algorithm. Scores are means over several orders of the same rides (the first as decoded,
    the others shuffled), with an interval over orders.
    Sees: which streets the mistakes of a model imply. Cannot see: how likely the model finds these streets. The
    algorithm is given the true map and the ends of each ride, and draws greedily, so the number of red edges is no
    bound. Rides that cannot be explained draw nothing: read precision beside `failed_routes`.
    No floor: a model that makes only legal moves invents no street, wherever its rides end (precision 1, most rides
    failed); a model that never names a direction draws no map (precision undefined).

    Controls (precision, red streets, share of failed routes; one order): true routes between the same ends, with wrong
    directions put in. `control_uniform_*`: at random places, as many per move as the rides have illegal moves
    (`illegal_moves`). `control_matched_*`: the wrong directions of the rides themselves, at the same intersections, as
    often. `route_controls.py` defines both. The true route of a ride is the route of the first held-out document with
    the same prompt: a draw from the exact law given the prompt. Where there is no such document, it is the ride itself
    as far as the ride is legal, then a shortest way to its destination.
    Source: Vafa et al. 2024 (arXiv 2406.03689) for the algorithm and the uniform control; the matched control is ours.
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
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("edge_precision", worse=("added", "rewired"), unchanged=("deleted", "noise")),
    )

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
