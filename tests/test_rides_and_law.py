"""Rides are a pure function of (seed, split, index); the law is the law of the rides."""

from __future__ import annotations

from collections import defaultdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small_maps import small_map

from worldbench.core.errors import InputError
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld


def world(n: int = 6, seed: int = 0, low: int = 2, high: int = 6, **options) -> TaxiWorld:
    return TaxiWorld(
        TaxiConfig(map="city:8", min_moves=low, max_moves=high, **options), small_map(n, seed, extra=n if n > 6 else 4)
    )


def every_ride(w: TaxiWorld, split: str) -> dict[tuple[int, int], list[tuple[tuple[int, ...], float]]]:
    """All rides of the split by literal enumeration: pair -> [(tokens after the prompt, probability)]."""
    g, held = w.graph(), w.held_out
    low, high = w.config.min_moves, w.config.max_moves
    rides, number = defaultdict(list), (1 - w.config.stop) ** np.arange(high + 1)

    def walk(origin: int, at: int, turns: tuple[int, ...], visited: tuple[int, ...], p: float) -> None:
        if len(turns) >= low:
            first, *later = [bool(held.holds(np.array([v]), np.array([at]))[0]) for v in visited]
            if held.kind == "pairs":
                shown = first == (split == "test")
            else:
                shown = not any(later) and first == (split == "test")
            if shown:
                rides[origin, at].append(
                    (
                        (*(w.vocabulary.actions[a] for a in turns), w.vocabulary.end),
                        p * number[len(turns)] / number[low:].sum(),
                    )
                )
        if len(turns) < high:
            out = np.flatnonzero(g.successor[at] >= 0)
            for a in out:
                walk(
                    origin, int(g.successor[at, a]), (*turns, int(a)), (*visited, int(g.successor[at, a])), p / len(out)
                )

    for origin in range(g.n_places):
        walk(origin, origin, (), (origin,), 1.0 / g.n_places)
    return rides


@pytest.mark.parametrize("kind", ["pairs", "states"])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("stop", [0.0, 0.4])
def test_law_equals_enumeration(kind: str, seed: int, stop: float) -> None:
    w = world(seed=seed, stop=stop, held_out=kind, held_out_share=0.2 if kind == "pairs" else 0.12)
    worst = 0.0
    for split in ("train", "test"):
        for (origin, destination), rides in every_ride(w, split).items():
            prefixes = defaultdict(lambda: defaultdict(float))
            for tokens, p in rides:
                for t in range(len(tokens)):
                    prefixes[tokens[:t]][tokens[t]] += p
            prompt = np.array([[origin, destination]]) + w.first_place
            for prefix, following in prefixes.items():
                states = w.start(prompt, np.array([2]))
                for token in prefix:
                    states = w.step(states, np.array([token]))
                law = w.law(states)[0]
                total = sum(following.values())
                exact = np.array([following.get(a, 0.0) / total for a in w.vocabulary.actions])
                worst = max(worst, float(np.abs(law - exact).max()))
    assert worst < 1e-13


@pytest.mark.parametrize("kind", ["pairs", "states"])
@pytest.mark.parametrize("stop", [0.0, 0.3])
def test_rides_follow_the_law(kind: str, stop: float) -> None:
    """Chi-square of sampled rides, both splits, against enumeration."""
    from scipy.stats import chisquare

    w = world(n=4, low=1, high=4, stop=stop, held_out=kind, held_out_share=0.25)
    for split in ("train", "test"):
        exact = {(*pair, *tokens): p for pair, rides in every_ride(w, split).items() for tokens, p in rides}
        total = sum(exact.values())
        documents = w.sample(5, split, 0, 20_000)
        counts = defaultdict(int)
        for row, length in zip(documents.tokens, documents.length):
            counts[(int(row[0]) - w.first_place, int(row[1]) - w.first_place, *map(int, row[2:length]))] += 1
        assert set(counts) <= set(exact)
        expected = np.array([20_000 * p / total for p in exact.values()])
        assert chisquare([counts[k] for k in exact], expected).pvalue > 1e-3


