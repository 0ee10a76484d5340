"""Detours (Vafa et al. 2024): does the model find its way after turns that it did not choose?"""

from __future__ import annotations

from typing import ClassVar

from worldbench.core.metric import Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.world import ARRIVED, World
from worldbench.metrics.evaluation import Evaluation


class Detours(Metric):
    """Share of greedy rides that arrive although, with probability p at each step, a referee replaces the choice by another legal turn.

    The referee only makes turns after which the destination is still within the budget, so the exact law arrives always, and the referee itself steers: its
    help to a driver who knows nothing of the destination is the random-legal floor printed beside. Sees: whether the state is tracked off the model's own
    routes.
    Cannot see: detours in a world trained on random walks are in distribution; on shortest-path data they would not be.
    """

    name, version, direction = "detours", 1, "higher"
    line = "share of rides that arrive while a referee forces random legal turns"
    primary = "arrives_p0.5"
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": tuple(Expectation(f"arrives_p{p:g}", 1, 1) for p in (0.1, 0.5, 0.75)),
        "random-legal": tuple(Expectation(f"arrives_p{p:g}", 0, 0.95) for p in (0.1, 0.5, 0.75)),
    }

    def applies(self, world: World, model: SequenceModel) -> str | None:
        if type(world).within_budget is World.within_budget:
            return f"the world {world.name!r} has no budget of moves to keep detours within"
        return None

    def measure(self, evaluation: Evaluation) -> Report:
        report = Report({})
        for p in evaluation.settings.detours:
            rides = evaluation.rides("greedy", evaluation.settings.trials, detour=p)
            report.scores[f"arrives_p{p:g}"] = Score.rate(rides.outcome == ARRIVED)
            report.scores[f"forced_p{p:g}"] = Score.mean(rides.detours)
            report.arrays[f"p{p:g}_outcome"] = rides.outcome
        return report


METRIC = Detours()
