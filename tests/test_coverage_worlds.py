"""Coverage of every score of every metric, over many evaluations of cheap models in small worlds.

The rule: a score fails if the share of its intervals that hold the truth is below .90 by more than 1.64 binomial
standard errors (.865 of 200), so that a true coverage of .90 fails once in 20.
"""

from __future__ import annotations

import pytest
from coverage import coverage, least
from coverage_cases import CASES, OTHERWISE, RIDES, SOMETIMES, WITHOUT, listed

from worldbench.core.eval_config import eval_config
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.measured_routes import measure_routes
from worldbench.metrics.ride_routes import routes_from_data, routes_of
from worldbench.metrics.routes import from_table

REPEATS = 200
FEWEST = 100
"""A score with fewer intervals is not judged."""


@pytest.mark.slow
@pytest.mark.parametrize("name", CASES)
def test_every_interval_covers(name: str) -> None:
    wrong, rare, judged = [], [], 0
    for score, scores in CASES[name].scores(REPEATS).items():
        found = coverage(scores)
        if listed(score, WITHOUT):
            assert not found.with_interval, score
        elif found.missing == REPEATS or listed(score, OTHERWISE):
            continue
        elif found.with_interval < FEWEST:
            rare.append(score)
        else:
            judged += 1
            print(found.line(score))
            if found.share < least(found.with_interval) or (found.without and not listed(score, SOMETIMES)):
                wrong.append(found.line(score))
    assert not wrong, "\n".join(wrong)
    assert not rare, f"too few evaluations have an interval: {', '.join(rare)}"
    assert judged > 5


@pytest.mark.slow
def test_intervals_over_orders_cover() -> None:
    """The same rides in many draws of five orders."""
    world, models = RIDES.built()
    evaluation = Evaluation(world, models["map_reconstruction"], eval_config())
    rides, graph = evaluation.rides("greedy", 100), world.graph()
    moves = from_table(routes_of(rides.tokens, rides.length, world.vocabulary, len(graph.directions)))
    true = from_table(routes_from_data(world, graph, 0, rides.prompts, rides.prompt_lengths))
    reports = [
        measure_routes(
            graph,
            *world.route_ends(rides.prompts),
            moves,
            true,
            degree=4,
            distance=804.672,
            orders=5,
            roll_back=True,
            seed=seed,
        )
        for seed in range(REPEATS)
    ]
    found = coverage(r.scores["street_precision_orders"] for r in reports)
    print(line := found.line("street_precision_orders"))
    assert found.share >= least(REPEATS), line
