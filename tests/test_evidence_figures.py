"""Figures of single metrics' evidence: what is drawn is what was measured, the same every time, with its data beside
it."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest

from worldbench.baselines.corrupted import Corrupted
from worldbench.baselines.corrupted_config import CorruptedConfig
from worldbench.baselines.options import GPTConfig
from worldbench.baselines.references import Oracle
from worldbench.baselines.untrained import make_untrained
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config
from worldbench.core.states import ARRIVED, ILLEGAL
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.library import named
from worldbench.envs.hmm.world import HMM
from worldbench.figures import (
    arrival_curve,
    belief_distances,
    belief_simplex,
    lost_rides,
    position_loss,
    spectra,
    state_curve,
)
from worldbench.figures.belief_simplex import CORNERS, lay_out
from worldbench.figures.run_figures import draw_run
from worldbench.metrics import effective_rank, excess_loss
from worldbench.metrics.evaluation import Evaluation
from worldbench.runs.scoring import score

SETTINGS = eval_config(
    metrics=("belief_probe", "excess_loss", "effective_rank"), probe_documents=150, documents=60, rank_tokens=200
)


def table(path: Path) -> dict[str, np.ndarray]:
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: np.array([float(r[name]) if r[name] else np.nan for r in rows]) for name in rows[0]}


@pytest.fixture(
    scope="module",
    params=[pytest.param("mess3", marks=(pytest.mark.pictures, pytest.mark.slow)), "rrxor", "coin", "bloch_walk"],
)
def run(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a scored model, with its figures."""
    world = HMM(HMMConfig(process=request.param, length=8))
    folder = tmp_path_factory.mktemp(request.param)
    (folder / "process").write_text(request.param)
    scored = score(world, make_untrained(world, GPTConfig(layers=1, heads=1, width=16)), SETTINGS, folder / "evidence")
    assert set(scored.not_applicable) == ({"belief_probe"} if request.param == "coin" else set())
    draw_run(folder)
    return folder


def test_a_run_has_its_figures_and_they_are_the_same_again(run: Path) -> None:
    first = {p: p.read_bytes() for p in (run / "figures").iterdir()}
    stems = {p.name for p in first}
    expected = ["position-loss", "spectra"] + (
        ["beliefs", "belief-distances"] if (run / "evidence/belief_probe.npz").exists() else []
    )
    assert stems == {f"{stem}.{kind}" for stem in expected for kind in ("png", "svg", "csv")}
    assert {p: p.read_bytes() for p in draw_run(run)} == first


def test_spectra_and_losses_are_those_of_the_evidence(run: Path) -> None:
    with np.load(run / "evidence/effective_rank.npz") as arrays:
        s = arrays["singular_values"]
        assert table(run / "figures/spectra.csv")["singular_values"] == pytest.approx(s / s.sum())
        assert "singular_values_untrained" in arrays
    drawn = table(run / "figures/position-loss.csv")
    assert drawn["position"].tolist() == list(range(8))
    assert drawn["exact_bayes"] == pytest.approx(named((run / "process").read_text()).myopic_entropies(7))


def test_loss_by_position_is_the_mean_there() -> None:
    world = HMM(HMMConfig(process="rrxor", length=8))
    model = Corrupted(world, CorruptedConfig(rewired=0, noise=0.7))
    e = Evaluation(world, model, eval_config(documents=3000))
    report = excess_loss.METRIC.measure(e)
    _, t, kl, entropy, loss = excess_loss.divergences(world, model, e.documents)
    curve, h = report.series["by_position"], world.process.myopic_entropies(7)
    for i in range(8):
        for name, x in (("kl", kl), ("bayes", entropy), ("loss", loss)):
            assert curve[name][i] == pytest.approx(x[t == i + 1].mean())
        assert curve["exact_bayes"][i] == pytest.approx(h[i])
        spread = entropy[t == i + 1].std() / 3000**0.5
        assert curve["bayes"][i] == pytest.approx(h[i], abs=4 * spread + 1e-9)
        assert report.arrays["by_kl"][i] == curve["kl"][i]
    assert report.scores["exact_bayes"].value == pytest.approx(h.mean())
    # Beliefs without end, in long documents: the expectation is not known, and nothing is claimed.
    long = HMM(HMMConfig(process="mess3", length=40))
    few = Evaluation(long, Oracle(long), eval_config(documents=20))
    assert "exact_bayes" not in excess_loss.METRIC.measure(few).scores


def test_rank_of_the_untrained_network() -> None:
    world = HMM(HMMConfig(process="rrxor", length=8))
    model = make_untrained(world, GPTConfig(layers=1, heads=1, width=16))
    e = Evaluation(world, model, eval_config(documents=40, rank_tokens=150))
    report, plain = effective_rank.METRIC.measure(e), model.untrained(0)
    assert plain is not None
    h = np.concatenate([plain.hidden(d[None, :-1])[0] for d in e.documents.tokens])[:150]
    assert report.arrays["singular_values_untrained"] == pytest.approx(
        np.linalg.svd(h, compute_uv=False), rel=1e-3, abs=1e-3
    )
    assert report.scores["rank_untrained"].value != report.scores["rank"].value
    assert (
        "rank_untrained"
        not in effective_rank.METRIC.measure(Evaluation(world, Oracle(world), eval_config(documents=40))).scores
    )


