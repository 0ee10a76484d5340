"""One way of decoding, and what its times and counts say: acceptance, costs, the threshold that they suggest."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from worldbench.records import decoding as records


class Arm:
    """One way of decoding: what it gave, what happened, and how long it took, repeat by repeat."""

    def __init__(self, plan: Any) -> None:
        from worldbench.baselines.speculative import Counts

        self.plan, self.counts = plan, Counts()
        self.tokens: list[np.ndarray] = []
        self.wall: list[float] = []
        self.processor: list[float] = []
        self.batches = 0

    @property
    def step_ms(self) -> float:
        """Of a round of the whole batch: draft, forward pass, acceptance, and what goes with them."""
        c = self.counts
        return 1000 * (c.seconds["all"] - c.seconds["prompt"]) / max(1, c.forwards - self.batches)

    @property
    def per_round(self) -> float:
        """Tokens that a row gets a round; the first of a row comes with its prompt."""
        return (self.counts.tokens - self.counts.rows) / max(1, self.counts.rounds)


def expected_per_round(acceptance: np.ndarray, length: int) -> float:
    """Tokens a round with `length` drafts: one, and for each draft the chance that it and all before it stay."""
    return 1 + float(np.cumprod(acceptance[:length]).sum())


def acceptance(arm: Arm) -> np.ndarray:
    """By draft position: how often a draft stays, given that all before it did; 0 from the first that was never
    reached.
    """
    tested = arm.counts.tested
    return np.where(tested > 0, arm.counts.accepted / np.maximum(tested, 1), 0.0)


def costs(arms: list[Arm]) -> tuple[float, float]:
    """Milliseconds of a round without drafts and of each draft (its guess and its check): the line through the arms of
    fixed length.
    """
    fixed = [arm for arm in arms if not arm.plan.threshold]
    # What is drafted a round, not the most that might be: a document's end cuts drafting short.
    k = np.array([arm.counts.drafted / max(1, arm.counts.rounds) for arm in fixed])
    ms = np.array([arm.step_ms for arm in fixed])
    spread = float(((k - k.mean()) ** 2).sum())
    slope = max(0.0, float(((k - k.mean()) * ms).sum()) / spread) if spread else 0.0
    return float(ms.mean() - slope * k.mean()), slope


def suggested_threshold(arms: list[Arm], pilot: Arm) -> float:
    """The threshold under which the rounds of `pilot`, which drafted as far as it could, would have given most tokens
    for their cost.

    The drafter's chances need not be right for that: a draft that it gives little chance may well be the likeliest
    token of both.
    """
    base, each = costs(arms)
    rounds = pilot.counts.chances
    longest = max(len(chance) for chance, _ in rounds)
    chances = np.array([[*chance, *[0.0] * (longest - len(chance))] for chance, _ in rounds])
    kept = np.array([n for _, n in rounds])
    tried = sorted({round(float(x), 2) for x in np.linspace(0.01, 0.95, 95)})
    drafted = {x: (chances >= x).sum(1) for x in tried}
    return max(tried, key=lambda x: float((1 + np.minimum(kept, drafted[x])).sum() / (base + each * drafted[x]).sum()))


def summary(arms: list[Arm], suggested: float | None) -> dict[str, Any]:
    """Everything measured, as fields of the record."""
    plain, drafting = arms[0], arms[1:]
    base, each = costs(arms)
    longest = max((arm for arm in drafting if not arm.plan.threshold), key=lambda arm: arm.plan.length)
    rates = acceptance(longest)
    told = [_told(arm, plain) for arm in drafting]
    predicted = {n: expected_per_round(rates, n) / (base + n * each) for n in range(1, longest.plan.length + 1)}
    best = max(predicted, key=lambda n: predicted[n])
    fixed = [t for t in told if not t.threshold]
    forwards = plain.counts.rounds / max(1, plain.counts.tokens - plain.counts.rows)
    return {
        "plain": records.Plain(**_common(plain), forwards_per_token=forwards),
        "arms": told,
        "costs_ms": records.Costs(round_without_drafts=base, each_draft=each),
        "acceptance_by_position": rates.tolist(),
        "best": records.BestLength(
            length=max(fixed, key=lambda t: t.speed_up.median).length,
            predicted_length=best,
            predicted_speed_up=predicted[best] * plain.step_ms,
            suggested_threshold=suggested,
        ),
    }


def _common(arm: Arm) -> dict[str, Any]:
    c = arm.counts
    return {
        "tokens": c.tokens // len(arm.wall),
        "seconds": arm.wall,
        "processor_seconds": arm.processor,
        "tokens_per_second": c.tokens / len(arm.wall) / statistics.median(arm.wall),
        "round_ms": arm.step_ms,
        "prompt_ms": 1000 * c.seconds["prompt"] / arm.batches,
    }


def _told(arm: Arm, plain: Arm) -> records.Arm:
    c, steps = arm.counts, max(1, arm.counts.forwards - arm.batches)
    per_token = [x / y for x, y in zip(arm.wall, plain.wall)]
    work = [x / y for x, y in zip(arm.processor, plain.processor)]
    scale = plain.counts.tokens / max(1, c.tokens)  # sampled continuations have one distribution, but not one length
    return records.Arm(
        length=arm.plan.length,
        threshold=arm.plan.threshold,
        **_common(arm),
        drafted_per_round=c.drafted / max(1, c.rounds),
        accepted_per_round=float(c.accepted.sum()) / max(1, c.rounds),
        tokens_per_round=arm.per_round,
        forwards_per_token=c.rounds / max(1, c.tokens - c.rows),
        tested=c.tested.tolist(),
        accepted=c.accepted.tolist(),
        draft_ms=1000 * c.seconds["draft"] / steps,
        verify_ms=1000 * c.seconds["forward"] / steps,
        speed_up=_spread([1 / (x * scale) for x in per_token]),
        processor_speed_up=_spread([1 / (x * scale) for x in work]),
    )


def _spread(values: list[float]) -> records.Spread:
    return records.Spread(median=statistics.median(values), low=min(values), high=max(values), repeats=values)
