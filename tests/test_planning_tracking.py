"""Planning against tracking: models that aim wrongly, models that lose their place, and rides followed token by
token."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from worldbench.baselines.corrupted import Corrupted
from worldbench.baselines.corrupted_config import CorruptedConfig
from worldbench.baselines.from_states import FromStates
from worldbench.baselines.options import GPTConfig
from worldbench.baselines.references import Oracle, RandomLegal
from worldbench.baselines.untrained import make_untrained
from worldbench.core.eval_config import eval_config
from worldbench.core.metric import Report
from worldbench.core.model import SequenceModel, log_softmax
from worldbench.core.sampling import documents_by_law
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, States
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.planning_tracking import METRIC, crossed, paired_gain
from worldbench.metrics.ride_faults import documents_of, doubts, faults_of
from worldbench.metrics.rollout import roll_out, without_illegal_moves


@pytest.fixture(scope="module")
def world() -> TaxiWorld:
    return TaxiWorld(TaxiConfig(map="city:40", min_moves=3, max_moves=16))


class NextGoal(FromStates):
    """Exact, and on its way to the place with the next number: always the same wrong goal."""

    name = "next-goal"

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> Any:
        states = self.world.start(tokens, lengths)
        return self.world.with_goals(states, (states.destination + 1) % self.world.graph().n_places)

    def answer_law(self, states: States) -> np.ndarray:
        return self.world.law(states)


@dataclass
class StrayStates(States):
    """own: where the model believes to be. moves: int [N]."""

    own: Any
    moves: np.ndarray


class Stray(FromStates):
    """Exact, until after some moves it believes to be at the place with the next number."""

    name = "stray"

    def __init__(self, world: TaxiWorld, after: int) -> None:
        super().__init__(world)
        self.after = after

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> Any:
        return StrayStates(self.world.start(tokens, lengths), np.zeros(len(tokens), np.int64))

    def step(self, states: Any, tokens: np.ndarray) -> Any:
        own, moves = self.world.step(states.own, tokens), states.moves + 1
        strayed = (moves == self.after) & (own.status == 0)
        own.place = np.where(strayed, (own.place + 1) % self.world.graph().n_places, own.place)
        kept = own.status == ILLEGAL  # a move that the believed place lacks: believe to be still there
        own.status = np.where(kept, np.int8(0), own.status)
        return StrayStates(own, moves)

    def answer_law(self, states: Any) -> np.ndarray:
        return self.world.law(states.own)


def measured(world: TaxiWorld, model: SequenceModel, **options: int) -> Report:
    return METRIC.measure(Evaluation(world, model, eval_config(planning_prompts=120, planning_documents=80, **options)))


def corrupted(world: TaxiWorld, **damage: float) -> Corrupted:
    return Corrupted(world, CorruptedConfig(**({"rewired": 0} | damage)))  # type: ignore[arg-type]


def test_the_exact_law_loses_nothing(world: TaxiWorld) -> None:
    scores = measured(world, Oracle(world)).scores
    assert (scores["lost"].value, scores["lost_planning"].value, scores["doubt_arrived"].value) == (0, 0, 0)
    assert scores["planning_share"].reason == "every ride arrives: there is no loss to split"


@pytest.mark.parametrize("kind", ["next", "wrong_goal", "blind", "random-legal"])
def test_a_wrong_aim_is_planning(world: TaxiWorld, kind: str) -> None:
    made = {"next": NextGoal, "random-legal": RandomLegal}
    model = made[kind](world) if kind in made else corrupted(world, **{kind: 1.0})
    scores = measured(world, model).scores
    assert scores["lost"].value > 0.5
    for name in ("planning_share", "planning_crossed", "arrives_exact_aim"):
        assert scores[name].value == pytest.approx(1, abs=1e-3)
    assert scores["lost_tracking"].value == pytest.approx(0, abs=1e-3)
    assert abs(scores["legality_gain"].value) < 0.02, "its moves are legal already"


@pytest.mark.parametrize("kind", ["stray", "stray later", "rewired", "forgets"])
def test_a_lost_place_is_tracking(world: TaxiWorld, kind: str) -> None:
    model: SequenceModel | None = {"stray": Stray(world, 3), "stray later": Stray(world, 8)}.get(kind)
    model = model or corrupted(world, **{kind: 12 if kind == "rewired" else 0.7})
    scores = measured(world, model).scores
    assert scores["lost"].value > 0.3
    assert scores["planning_share"].value < 0.15
    assert scores["planning_crossed"].value < 0.15 or "not lost by tracking" in scores["planning_crossed"].reason
    assert scores["arrives_exact_aim"].value < 0.5
    assert scores["lost"].value == pytest.approx(scores["lost_tracking"].value + scores["lost_planning"].value)


def test_both_faults_are_split(world: TaxiWorld) -> None:
    """Half of the prompts mislead, and the map is wrong."""
    scores = measured(world, corrupted(world, wrong_goal=0.5, rewired=12)).scores
    assert 0.1 < scores["planning_share"].value < 0.9
    assert 0.1 < scores["planning_crossed"].value < 0.9
    assert scores["lost_planning"].value > 0.05 < scores["lost_tracking"].value


def test_crossed_places_and_aims() -> None:
    free, place, aim, share = crossed(np.array([0.2, 0.3, 0.6]))
    assert (free, place, aim) == (0.2, pytest.approx(0.4), 0.6)
    assert share == pytest.approx((0.6 + 0.4) / 2 / 0.8)
    assert crossed(np.array([[0, 0, 0], [0, 1, 1], [0.5, 0, 0.5], [1, 0, 1]]))[:, 3] == pytest.approx([0.5, 1, 0, 0])


def test_doubt_over_the_whole_ride_is_at_least_that_of_its_end(world: TaxiWorld) -> None:
    prompts, lengths = world.prompts(0, 50)
    documents = documents_by_law(world, prompts, lengths, np.random.default_rng(0).random((50, world.longest)))
    model = make_untrained(world, GPTConfig(layers=1, heads=1, width=16))
    whole, end = (doubts(world, model, documents, documents.length - 1, n).doubt for n in (world.longest, 3))
    assert (whole > end).all()
    exact = doubts(world, Oracle(world), documents, documents.length - 1, world.longest)
    assert not exact.doubt.any()
    assert not exact.wrong.any()


def test_a_fresh_prompt_heals_a_lost_place_and_no_systematic_error(world: TaxiWorld) -> None:
    assert measured(world, Stray(world, 6), planning_moves=3).scores["healed"].value == pytest.approx(1, abs=1e-6)
    assert measured(world, NextGoal(world)).scores["healed"].value < 0.3
    assert measured(world, corrupted(world, leak=0.2)).scores["healed"].value < 0.1
    assert measured(world, RandomLegal(world)).scores["healed"].reason.startswith("no ride is lost by an illegal")


def test_doubt_and_faults_are_those_of_single_steps(world: TaxiWorld) -> None:
    model = corrupted(world, leak=0.3, rewired=6)
    prompts, lengths = world.prompts(0, 60)
    rides = roll_out(world, model, prompts, lengths, 0, "sampled")
    assert {ARRIVED, ILLEGAL, MISPLACED_END} & set(rides.outcome.tolist()) >= {ARRIVED, ILLEGAL}
    found, documents = faults_of(world, model, rides, 4), documents_of(world, rides)
    for i in range(60):
        states, known = world.start(prompts[i : i + 1], lengths[i : i + 1]), 1.0
        last = int(rides.legal_tokens[i]) if rides.outcome[i] == ILLEGAL else int(rides.length[i]) - 1
        for j in range(last + 1):
            n = 2 + j
            p = np.exp(log_softmax(model.logits(documents.tokens[i : i + 1, :n])[0, -1]))
            legal = {a for a, ok in zip(world.vocabulary.actions, world.legal(states)[0]) if ok}
            illegal = sum(x for a, x in enumerate(p) if a not in legal and a != world.vocabulary.end)
            right = sum(p[a] for a in legal if a != world.vocabulary.end)
            if j > last - 4 and illegal + right >= 0.01:
                known *= 1 - illegal / (illegal + right)
            if j == last:
                assert found.seen[i] == n
                assert found.wrong[i] == pytest.approx(sum(x for a, x in enumerate(p) if a not in legal), abs=1e-6)
                assert world.key(found.states.take(np.array([i])))[1].tolist() == world.key(states)[1].tolist()
            states = world.step(states, rides.tokens[i, j : j + 1])
        assert found.doubt[i] == pytest.approx(1 - known, abs=1e-6)


def test_illegal_moves_are_barred_and_the_end_is_not(world: TaxiWorld) -> None:
    model = make_untrained(world, GPTConfig(layers=1, heads=1, width=16))
    prompts, lengths = world.prompts(0, 100)
    rides = roll_out(world, model, prompts, lengths, 0, "legal")
    assert ILLEGAL not in rides.outcome
    assert MISPLACED_END in rides.outcome
    logits, legal = np.full((3, len(world.vocabulary)), -np.inf, np.float32), np.zeros((3, 9), bool)
    logits[0, 2], legal[0, 0], legal[1, :2] = 1.5, True, True
    allowed = without_illegal_moves(logits, legal, world)
    assert allowed[0, 2] == 1.5
    assert np.flatnonzero(np.isfinite(allowed[1])).tolist() == [1, 2, 3]  # end, and two legal moves without a logit
    assert np.flatnonzero(np.isfinite(allowed[2])).tolist() == [1]


def test_what_probes_read_is_crossed(world: TaxiWorld) -> None:
    report = measured(world, make_untrained(world, GPTConfig(layers=1, heads=1, width=16)))
    lost = report.arrays["outcome"] != ARRIVED
    table, scores = report.series["read_out"], report.scores
    assert sum(table["share"]) == pytest.approx(1)
    for name in ("place", "goal"):
        right = sum(s for ok, s in zip(table[name], table["share"]) if ok)
        assert right == pytest.approx(scores[f"{name}_read_lost"].value)
        assert right == pytest.approx(report.arrays[f"{name}_read"][lost].mean())
    curve = report.series["by_hops"]
    for name in ("lost_tracking", "lost_planning"):
        assert np.average(curve[name], weights=curve["n"]) == pytest.approx(scores[name].value)


def test_the_interval_of_the_gain_covers() -> None:
    rng, inside = np.random.default_rng(0), 0
    for _ in range(400):
        kind = rng.choice(3, 80, p=[0.15, 0.05, 0.8])
        low, high = paired_gain(kind == 1, kind == 0).interval or (1, -1)
        inside += low <= 0.1 <= high
    assert inside >= 372
    low, high = paired_gain(np.ones(50, bool), np.ones(50, bool)).interval or (0, 0)
    assert low < 0 < high
