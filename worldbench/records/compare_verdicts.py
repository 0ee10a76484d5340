"""Verdicts of comparisons: a test for each score, Holm's correction over the table, and what could have been seen.

A score is compared by Student's t test of the differences over shared seeds. An outcome that is 0 or 1 for a whole run
("solved") is compared by the share of seeds: Wilson's intervals, and Fisher's exact test. Fisher's test takes the two
shares as independent, although the models share seeds. McNemar's test uses the pairs, but cannot reject with fewer than
six seeds: five pairs that all differ in one direction have p = .0625. Where the outcomes of a pair go together,
Fisher's test errs on the side of "not separable".

Where all differences of a score are equal and not 0, the p value is that of the sign test (`paired_t`): five seeds then
show no difference.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from worldbench.core.power import detectable, detectable_share, fisher, shares_interval
from worldbench.core.proportions import wilson
from worldbench.core.statistics import equal_differences, equivalence, holm, paired_t
from worldbench.core.text import counted
from worldbench.records.comparison import Comparison, Solved

LEVEL = 0.05
"""Significance level of a verdict."""


@dataclass
class Draft:
    """A comparison before the correction: its fields, and the values by shared seed. outcome: are the values 0 or 1 for
    whole runs?"""

    fields: dict[str, Any]
    a: list[float]
    b: list[float]
    outcome: bool = False


@dataclass(frozen=True)
class Tested:
    """interval: of the difference; None where all differences are equal and not 0. alike: p value of the hypothesis
    that the two differ by the margin or more; None where this is not tested."""

    p: float
    interval: tuple[float, float] | None
    alike: float | None


def tested(a: Sequence[float], b: Sequence[float], margin: float | None, outcome: bool) -> Tested:
    """The test of one score over at least two shared seeds."""
    if outcome:
        n, hits, others = len(a), round(sum(a)), round(sum(b))
        return Tested(fisher(hits, n, others, n), shares_interval(hits, n, others, n), None)
    test = paired_t(a, b)
    return Tested(test.p, test.interval, None if margin is None else equivalence(a, b, margin))


def could_see(a: Sequence[float], b: Sequence[float], outcome: bool, tests: int) -> float | None:
    """The smallest true difference that these seeds show with probability 80%, in a table of so many tests (Holm's
    first step: level / tests). None if they show none, and where all differences are equal and not 0, so that their
    spread is not known."""
    level = LEVEL / tests
    if outcome:
        return detectable_share(min(sum(a), sum(b)) / len(a), len(a), level)
    if equal_differences(a, b):
        return None
    return detectable([x - y for x, y in zip(a, b)], level)


def judged(drafts: list[Draft], margin: float | None) -> list[Comparison]:
    """The comparisons with their verdicts, with p values adjusted over all of them."""
    decided = [d for d in drafts if "verdict" not in d.fields]
    tests = [tested(d.a, d.b, margin, d.outcome) for d in decided]
    adjusted = dict(zip(map(id, decided), zip(tests, holm([t.p for t in tests]))))
    asked = [(d, t.alike) for d, t in zip(decided, tests) if t.alike is not None]
    alike = dict(zip((id(d) for d, _ in asked), holm([p for _, p in asked])))
    out = []
    for d in drafts:
        fields: dict[str, Any] = d.fields | {
            "mean_a": mean(d.a),
            "mean_b": mean(d.b),
            "difference": mean([x - y for x, y in zip(d.a, d.b)]),
            "margin": margin,
            **dict.fromkeys(("interval", "p", "p_holm", "p_equivalent")),
        }
        if d.outcome and d.a:
            fields |= {"solved_a": _solved(d.a), "solved_b": _solved(d.b), "test": "Fisher"}
        if id(d) in adjusted:
            test, p_holm = adjusted[id(d)]
            p_equivalent, seen = alike.get(id(d)), could_see(d.a, d.b, d.outcome, len(decided))
            fields |= {"interval": test.interval, "p": test.p, "p_holm": p_holm, "p_equivalent": p_equivalent}
            fields |= {"detectable": seen, "verdict": _verdict(d, p_holm, p_equivalent, margin, seen)}
        out.append(Comparison(**fields))
    return out


def _verdict(d: Draft, p: float, alike: float | None, margin: float | None, seen: float | None) -> str:
    if d.a == d.b:
        return "the same in every seed"
    verdict = "not separable"
    if p < LEVEL:
        first = sum(d.a) > sum(d.b)
        better = d.fields["better"]
        first = first if better != "lower" else not first
        verdict = f"{d.fields['a'] if first else d.fields['b']} {'higher' if better == 'none' else 'better'}"
    elif d.outcome and seen is None:
        return f"no power ({counted(len(d.a), 'shared seed')} cannot separate such shares)"
    if alike is not None and alike < LEVEL:
        within = f"equivalent (margin {margin:g})"
        verdict = within if p >= LEVEL else f"{verdict}, but {within}"
    return verdict


def _solved(values: Sequence[float]) -> Solved:
    hits = round(sum(values))
    low, high = wilson(hits, len(values))
    return Solved(hits, len(values), low, high)


def mean(values: Sequence[float]) -> float | None:
    """The mean; None without values, and where the values are infinite in both directions."""
    found = sum(values) / len(values) if values else math.nan
    return None if math.isnan(found) else found
