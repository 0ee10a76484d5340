"""The first layer that has the state: models whose layers are known, probes against loops, intervals that cover."""

from __future__ import annotations

import numpy as np
import pytest

from worldbench.baselines.blurred import Blurred
from worldbench.baselines.options import GPTConfig
from worldbench.baselines.references import Oracle
from worldbench.baselines.untrained import make_untrained
from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config
from worldbench.core.metric import Report
from worldbench.core.model import SequenceModel
from worldbench.core.world import World
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.linear_probe import fit_affine, fit_discriminant
from worldbench.metrics.state_curve import METRIC, Question, earliest


class Layered(Oracle):
    """The exact state with a share of noise in each layer: all of it is noise at 1."""

    def __init__(self, world: World, noise: tuple[float, ...], control: tuple[float, ...] | None = None) -> None:
        super().__init__(world)
        self.noise, self.control = noise, control

    def layers(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        h = self.hidden(tokens)
        rng = streams.generator("noise of layers", int(tokens.sum()))
        drawn = {f"layer {i}": (1 - s) * h + s * rng.normal(size=h.shape) for i, s in enumerate(self.noise[:-1])}
        return drawn | {self.hidden_name: h if self.noise[-1] == 0 else rng.normal(size=h.shape)}

    def untrained(self, seed: int) -> SequenceModel | None:
        return None if self.control is None else Layered(self.world, self.control)


@pytest.fixture(scope="module", params=["hmm", "taxi"])
def world(request: pytest.FixtureRequest) -> World:
    if request.param == "hmm":
        return HMM(HMMConfig(process="rrxor", length=10))
    return TaxiWorld(TaxiConfig(map="city:12", min_moves=3, max_moves=12))


def measured(world: World, model: SequenceModel, **options: float) -> Report:
    return METRIC.measure(Evaluation(world, model, eval_config(curve_documents=100, **options)))


def test_the_first_layer_with_the_state_is_found(world: World) -> None:
    model = Layered(world, (1, 0.97, 0.02, 0.01, 0), control=(1, 1, 1, 1, 1))
    report = measured(world, model)
    curve, scores = report.series["by_layer"], report.scores
    assert scores["earliest_layer"].value == 2
    assert scores["earliest_layer"].interval == (2, 2)
    assert curve["score"][0] < 0.3 > max(curve["untrained"])
    assert scores["best"].value == pytest.approx(1, abs=1e-3)
    assert scores["best"].value == max(curve["score"])
    for low, value, high in zip(curve["low"], curve["score"], curve["high"]):
        assert low <= value <= high
    assert curve["layer"][int(report.arrays["earliest"][0])] == "layer 2"


def test_a_state_that_training_did_not_bring_has_no_layer(world: World) -> None:
    for noise, control, words in (
        ((1, 1, 1), (1, 1, 1), "no layer has the"),  # nothing has the state
        ((1, 0.02, 0), (1, 0.02, 0), "nothing is to be gained"),  # an untrained network has it too
        ((1, 1), None, "no layer has the"),
    ):
        scores = measured(world, Layered(world, noise, control)).scores
        assert np.isnan(scores["earliest_layer"].value)
        assert words in scores["earliest_layer"].reason
    weak = Layered(world, (1, 0.6 if world.name == "hmm" else 0.9, 1), (1, 1, 1))
    first = measured(world, weak, curve_gain=0.01).scores["earliest_layer"]
    assert measured(world, weak, curve_gain=1).scores["earliest_layer"].reason
    assert first.value == 1, "less is asked for"


def test_scores_are_those_of_probes_fitted_on_the_other_folds(world: World) -> None:
    """By loops over rows and folds."""
    model = make_untrained(world, GPTConfig(layers=1, heads=1, width=16))
    report = measured(world, model)
    documents = world.sample(0, "test", 0, 100)
    q = Question.of(world, documents)
    assert q is not None
    h = np.stack([model.hidden(documents.tokens[r : r + 1, :n])[0, -1] for r, n in zip(q.row, q.length)]).astype(float)
    w = np.array([(q.at == m).sum() for m in range(len(q.row))], float)
    losses, totals = [], []
    fold = np.arange(len(w)) if q.fold is None else q.fold  # a prefix alone, or all positions of some documents
    for part in np.unique(fold):
        for m in np.flatnonzero(fold == part)[:: 7 if q.classes else 1]:
            fit = fold != part
            if q.classes:
                said = int(fit_discriminant(h[fit], q.y[fit], q.classes)(h[m : m + 1]).argmax())
                losses.append(float(said != q.y[m]))
                totals.append(1.0)
            else:
                losses.append(w[m] * ((fit_affine(h[fit], q.y[fit], w[fit])(h[m : m + 1])[0] - q.y[m]) ** 2).sum())
                totals.append(w[m] * ((q.y[m] - w @ q.y / w.sum()) ** 2).sum())
    some = 1 - sum(losses) / sum(totals)
    assert report.series["by_layer"]["score"][-1] == pytest.approx(some, abs=0.12 if q.classes else 0.03)
    only = Question(**{**vars(q), "document": q.document[:0], "at": np.repeat(np.arange(len(w)), w.astype(int))})
    assert only.score(h) == pytest.approx(q.score(h))
    assert np.isnan(Question(**{**vars(q), "y": np.ones((len(w), 2)), "classes": 0}).score(h))


def test_each_occurrence_of_a_prefix_counts() -> None:
    world = HMM(HMMConfig(process="mess3", length=6))
    documents = world.sample(0, "test", 0, 50)
    q = Question.of(world, documents)
    assert q is not None
    assert len(q.at) == 50 * 5 > len(q.row)  # five prefixes of each document are asked for after a token
    for document, at in zip(q.document, q.at):
        n = q.length[at]
        assert documents.tokens[q.row[at], :n].tolist() == documents.tokens[document, :n].tolist()
    assert (np.diff(q.row) >= 0).all()


def test_earliest() -> None:
    scores = np.array([[0.1, 0.94, 0.96, 1.0], [0.5, 0.5, 0.5, 0.5], [0.0, 1.0, 0.2, 0.99]])
    assert earliest(scores, 0.95).tolist() == [2, 0, 1]
    assert earliest(scores, 1).tolist() == [3, 0, 1]


def test_intervals_cover_the_expected_score() -> None:
    world = HMM(HMMConfig(process="rrxor", length=6))
    model = Blurred(world, 0.5)
    found = [METRIC.measure(Evaluation(world, model, eval_config(curve_documents=60, seed=s))) for s in range(60)]
    scores = [report.scores["best"] for report in found]
    expected = np.mean([s.value for s in scores])
    inside = [s.interval is not None and s.interval[0] <= expected <= s.interval[1] for s in scores]
    assert np.mean(inside) >= 0.9


@pytest.mark.parametrize("wrong", [{"curve_share": 0.0}, {"curve_gain": 1.5}, {"curve_documents": 19}])
def test_options_out_of_range(wrong: dict) -> None:
    with pytest.raises(InputError, match=rf"eval\.{next(iter(wrong))} must be"):
        eval_config(**wrong)


def test_worlds_without_a_state() -> None:
    coin = HMM(HMMConfig(process="coin", length=6))
    assert "over a single state" in (METRIC.not_applicable(coin, Oracle(coin)) or "")
