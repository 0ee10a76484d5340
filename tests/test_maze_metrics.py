"""Metrics of mazes to be solved, against literal readings; models on prompts of many lengths; the gallery."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from tiny_runs import SIZES

from worldbench.baselines.batch import pack
from worldbench.baselines.corrupted import Corrupted
from worldbench.baselines.corrupted_config import CorruptedConfig
from worldbench.baselines.from_states import FromStates, StateDecoder
from worldbench.baselines.ngram import NGram
from worldbench.baselines.references import Oracle, RandomLegal, Uniform
from worldbench.baselines.untrained import make_untrained
from worldbench.core.arrays import npz
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config
from worldbench.core.model import SequenceModel
from worldbench.core.registry import metrics
from worldbench.core.world import ARRIVED
from worldbench.envs.hmm.world import HMM
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.figures import maze_gallery
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.minimal_pairs import first_change
from worldbench.metrics.solved_paths import true_paths
from worldbench.runs.scoring import score
from worldbench.studies.check.damage import kinds

LOOPS = SolveConfig(rows=4, columns=5, generator="depth-first-percolation", percolation=0.3)
SMALL = eval_config(
    trials=60,
    documents=40,
    detours=(0.5,),
    structure_trials=60,
    shift_trials=20,
    pairs=20,
    probe_documents=40,
    dynamics_documents=20,
    dynamics_steps=5,
    horizon=3,
    rank_tokens=100,
)


@pytest.fixture(scope="module", params=["tree", "loops"])
def world(request: pytest.FixtureRequest) -> SolveWorld:
    return SolveWorld(SolveConfig(rows=4) if request.param == "tree" else LOOPS)


@pytest.fixture(scope="module")
def ragged() -> SolveWorld:
    return SolveWorld(LOOPS)


def models(world: SolveWorld) -> list[SequenceModel]:
    from worldbench.baselines.options import GPTConfig

    return [Oracle(world), *others(world), make_untrained(world, GPTConfig(layers=1, heads=1, width=16), 0)]


def others(world: SolveWorld) -> list[SequenceModel]:
    """Models that test_registered_worlds does not score."""
    damaged = Corrupted(world, CorruptedConfig(deleted=1, added=1, rewired=1, noise=0.3), 2)
    return [RandomLegal(world), damaged, NGram(world)]


# Prompts of many lengths


def test_models_read_prompts_of_many_lengths_one_by_one(ragged: SolveWorld) -> None:
    d = ragged.sample(0, "test", 0, 12)
    assert len(np.unique(d.prompt_length)) > 3
    cut = d.prompt_length + (np.arange(12) % 3)
    for model in models(ragged):
        whole = model.logits(d.tokens)
        decoder = model.decoder(d.tokens[:, : int(cut.max())], cut)
        for i in range(12):
            alone = model.logits(d.tokens[i : i + 1, : d.length[i]])[0]
            given = d.prompt_length[i] - 1
            assert np.allclose(np.exp(whole[i, given : d.length[i]]), np.exp(alone[given:]), atol=1e-5), model.name
            assert np.allclose(np.exp(decoder.logits[i]), np.exp(alone[cut[i] - 1]), atol=1e-4), model.name
        if model.hidden_name:
            h = model.hidden(d.tokens)
            for i in range(12):
                alone = model.hidden(d.tokens[i : i + 1, : d.length[i]])[0]
                assert np.allclose(
                    h[i, d.prompt_length[i] - 1 : d.length[i]], alone[d.prompt_length[i] - 1 :], atol=1e-4
                ), model.name
        if isinstance(model, FromStates):
            early = model.logits(d.tokens[:, :20])  # no prompt is whole: nothing is known
            assert (early == 0).all()


def test_only_paths_are_scored_in_training(ragged: SolveWorld) -> None:
    d = ragged.sample(0, "train", 0, 8)
    batch = pack(d, 4, 2 * ragged.context)
    targets = batch.targets.numpy()
    assert (targets >= 0).sum() == (d.length - d.prompt_length).sum()
    assert set(np.unique(targets[targets >= 0])) <= set(ragged.vocabulary.actions)


@pytest.mark.slow
def test_every_metric_applies_or_says_why(ragged: SolveWorld, tmp_path: Path) -> None:
    for model in others(ragged):
        record = score(ragged, model, eval_config(**SIZES), tmp_path)
        assert set(record.scores) | set(record.not_applicable) == set(metrics.names())
        assert {
            "solved_paths",
            "retelling",
            "minimal_pairs",
            "out_of_distribution",
            "valid_trajectories",
            "lookahead",
        } <= set(record.scores)
        assert "backwards" in record.not_applicable["sequence_compression"]
    for name in ("solved_paths", "retelling", "minimal_pairs"):
        assert "hold no rule" in metrics[name].load().not_applicable(HMM(), Uniform(HMM()))
    assert "same words" in metrics["out_of_distribution"].load().not_applicable(HMM(), Uniform(HMM()))


def test_noise_is_a_damage_only_where_there_is_a_choice(world: SolveWorld) -> None:
    reasons = kinds(world)
    assert (reasons["noise"] is None) == (world.config.generator != "depth-first")
    assert not any(reasons[kind] for kind in ("deleted", "added", "rewired", "wrong_goal", "blind"))
    assert reasons["temperature"] is not None  # shortest paths are equally likely


# Scores


def test_true_paths_are_the_documents(world: SolveWorld) -> None:
    prompts, lengths = world.prompts(0, 80)
    tokens, length, forks = true_paths(world, prompts, lengths, 0)
    d = world.sample(0, "test", 0, 80)
    assert np.array_equal(length, d.length - d.prompt_length)
    if world.config.generator == "depth-first":
        assert np.array_equal(tokens[np.arange(80), length - 1], np.full(80, world.vocabulary.end))
        for i in range(80):
            assert tokens[i, : length[i]].tolist() == d.tokens[i, d.prompt_length[i] : d.length[i]].tolist()
    drawn = world.drawing(prompts, lengths)
    for i in range(80):
        path = drawn["cell_of_token"][tokens[i, : length[i] - 1]]
        ways = drawn["passages"][i][path[:-1]].sum(axis=1)
        near = [
            set(np.flatnonzero(world.legal(s)[0]))
            for s in _states_along(world, prompts, lengths, i, tokens[i], length[i])
        ]
        assert forks[i] == sum(len(n - set(path[:k])) > 1 for k, n in enumerate(near[1 : length[i] - 1], 1))
        assert (ways >= 1).all()


def _states_along(
    world: SolveWorld, prompts: np.ndarray, lengths: np.ndarray, i: int, path: np.ndarray, count: int
) -> list:
    states = [world.start(prompts[i : i + 1], lengths[i : i + 1])]
    for t in range(count):
        states.append(world.step(states[-1], path[t : t + 1]))
    return states


def test_solved_paths_literally(world: SolveWorld) -> None:
    model = Corrupted(world, CorruptedConfig(rewired=2), 1)
    report = metrics["solved_paths"].load().measure(Evaluation(world, model, SMALL))
    a = report.arrays
    exact = optimal = reaches = 0
    for i in range(60):
        said = a["greedy_tokens"][i, : a["greedy_length"][i]].tolist()
        exact += said == a["true_tokens"][i, : a["true_length"][i]].tolist()
        arrived = (
            world.outcome(_states_along(world, *world.prompts(0, 60), i, np.array(said), len(said))[-1])[0] == ARRIVED
        )
        reaches += arrived
        optimal += arrived and len(said) == a["true_length"][i]
    assert 0 < exact < 60
    assert report.scores["exact_greedy"].value == pytest.approx(exact / 60)
    assert report.scores["optimal_greedy"].value == pytest.approx(optimal / 60)
    assert report.scores["reaches_greedy"].value == pytest.approx(reaches / 60)
    for name in ("by_moves", "by_forks"):
        rows = report.series[name]
        assert sum(rows["n"]) == 60
        assert np.dot(rows["n"], rows["exact"]) == pytest.approx(exact)


class Silent(StateDecoder):
    """Gives every token the same logit in the rows that are silent."""

    silent: np.ndarray

    @property
    def logits(self) -> np.ndarray:  # type: ignore[override]
        return np.where(self.silent[:, None], np.float32(0), self.model.all_tokens(self._leading))

    def leading(self) -> np.ndarray:
        return np.where(self.silent[:, None], np.float32(0), super().leading())

    def select(self, rows: np.ndarray) -> None:
        super().select(rows)
        self.silent = self.silent[rows]


class Forgetful(Oracle):
    """The oracle, except for prompts whose first entry names the southern or the eastern cell first. There it makes
    no move."""

    name = "forgetful"

    def decoder(self, prompts: np.ndarray, lengths: np.ndarray, condition: np.ndarray | None = None) -> StateDecoder:
        out = super().decoder(prompts, lengths)
        out.__class__, out.silent = Silent, prompts[:, 1] > prompts[:, 3]  # type: ignore[attr-defined]
        return out

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        return np.where((tokens[:, 1] > tokens[:, 3])[:, None, None], 0.0, super().logits(tokens)).astype(np.float32)


def test_retelling_sees_what_the_order_of_telling_changes(world: SolveWorld) -> None:
    settings = eval_config(structure_trials=200, trials=200)
    exact, forgetful = (
        metrics["retelling"].load().measure(Evaluation(world, m, settings)).scores
        for m in (Oracle(world), Forgetful(world))
    )
    assert exact["jensen_shannon"].value == pytest.approx(0, abs=1e-6)
    assert exact["identical"].value == 1
    assert 0.3 < forgetful["jensen_shannon"].value < 0.6  # half of the tellings differ in whether it is right
    assert 0.35 < forgetful["identical"].value < 0.65


def test_first_change_literally(world: SolveWorld) -> None:
    prompts, lengths = world.prompts(0, 120)
    changed, message = world.minimal_pairs(prompts, lengths, 0)
    rows = np.flatnonzero(message)
    pairs = (prompts[rows], lengths[rows]), (changed[rows], message[rows])
    path, length, _ = true_paths(world, *pairs[0], 0)
    place, equal = first_change(world, *pairs, path, length)
    assert (place >= 0).any()
    assert (place < 0).any()
    for i in range(len(rows)):
        left, right = (_states_along(world, *p, i, path[i], length[i]) for p in pairs)
        columns = world.vocabulary.action_of_token[path[i, : length[i]]]
        excluded = [t for t in range(length[i]) if world.law(right[t])[0, columns[t]] == 0]
        common = excluded and ((world.law(left[excluded[0]]) > 0) & (world.law(right[excluded[0]]) > 0)).any()
        assert place[i] == (-2 if common else excluded[0] if excluded else -1)
        same = [
            np.allclose(world.law(left[t]), world.law(right[t])) for t in range(excluded[0] if excluded else length[i])
        ]
        assert equal[i] == all(same)


def test_minimal_pairs_of_a_model_that_reads_one_maze_for_another(world: SolveWorld) -> None:
    settings = eval_config(structure_trials=120)
    scores = [
        metrics["minimal_pairs"]
        .load()
        .measure(Evaluation(world, Corrupted(world, CorruptedConfig(rewired=k), 1), settings))
        .scores["recall"]
        .value
        for k in (0, 1, 3)
    ]
    assert scores[0] == 1 > scores[1] > scores[2]


# The gallery


@pytest.mark.parametrize("rewired", [0, pytest.param(2, marks=(pytest.mark.pictures, pytest.mark.slow))])
def test_gallery(rewired: int, world: SolveWorld, tmp_path: Path) -> None:
    report = (
        metrics["solved_paths"]
        .load()
        .measure(Evaluation(world, Corrupted(world, CorruptedConfig(rewired=rewired), 1), SMALL))
    )
    (tmp_path / "solved_paths.npz").write_bytes(npz(report.arrays))
    written = maze_gallery.draw(tmp_path / "solved_paths.npz", tmp_path / "gallery", title="a title")
    assert {p.suffix for p in written} == {".png", ".svg", ".csv"}
    rows = list(csv.DictReader((tmp_path / "gallery.csv").open()))
    assert len({r["prompt"] for r in rows}) == 12
    verdicts = {r["prompt"]: r["verdict"] for r in rows}
    assert (set(verdicts.values()) == {"solved"}) == (rewired == 0)
    assert sum(v == "solved" for v in verdicts.values()) == (12 if rewired == 0 else 6)
    for number, verdict in verdicts.items():
        mine = [r for r in rows if r["prompt"] == number]
        moves = {k: [r for r in mine if r["kind"] == k] for k in ("path", "right", "wrong")}
        if verdict == "solved":
            assert not moves["wrong"]
            assert len(moves["right"]) == len(moves["path"])
        else:
            assert moves["wrong"] or verdict == "says no cell" or verdict == "ends elsewhere"
    again = maze_gallery.draw(tmp_path / "solved_paths.npz", tmp_path / "again", title="a title")
    assert [p.read_bytes() for p in written] == [p.read_bytes() for p in again]


@pytest.mark.pictures
def test_a_gallery_of_something_else_is_refused(tmp_path: Path) -> None:
    (tmp_path / "other.npz").write_bytes(npz({"a": np.zeros(3)}))
    with pytest.raises(InputError, match="lacks true_tokens"):
        maze_gallery.draw(tmp_path / "other.npz", tmp_path / "x")
    with pytest.raises(InputError, match="cannot read"):
        maze_gallery.draw(tmp_path / "missing.npz", tmp_path / "x")
