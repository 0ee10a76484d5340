"""Coverage of every score of every metric, over many evaluations of cheap models in small worlds.

The rule: of 200 evaluations, at least 90 in 100 have an interval that holds the truth. The share of 200 has a standard
error of .02. So if a score falls short, its metric is evaluated 1,000 times, and the share of these counts.
"""

from __future__ import annotations

import pytest
from coverage import REQUIRED, Case, Covered, coverage
from coverage_cases import CASES, OTHERWISE, RIDES, SOMETIMES, WITHOUT, listed

from worldbench.core.eval_config import eval_config
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.measured_routes import measure_routes
from worldbench.metrics.ride_routes import routes_from_data, routes_of
from worldbench.metrics.routes import from_table

REPEATS, MORE = 200, 1000
FEWEST = 100
"""A score with fewer intervals is not judged."""


def measured(case: Case) -> dict[str, Covered]:
    """The coverage of every score of the case. Metrics with a score that falls short are evaluated MORE times."""
    found = {score: coverage(scores) for score, scores in case.scores(REPEATS).items()}
    short = {
        score.split(".")[0]
        for score, covered in found.items()
        if covered.with_interval >= FEWEST and covered.share < REQUIRED and not listed(score, OTHERWISE)
    }
    return found | {score: coverage(scores) for score, scores in (case.scores(MORE, short) if short else {}).items()}


@pytest.mark.parametrize(
    "name",
    [pytest.param(name, marks=pytest.mark.slow if name == "process" else pytest.mark.long) for name in CASES],
)
def test_every_interval_covers(name: str) -> None:
    wrong, rare, judged = [], [], 0
    for score, found in measured(CASES[name]).items():
        if listed(score, WITHOUT):
            assert not found.with_interval, score
        elif found.missing in (REPEATS, MORE) or listed(score, OTHERWISE):
            continue
        elif found.with_interval < FEWEST:
            rare.append(score)
        else:
            judged += 1
            print(found.line(score))
            if found.share < REQUIRED or (found.without and not listed(score, SOMETIMES)):
                wrong.append(found.line(score))
    assert not wrong, "\n".join(wrong)
    assert not rare, f"too few evaluations have an interval: {', '.join(rare)}"
    assert judged > 1


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
    assert found.share >= REQUIRED, line
