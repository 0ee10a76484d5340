"""The part of the state that the prompt gives and no token changes, against literal readings of all documents."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np
import pytest
from small_maps import small_map
from test_rides_and_law import every_ride, world

from worldbench.core.abilities import HasGoals
from worldbench.core.streams import generator
from worldbench.core.world import Documents, States
from worldbench.envs.rides.states import RideStates
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.goal_pairs import with_goals


def equal(a: States, b: States) -> bool:
    return all(np.array_equal(getattr(a, f.name), getattr(b, f.name)) for f in dataclasses.fields(a))


@pytest.mark.parametrize("kind", ["pairs", "states"])
def test_a_goal_in_the_prompt_is_the_goal_of_the_state(kind: str) -> None:
    """with_goals after any tokens, legal or not, is what another prompt leads to."""
    w = world(n=9, high=7, held_out=kind, held_out_share=0.2)
    rng = generator("test", "goals", kind)
    documents = w.sample(0, "test", 0, 300)
    noisy = documents.tokens.copy()
    strange = (rng.random(noisy.shape) < 0.05) & (np.arange(noisy.shape[1]) >= 2)
    noisy[strange] = rng.integers(0, len(w.vocabulary), int(strange.sum()))
    length = 2 + (rng.random(300) * (documents.length - 1)).astype(np.int32)
    cut = Documents(noisy, length, documents.prompt_length)
    goals = rng.integers(0, 9, 300)
    states = w.after(cut)
    assert len(np.unique(w.outcome(states))) == 4
    other = w.with_goals(states, goals)
    assert np.array_equal(w.goals(other), goals)
    assert equal(other, w.after(with_goals(w, cut, goals)))
    assert equal(w.with_goals(other, w.goals(states)), states)


def reached(w: TaxiWorld) -> dict[tuple[int, int], set[int]]:
    """All rides of both splits: (place, moves) -> the destinations of rides that are there after so many moves."""
    out = defaultdict(set)
    for split in ("train", "test"):
        for (origin, destination), rides in every_ride(w, split).items():
            for tokens, _ in rides:
                at = origin
                for t, token in enumerate(tokens):
                    out[at, t].add(destination)
                    at = int(w.graph().successor[at, token - 2]) if token != w.vocabulary.end else at
    return out


@pytest.mark.parametrize("kind", ["pairs", "states"])
@pytest.mark.parametrize(("low", "high"), [(1, 1), (2, 5), (4, 5)])
def test_other_goals_are_those_of_all_rides(kind: str, low: int, high: int) -> None:
    w = world(n=6, seed=2, low=low, high=high, held_out=kind, held_out_share=0.3 if kind == "pairs" else 0.15)
    assert isinstance(w, HasGoals)
    truth = reached(w)
    count = 60
    for place in range(6):
        for t in range(high + 2):
            for goal in range(6):
                states = RideStates(*(np.full(count, x) for x in (place, goal, t)), np.zeros(count, np.int8))
                found = set(w.other_goals(states, (np.arange(count) + 0.5) / count).tolist())
                assert found == (truth.get((place, t), set()) - {goal} or {-1})
    closed = dataclasses.replace(states, status=np.full(count, 1, np.int8), moves=np.zeros(count, np.int64))
    assert (w.other_goals(closed, np.zeros(count)) == -1).all()


def test_the_law_is_known_under_other_goals() -> None:
    """No state with another goal is one that no document reaches, where the law is uniform over the legal moves."""
    w = TaxiWorld(TaxiConfig(map="city:24", min_moves=3, max_moves=9), small_map(24, 1, extra=30))
    documents = w.sample(0, "test", 0, 500)
    rng = generator("test", "other goals")
    cut = dataclasses.replace(documents, length=2 + (rng.random(500) * (documents.length - 2)).astype(np.int32))
    states = w.after(cut)
    goals = w.other_goals(states, rng.random(500))
    assert (goals >= 0).mean() > 0.9
    kept = np.flatnonzero(goals >= 0)
    assert (goals[kept] != w.goals(states)[kept]).all()
    there = w.with_goals(states.take(kept), goals[kept])
    weights = w._law.weights(there.place, there.destination, there.moves)
    assert (weights.sum(axis=1) > 0).all()


def test_a_blind_reader_averages_over_destinations() -> None:
    """Against all rides of both splits: the law given the origin and the moves so far, whatever the destination."""
    w = world(n=5, seed=1, low=2, high=5, held_out="pairs", held_out_share=0.3)
    prefixes = defaultdict(lambda: defaultdict(float))
    for split in ("train", "test"):
        for (origin, _), rides in every_ride(w, split).items():
            for tokens, p in rides:
                for t in range(len(tokens)):
                    prefixes[(origin, *tokens[:t])][tokens[t]] += p
    assert len(prefixes) > 100
    for (origin, *moves), following in prefixes.items():
        for destination in (0, 3):
            states = w.start(np.array([[origin, destination]]) + w.first_place, np.array([2]))
            for token in moves:
                states = w.step(states, np.array([token]))
            exact = np.array([following.get(a, 0.0) for a in w.vocabulary.actions])
            assert w.blind_law(states)[0] == pytest.approx(exact / exact.sum(), abs=1e-13)


def test_a_blind_reader_of_impossible_rides() -> None:
    """After too many moves the law is uniform over the moves; after the end it is uniform. Neither shows the goal."""
    w = world(n=5, seed=1, low=2, high=5)
    other = np.arange(5)
    late = RideStates(np.full(5, 2), other, np.full(5, 6), np.zeros(5, np.int8))
    moves = w.graph().successor[2] >= 0
    assert w.blind_law(late) == pytest.approx(np.tile(np.r_[moves / moves.sum(), 0], (5, 1)))
    ended = dataclasses.replace(late, status=np.ones(5, np.int8))
    assert w.blind_law(ended) == pytest.approx(np.full((5, 9), 1 / 9))
