"""Arrival by prompt: some prompts that always fail, or every prompt a little; intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest

from worldbench.baselines.from_states import FromStates
from worldbench.baselines.references import Oracle, RandomLegal
from worldbench.core.eval_config import eval_config
from worldbench.core.metric import Report
from worldbench.core.model import SequenceModel
from worldbench.core.world import ARRIVED, States
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.arrival_calibration import METRIC, between_prompts, mean_probability, spread_scores
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.rollout import roll_out

RIDES = 16


@pytest.fixture(scope="module")
def world() -> TaxiWorld:
    return TaxiWorld(TaxiConfig(map="city:40", min_moves=3, max_moves=16))


class Leaky(FromStates):
    """The exact law with a share of its probability on every action; only toward some destinations, if `some`."""

    name = "leaky"

    def __init__(self, world: TaxiWorld, share: float, some: bool) -> None:
        super().__init__(world)
        self.share, self.some = share, some

    def answer_law(self, states: States) -> np.ndarray:
        law = self.world.law(states)
        share = np.full(len(law), self.share)
        if self.some:
            share = np.where(states.destination % 3 == 0, self.share, 0.0)  # type: ignore[attr-defined]
        return (1 - share[:, None]) * law + share[:, None] / law.shape[1]


def measured(world: TaxiWorld, model: SequenceModel, prompts: int = 60) -> Report:
    settings = eval_config(arrival_prompts=prompts, arrival_rides=RIDES)
    return METRIC.measure(Evaluation(world, model, settings))


def test_exact_law_arrives_always_and_does_not_spread(world: TaxiWorld) -> None:
    scores = measured(world, Oracle(world)).scores
    assert (scores["always"].value, scores["arrives"].value, scores["never"].value) == (1, 1, 0)
    low, high = scores["spread"].interval or (0, 0)
    assert scores["spread"].value == low == 0 < high < 0.3
    assert scores["concentration"].reason.startswith("every ride arrives")


def test_some_prompts_that_fail_are_told_from_all_that_fail_a_little(world: TaxiWorld) -> None:
    some, every = measured(world, Leaky(world, 0.9, True)), measured(world, Leaky(world, 0.05, False))
    a, b = some.scores, every.scores
    assert abs(a["arrives"].value - b["arrives"].value) < 0.15, "both lose about as many rides"
    assert a["concentration"].value > 0.9 > 0.2 > b["concentration"].value
    assert a["spread"].value > 0.4 > 0.2 > b["spread"].value
    assert a["never"].value > 0.2 > 0.01 > b["never"].value
    assert a["always"].value > 0.6 > 0.3 > b["always"].value


def test_curve_and_counts_are_those_of_the_rides(world: TaxiWorld) -> None:
    report = measured(world, RandomLegal(world), 40)
    prompts, arrived, distance = (report.arrays[name] for name in ("prompts", "arrived", "distance"))
    rides = roll_out(
        world, RandomLegal(world), np.repeat(prompts, RIDES, axis=0), np.full(40 * RIDES, 2), 0, "sampled",
        stream="arrival",
    )  # fmt: skip
    assert arrived.tolist() == [int((rides.outcome[i : i + RIDES] == ARRIVED).sum()) for i in range(0, 640, RIDES)]
    curve = report.series["by_hops"]
    assert sum(curve["prompts"]) == 40
    for i, (low, below) in enumerate(zip(curve["from"], curve["below"])):
        inside = [h for h, d in zip(arrived, distance) if low <= d and (d < below or below < 0)]
        assert curve["arrives"][i] == pytest.approx(np.mean(inside) / RIDES)
        assert curve["low"][i] <= curve["arrives"][i] <= curve["high"][i]


def test_variance_between_prompts_is_unbiased() -> None:
    rng = np.random.default_rng(0)
    n, rides, found = 30, 8, []
    for _ in range(4000):
        p = rng.beta(3, 1, n)
        a = rng.binomial(rides, p) / rides
        found.append(between_prompts(np.array([a.mean(), (a**2).mean(), (a * (1 - a) / (rides - 1)).mean()]), n))
    variance, most = np.mean(found, axis=0)
    assert variance == pytest.approx(3 / 80, rel=0.03)  # the variance of a beta distribution
    assert most == pytest.approx(3 / 16, rel=0.02)


@pytest.mark.parametrize(
    "beta", [(0.3, 0.1), *(pytest.param(b, marks=pytest.mark.slow) for b in ((6, 2), (1, 1), (200, 20)))]
)
def test_intervals_cover(beta: tuple[float, float]) -> None:
    rng, (a, b) = np.random.default_rng(3), beta
    variance, mean = a * b / (a + b) ** 2 / (a + b + 1), a / (a + b)
    true = {"arrives": mean, "spread": variance**0.5, "concentration": variance / (mean * (1 - mean))}
    inside = dict.fromkeys(true, 0)
    for seed in range(200):
        arrived = rng.binomial(16, rng.beta(a, b, 100))
        scores = {"arrives": mean_probability(arrived, 16), **spread_scores(arrived, 16, seed)}
        for name, value in true.items():
            low, high = scores[name].interval or (1, 0)
            inside[name] += low <= value <= high
    assert min(inside.values()) >= 180, inside


@pytest.mark.parametrize(("lost", "failing"), [(0.01, 0.002), (0.01, 0.01), (0.02, 0.005)])
def test_the_interval_holds_where_few_prompts_always_fail(lost: float, failing: float) -> None:
    """lost: share of prompts from which no ride arrives; failing: share of rides that fail from the others. Often, none
    of the 100 prompts is lost, and nothing in the sample says that some are."""
    rng, mean, inside = np.random.default_rng(4), (1 - lost) * (1 - failing), 0
    for _ in range(400):
        p = np.where(rng.random(100) < lost, 0.0, 1 - failing)
        low, high = mean_probability(rng.binomial(16, p), 16).interval or (1, 0)
        inside += low <= mean <= high
    assert inside >= 376  # .94 of 400: .95 without its standard error of .011


def test_a_world_of_one_prompt_has_no_curve() -> None:
    world = HMM(HMMConfig(process="mess3", length=6))
    assert "single prompt" in (METRIC.not_applicable(world, Oracle(world)) or "")
