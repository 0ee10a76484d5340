"""Lookahead (Vafa et al. 2024): does the model find short ways although nothing asks for them?"""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np

from worldbench.core.abilities import HasDistance, HasLaw
from worldbench.core.files import identity_hash
from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.world import ARRIVED, OPEN, Automaton, World
from worldbench.metrics.evaluation import Evaluation, single_prompt
from worldbench.metrics.rollout import moves_of

WITHIN = (1, 5, 10, 50)
"""By how many per cent a ride may be longer than the shortest one."""
LEAST = 0.1
"""Where a smaller share of the greedy rides of the exact law is shortest, the metric does not apply."""
PROMPTS = 200
_shares: dict[tuple[type[World], str], float | None] = {}
"""What `share_of_the_law` found, by the identity of the world: runs of one world do not draw its prompts again."""


def share_of_the_law(world: Automaton) -> float | None:
    """The share of 200 held-out prompts for which the ride that always takes the likeliest token of the exact law is a
    shortest one. None: the world does not define the law."""
    which = type(world), identity_hash(world.identity())
    if which not in _shares:
        share = None
        if isinstance(world, HasLaw) and isinstance(world, HasDistance):
            prompts, lengths = world.prompts(0, PROMPTS)
            states = world.start(prompts, lengths)
            order = np.argsort(world.vocabulary.actions)  # of several likeliest tokens the first, as in a roll-out
            actions = np.array(world.vocabulary.actions)[order]
            hops, moves = world.distance(states), np.zeros(len(prompts), np.int64)
            for _ in range(world.longest):
                token = actions[world.law(states)[:, order].astype(np.float32).argmax(1)]
                moves += (world.outcome(states) == OPEN) & ~world.vocabulary.closes(token)
                states = world.step(states, token)
            share = float(((world.outcome(states) == ARRIVED) & (moves == hops)).mean())
        _shares[which] = share
    return _shares[which]


class Lookahead(Metric):
    """Share of greedy rides from distinct held-out prompts that arrive by a shortest path, with as many moves as the
    distance in hops (`shortest`).

    `within_1`, `within_5`, `within_10`, `within_50`: rides that arrive with at most so many per cent more moves. All
    shares are of all prompts, also of those whose ride does not arrive.
    No reference is the ceiling. A driver who plans shortest paths scores 1 by definition. The law of random walks
    scores less, because walks also take detours, so a model can score higher than the law of its data: the score is no
    distance from the truth. In a maze one can turn back at once and the budget is long; the likely rides of the law
    then go to and fro, and are almost never shortest. Where fewer than a tenth (LEAST) of the greedy rides of the law
    are shortest, the metric does not apply.
    Noise on the logits makes the score worse where documents are random walks. Where documents are shortest paths, it
    only changes the choice between them, and the score stays 1. So nothing is claimed about noise.
    Sees: whether likely rides are short. Cannot see: a broken map on longer ways.
    Source: Vafa et al. 2024 (arXiv 2406.03689).
    """

    name, version, direction = "lookahead", 1, "higher"
    primary = "shortest"
    directions: ClassVar[dict[str, Direction]] = {"within_*": "higher"}
    needs = (Automaton, HasDistance)
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (Expectation("shortest", 0.1, 1), Expectation("within_50", 0.1, 1)),
        "random-legal": (Expectation("shortest", 0, 0.5),),
        "uniform": (Expectation("within_50", 0, 0),),
    }
    ceiling = None
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage(
            "shortest",
            worse=("deleted", "rewired", "wrong_goal", "blind", "late", "forgets"),
            unchanged=("leak", "temperature"),
        ),
    )

    def applies(self, world: Automaton, model: SequenceModel) -> str | None:
        if (reason := single_prompt(world)) is not None:
            return reason
        share = share_of_the_law(world)
        if share is not None and share < LEAST:
            return (
                f"the exact law's own greedy rides are shortest in {share:.0%} of prompts: a model "
                "that drives by it has nothing to show"
            )
        return None

    def measure(self, evaluation: Evaluation) -> Report:
        rides = evaluation.rides("greedy", evaluation.settings.trials)
        moves = moves_of(evaluation.world, rides)
        arrived = (rides.outcome == ARRIVED) & (rides.distance >= 0)
        report = Report({"shortest": Score.rate(arrived & (moves == rides.distance), "prompts")})
        for share in WITHIN:
            report.scores[f"within_{share}"] = Score.rate(
                arrived & (100 * moves <= (100 + share) * rides.distance), "prompts"
            )
        report.series["by_hops"] = by_hops(rides.distance, arrived, moves)
        report.arrays |= {"outcome": rides.outcome, "moves": moves, "distance": rides.distance}
        if (unknown := int((rides.distance < 0).sum())) > 0:
            report.notes.append(
                f"{unknown} of {len(rides)} prompts have no known distance: their rides count as not shortest"
            )
        return report


def by_hops(distance: np.ndarray, arrived: np.ndarray, moves: np.ndarray) -> dict[str, list[Any]]:
    """By distance in hops: prompts, the share that arrives, the share that arrives by a shortest path, and the mean
    number of moves of the rides that arrive."""
    n, hits = np.bincount(np.maximum(distance, 0)), np.bincount(np.maximum(distance, 0), arrived)
    exact = np.bincount(np.maximum(distance, 0), arrived & (moves == distance))
    total = np.bincount(np.maximum(distance, 0), np.where(arrived, moves, 0))
    at = np.flatnonzero(n)
    mean = [float(total[k] / hits[k]) if hits[k] else None for k in at]
    return {
        "hops": at.tolist(),
        "n": n[at].tolist(),
        "arrives": (hits[at] / n[at]).tolist(),
        "shortest": (exact[at] / n[at]).tolist(),
        "moves": mean,
    }


METRIC = Lookahead()
