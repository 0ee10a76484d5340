"""Detours of every kind and lookahead, against rides followed one token at a time."""

from __future__ import annotations

import importlib.util
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small_maps import small_map
from some_cases import others_slow

from worldbench.baselines.from_states import FromStates
from worldbench.baselines.references import Oracle, RandomLegal, Uniform
from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config
from worldbench.core.graph import Graph
from worldbench.core.model import SequenceModel
from worldbench.core.streams import generator, uniform
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, States
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.detours import KINDS
from worldbench.metrics.detours import METRIC as DETOURS
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.lookahead import METRIC as LOOKAHEAD
from worldbench.metrics.lookahead import WITHIN, by_hops
from worldbench.metrics.rollout import Rides, draw, forced_move, probabilities, roll_out, sample

ROOT = Path(__file__).resolve().parent.parent
DEFAULTS = eval_config(trials=120)


@pytest.fixture(scope="module")
def world() -> TaxiWorld:
    return TaxiWorld(TaxiConfig(map="city:40", min_moves=3, max_moves=16))


class Erring(FromStates):
    """The exact law, tilted by a fixed random number for each state and action, with a little of everything else: it
    errs, and it ranks without ties."""

    name = "erring"

    def answer_law(self, states: States) -> np.ndarray:
        law = self.world.law(states)
        assert law is not None
        _, fine = self.world.key(states)
        tilt = np.stack([streams.uniform(0, 1, law.shape[1], "tilt", *map(int, row))[0] for row in fine])
        mixed = law * np.exp(2 * tilt - 1) + 0.3 * tilt
        return mixed / mixed.sum(axis=1, keepdims=True)


class Confident(FromStates):
    """Gives all but one legal turn probability 0."""

    name = "confident"

    def answer_law(self, states: States) -> np.ndarray:
        legal = self.world.legal(states)
        return np.eye(legal.shape[1])[legal.argmax(axis=1)]


def hops(graph: Graph, goal: int) -> list[float]:
    """Fewest moves from every place to the goal, breadth first."""
    out = [float("inf")] * graph.n_places
    out[goal] = 0
    queue = deque([goal])
    while queue:
        v = queue.popleft()
        for u in range(graph.n_places):
            if out[u] == float("inf") and v in graph.successor[u]:
                out[u] = out[v] + 1
                queue.append(u)
    return out


def literal_ride(
    w: TaxiWorld, model: SequenceModel, prompt: np.ndarray, i: int, choice: str, p: float, kind: str
) -> tuple[list[int], int, int]:
    """One ride under a referee: tokens, outcome, forced turns. Coins from the same uniforms; the turns forced are told
    from the model's ranking."""
    g, voc, limit = w.graph(), w.vocabulary, w.longest
    coins, luck = (
        uniform(i, 1, 2 * limit, "evaluation", 0, "detours")[0],
        uniform(i, 1, limit, "evaluation", 0, "sampling")[0],
    )
    at, goal = int(prompt[0]) - w.first_place, int(prompt[1]) - w.first_place
    far = hops(g, goal)
    tokens: list[int] = []
    status, moves, forced = OPEN, 0, 0
    for t in range(limit):
        logits = model.logits(np.array([[*prompt, *tokens]]))[0, -1]
        law = probabilities(logits[None])[0]
        token = (
            int(np.argmax(logits))
            if choice == "greedy"
            else int(np.searchsorted(np.cumsum(law), luck[t] * np.cumsum(law)[-1], side="right"))
        )
        if status == OPEN and coins[2 * t] < p:
            others = []
            for a, turn in enumerate(voc.actions[:-1]):
                to = g.successor[at, a]
                if to >= 0 and turn != token and far[to] <= w.config.max_moves - (moves + 1):
                    others.append(turn)
            if others:
                if kind == "random":
                    token = others[int(coins[2 * t + 1] * len(others))]
                else:
                    others.sort(key=lambda turn: logits[turn])  # stable: of equally likely ones the first
                    most = [turn for turn in others if logits[turn] == logits[others[-1]]]
                    token = others[0] if kind == "adversarial" else most[0]
                forced += 1
        tokens.append(token)
        if token == voc.end:
            return tokens, (ARRIVED if at == goal else MISPLACED_END) if status == OPEN else status, forced
        a = voc.action_of_token[token]
        if status == OPEN and a >= 0 and g.successor[at, a] >= 0:
            at, moves = int(g.successor[at, a]), moves + 1
        else:
            status = ILLEGAL
    return tokens, status, forced