@settings(max_examples=25, deadline=None)
@given(
    start=st.integers(0, 5000),
    count=st.integers(1, 300),
    seed=st.integers(0, 3),
    split=st.sampled_from(["train", "test"]),
)
def test_any_range_gives_the_same_rides(start: int, count: int, seed: int, split: str) -> None:
    w = world(n=12)
    whole = w.sample(seed, split, start, count)
    cut = count // 2
    parts = [w.sample(seed, split, start, cut), w.sample(seed, split, start + cut, count - cut)]
    assert np.array_equal(whole.tokens, np.concatenate([p.tokens for p in parts]))
    other = w.sample(seed + 1, split, start, count)
    assert count < 5 or not np.array_equal(whole.tokens, other.tokens)


@pytest.mark.parametrize("kind", ["pairs", "states"])
def test_splits_are_disjoint_and_legal(kind: str) -> None:
    w = world(n=15, high=12, held_out=kind, held_out_share=0.2 if kind == "pairs" else 0.05)
    for split in ("train", "test"):
        d = w.sample(0, split, 0, 3000)
        states = w.start(d.tokens[:, :2], d.prompt_length)
        held_on_the_way = np.zeros(len(d), bool)
        first = w.held_out.holds(states.place, states.destination)
        assert (first == (split == "test")).all()
        for t in range(2, d.tokens.shape[1]):
            running = t < d.length
            column = w.vocabulary.action_of_token[d.tokens[:, t]]
            assert w.legal(states)[running, column[running]].all()
            assert (w.law(states)[running, column[running]] > 0).all()
            states = w.step(states, np.where(running, d.tokens[:, t], w.vocabulary.end))
            held_on_the_way |= w.held_out.holds(states.place, states.destination) & running
        assert (w.outcome(states) == ARRIVED).all()
        if kind == "states":
            assert not held_on_the_way.any()
        moves = d.length - 3
        assert moves.min() >= w.config.min_moves
        assert moves.max() == w.config.max_moves


def test_prompts_are_distinct_held_out_and_extend() -> None:
    w = world(n=15, high=12)
    many, lengths = w.prompts(0, 10_000)
    few, _ = w.prompts(0, 7)
    assert np.array_equal(many[:7], few)
    assert len(np.unique(many, axis=0)) == len(many)
    place = np.arange(15)
    assert (
        len(many) == w.held_out.holds(place[:, None], place[None, :]).sum()
    )  # every held-out pair, for every one has a ride
    assert w.held_out.holds(many[:, 0] - w.first_place, many[:, 1] - w.first_place).all()
    assert (lengths == 2).all()
    assert not np.array_equal(w.prompts(1, 10)[0], many[:10])


def test_states_follow_the_rules() -> None:
    w = world(n=6)
    g = w.graph()
    a, direction = (int(x) for x in np.argwhere(g.successor >= 0)[0])
    b = int(g.successor[a, direction])
    wall = int(np.flatnonzero(g.successor[a] < 0)[0])
    prompt = np.tile(np.array([[a, b]]) + w.first_place, (5, 1))
    first = np.array(
        [w.vocabulary.actions[direction], w.vocabulary.actions[wall], w.vocabulary.end, w.first_place, w.vocabulary.pad]
    )
    states = w.step(w.start(prompt, np.full(5, 2)), first)
    assert w.outcome(states).tolist() == [OPEN, ILLEGAL, MISPLACED_END, ILLEGAL, ILLEGAL]
    states = w.step(states, np.full(5, w.vocabulary.end))
    assert w.outcome(states).tolist() == [ARRIVED, ILLEGAL, MISPLACED_END, ILLEGAL, ILLEGAL]
    assert not w.legal(states).any()
    assert np.allclose(w.law(states).sum(1), 1)


def test_budget_rule() -> None:
    w = world(n=15, high=10)
    prompts, lengths = w.prompts(0, 50)
    states = w.start(prompts, lengths)
    allowed = w.within_budget(states)
    hops = w.graph().hops_to(np.arange(15))
    for row in range(len(prompts)):
        for a in range(8):
            nxt = w.graph().successor[states.place[row], a]
            assert allowed[row, a] == (nxt >= 0 and hops[states.destination[row], nxt] <= 9)
    assert not allowed[:, 8].any()


@pytest.mark.parametrize(
    "options",
    [
        {"min_moves": 0},
        {"min_moves": 5, "max_moves": 4},
        {"max_moves": 5000},
        {"held_out_share": 1.5},
        {"held_out": "nodes"},
    ],
)
def test_options_out_of_range_are_refused(options: dict) -> None:
    with pytest.raises(InputError, match="env"):
        TaxiConfig(**options)
