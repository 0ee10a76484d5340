"""The contract of worlds: whatever a world lacks, every registered metric works on it or says why not. (Objectives:
test_contract_objectives.py.)"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from some_cases import others_slow
from tiny_runs import SMALL_EVAL
from toy_worlds import TOYS, Letters, Riddles, RiddleStates, Sums

from worldbench.baselines.options import GPTConfig
from worldbench.baselines.references import Oracle, RandomLegal, Uniform
from worldbench.baselines.trained import TrainedModel
from worldbench.baselines.untrained import make_untrained
from worldbench.cli.main import main
from worldbench.core import abilities
from worldbench.core.abilities import ABILITIES, HasDamage, HasHistories, HasLaw, HasShifts, lacking
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config, eval_config_type
from worldbench.core.metric import Metric, Report
from worldbench.core.model import FitsDynamics, HasHead, HasHidden, HasSwap, SequenceModel
from worldbench.core.options import small_values
from worldbench.core.registry import metrics, models, worlds
from worldbench.core.world import ARRIVED, OPEN, Automaton, Vocabulary, World
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.maze.config import MazeConfig
from worldbench.envs.maze.nav import MazeWorld
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.evaluation import Evaluation, truth
from worldbench.metrics.excess_loss import divergences
from worldbench.metrics.rollout import moves_of, roll_out
from worldbench.runs.display import Display
from worldbench.studies.check.checking import check
from worldbench.studies.check.damage import CheckSettings

SMALL = eval_config(
    trials=20, documents=30, detours=(0.5,), structure_trials=12, shift_trials=6, suffixes=5, pairs=10,
    probe_documents=60, dynamics_documents=20, dynamics_steps=4, horizon=5, swap_pairs=8, ahead_documents=20,
    reconstruction_rides=10, reconstruction_orders=2, rank_tokens=100,
)  # fmt: skip
APPLY = {
    "letters": {"effective_rank", "ahead_probe"},
    "riddles": {
        "next_token", "valid_trajectories", "arrival_calibration", "planning_tracking", "lookahead", "retelling",
        "out_of_distribution", "effective_rank",
    },
    "sums-3-own-0": {
        "excess_loss", "label_accuracy", "label_structure", "state_probe", "belief_probe", "state_curve",
        "transition_consistency", "effective_rank",
    },
    "sums-4-shared-1": {
        "excess_loss", "label_accuracy", "label_structure", "state_probe", "belief_probe", "state_curve",
        "transition_consistency", "effective_rank",
    },
}  # fmt: skip
"""Of a trained network, by toy world: the metrics that apply."""


@pytest.fixture
def registered() -> Iterator[None]:
    """The toys as worlds that the command line knows."""
    for name, world in TOYS.items():
        worlds.add(name, "a toy", lambda world=world: world)
        worlds._entries[name].target.settle = lambda config: (config, "")
    yield
    for name in TOYS:
        worlds._entries.pop(name)


def network(world: World) -> TrainedModel:
    return make_untrained(world, GPTConfig(layers=1, heads=2, width=16))


def references(world: World) -> list[SequenceModel]:
    """Every model that can be had without training."""
    out = []
    for entry in models:
        make = entry.load()
        if not entry.reference or getattr(make, "impossible", lambda _: None)(world) is not None:
            continue
        small = {
            "ngram": {"documents": 200},
            "untrained": {"layers": 1, "width": 16},
            "corrupted": {"rewired": 0, "noise": 0.3},
        }
        out.append(make(world, entry.load_config()(**small.get(entry.name, {})), 0) if entry.seeded else make(world))
    return out


# Metrics


@pytest.mark.parametrize("name", metrics.names())
@pytest.mark.parametrize("toy", TOYS)
def test_every_metric_works_or_says_why_not(toy: str, name: str) -> None:
    world, metric = TOYS[toy], metrics[name].load()
    model = network(world)
    reason = metric.not_applicable(world, model)
    assert (reason is None) == (name in APPLY[toy]), reason
    if reason is not None:
        assert toy in reason
        return
    report = metric.measure(Evaluation(world, model, SMALL))
    assert isinstance(report, Report)
    assert metric.primary in report.scores or toy in reason_without_primary(name)
    assert all(score.n >= 0 for score in report.scores.values())


def reason_without_primary(name: str) -> str:
    """Scores that have another name in the toys: the state probe's primary is a street's node."""
    return "sums-3-own-0 sums-4-shared-1" if name == "state_probe" else ""


@pytest.mark.parametrize("toy", others_slow(TOYS, "letters", "riddles", "sums-3-own-0"))
def test_every_reference_is_scored_by_every_metric_or_reports_why_not(toy: str) -> None:
    world = TOYS[toy]
    made = references(world)
    expected = {"uniform", "ngram", "untrained"} | (
        set() if toy == "letters" else {"random-legal"} if toy == "riddles" else {"oracle", "corrupted"}
    )
    assert {model.name for model in made} == expected
    for model in made:
        for name in metrics.names():
            metric = metrics[name].load()
            if metric.not_applicable(world, model) is None:
                assert metric.measure(Evaluation(world, model, SMALL)).scores


@pytest.mark.parametrize("toy", others_slow(TOYS, "letters", "riddles"))  # those of sums take seconds
def test_check_goes_through(toy: str) -> None:
    settings = eval_config(**{name: getattr(SMALL, name) for name in small_values(eval_config_type())})
    record = check(
        TOYS[toy],
        CheckSettings(settings, corruptions=2, severities=1),
        Display(quiet=True),
        lambda name: models[name].load_config()(),
        1,
    )
    assert record.references
    assert bool(record.ladders) == isinstance(TOYS[toy], HasLaw)


def test_one_sentence_for_every_metric() -> None:
    """What a world or a model lacks is said in the same words by all metrics that need it."""
    world = Letters()
    every = [metrics[n].load() for n in metrics.names()]
    needing = [m for m in every if m.needs and m.needs[0] is Automaton and m.serves_tokens]
    assert {m.not_applicable(world, network(world)) for m in needing} == {
        "the world 'letters' has no states that can be followed from token to token"
    }
    hidden = [m for m in (metrics[n].load() for n in metrics.names()) if HasHidden in m.needs_of_model]
    said = {m.not_applicable(HMM(), Uniform(HMM())) for m in hidden if not m.needs or lacking(m.needs, HMM()) is None}
    assert len(hidden) > 3
    assert said == {"the model 'uniform' has no hidden states"}


def test_every_need_has_its_sentence() -> None:
    used = {need for m in (metrics[n].load() for n in metrics.names()) for need in (*m.needs, *m.needs_of_model)}
    used |= {need for e in models for need in getattr(e.load(), "needs", ())}
    assert {*ABILITIES, Automaton, HasHidden, HasHead, HasSwap, FitsDynamics} >= used
    assert {*ABILITIES, *used} <= abilities._WITHOUT.keys()


def test_the_documentation_lists_every_ability() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "your-own-world.md").read_text(encoding="utf-8")
    for ability in ABILITIES:
        (line,) = [line for line in page.splitlines() if line.startswith(f"| `{ability.__name__}` |")]
        assert all(f"`{name}(" in line for name in vars(ability) if not name.startswith("_")), line


def test_a_metric_of_ones_own_needs_an_ability_of_ones_own() -> None:
    class Sings:
        """An ability that no world has."""

    class Song(Metric):
        name, version, direction, primary = "song", 1, "none", "notes"
        needs = (Automaton, Sings)

        def measure(self, evaluation: Evaluation) -> Report:
            raise AssertionError

    assert Song().not_applicable(HMM(), Uniform(HMM())) == "'hmm' does not have the ability Sings"
    assert "asks for labels" in str(Song().not_applicable(Sums(), Uniform(Sums())))


def test_rides_are_refused_where_there_are_no_states() -> None:
    with pytest.raises(InputError, match="'letters' has no states"):
        roll_out(Letters(), Uniform(Letters()), *Letters().prompts(0, 3), 0, "greedy")
    with pytest.raises(InputError, match="'riddles' has no budget"):
        roll_out(Riddles(), Uniform(Riddles()), *Riddles().prompts(0, 3), 0, "greedy", detour=0.5)


def test_without_an_end_a_ride_is_over_once_it_has_arrived() -> None:
    class Stops(Riddles):
        """The third letter is the last token."""

        name, longest = "stops", 6
        vocabulary = Vocabulary(Riddles.vocabulary.words, pad=0, end=None, actions=(3, 4, 5, 6))

        def step(self, states: RiddleStates, tokens: np.ndarray) -> RiddleStates:
            after = super().step(states, tokens)
            return dataclasses.replace(
                after, status=np.where((after.said == 3) & (after.status == OPEN), ARRIVED, after.status)
            )

        def legal(self, states: RiddleStates) -> np.ndarray:
            return super().legal(states)[:, :-1]

    world = Stops()
    rides = roll_out(world, RandomLegal(world), *world.prompts(0, 5), 0, "sampled")
    assert rides.outcome.tolist() == [ARRIVED] * 5
    assert rides.length.tolist() == [3] * 5
    assert moves_of(world, rides).tolist() == rides.distance.tolist() == [3] * 5
    assert roll_out(world, Uniform(world), *world.prompts(0, 5), 0, "greedy").length.tolist() == [6] * 5


# Worlds that stand for another


@pytest.mark.parametrize(
    "world",
    [
        TaxiWorld(TaxiConfig(map="city:20", min_moves=2, max_moves=8)), MazeWorld(MazeConfig(rows=3)),
        SolveWorld(SolveConfig(rows=3)), Riddles(),
    ],
    ids=lambda world: world.name,
)  # fmt: skip
def test_damaged_and_shifted_worlds_can_do_what_theirs_can(world: World) -> None:
    others = [world.damaged(0, 0, 1, 0)] if isinstance(world, HasDamage) else []
    others += list(world.shifted().values()) if isinstance(world, HasShifts) else []
    assert others
    for other in others:
        assert [isinstance(other, a) for a in (Automaton, *ABILITIES)] == [
            isinstance(world, a) for a in (Automaton, *ABILITIES)
        ]


def test_which_world_can_do_what() -> None:
    has = {
        w.name: {a.__name__ for a in ABILITIES if isinstance(w, a)}
        for w in (HMM(), TaxiWorld(TaxiConfig(map="city:20")), SolveWorld())
    }
    assert has == {
        "hmm": {"HasLaw", "HasEntropies", "HasBeliefs", "HasComponents"},
        "taxi": {"HasLaw", "HasHistories", "HasDistance", "HasBudget", "HasMap", "HasGoals", "HasDamage"},
        "maze-solve": {
            "HasLaw", "HasDistance", "HasBudget", "HasTellings", "HasMinimalPairs", "HasDrawings", "HasShifts",
            "HasGoals", "HasDamage",
        },
    }  # fmt: skip


def test_entropies_that_would_take_too_long_are_no_numbers() -> None:
    short, long = HMM(HMMConfig(process="mess3", length=4)), HMM(HMMConfig(process="mess3", length=16))
    assert np.isfinite(short.expected_entropies()).all()
    assert len(long.expected_entropies()) == 16
    assert np.isnan(long.expected_entropies()[-1])
    report = metrics["excess_loss"].load().measure(Evaluation(long, Oracle(long), eval_config(documents=20)))
    assert "exact_bayes" not in report.scores


# The exact view of labels


@pytest.mark.parametrize("world", [Sums(3, True, 0), Sums(4, False, 1)], ids=lambda world: world.name)
def test_truth_of_labels(world: Sums) -> None:
    documents = world.sample(0, "test", 0, 40)
    known = truth(world, documents)
    assert known.law is not None
    assert known.scored.shape == (40, world.context + 1)
    row, seen = np.nonzero(known.scored)
    assert known.scored.sum(axis=1).tolist() == documents.length.tolist()
    column = world.vocabulary.answer_of_token[documents.answer(row, seen)]
    assert (known.law[row, seen, column] == 1).all()
    _, _, kl, entropy, loss = divergences(world, Oracle(world), documents)
    assert kl == pytest.approx(0, abs=1e-6)
    assert entropy == pytest.approx(0)
    assert loss == pytest.approx(0, abs=1e-6)
    _, _, kl, _, loss = divergences(world, Uniform(world), documents)
    assert loss == pytest.approx(np.log(len(world.vocabulary)))
    assert kl == pytest.approx(loss)


def test_legal_tokens_are_no_answers_where_labels_are_asked_for() -> None:
    assert RandomLegal.impossible(Sums()) == f"the world {Sums().name!r} asks for labels, not for the next token"
    assert isinstance(Sums(), HasHistories)  # and still no suffix is sampled from a model that answers with labels
    assert "asks for labels" in str(metrics["sequence_compression"].load().not_applicable(Sums(), network(Sums())))


# The whole way


TINY = [
    "--train.steps", "2", "--train.batch", "4", "--train.checkpoints", "1", "--train.curve_documents", "8",
    "--model.layers", "1", "--model.width", "16", *SMALL_EVAL,
]  # fmt: skip


@pytest.mark.usefixtures("registered")
@pytest.mark.parametrize("toy", others_slow(["letters", "riddles", "sums-3-own-0"], "letters"))
def test_a_run_from_end_to_end(toy: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", toy, "--model", "nextlat", *TINY, "--out", str(tmp_path)]) == 0, capsys.readouterr().err
    assert len(list(tmp_path.glob(f"{toy}-nextlat-*/result-*.json"))) == 1
    assert main(["run", toy, "--model", "bst", *TINY, "--out", str(tmp_path)]) == (2 if TOYS[toy].labelled else 0)
    said = capsys.readouterr().err
    if TOYS[toy].labelled:
        assert "asks for labels" in said
        assert not list(tmp_path.glob(f"{toy}-bst-*"))
        (run,) = tmp_path.glob(f"{toy}-nextlat-*")
        assert main(["decode", str(run)]) == 2
        assert "do not continue prompts" in capsys.readouterr().err