REFEREES = [
    ("greedy", 0.1, "adversarial"),
    ("greedy", 0.6, "second"),
    ("sampled", 0.75, "adversarial"),
    ("sampled", 0.4, "random"),
]


@pytest.mark.parametrize(("choice", "p", "kind"), REFEREES)
@pytest.mark.parametrize("model_class", others_slow([Erring, Confident, RandomLegal], Erring))
def test_detours_are_one_ride_at_a_time(
    model_class: type[FromStates], choice: Any, p: float, kind: Any, world: TaxiWorld, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = model_class(world)
    prompts, lengths = world.prompts(0, 15)
    rides = roll_out(world, model, prompts, lengths, 0, choice, p, kind=kind)
    for i in range(len(prompts)):
        tokens, status, forced = literal_ride(world, model, prompts[i], i, choice, p, kind)
        assert rides.tokens[i, : rides.length[i]].tolist() == tokens
        assert (rides.outcome[i], rides.detours[i]) == (status, forced)
    assert rides.detours.sum() > 0
    monkeypatch.setattr("worldbench.metrics.rollout.CHUNK", 4)
    again = roll_out(world, model, prompts, lengths, 0, choice, p, kind=kind)
    assert all(np.array_equal(getattr(rides, f), getattr(again, f)) for f in Rides.__dataclass_fields__)


def test_the_referee_never_makes_a_ride_impossible(world: TaxiWorld) -> None:
    """With every choice replaced where that can be, nobody ever leaves the map, and only one without another turn takes
    its own."""
    for kind in KINDS:
        rides = roll_out(world, Oracle(world), *world.prompts(0, 60), 0, "greedy", 1.0, kind=kind)
        assert (rides.outcome == ARRIVED).all()
        assert rides.detours.mean() > 3


@given(seed=st.integers(0, 10**6), kind=st.sampled_from(KINDS))
def test_forced_moves_are_allowed_and_ranked(seed: int, kind: Any) -> None:
    rng = generator("test", "forced", seed)
    n, actions = int(rng.integers(1, 30)), int(rng.integers(1, 10))
    logits = rng.normal(0, 2, (n, actions)).astype(np.float32)
    logits[rng.random((n, actions)) < 0.5] = -np.inf
    allowed = rng.random((n, actions)) < 0.5
    allowed[np.arange(n), rng.integers(0, actions, n)] = True
    turn = forced_move(logits, allowed, rng.random(n), kind)
    for i in range(n):
        assert allowed[i, turn[i]]
        ranked = [logits[i, a] for a in range(actions) if allowed[i, a]]
        if kind != "random":
            assert logits[i, turn[i]] == (min(ranked) if kind == "adversarial" else max(ranked))


@given(seed=st.integers(0, 10**6))
def test_sampling_in_parts_draws_what_one_search_a_row_draws(seed: int) -> None:
    rng = generator("test", "sample", seed)
    n, v = int(rng.integers(1, 40)), int(rng.integers(1, 60))
    logits = rng.normal(0, 3, (n, v)).astype(np.float32)
    logits[rng.random((n, v)) < 0.3] = -np.inf
    logits[:, v // 2] = 0
    u = np.append(rng.random(n - 1), np.nextafter(1, 0))
    law = probabilities(logits)
    message = [int(np.searchsorted(np.cumsum(row), x * np.cumsum(row)[-1], side="right")) for row, x in zip(law, u)]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("worldbench.metrics.rollout.SAMPLED_CELLS", 3 * v)
        assert sample(logits, u).tolist() == message
    assert draw(law, u).tolist() == message
    assert (law[np.arange(n), message] > 0).all()


# The metric


def test_rides_are_kept_by_kind(world: TaxiWorld) -> None:
    evaluation = Evaluation(world, Erring(world), DEFAULTS)
    by_kind = [evaluation.rides("greedy", 30, 0.5, kind) for kind in KINDS]
    assert len({r.tokens.tobytes() for r in by_kind}) == 3
    for kind, rides in zip(KINDS, by_kind):
        more = evaluation.rides("greedy", 50, 0.5, kind)
        assert np.array_equal(more.tokens[:30], rides.tokens)
    assert (
        evaluation.rides("greedy", 30, 0.0, "second").tokens.tobytes()
        == evaluation.rides("greedy", 30).tokens.tobytes()
    )
    assert len(evaluation._rides) == 4


@pytest.mark.slow
def test_references_under_every_default_detour(world: TaxiWorld) -> None:
    oracle = DETOURS.measure(Evaluation(world, Oracle(world), DEFAULTS)).scores
    assert len(oracle) == 2 * len(DEFAULTS.detour_kinds) * len(DEFAULTS.detours)
    assert {e.score for e in DETOURS.expects["oracle"]} == {name for name in oracle if name.startswith("arrives")}
    assert all(e.met_by(oracle[e.score].value) for e in DETOURS.expects["oracle"])
    floor = DETOURS.measure(Evaluation(world, RandomLegal(world), DEFAULTS)).scores
    assert all(e.met_by(floor[e.score].value) for e in DETOURS.expects["random-legal"])
    erring = DETOURS.measure(Evaluation(world, Erring(world), DEFAULTS)).scores
    for kind in ("", "adversarial_", "second_"):
        assert floor[f"arrives_{kind}p0.1"].value < 0.9
        assert erring[f"arrives_{kind}p0.1"].value < 1
        forced = [oracle[f"forced_{kind}p{p:g}"].value for p in DEFAULTS.detours]
        assert forced == sorted(forced)


def test_the_least_likely_turn_is_the_hardest(world: TaxiWorld) -> None:
    """For a driver who is unsure off the likely ways, who gets lost in a share of what he calls unlikely."""

    class Forgetful(FromStates):
        name = "forgetful"

        def answer_law(self, states: States) -> np.ndarray:
            law = self.world.law(states)
            assert law is not None
            return law

        def step(self, states: States, tokens: np.ndarray) -> States:
            """Believes that it stayed where it was after a turn that it gave less than .1."""
            after = self.world.step(states, tokens)
            column = self.world.vocabulary.action_of_token[tokens]
            unlikely = np.flatnonzero(self.answer_law(states)[np.arange(len(states)), column] < 0.1)
            after.put(unlikely, states.take(unlikely))
            return after

    scores = DETOURS.measure(Evaluation(world, Forgetful(world), eval_config(trials=200, detours=(0.3,)))).scores
    arrives = [scores[f"arrives_{kind}p0.3"].value for kind in ("adversarial_", "", "second_")]
    assert arrives == sorted(arrives)
    assert arrives[0] < arrives[2] - 0.05


def test_detours_of_chosen_kinds(world: TaxiWorld) -> None:
    scores = DETOURS.measure(
        Evaluation(world, Oracle(world), eval_config(trials=10, detours=(0.2,), detour_kinds=("second", "random")))
    ).scores
    assert list(scores) == ["arrives_p0.2", "forced_p0.2", "arrives_second_p0.2", "forced_second_p0.2"]
    with pytest.raises(InputError, match="must not be empty"):
        DETOURS.measure(Evaluation(world, Oracle(world), eval_config(detours=())))


# Lookahead


@pytest.mark.slow
def test_lookahead_is_that_of_each_ride(world: TaxiWorld) -> None:
    model = Erring(world)
    report = LOOKAHEAD.measure(Evaluation(world, model, DEFAULTS))
    prompts, _ = world.prompts(0, 120)
    message: dict[str, list[bool]] = {"shortest": [], **{f"within_{k}": [] for k in WITHIN}}
    for i, prompt in enumerate(prompts):
        tokens, status, _ = literal_ride(world, model, prompt, i, "greedy", 0.0, "random")
        moves = sum(t != world.vocabulary.end for t in tokens)
        least = hops(world.graph(), int(prompt[1]) - world.first_place)[int(prompt[0]) - world.first_place]
        message["shortest"].append(status == ARRIVED and moves == least)
        for k in WITHIN:
            message[f"within_{k}"].append(
                status == ARRIVED and moves / least <= 1 + k / 100 + 1e-12
                if least
                else status == ARRIVED and moves == 0
            )
    assert {k: s.value for k, s in report.scores.items()} == {k: np.mean(v) for k, v in message.items()}
    assert 0 < report.scores["shortest"].value < report.scores["within_50"].value < 1
    series = report.series["by_hops"]
    assert sum(series["n"]) == len(prompts)
    assert np.dot(series["n"], series["shortest"]) == pytest.approx(sum(message["shortest"]))


def test_lookahead_of_references(world: TaxiWorld) -> None:
    for model in (Oracle(world), RandomLegal(world), Uniform(world)):
        scores = LOOKAHEAD.measure(Evaluation(world, model, DEFAULTS)).scores
        assert all(e.met_by(scores[e.score].value) for e in LOOKAHEAD.expects[model.name])
        values = [scores[k].value for k in ("shortest", "within_1", "within_5", "within_10", "within_50")]
        assert values == sorted(values)


@pytest.mark.parametrize("seed", range(3))
def test_a_shortest_driver_scores_one(seed: int) -> None:
    """On data that may stop anywhere, a driver who always nears the destination differs from one who first goes
    round."""
    w = TaxiWorld(TaxiConfig(min_moves=1, max_moves=20), small_map(9, seed, extra=8))

    class Nearing(FromStates):
        name = "nearing"

        def answer_law(self, states: Any) -> np.ndarray:
            nxt = w.graph().successor[states.place]
            to_go = np.where(nxt >= 0, w.hops(np.maximum(nxt, 0), states.destination[:, None]), 1 << 14)
            turn = np.where(states.place == states.destination, nxt.shape[1], to_go.argmin(axis=1))
            return np.eye(nxt.shape[1] + 1)[turn]

    scores = LOOKAHEAD.measure(Evaluation(w, Nearing(w), DEFAULTS)).scores
    assert all(s.value == 1 for s in scores.values())
    assert LOOKAHEAD.measure(Evaluation(w, Oracle(w), DEFAULTS)).scores["shortest"].value <= 1


def test_by_hops() -> None:
    series = by_hops(np.array([2, 2, 5, 5]), np.array([True, True, True, False]), np.array([2, 6, 5, 5]))
    assert series == {"hops": [2, 5], "n": [2, 2], "arrives": [1.0, 0.5], "shortest": [0.5, 0.5], "moves": [4.0, 5.0]}
    assert by_hops(np.array([1]), np.array([False]), np.array([3]))["moves"] == [None]


def test_lookahead_shares_its_rides(world: TaxiWorld) -> None:
    evaluation = Evaluation(world, Oracle(world), DEFAULTS)
    LOOKAHEAD.measure(evaluation)
    kept = evaluation._rides["greedy", 0.0, ""]
    evaluation.rides("greedy", 120)
    assert evaluation._rides["greedy", 0.0, ""] is kept


def test_where_there_is_no_distance() -> None:
    spec = importlib.util.spec_from_file_location("ring_of_behaviour", ROOT / "examples" / "ring.py")
    assert spec is not None
    assert spec.loader is not None
    from worldbench.core.registry import worlds

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(worlds, "_entries", {k: v for k, v in worlds._entries.items() if k != "ring"})
        module = importlib.util.module_from_spec(spec)
        patch.setitem(__import__("sys").modules, spec.name, module)
        spec.loader.exec_module(module)
        ring = module.Ring(module.RingConfig())
        assert "no distances" in (LOOKAHEAD.not_applicable(ring, Oracle(ring)) or "")
        assert "budget" in (DETOURS.not_applicable(ring, Oracle(ring)) or "")
