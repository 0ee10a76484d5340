"""One way of decoding (an arm), and what follows from its times and counts: acceptance, costs, a suggested
threshold."""

from __future__ import annotations

import statistics
from typing import Any

import numpy as np

from worldbench.records import decoding as records


class Arm:
    """One way of decoding: its tokens, its counts, and its seconds for each repeat."""

    def __init__(self, plan: Any) -> None:
        from worldbench.baselines.speculative import Counts

        self.plan, self.counts = plan, Counts()
        self.tokens: list[np.ndarray] = []
        self.wall: list[float] = []
        self.processor: list[float] = []
        self.batches = 0

    @property
    def step_ms(self) -> float:
        """Milliseconds of a round of the whole batch: drafting, forward pass, acceptance and overhead."""
        c = self.counts
        return 1000 * (c.seconds["all"] - c.seconds["prompt"]) / max(1, c.forwards - self.batches)

    @property
    def per_round(self) -> float:
        """New tokens per row and round. The first token of a row is not counted, because the pass over the prompt
        gives it."""
        return (self.counts.tokens - self.counts.rows) / max(1, self.counts.rounds)


def expected_per_round(acceptance: np.ndarray, length: int) -> float:
    """Expected tokens per round with `length` drafts: one, plus for each draft the probability that the draft and
    all earlier drafts are accepted."""
    return 1 + float(np.cumprod(acceptance[:length]).sum())


def acceptance(arm: Arm) -> np.ndarray:
    """By draft position: the share of drafts that are accepted, among those whose earlier drafts were all accepted.
    0 at positions that were never reached."""
    tested = arm.counts.tested
    return np.where(tested > 0, arm.counts.accepted / np.maximum(tested, 1), 0.0)


def costs(arms: list[Arm]) -> tuple[float, float]:
    """Milliseconds of a round without drafts, and of each draft (drafting and checking): a least-squares line
    through the arms with a fixed number of drafts."""
    fixed = [arm for arm in arms if not arm.plan.threshold]
    # The drafts that were made per round. These can be fewer than planned, because the end of a document stops them.
    k = np.array([arm.counts.drafted / max(1, arm.counts.rounds) for arm in fixed])
    ms = np.array([arm.step_ms for arm in fixed])
    spread = float(((k - k.mean()) ** 2).sum())
    slope = max(0.0, float(((k - k.mean()) * ms).sum()) / spread) if spread else 0.0
    base = float(ms.mean() - slope * k.mean())
    # Where the times bend upwards, the line may reach 0 before k = 0: a round without drafts would take no time, and
    # predicted speed-ups, which divide by that time, would have no bound or sign.
    return base if base > 0 else float(ms[k.argmin()]), slope


def suggested_threshold(arms: list[Arm], pilot: Arm) -> float:
    """The threshold that would have given the most tokens per millisecond in the rounds of `pilot`, which drafted as
    many tokens as possible.

    The threshold is fitted to measured rounds because the probabilities of the drafter may be wrong: the model often
    accepts a draft to which the drafter gave a low probability.
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
    """All measurements, as fields of the record."""
    plain, drafting = arms[0], arms[1:]
    base, each = costs(arms)
    longest = max((arm for arm in drafting if not arm.plan.threshold), key=lambda arm: arm.plan.length)
    rates = acceptance(longest)
    measured = [_measured(arm, plain) for arm in drafting]
    predicted = {n: expected_per_round(rates, n) / (base + n * each) for n in range(1, longest.plan.length + 1)}
    best = max(predicted, key=lambda n: predicted[n])
    fixed = [m for m in measured if not m.threshold]
    forwards = plain.counts.rounds / max(1, plain.counts.tokens - plain.counts.rows)
    return {
        "plain": records.Plain(**_common(plain), forwards_per_token=forwards),
        "arms": measured,
        "costs_ms": records.Costs(round_without_drafts=base, each_draft=each),
        "acceptance_by_position": rates.tolist(),
        "best": records.BestLength(
            length=max(fixed, key=lambda m: m.speed_up.median).length,
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


def _measured(arm: Arm, plain: Arm) -> records.Arm:
    c, steps = arm.counts, max(1, arm.counts.forwards - arm.batches)
    per_token = [x / y for x, y in zip(arm.wall, plain.wall)]
    work = [x / y for x, y in zip(arm.processor, plain.processor)]
    scale = plain.counts.tokens / max(1, c.tokens)  # sampled continuations of two arms differ in length
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
