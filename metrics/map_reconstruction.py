"""Map reconstruction (after Vafa et al. 2024): the street map that explains a model's rides, true streets in black,
streets that illegal turns imply in red."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar, Literal

import numpy as np

from worldbench.core.abilities import HasMap
from worldbench.core.errors import InputError
from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report
from worldbench.core.model import SequenceModel
from worldbench.core.options import require_at_least, small
from worldbench.core.text import counted
from worldbench.core.world import Automaton, World
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.measured_routes import completed, measure_routes, modes
from worldbench.metrics.ride_routes import routes_from_data, routes_of
from worldbench.metrics.route_controls import ends_of
from worldbench.metrics.routes import from_table

NO_MISTAKES = tuple(
    Expectation(f"control_{name}_{score}", value, value)
    for name in ("uniform", "matched")
    for score, value in (
        ("precision", 1), ("red", 0), ("failed", 0),
        ("street_precision", 1), ("implied_streets", 0), ("unexplained", 0),
    )
)  # fmt: skip
"""Without illegal moves both controls are legal routes, and reconstruction adds nothing for those: its self-check."""
ALL_LEGAL = tuple(
    Expectation(score, value, value)
    for score, value in (
        ("street_precision", 1), ("implied_streets", 0), ("unexplained_rides", 0), ("rides_with_implied", 0),
        ("red_edges", 0), ("routes_with_red", 0), ("ends_elsewhere", 0), ("illegal_moves", 0),
    )
)  # fmt: skip
"""Of models that make legal moves alone, and that end at the destination or never."""


@dataclass(frozen=True, kw_only=True)
class ReconstructionOptions:
    """Which rides the map is reconstructed from, and which streets may be added."""

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
    """Number of reconstructions in each mode, each of which takes the rides in another random order."""
    reconstruction_roll_back: bool = True
    """What happens to the streets that were added for a ride if the ride cannot be explained in the end. True: remove
    them (the mode "roll-back"). False: keep them, as the released code of Vafa et al. does (the mode "released")."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "reconstruction_rides", "reconstruction_degree", "reconstruction_orders")
        if self.reconstruction_distance <= 0:
            raise InputError(f"eval.reconstruction_distance must be above 0 metres, not {self.reconstruction_distance}")
        if self.reconstruction_decoding not in ("greedy", "sampled"):
            raise InputError(
                f"eval.reconstruction_decoding must be 'greedy' or 'sampled', not {self.reconstruction_decoding!r}"
            )


class MapReconstruction(Metric):
    """Precision: the share of true streets among all streets that the model's moves imply. Recall: the share of the
    true streets that are used.

    `reconstruction.py` has the algorithm and its two modes:
    - *moves alone*: `street_precision` (the primary), `street_recall`, `true_streets`, `implied_streets`,
      `unexplained_rides`, `rides_with_implied`. Only illegal turns imply streets. Rides that end at a wrong place are
      counted apart: `ends_elsewhere`, the share of rides with legal moves alone that end elsewhere than at their
      destination. `never_ends`: the share of rides that spend their budget.
    - *forced end*, as published by Vafa et al.: `edge_precision`, `edge_recall`, `black_edges`, `red_edges`,
      `unused_edges`, `failed_routes`, `routes_without_red`, `routes_with_red`. The path of a ride must end at its
      destination, so a wrong end adds a street or makes the ride fail. `reconstruction_roll_back` chooses between
      roll-back and released mode. Numbers of different modes cannot be compared.

    Scores are means over several orders of the same rides (the first as decoded, the others shuffled). Their intervals
    are over rides (`map_intervals.py`). `street_precision_orders`: the same value, with an interval over orders.
    `edge_precision_lowest`, `edge_precision_highest`: its range over orders. A precision is missing
    where fewer than half of the rides are explained.
    Sees: which streets the wrong turns of a model imply. Cannot see: whether a ride arrives; how likely the model finds
    these streets. The algorithm is given the true map, and draws greedily, so the number of implied streets is no
    bound.
    No floor: a model that makes only legal moves implies no street, wherever its rides end (precision 1).

    Controls (precision, implied streets, share of unexplained routes in both modes; one draw of the mistakes, one
    order, no interval): true routes between the
    same ends, with wrong directions put in. `control_uniform_*`: at random places, as many per move as the rides have
    illegal moves (`illegal_moves`). `control_matched_*`: the wrong directions of the rides themselves, at the same
    intersections, as often. `route_controls.py` defines both. The true route of a ride is the route of the first
    held-out document with the same prompt: a draw from the exact law given the prompt. Where there is no such document,
    it is the ride itself as far as the ride is legal, then a shortest way to its destination.
    Source: Vafa et al. 2024 (arXiv 2406.03689) for the algorithm with the forced end and the uniform control; moves
    alone and the matched control are ours.
    """

    name, version, direction = "map_reconstruction", 3, "higher"
    primary = "street_precision"
    beside = ("unexplained_rides", "ends_elsewhere", "never_ends")
    directions: ClassVar[dict[str, Direction]] = {
        "edge_*": "higher", "street_*": "higher", "implied_streets*": "lower", "red_edges*": "lower",
        "unexplained_rides*": "lower", "failed_routes*": "lower", "ends_elsewhere": "lower", "never_ends": "lower",
        "illegal_moves": "lower",
    }  # fmt: skip
    needs = (Automaton, HasMap)
    floor = None
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            *ALL_LEGAL,
            Expectation("edge_precision", 1, 1),
            Expectation("failed_routes", 0, 0),
            Expectation("never_ends", 0, 0),
            *NO_MISTAKES,
        ),
        "random-legal": (*ALL_LEGAL, *NO_MISTAKES),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage(
            "street_precision",
            worse=("added", "rewired", "late"),
            unchanged=("deleted", "noise", "temperature", "wrong_goal", "blind", "leak"),
        ),
        Damage(
            "ends_elsewhere",
            worse=("wrong_goal", "blind", "forgets"),
            unchanged=("noise", "temperature", "leak"),
            direction="lower",
        ),
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
        report.notes[:0] = [
            f"{counted(len(moves), f'{settings.reconstruction_decoding} ride', commas=False)}",
            *modes(report, settings.reconstruction_roll_back),
        ]
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
