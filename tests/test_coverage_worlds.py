"""Coverage of every score of every metric, over many evaluations of cheap models in small worlds.

The rule: a score fails if the share of its intervals that hold the truth is below .90 by more than 1.64 binomial
standard errors (.865 of 200), so that a true coverage of .90 fails once in 20.
"""

from __future__ import annotations

import pytest
from coverage import coverage, least
from coverage_cases import CASES, reason_without

REPEATS = 200
FEWEST = 50
"""A score that has a value in fewer evaluations is not judged."""


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_interval_covers(name: str) -> None:
    wrong, rare, judged = [], [], 0
    for score, scores in CASES[name].scores(REPEATS).items():
        found = coverage(scores)
        if reason_without(score) is not None:
            assert not found.with_interval, score
            continue
        if found.with_interval < FEWEST:
            rare.append(score)
            continue
        judged += 1
        print(found.line(score))
        if found.without or found.share < least(found.with_interval):
            wrong.append(found.line(score))
    assert not wrong, "\n".join(wrong)
    assert not rare, f"too few evaluations have an interval: {', '.join(rare)}"
    assert judged > 0
