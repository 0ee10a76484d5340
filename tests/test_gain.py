"""Shares of a gain: Fieller's interval, its coverage, and the two faults that once gave nonsense."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from worldbench.baselines.blurred import Blurred
from worldbench.baselines.options import GPTConfig
from worldbench.baselines.untrained import make_untrained
from worldbench.core.eval_config import eval_config
from worldbench.core.metric import Score
from worldbench.core.statistics import Z95, gain_interval, skewed_bounds
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics import state_swap, transition_consistency
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.gain import Gain, single_law_kl


@pytest.fixture(scope="module")
def city() -> TaxiWorld:
    return TaxiWorld(TaxiConfig(map="city:24", min_moves=2, max_moves=20))


@pytest.fixture(scope="module")
def mess3() -> HMM:
    return HMM(HMMConfig(process="mess3", length=8))


def test_the_interval_holds_the_ratios_that_cannot_be_rejected() -> None:
    """Literally: the interval ends where the mean of won - r possible is at a bound, in its own standard errors."""
    rng = np.random.default_rng(1)
    possible = rng.exponential(1, 40) - 0.3
    won = 0.6 * possible + rng.normal(0, 0.4, 40)
    found = gain_interval(won, possible)
    assert found.interval is not None
    best = won - found.value * possible
    bounds = skewed_bounds(float(stats.skew(best)) / 40**0.5, 39)
    for end, bound in zip(found.interval, reversed(bounds)):
        rest = won - end * possible
        assert rest.mean() == pytest.approx(bound * rest.std(ddof=1) / 40**0.5)
    assert gain_interval(-won, -possible) == found
    assert found.interval[0] < found.value < found.interval[1]


def test_there_is_no_interval_where_the_denominator_may_be_zero() -> None:
    possible = np.array([1.0, -1.0, 0.4, -0.2])
    assert gain_interval(np.ones(4), possible).interval is None
    assert gain_interval(np.ones(1), np.ones(1)).interval is None
    assert gain_interval(np.full(3, 0.5), np.full(3, 2.0)) == gain_interval(np.full(3, 1.0), np.full(3, 4.0))
    assert math.isnan(gain_interval(np.ones(3), np.zeros(3)).value)
    with pytest.raises(ValueError, match="at least one unit"):
        gain_interval(np.ones(0), np.ones(0))


def test_an_end_is_bounded_wherever_the_normal_one_is() -> None:
    """The denominator is 2.1 standard errors above 0: the t quantile alone would leave the interval unbounded."""
    possible = np.array([1.0, -0.2, 0.6, -0.05, 0.9, 0.3])
    error = possible.std(ddof=1) / 6**0.5
    assert Z95 < possible.mean() / error < stats.t.ppf(0.975, 5)
    low, high = gain_interval(possible + np.array([0.1, -0.1, 0, 0, 0.1, 0]), possible).interval or (0, 0)
    assert -math.inf < low < high < math.inf


@pytest.mark.parametrize("gain", [0.3, 1.0])
def test_the_interval_covers(gain: float) -> None:
    rng, hits = np.random.default_rng(2), []
    for _ in range(400):
        possible = rng.exponential(1, 60) - 1 + gain
        interval = gain_interval(0.7 * possible + rng.normal(0, 0.5, 60), possible).interval
        if interval is not None:
            hits.append(interval[0] <= 0.7 <= interval[1])
    assert len(hits) > 200
    assert 0.9 <= np.mean(hits) <= 0.985


def test_the_divergence_of_one_law() -> None:
    law = np.array([[1.0, 0.0], [0.5, 0.5]])
    assert single_law_kl(law) == pytest.approx([np.log(4 / 3), 0.5 * np.log(2 / 3) + 0.5 * np.log(2)])


def shared(own: float, other: float, single: float, reached: float) -> Score:
    """The share where every unit has about these sums of KL."""
    jitter = np.linspace(-0.1, 0.1, 20)
    return Gain(own + jitter, other - jitter, np.full(20, single), "pairs").share(reached + jitter)


def test_a_share_is_cut_off_at_one_and_missing_without_a_gain() -> None:
    found = shared(own=1, other=3, single=2, reached=1.5)
    assert found.value == pytest.approx(0.75)
    assert found.interval is not None
    assert found.interval[0] < 0.75 < found.interval[1] < 1
    assert (found.n, found.over, found.reason) == (20, "pairs", "")
    best = shared(own=1, other=3, single=2, reached=0.2)
    assert (best.value, best.interval) == (1, (1, 1))
    assert "no better than one law for all prefixes (1.1 times" in shared(own=2.2, other=3, single=2, reached=1).reason
    assert "no better than those of another prefix" in shared(own=1, other=1, single=2, reached=1).reason
    few = Gain(np.ones(1), np.ones(1), np.ones(1), "pairs").share(np.ones(1))
    assert "too few pairs" in few.reason
    assert few.interval is None


SETTINGS = {"documents": 80, "dynamics_documents": 60, "dynamics_steps": 20, "swap_pairs": 60}


@pytest.mark.parametrize("where", ["city", "mess3"])
@pytest.mark.parametrize("seed", range(3))
def test_an_untrained_network_has_no_share(where: str, seed: int, request: pytest.FixtureRequest) -> None:
    """On the city, `normalized` once was 1.6 [.3, 2.9], and `donor_law` .67 or NaN."""
    world = request.getfixturevalue(where)
    model = make_untrained(world, GPTConfig(layers=2, heads=2, width=16), seed)
    evaluation = Evaluation(world, model, eval_config(seed=seed, **SETTINGS))
    for metric in (transition_consistency.METRIC, state_swap.METRIC):
        if metric.not_applicable(world, model) is None:
            report = metric.measure(evaluation)
            for name, score in report.scores.items():
                if name.startswith(("normalized", "kept", "donor_law")):
                    assert np.isnan(score.value), (name, score)
                    assert "no better than one law for all prefixes" in score.reason
                    assert score.interval is None
                else:
                    assert np.isfinite(score.value), (name, score)


@pytest.mark.parametrize("where", ["city", "mess3"])
@pytest.mark.parametrize("sd", [0.1, 1, 10])
def test_blurred_states_never_score_above_one(where: str, sd: float, request: pytest.FixtureRequest) -> None:
    """On the city, `normalized` once was 1,551."""
    world = request.getfixturevalue(where)
    report = transition_consistency.METRIC.measure(Evaluation(world, Blurred(world, sd, 0), eval_config(**SETTINGS)))
    scores = report.scores
    knows = scores["direct_kl"].value < scores["single_law_kl"].value
    assert knows == (where == "mess3" and sd == 0.1)
    for name in ("normalized", "normalized_linear", "normalized_own"):
        if knows:
            assert scores[name].interval is not None
            assert scores[name].interval[1] <= 1
        else:
            assert np.isnan(scores[name].value)
            assert scores[name].reason


def test_the_untrained_network_is_measured_as_a_model_is(city: TaxiWorld) -> None:
    model = make_untrained(city, GPTConfig(layers=2, heads=2, width=16), 3)
    other = model.untrained(0)
    assert other is not None
    for metric, score in ((transition_consistency.METRIC, "direct_kl"), (state_swap.METRIC, "kl_donor")):
        ours, theirs = (metric.measure(Evaluation(city, m, eval_config(**SETTINGS))).scores for m in (model, other))
        assert ours[f"{score}_untrained"] == theirs[score] != ours[score]
        assert ours[f"{metric.primary}_untrained"].reason == theirs[metric.primary].reason != ""
