"""The verdicts on a table of claims, from the values of both arms by seed.

reproduced: the difference is as claimed, or the arms are equal as claimed. opposite at this scale: the difference is
significant in the other direction; where the arms should be equal, it is significant and above the margin. equivalent:
the arms differ by less than the margin of the claim (two one-sided tests). not separable: neither, although these seeds
would have shown a difference of the published size (without published numbers: of the margin). no power: they would
not, or there are fewer than five; or both arms are at the floor or at the ceiling (`claim_verdicts.py`). not run:
there are no records.

The tests are those of `compare_verdicts.py`. Holm's correction is over all tests of a difference in the table, and
likewise over all tests of equivalence. So if no claim of a table has a true difference, the probability of one or more
verdicts that rest on a difference is .05 at most; if every true difference is as large as its margin or larger, so is
the probability of one or more verdicts that rest on equivalence.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from worldbench.core.statistics import holm
from worldbench.core.text import counted
from worldbench.records.claims import Claim
from worldbench.records.compare import FEWEST_SEEDS
from worldbench.records.compare_verdicts import LEVEL, could_see, tested
from worldbench.records.extremes import verdict as in_words

Verdict = Literal["reproduced", "opposite at this scale", "equivalent", "not separable", "no power", "not run"]
VERDICTS: tuple[Verdict, ...] = (
    "reproduced", "opposite at this scale", "equivalent", "not separable", "no power", "not run",
)  # fmt: skip


NO_POWER_BELOW = "no power below"


@dataclass(frozen=True)
class Sample:
    """The values of both arms of a claim on the shared seeds. outcome: are they 0 or 1 for whole runs?"""

    claim: Claim
    a: tuple[float, ...]
    b: tuple[float, ...]
    outcome: bool = False


@dataclass(frozen=True)
class Decision:
    """interval: 95%, of a - b. p, p_holm: of "no difference". p_equivalent: of "they differ by the margin or more",
    Holm-adjusted. detectable: the smallest true difference that the seeds show with probability 80%. None without a
    test, for which `reason` has the reason."""

    verdict: Verdict
    interval: tuple[float, float] | None = None
    p: float | None = None
    p_holm: float | None = None
    p_equivalent: float | None = None
    detectable: float | None = None
    test: str = ""
    reason: str = ""


def decide(samples: list[Sample]) -> list[Decision]:
    """The verdict on each claim of a table, in order."""
    untested = [_untested(sample) for sample in samples]
    open_ = [i for i, found in enumerate(untested) if found is None]
    tests = {i: tested(samples[i].a, samples[i].b, samples[i].claim.margin, samples[i].outcome) for i in open_}
    p_holm = dict(zip(open_, holm([tests[i].p for i in open_])))
    asked = [(i, alike) for i in open_ if (alike := tests[i].alike) is not None]
    p_alike = dict(zip((i for i, _ in asked), holm([alike for _, alike in asked])))
    out = []
    for i, (sample, found) in enumerate(zip(samples, untested)):
        if found is not None:
            out.append(found)
            continue
        seen = could_see(sample.a, sample.b, sample.outcome, len(open_))
        verdict, reason = _verdict(sample, p_holm[i], p_alike.get(i), seen)
        p, interval, name = tests[i].p, tests[i].interval, "Fisher" if sample.outcome else "paired t"
        out.append(Decision(verdict, interval, p, p_holm[i], p_alike.get(i), seen, name, reason))
    return out


def _untested(sample: Sample) -> Decision | None:
    """The verdict where no test is made: too few seeds, and values of which no test exists."""
    names = (sample.claim.a.name, sample.claim.b.name)
    if len(sample.a) < FEWEST_SEEDS:
        return Decision(
            "no power", reason=f"{counted(len(sample.a), 'shared seed')}, and at least {FEWEST_SEEDS} are needed"
        )
    if (words := in_words(names, (sample.a, sample.b), "none", "shared seed")) is not None:
        return Decision("not separable", reason=f"no test of infinite values exists ({words})")
    return None


def _verdict(sample: Sample, p: float, alike: float | None, seen: float | None) -> tuple[Verdict, str]:
    claim, n = sample.claim, len(sample.a)
    difference = (sum(sample.a) - sum(sample.b)) / n
    if alike is not None and alike < LEVEL:
        note = "there is a difference, but it is smaller than the margin" if p < LEVEL else ""
        return ("reproduced" if claim.expects == "equal" else "equivalent"), note
    if p < LEVEL and (claim.expects != "equal" or abs(difference) > claim.margin):
        wanted = {"a higher": 1, "a lower": -1, "equal": 0}[claim.expects]
        return ("reproduced" if difference * wanted > 0 else "opposite at this scale"), ""
    if p < LEVEL:
        return "not separable", "there is a difference, but it is not clear whether it is larger than the margin"
    size = claim.margin if claim.expects == "equal" else max(claim.margin, abs(claim.effect or 0.0))
    if seen is None:
        return "no power", f"{counted(n, 'seed')} show no difference reliably"
    return ("no power" if seen > size else "not separable"), f"{NO_POWER_BELOW} {seen:.3g}"
