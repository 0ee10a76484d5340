"""The exact law of a world is the law of the documents that are scored: what is held out must not change it."""

from __future__ import annotations

import numpy as np
import pytest
from tiny_runs import tiny_env

from worldbench.core.abilities import HasLaw
from worldbench.core.registry import worlds
from worldbench.core.world import Automaton
from worldbench.metrics.evaluation import truth

DOCUMENTS = 1500
LEAST = 10.0
"""Cells with fewer expected tokens are left out: their counts are far from normal."""
MOST = 5.5
"""Standard errors. Over 10,000 cells, a normal variable is beyond this in .0004 of the tests."""


@pytest.mark.parametrize("split", ["train", "test"])
@pytest.mark.parametrize("name", worlds.names())
def test_scored_tokens_follow_the_exact_law(name: str, split: str) -> None:
    """Token a after t tokens occurs as often as the law says: a standard normal variable for each (t, a)."""
    world = worlds[name].load()(tiny_env(name))
    if not isinstance(world, HasLaw) or not isinstance(world, Automaton):
        pytest.skip(f"{name} does not define an exact law")
    documents = world.sample(7, split, 0, DOCUMENTS)
    known = truth(world, documents)
    assert known.law is not None
    row, seen = np.nonzero(known.scored)
    answer = {token: i for i, token in enumerate(world.vocabulary.answers)}
    given = np.array([answer[int(token)] for token in documents.answer(row, seen)])
    law = known.law[row, seen]
    counts, expected, variance = (np.zeros((known.scored.shape[1], law.shape[1])) for _ in range(3))
    np.add.at(counts, (seen, given), 1)
    np.add.at(expected, seen, law)
    np.add.at(variance, seen, law * (1 - law))
    assert (law[np.arange(len(row)), given] > 0).all()
    enough = variance >= LEAST
    apart = np.abs(counts - expected)[enough] / np.sqrt(variance[enough])
    assert apart.max(initial=0) < MOST
