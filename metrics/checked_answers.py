"""Checked answers: does the answer to an unseen prompt pass the checkers of the world?"""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from worldbench.core.abilities import HasCheckers
from worldbench.core.metric import Direction, Expectation, Metric, Report, Score
from worldbench.core.text import counted
from worldbench.core.world import Automaton
from worldbench.metrics.evaluation import Evaluation


class CheckedAnswers(Metric):
    """Share of distinct held-out prompts whose decoded answer passes each checker of the world, sampled at temperature
    1 and greedy. In Countdown: `strict` (every number is used as often as it is given), `released` (the checker of the
    published code, which lets a number be used twice), `equations` (all equations are true), `equation_1` .. (this
    equation is true).

    Sees: whether problems are solved, and by which rule. Cannot see: how a solution was found.
    """

    name, version, direction = "checked_answers", 1, "higher"
    primary = "strict_sampled"
    beside = ("released_sampled",)
    directions: ClassVar[dict[str, Direction]] = {"*_sampled": "higher", "*_greedy": "higher"}
    needs = (Automaton, HasCheckers)
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "random-legal": (Expectation("strict_sampled", 0, 0.9),),
        "uniform": (Expectation("strict_sampled", 0, 0.1),),
    }
    ceiling = None
    blind = "no exact model is known whose answers could be damaged: a world with checkers has no law"

    def measure(self, evaluation: Evaluation) -> Report:
        world, report = evaluation.world, Report({})
        for choice in ("sampled", "greedy"):
            rides = evaluation.rides(choice, evaluation.settings.trials)
            checks = world.checks(rides.prompts, rides.prompt_lengths, rides.tokens, rides.length)
            report.scores |= {
                f"{name}_{choice}": Score.rate(np.asarray(hit), "prompts") for name, hit in checks.items()
            }
            report.arrays |= {f"{choice}_{name}": np.asarray(hit) for name, hit in checks.items()}
            report.arrays |= {f"{choice}_tokens": rides.tokens, f"{choice}_length": rides.length}
            if choice == "greedy" and len(rides) < evaluation.settings.trials:
                report.notes.append(
                    f"{counted(len(rides), 'trial', commas=False)}: there are no more held-out prompts "
                    f"(asked: {evaluation.settings.trials})"
                )
        return report


METRIC = CheckedAnswers()