def test_beliefs_are_laid_out_where_they_belong() -> None:
    rng = np.random.default_rng(0)
    b = rng.dirichlet(np.ones(3), 50)
    true, probed, colours, plane = lay_out(b, b + 0.01, np.ones(50))
    assert plane == "simplex"
    assert true == pytest.approx(b @ CORNERS)
    assert probed - true == pytest.approx(np.tile(0.01 * CORNERS.sum(0), (50, 1)))
    assert ((colours >= 0) & (colours <= 1)).all()
    b = rng.dirichlet(np.ones(5), 80)
    w = rng.random(80)
    true, probed, _, plane = lay_out(b, b, w)
    assert plane == "components"
    assert probed == pytest.approx(true)
    centred = (b - np.average(b, axis=0, weights=w)) * np.sqrt(w / w.sum())[:, None]
    _, s, _ = np.linalg.svd(centred, full_matrices=False)
    assert np.sqrt((w / w.sum()) @ true**2) == pytest.approx(s[:2])
    # A generalised process with three dimensions is no simplex, and two states have a line.
    assert lay_out(rng.normal(size=(20, 3)), rng.normal(size=(20, 3)), np.ones(20))[3] == "components"
    line, probed, _, _ = lay_out(rng.dirichlet(np.ones(2), 20), rng.dirichlet(np.ones(2), 20), np.ones(20))
    assert line[:, 1] == pytest.approx(np.zeros(20))
    assert probed.shape == (20, 2)


def test_rrxor_has_its_beliefs_in_the_plane(tmp_path: Path) -> None:
    """RRXOR has 36 beliefs; 35 without the belief at the start."""
    world = HMM(HMMConfig(process="rrxor", length=12))
    score(world, Oracle(world), eval_config(metrics=("belief_probe",), probe_documents=2000), tmp_path)
    belief_simplex.draw(tmp_path / "belief_probe.npz", tmp_path / "beliefs")
    drawn = table(tmp_path / "beliefs.csv")
    states = np.stack([drawn[f"belief_{i}"] for i in range(5)], axis=1)
    assert len(np.unique(states.round(6), axis=0)) == 35
    assert drawn["probed_x"] == pytest.approx(drawn["true_x"], abs=1e-3)


def test_distances_are_those_of_the_evidence(tmp_path: Path) -> None:
    true = np.linspace(0, 1, 300)
    np.savez(tmp_path / "e.npz", distance_belief=true, distance_probed=2 * true, distance_hidden=np.zeros(300))
    paths = belief_distances.draw(tmp_path / "e.npz", tmp_path / "d")
    drawn = table(paths[-1])
    assert drawn["distance_probed"] == pytest.approx(2 * true)
    assert "distance_law" not in drawn


@pytest.mark.pictures
def test_arrival_is_drawn_with_distances_and_without(tmp_path: Path) -> None:
    plain = {"arrived": np.array([0, 3, 4]), "distance": np.array([1, 1, 2]), "rides": np.array([4])}
    np.savez(tmp_path / "plain.npz", **plain)
    half = np.array([0.4, 0.9])
    curve = {"from": np.array([1, 2]), "below": np.array([2, -1]), "prompts": np.array([2, 1])}
    ends = {"arrives": half, "low": half - 0.3, "high": half + 0.1}
    np.savez(tmp_path / "curve.npz", **plain, **{f"by_{name}": x for name, x in (curve | ends).items()})
    for name in ("plain", "curve"):
        paths = arrival_curve.draw(tmp_path / f"{name}.npz", tmp_path / name, title="a $run")
        assert {p.suffix for p in paths} == {".png", ".svg", ".csv"}
        drawn = table(paths[-1])
        assert drawn["arrived"].tolist() == [0, 3, 4]
        assert drawn["rides"].tolist() == [4, 4, 4]
    np.savez(tmp_path / "wrong.npz", **(plain | {"rides": np.array([3])}))
    with pytest.raises(InputError, match="more arrivals than rides"):
        arrival_curve.draw(tmp_path / "wrong.npz", tmp_path / "wrong")


@pytest.mark.pictures
def test_a_picture_says_that_no_ride_is_lost(tmp_path: Path) -> None:
    for outcome in (ARRIVED, ILLEGAL):
        rides = {"outcome": np.full(4, outcome), "distance": np.full(4, 2), "legal_arrives": np.ones(4, bool)}
        np.savez(tmp_path / "rides.npz", **rides, doubt=np.zeros(4), tracking=np.ones(4))
        lost_rides.draw(tmp_path / "rides.npz", tmp_path / "lost")
        assert ("no ride is lost" in (tmp_path / "lost.svg").read_text()) == (outcome == ARRIVED)


@pytest.mark.parametrize(
    "figure", [arrival_curve, belief_simplex, belief_distances, lost_rides, position_loss, spectra, state_curve]
)
def test_what_is_no_evidence_is_reported(figure, tmp_path: Path) -> None:
    np.savez(tmp_path / "other.npz", outcome=np.zeros(3))
    (tmp_path / "text.npz").write_text("not an archive")
    for name, words in (("other.npz", "lacks "), ("text.npz", "cannot read"), ("absent.npz", "cannot read")):
        with pytest.raises(InputError, match=words):
            figure.draw(tmp_path / name, tmp_path / "figure")
