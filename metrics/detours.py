"""Detours (Vafa et al. 2024): does the model find its way after moves that it did not choose?"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from worldbench.core.abilities import HasBudget
from worldbench.core.errors import InputError, nearest
from worldbench.core.metric import Damage, Direction, Expectation, Metric, Report, Score
from worldbench.core.options import small
from worldbench.core.world import ARRIVED, Automaton
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.rollout import Kind

KINDS: tuple[Kind, ...] = ("random", "adversarial", "second")


def score_name(what: str, kind: Kind, p: float) -> str:
    """`arrives_p0.5` for random detours, `arrives_adversarial_p0.5` for the other kinds."""
    return f"{what}_p{p:g}" if kind == "random" else f"{what}_{kind}_p{p:g}"


@dataclass(frozen=True, kw_only=True)
class DetourOptions:
    """How often the referee forces a move, and which one."""

    detours: tuple[float, ...] = field(default=(0.01, 0.1, 0.5, 0.75), metadata=small([0.1, 0.5, 0.75]))
    """Probabilities that the referee replaces the move of the model by another legal move. Rides are scored at each of
    these probabilities."""
    detour_kinds: tuple[str, ...] = KINDS
    """Which other legal move the referee takes. random: any of them, drawn uniformly. adversarial: the move that the
    model finds least likely. second: the move that the model finds most likely after its own move."""

    def __post_init__(self) -> None:
        for kind in self.detour_kinds:
            if kind not in KINDS:
                raise InputError(
                    f"eval.detour_kinds must be among {', '.join(KINDS)}, not {kind!r}{nearest(kind, KINDS)}"
                )
        for p in self.detours:
            if not 0 <= p <= 1:
                raise InputError(f"eval.detours must be probabilities between 0 and 1, not {p}")


class Detours(Metric):
    """Share of greedy rides that arrive although a referee replaces the model's choice, with probability p at each
    step, by another legal move.

    Kinds of forced moves: a random one (`arrives_p0.5`), the one that the model finds least likely
    (`arrives_adversarial_p0.5`), or the most likely other one (`arrives_second_p0.5`). `forced_..`: how many moves of a
    ride were replaced. Which steps are forced does not depend on the kind or the model.
    The referee only makes moves after which the destination is still within the budget. So the exact law of random
    walks always arrives. The exact law of shortest or noisy paths may fail (.92 and .91, docs/findings.md), because a
    detour leaves its paths. The referee itself steers: the random-legal floor shows how much the referee helps a driver
    who does not know the destination.
    Sees: whether the state is tracked off the model's own routes. Cannot see: behavior off the data, in a world whose
    documents are random walks, because detours are in distribution there.
    Source: Vafa et al. 2024 (arXiv 2406.03689).
    """

    name, version, direction = "detours", 2, "higher"
    primary = "arrives_p0.5"
    directions: ClassVar[dict[str, Direction]] = {"arrives_*": "higher"}
    needs = (Automaton, HasBudget)
    expects: ClassVar[dict[str, tuple[Expectation, ...]]] = {
        "oracle": tuple(
            Expectation(score_name("arrives", kind, p), 1, 1) for kind in KINDS for p in DetourOptions.detours
        ),
        "random-legal": tuple(Expectation(score_name("arrives", "random", p), 0, 0.95) for p in DetourOptions.detours),
    }
    damage: ClassVar[tuple[Damage, ...]] = tuple(
        Damage(
            score,
            worse=("deleted", "added", "rewired", "wrong_goal", "blind", "late", "forgets"),
            unchanged=("noise", "leak", "temperature"),
        )
        for score in ("arrives_p0.5", "arrives_adversarial_p0.1", "arrives_second_p0.5")
    )

    def measure(self, evaluation: Evaluation) -> Report:
        report, settings = Report({}), evaluation.settings
        if not settings.detours or not settings.detour_kinds:
            raise InputError(
                "eval.detours and eval.detour_kinds must not be empty; to leave detours out, name the "
                "other metrics with --eval.metrics"
            )
        for kind in KINDS:
            if kind not in settings.detour_kinds:
                continue
            for p in settings.detours:
                rides = evaluation.rides("greedy", settings.trials, detour=p, kind=kind)
                report.scores[score_name("arrives", kind, p)] = Score.rate(rides.outcome == ARRIVED, "prompts")
                report.scores[score_name("forced", kind, p)] = Score.mean(rides.detours, "prompts")
                report.arrays[score_name("outcome", kind, p)] = rides.outcome
        return report


METRIC = Detours()
