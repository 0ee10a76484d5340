"""Valid trajectories (Vafa et al. 2024): does a whole ride stay on the map, and end where the prompt asks?"""

from __future__ import annotations

from typing import ClassVar

from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report, Score
from worldbench.core.model import SequenceModel
from worldbench.core.text import counted
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Automaton
from worldbench.metrics.evaluation import Evaluation, single_prompt
from worldbench.metrics.rollout import Rides

HOP_BINS = (0, 5, 10, 20, 40, 60, 80, 100)


def by_distance(rides: Rides) -> dict[str, list]:
    """Arrivals by the distance of the prompt in hops, in bins that are not empty. So an effect of distance is not taken
    for a broken map."""
    out: dict[str, list] = {"from": [], "below": [], "n": [], "arrives": []}
    for low, high in zip(HOP_BINS, (*HOP_BINS[1:], 1 << 30)):
        inside = (rides.distance >= low) & (rides.distance < high)
        if inside.any():
            row = (
                low,
                high if high < 1 << 30 else -1,
                int(inside.sum()),
                float((rides.outcome[inside] == ARRIVED).mean()),
            )
            for column, value in zip(out.values(), row):
                column.append(value)
    return out


class ValidTrajectories(Metric):
    """Share of rides from distinct held-out prompts whose every move is legal **and** whose `end` falls exactly at the
    destination. Rides are decoded without help.

    `sampled`, at temperature 1, is the primary score: the exact law then always arrives, while greedy decoding hides
    probability on illegal moves. Three failures are reported apart: an illegal token, an `end` at the wrong place, a
    spent budget.

    Sees: what navigation by the map needs. Cannot see: streets that these rides never try. A ride that ends early
    counts as valid in NextLat's script; here it counts as `legal`.
    """

    name, version, direction = "valid_trajectories", 2, "higher"
    primary = "arrives_sampled"
    directions: ClassVar[dict[str, Direction]] = {
        "arrives_*": "higher", "legal_*": "higher", "step_legality_*": "higher",
        "illegal_token_*": "lower", "wrong_end_*": "lower", "budget_spent_*": "lower",
    }  # fmt: skip
    needs = (Automaton,)
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": (
            Expectation("arrives_sampled", 1, 1),
            Expectation("arrives_greedy", 1, 1),
            Expectation("step_legality_sampled", 1, 1),
        ),
        "random-legal": (
            Expectation("legal_sampled", 1, 1),
            Expectation("illegal_token_sampled", 0, 0),
            Expectation("arrives_sampled", 0, 0.9),
        ),
    }
    damage: ClassVar[tuple[Damage, ...]] = (
        Damage("arrives_sampled", worse=("added", "rewired"), unchanged=("noise",), monotone=True, tolerance=0.005),
        Damage(
            "arrives_sampled",
            worse=("wrong_goal", "blind", "late", "forgets", "leak"),
            unchanged=("temperature",),
            tolerance=0.005,
        ),
        Damage(
            "step_legality_sampled",
            worse=("added", "rewired", "late", "forgets", "leak"),
            unchanged=("deleted", "noise", "wrong_goal", "blind", "temperature"),
            tolerance=0.005,
        ),
        Damage(
            "legal_greedy",
            worse=("added", "rewired", "late"),
            unchanged=("deleted", "noise", "wrong_goal", "blind", "leak", "temperature"),
        ),
    )

    def applies(self, world: Automaton, model: SequenceModel) -> str | None:
        return single_prompt(world)

    def measure(self, evaluation: Evaluation) -> Report:
        report = Report({})
        for choice in ("sampled", "greedy"):
            rides = evaluation.rides(choice, evaluation.settings.trials)
            outcome = rides.outcome
            for name, hit in {
                "arrives": outcome == ARRIVED,
                "legal": outcome != ILLEGAL,
                "illegal_token": outcome == ILLEGAL,
                "wrong_end": outcome == MISPLACED_END,
                "budget_spent": outcome == OPEN,
            }.items():
                report.scores[f"{name}_{choice}"] = Score.rate(hit, "prompts")
            tried = rides.legal_tokens + (outcome == ILLEGAL)
            report.scores[f"step_legality_{choice}"] = Score.share(rides.legal_tokens, tried, "prompts")
            if (rides.distance >= 0).all():
                report.series[f"by_hops_{choice}"] = by_distance(rides)
            report.arrays |= {
                f"{choice}_outcome": outcome,
                f"{choice}_length": rides.length,
                f"{choice}_tokens": rides.tokens,
            }
            report.arrays |= {"prompts": rides.prompts, "distance": rides.distance}
        if len(rides) < evaluation.settings.trials:
            report.notes.append(
                f"{counted(len(rides), 'trial', commas=False)}: there are no more held-out prompts "
                f"(asked: {evaluation.settings.trials})"
            )
        return report


METRIC = ValidTrajectories()
