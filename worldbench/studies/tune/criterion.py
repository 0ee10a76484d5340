"""The criterion of a tuning: one score of one metric, or the held-out loss, and which direction is better."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from worldbench.core.abilities import HasLaw
from worldbench.core.errors import InputError, nearest
from worldbench.core.registry import metrics
from worldbench.core.world import World

if TYPE_CHECKING:
    from worldbench.core.model import SequenceModel
    from worldbench.runs.prepared import Prepared

LOSS = "loss"
"""The held-out loss, for worlds whose exact law is not known."""
EXCESS = "excess_loss"


@dataclass(frozen=True)
class Criterion:
    """metric: None for the held-out loss. direction: "higher" or "lower" is better. primary: true if the score is
    the primary score of the metric."""

    metric: str | None
    score: str
    direction: Literal["higher", "lower"]
    primary: bool = True

    @property
    def name(self) -> str:
        return self.score if self.metric is None else f"{self.metric}.{self.score}"

    @classmethod
    def parse(cls, text: str | None, world: World) -> Criterion:
        """Reads `METRIC`, `METRIC.SCORE` or `loss`, with `:higher` or `:lower` if the metric does not state the better
        direction. None: the default criterion of the world."""
        if text is None:
            text = EXCESS if isinstance(world, HasLaw) else LOSS
        wanted, _, asked = text.partition(":")
        if asked not in ("", "higher", "lower"):
            raise InputError(
                f"the direction of --criterion is higher or lower, not {asked!r}{nearest(asked, ('higher', 'lower'))}"
            )
        name, _, score = wanted.partition(".")
        metric, known, primary = None, "lower", True
        if wanted == LOSS:
            score = LOSS
        else:
            entry = metrics[name].load()
            metric, score = name, score or entry.primary
            primary = score == entry.primary
            known = entry.direction_of(score)
            if known == "none" and not asked:
                close = nearest(score, {entry.primary, *(d.score for d in entry.damage)} - {score})
                close = (
                    close
                    if close.startswith("; did")
                    else f"; write --criterion {name}.{score}:higher or {name}.{score}:lower"
                )
                raise InputError(
                    f"the metric {name} does not state whether a higher or a lower {score} is better{close}"
                )
        if asked and known not in ("none", asked):
            raise InputError(f"for {wanted}, {known} is better; leave :{asked} out")
        return cls(metric, score, "higher" if "higher" in (asked, known) else "lower", primary)

    def evaluation(self) -> dict[str, Any]:
        """The evaluation options that score only the criterion."""
        return {"metrics": () if self.metric is None else (self.metric,)}

    def measure(self, prepared: Prepared, model: SequenceModel) -> tuple[dict[str, float], dict[str, str]]:
        """All scores of the criterion's metric that have a value, which may be infinite, and for those that are missing
        the reason."""
        settings = prepared.job.groups["eval"]
        if self.metric is None:
            from worldbench.training.curve import mean_loss

            loss = mean_loss(model, prepared.world.sample(settings.seed, "test", 0, settings.documents))
            return ({}, {LOSS: "it is NaN"}) if math.isnan(loss) else ({LOSS: loss}, {})
        from worldbench.runs.scoring import score

        settings = dataclasses.replace(settings, **self.evaluation())
        scored = score(prepared.world, model, settings, None).scores[self.metric].scores
        scores = {name: s.value for name, s in scored.items() if s.value is not None}
        return scores, {name: s.reason for name, s in scored.items() if s.value is None}

    def require(self, prepared: Prepared, model: SequenceModel) -> None:
        """Raises InputError if a model cannot be judged by the criterion. `model`: a model of the same kind, trained
        or not."""
        if self.metric is None:
            return
        reason = metrics[self.metric].load().not_applicable(prepared.world, model)
        if reason is not None:
            raise InputError(f"{prepared.job.model} cannot be tuned by {self.name}: {reason}")
        if not self.primary and self.score not in (scores := self.measure(prepared, model)[0]):
            raise InputError(f"the metric {self.metric} has no score {self.score!r}{nearest(self.score, scores)}")

    def best(self, values: list[float | None]) -> int | None:
        """The index of the best value, the first one on a tie. Infinite values and None are never chosen: if there are
        no others, the result is None."""
        known = [i for i, v in enumerate(values) if v is not None and math.isfinite(v)]
        sign = 1 if self.direction == "lower" else -1
        return min(known, key=lambda i: sign * values[i], default=None)  # type: ignore[operator]
