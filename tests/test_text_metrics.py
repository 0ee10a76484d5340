"""Bits per byte and the ahead probe, on models whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from toy_worlds import Letters

from worldbench.baselines.ngram import NGram, NGramConfig
from worldbench.baselines.references import Uniform
from worldbench.core.eval_config import eval_config
from worldbench.core.world import Documents
from worldbench.envs.hmm.world import HMM
from worldbench.envs.text.config import TextConfig
from worldbench.envs.text.world import TextWorld
from worldbench.figures import ahead_probe as figure
from worldbench.metrics import ahead_probe, bits_per_byte
from worldbench.metrics.evaluation import Evaluation

SETTINGS = eval_config(documents=60, ahead_documents=40, ahead=3)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> TextWorld:
    folder = tmp_path_factory.mktemp("texts")
    for k in range(10):
        (folder / f"{k}.txt").write_text("".join(f"{j * j + k} is a number, {j} is another. " for j in range(60)))
    return TextWorld(TextConfig(files=str(folder), window=32))


def scores(metric: Any, world: Any, model: Any, **settings: Any) -> dict[str, Any]:
    report = metric.METRIC.measure(Evaluation(world, model, eval_config(**{**vars(SETTINGS), **settings})))
    return {name: score.value for name, score in report.scores.items()}


class Sharp:
    """Gives the right next token the probability `p` at every place, and the others the rest."""

    name = "sharp"

    def __init__(self, world: TextWorld, p: float) -> None:
        self.size = len(world.vocabulary)
        self.logit = np.log(p / ((1 - p) / (self.size - 1)))
        self.following = {row[:-1].tobytes(): row[1:] for row in world.sample(0, "test", 0, 60).tokens}

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        right = np.stack([self.following[row.tobytes()] for row in np.ascontiguousarray(tokens)])
        return (np.eye(self.size)[right] * self.logit).astype(np.float32)


def test_bits_of_models_that_are_known(world: TextWorld) -> None:
    flat = scores(bits_per_byte, world, Uniform(world))
    assert flat["bits"] == pytest.approx(np.log2(257))
    assert flat["of_uniform"] == pytest.approx(1)
    assert flat["bytes_per_token"] == 1
    for p in (0.5, 0.25):
        sharp = scores(bits_per_byte, world, Sharp(world, p))
        assert sharp["bits"] == pytest.approx(-np.log2(p), abs=1e-5)
        assert sharp["loss"] == pytest.approx(-np.log(p), abs=1e-5)
        assert sharp["accuracy"] == 1
    counted = scores(bits_per_byte, world, NGram(world, NGramConfig(documents=500)))
    assert counted["of_uniform"] < 0.3
    assert counted["accuracy"] > 0.5


def test_bits_are_per_byte_of_what_is_predicted(world: TextWorld) -> None:
    class Doubled(TextWorld):
        def token_bytes(self) -> np.ndarray:
            return 2 * super().token_bytes()

    doubled = Doubled(world.config)
    assert scores(bits_per_byte, doubled, Uniform(world))["bits"] == pytest.approx(np.log2(257) / 2)
    sums = bits_per_byte.predicted(world, Uniform(world), world.sample(0, "test", 0, 7))
    assert sums["bytes"].tolist() == sums["tokens"].tolist() == [31.0] * 7


def test_bits_do_not_depend_on_the_pieces(world: TextWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    model, documents = NGram(world, NGramConfig(documents=100)), world.sample(0, "test", 0, 20)
    whole = bits_per_byte.predicted(world, model, documents)
    monkeypatch.setattr(bits_per_byte, "CELLS", 1000)
    parts = bits_per_byte.predicted(world, model, documents)
    assert all((whole[name] == parts[name]).all() for name in whole)


def test_bits_need_bytes() -> None:
    assert bits_per_byte.METRIC.not_applicable(HMM(), Uniform(HMM())) == (
        "the tokens of the world 'hmm' are not bytes of a text"
    )


class Remembers:
    """The hidden state is the one-hot code of the token `ahead` places after the present one, which is looked up."""

    name, hidden_name = "remembers", "state"

    def __init__(self, world: Any, ahead: int, noise: float = 0.0) -> None:
        self.size, self.ahead, self.noise = len(world.vocabulary), ahead, noise
        self.rows = {row[:-1].tobytes(): row for row in world.sample(0, "test", 0, 60).tokens}

    def hidden(self, tokens: np.ndarray) -> np.ndarray:
        rows = np.stack([self.rows[row.tobytes()] for row in np.ascontiguousarray(tokens)])
        later = np.roll(rows, -self.ahead, axis=1)[:, : tokens.shape[1]]
        code = np.eye(self.size, dtype=np.float32)[later]
        return code + self.noise * np.random.default_rng(0).normal(size=code.shape).astype(np.float32)

    def layers(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        return {"state": self.hidden(tokens)}

    def untrained(self, seed: int) -> Any:
        return None


@pytest.mark.slow
def test_a_state_that_holds_one_token_gives_that_token(world: TextWorld) -> None:
    held = scores(ahead_probe, world, Remembers(world, 2))
    assert held["ahead_2"] > 0.97
    assert held["ahead_1"] < 0.9
    assert held["mean_constant"] < 0.4
    assert held["mean_constant"] < held["mean"] < 0.9
    noisy = scores(ahead_probe, world, Remembers(world, 2, noise=3.0))
    assert noisy["ahead_2"] < held["ahead_2"] - 0.2
    tokens = world.sample(0, "test", 0, 40).tokens.ravel()
    share = np.unique(tokens, return_counts=True)[1] / tokens.size
    assert held["bits_2"] > 0.9 * float(-(share * np.log2(share)).sum()), "nearly all of the entropy"
    assert noisy["bits_2"] < held["bits_2"] - 1


def test_probes_are_least_squares_at_each_distance() -> None:
    rng = np.random.default_rng(0)
    x, y, scored = rng.normal(size=(300, 7)), rng.integers(0, 9, (300, 3)), rng.normal(size=(80, 7))
    x[:, 0] += y[:, 1]
    x[:, 1] -= y[:, 2] == 4
    x[:, 2] *= 1e-3
    found = ahead_probe.read(x, y, scored)
    a = np.concatenate([np.ones((300, 1)), x], axis=1)
    spread = np.linalg.eigvalsh(np.cov(x.T, bias=True) * 300).mean()
    for k in range(3):
        code = np.eye(9)[y[:, k]]
        errors, said = [], []
        for ridge in ahead_probe.RIDGES:
            penalty = np.diag([0, *[ridge * spread] * 7])
            hat = a @ np.linalg.solve(a.T @ a + penalty, a.T)
            errors.append(((code - hat @ code) ** 2).sum() / (1 - np.trace(hat) / 300) ** 2)
            weight = np.linalg.solve(a.T @ a + penalty, a.T @ code)
            said.append((np.concatenate([np.ones((80, 1)), scored], axis=1) @ weight).argmax(axis=1))
        assert (found[:, k] == said[int(np.argmin(errors))]).mean() > 0.98


def test_without_anything_to_read_the_most_frequent_token_is_read() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(3000, 20)), rng.choice(30, (3000, 1), p=[0.13, *[0.03] * 29])
    assert (ahead_probe.read(x, y, rng.normal(size=(500, 20))) == 0).mean() > 0.95
    assert (ahead_probe.read(np.zeros((9, 4)), y[:9], np.zeros((3, 4))) == np.bincount(y[:9, 0]).argmax()).all()
    few = ahead_probe.read(x[:9], y[:9], x[:3])
    assert few.shape == (3, 1)


def test_positions_have_all_their_tokens_ahead(world: TextWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    documents = world.sample(0, "test", 0, 30)
    row, seen, tokens = ahead_probe.places(documents, 6)
    assert seen.min() == 1
    assert seen.max() == 26
    assert (np.bincount(row) == 26).all()
    for r, s, following in list(zip(row, seen, tokens))[::17]:
        assert (documents.tokens[r, s : s + 6] == following).all()
    monkeypatch.setattr(ahead_probe, "PLACES", 5)
    row, seen, _ = ahead_probe.places(documents, 6)
    assert seen[:5].tolist() == [1, 6, 11, 16, 21]
    assert (np.bincount(row) == 5).all()


def test_distances_end_at_half_of_a_document() -> None:
    model = Remembers(Letters(), 1)
    report = ahead_probe.METRIC.measure(Evaluation(Letters(), model, eval_config(ahead_documents=40)))
    assert report.series["by_distance"]["distance"] == [1, 2, 3, 4, 5, 6]
    assert "ahead_5" in report.scores
    assert "ahead_10" not in report.scores
    assert any("half of a document" in note for note in report.notes)
    assert report.scores["ahead_1"].interval is not None


def test_documents_that_are_too_short_have_no_score() -> None:
    class Short(Letters):
        def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
            whole = super().sample(seed, split, start, count)
            return Documents(whole.tokens, np.full(count, 5, np.int32), whole.prompt_length)

    report = ahead_probe.METRIC.measure(Evaluation(Short(), Remembers(Short(), 1), eval_config(ahead_documents=9)))
    assert "too few of the 9 documents have 6 tokens" in report.scores["mean"].reason


def test_known_states_are_asked_for_directly() -> None:
    reason = ahead_probe.METRIC.applies(HMM(), Uniform(HMM()))  # type: ignore[arg-type]
    assert reason is not None
    assert "'hmm'" in reason
    assert "state_probe" in reason


@pytest.mark.slow
def test_the_figure_has_every_distance(world: TextWorld, tmp_path: Path) -> None:
    report = ahead_probe.METRIC.measure(Evaluation(world, Remembers(world, 2), SETTINGS))
    np.savez(tmp_path / "ahead_probe.npz", **report.arrays)  # type: ignore[arg-type]
    paths = figure.draw(tmp_path / "ahead_probe.npz", tmp_path / "ahead", title="text")
    lines = (tmp_path / "ahead.csv").read_text().splitlines()
    head = "distance,accuracy,low,high,constant,untrained"
    assert lines[0] == f"{head},bits,bits_low,bits_high,bits_untrained"
    assert len(lines) == 4
    assert len(paths) == 3
    older = {name: x for name, x in report.arrays.items() if not name.startswith("bits")}
    np.savez(tmp_path / "ahead_probe.npz", **older)  # type: ignore[arg-type]
    figure.draw(tmp_path / "ahead_probe.npz", tmp_path / "older")
    assert (tmp_path / "older.csv").read_text().splitlines()[0] == head


def test_parts_without_a_position_leave_out_the_interval() -> None:
    """Four of thirty documents are long enough, so a random half of the documents may hold none of them."""

    class Few(Letters):
        def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
            whole = super().sample(seed, split, start, count)
            length = np.where(np.arange(count) < 4, whole.length, 5).astype(np.int32)
            return Documents(whole.tokens, length, whole.prompt_length)

    report = ahead_probe.METRIC.measure(Evaluation(Few(), Remembers(Few(), 1), eval_config(ahead_documents=30)))
    for name in ("mean", "ahead_1", "bits_1"):
        assert report.scores[name].value is not None
        assert report.scores[name].interval is None
