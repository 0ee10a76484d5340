"""Hidden Markov processes: published numbers, enumeration, sampling; and their world."""

from __future__ import annotations

import itertools
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.world import ARRIVED, ILLEGAL, OPEN, Documents
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.library import NAMED, from_file, mixture, named, product
from worldbench.envs.hmm.process import Process
from worldbench.envs.hmm.world import FIRST, HMM, START

RATES = {
    "mess3": 0.7935,
    "z1r": 0.2310,
    "rrxor": 0.4621,
    "even": 0.4621,
    "golden_mean": 0.4621,
    "coin": 0.6931,
    "mess3(x=0.15, a=0.6)": 1.0889,
}
FIRST_ENTROPY = {"mess3": 1.0986, "z1r": 0.6931, "rrxor": 0.6931, "even": 0.6365, "golden_mean": 0.6365}
MYOPIC = {
    "mess3": [1.0986, 0.8577, 0.8134, 0.7981, 0.7947, 0.7938, 0.7935],
    "rrxor": [0.6931, 0.6931, 0.6365, 0.6285, 0.5987, 0.5776, 0.5615, 0.5398, 0.5269, 0.5158, 0.5033],
}
ALL = [*NAMED, "mixture(mess3, mess3(a=0.6))", "product(coin(p=0.3), z1r)", "mixture(bloch_walk, product(coin, coin))"]


@pytest.mark.parametrize("name", RATES)
def test_entropy_rates(name: str) -> None:
    assert named(name).entropy_rate() == pytest.approx(RATES[name], abs=6e-5)


@pytest.mark.parametrize("name", FIRST_ENTROPY)
def test_entropy_of_the_first_token(name: str) -> None:
    assert named(name).myopic_entropies(0)[0] == pytest.approx(FIRST_ENTROPY[name], abs=6e-5)


@pytest.mark.parametrize("name", MYOPIC)
def test_myopic_entropies(name: str) -> None:
    assert named(name).myopic_entropies(len(MYOPIC[name]) - 1) == pytest.approx(MYOPIC[name], abs=6e-5)


def test_published_beliefs() -> None:
    mess3, rrxor = named("mess3"), named("rrxor")
    b = mess3.beliefs(np.array([[0, 1, 2]]))[0]
    assert b[1] == pytest.approx([0.85, 0.075, 0.075])
    assert b[2] == pytest.approx([0.355104, 0.592607, 0.052289], abs=1e-6)
    assert b[3] == pytest.approx([0.178062, 0.280229, 0.541709], abs=1e-6)
    b = rrxor.beliefs(np.array([[0, 1, 1, 0, 1, 0, 0]]))[0]
    assert b[1] == pytest.approx([1 / 3, 1 / 3, 0, 1 / 6, 1 / 6])
    assert b[3] == pytest.approx([0.5, 0, 0.25, 0, 0.25])
    assert b[7] == pytest.approx([0, 0, 0, 0, 1])


def test_distinct_beliefs() -> None:
    assert named("rrxor").distinct_beliefs(8).tolist() == [1, 3, 7, 15, 27, 34, 36, 36, 36]
    assert named("z1r").distinct_beliefs(8)[-1] == 7
    assert named("even").distinct_beliefs(8)[-1] == 4
    assert named("golden_mean").distinct_beliefs(8)[-1] == 3
    levels = named("mess3").mixed_states(5)
    assert [len(np.unique(m.belief.round(9), axis=0)) for m in levels] == [3**k for k in range(6)]


def literal(p: Process, word: tuple[int, ...]) -> float:
    """Pr(word) = start T[x1] .. T[xL] phi."""
    v = p.start
    for x in word:
        v = v @ p.transition[x]
    return float(v @ p.phi)


@pytest.mark.parametrize("name", ALL)
def test_laws_and_beliefs_are_products_of_matrices(name: str) -> None:
    p = named(name)
    depth = 4
    words = list(itertools.product(range(p.n_tokens), repeat=depth))
    truth = np.array([literal(p, w) for w in words])
    assert truth.min() > -1e-12
    assert truth.sum() == pytest.approx(1)
    with np.errstate(divide="ignore"):
        assert np.exp(p.log_probability(np.array(words))) == pytest.approx(truth, abs=1e-12)
    level = p.mixed_states(depth)[depth]
    table = {tuple(t): q for t, q in zip(level.tokens.tolist(), level.probability)}
    assert set(table) == {w for w, q in zip(words, truth) if q > 1e-14}
    assert [table[w] for w in table] == pytest.approx([literal(p, w) for w in table])
    beliefs = p.beliefs(level.tokens)
    assert beliefs[:, -1] == pytest.approx(level.belief, abs=1e-9)
    following = p.law(level.belief)
    for w, row in list(zip(map(tuple, level.tokens.tolist()), following))[:30]:
        assert row == pytest.approx([literal(p, (*w, x)) / literal(p, w) for x in range(p.n_tokens)], abs=1e-9)
    laws = [(m.probability, np.maximum(p.law(m.belief), 1e-300)) for m in p.mixed_states(3)]
    assert p.myopic_entropies(3) == pytest.approx([-float((w @ (q * np.log(q))).sum()) for w, q in laws])


@pytest.mark.parametrize("name", ALL)
def test_samples_follow_the_law(name: str) -> None:
    from scipy.stats import chisquare

    p, depth, n = named(name), 4, 40_000
    tokens = p.sample(streams.uniform(0, n, 1 + depth, "test hmm", name)).astype(np.int64)
    powers = p.n_tokens ** np.arange(depth - 1, -1, -1)
    counts = np.bincount(tokens @ powers, minlength=p.n_tokens**depth)
    expected = n * np.array([literal(p, w) for w in itertools.product(range(p.n_tokens), repeat=depth)])
    possible = expected > 1e-6
    assert counts[~possible].sum() == 0
    assert chisquare(counts[possible], expected[possible] * n / expected[possible].sum()).pvalue > 1e-4


@given(st.integers(0, 10_000))
def test_random_processes(seed: int) -> None:
    rng = streams.generator("random process", seed)
    v, s = int(rng.integers(1, 5)), int(rng.integers(1, 5))
    t = rng.random((v, s, s)) * (rng.random((v, s, s)) < 0.7) + 1e-3
    t /= t.sum((0, 2))[None, :, None]
    p = Process(name="random", transition=t)
    assert p.start @ t.sum(0) == pytest.approx(p.start)
    tokens = p.sample(streams.uniform(0, 50, 7, "x", seed)).astype(int)
    beliefs = p.beliefs(tokens)
    for i in range(5):
        v_ = p.start
        for k, x in enumerate(tokens[i]):
            v_ = v_ @ t[x]
            assert beliefs[i, k + 1] == pytest.approx(v_ / v_.sum(), abs=1e-9)
    assert (np.diff(p.myopic_entropies(4)) <= 1e-9).all()


def test_rare_outcomes_are_drawn_exactly() -> None:
    """Cuts closer together than the bins of the guide table."""
    weights = np.array([0.5, 1e-7, 1e-7, 1e-7, 0.5 - 3e-7])
    p = Process(name="rare", transition=weights[:, None, None])
    cuts = np.cumsum(weights)
    u = np.array([0.1, cuts[0] + 5e-8, cuts[1] + 5e-8, cuts[2] + 5e-8, 0.9])
    assert p.sample(np.stack([np.zeros(5), u], axis=1))[:, 0].tolist() == [0, 1, 2, 3, 4]


def test_a_mixture_knows_its_component() -> None:
    p = mixture([named("coin(p=0.9)"), named("coin(p=0.2)")], [0.25, 0.75])
    b = p.beliefs(np.zeros((1, 3), int))[0]
    assert b[0] == pytest.approx([0.25, 0.75])
    weight = np.array([0.25 * 0.9**3, 0.75 * 0.2**3])
    assert b[3] == pytest.approx(weight / weight.sum())
    both = product([named("z1r"), named("coin(p=0.3)")])
    assert both.entropy_rate() == pytest.approx(
        named("z1r").entropy_rate() + named("coin(p=0.3)").entropy_rate(), abs=1e-6
    )
    assert both.words[1] == "0,1"


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mess4", "did you mean 'mess3'"),
        ("mess3(y=.1)", "no parameter 'y'"),
        ("mess3(.1)", "is written name=number"),
        ("mess3(x=big)", "must be a number"),
        ("mess3(x=.9)", "at most 0.5"),
        ("even(p=1.5)", "between 0 and 1"),
        ("mess3(x=.1", "closing bracket"),
        ("mixture()", "needs processes"),
        ("mixture(mess3, coin)", "the same number of tokens"),
        ("nowhere.json", "cannot read"),
    ],
)
def test_wrong_names_are_reported(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        named(spec)


def test_own_matrices(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    good = {"transition": named("even").transition.tolist(), "words": ["a", "b"], "name": "mine"}
    path.write_text(json.dumps(good))
    p = from_file(path)
    assert (p.name, p.words) == ("mine", ("a", "b"))
    assert np.array_equal(p.transition, named("even").transition)
    for change, message in (
        ({"transition": [[[0.5]], [[0.4]]]}, "sum to 0.9 and not to 1"),
        ({"transition": [[[0.5, 0.1]]]}, "square"),
        ({"transition": [[[1, 2], [3]]]}, "numbers"),
        ({"start": [1.0]}, "needs 2 entries"),
        ({"start": [-1.0, 2.0]}, "not a belief"),
        ({"words": ["a"]}, "2 matrices and 1 word;"),
        ({"words": "ab"}, "list of strings"),
        ({"transitions": 1}, "unknown key"),
        ({"transition": [[[1, 0], [0, 1]]], "words": []}, "give its start"),
    ):
        path.write_text(json.dumps(good | change))
        with pytest.raises(InputError, match=message):
            from_file(path)
    path.write_text("{")
    with pytest.raises(InputError, match="not JSON"):
        from_file(path)


@pytest.fixture(scope="module", params=["rrxor", "mess3", "bloch_walk", "mixture(even, golden_mean)"])
def world(request: pytest.FixtureRequest) -> HMM:
    return HMM(HMMConfig(process=request.param, length=8))


def test_documents_are_functions_of_their_index(world: HMM) -> None:
    whole = world.sample(3, "train", 0, 50)
    assert np.array_equal(whole.tokens[20:33], world.sample(3, "train", 20, 13).tokens)
    assert not np.array_equal(whole.tokens, world.sample(3, "test", 0, 50).tokens)
    assert (whole.tokens[:, 0] == START).all()
    assert (whole.length == 9).all()


def test_states_are_beliefs(world: HMM) -> None:
    d = world.sample(0, "test", 0, 30)
    beliefs = world.process.beliefs(d.tokens[:, 1:] - FIRST)
    for length in range(1, 10):
        states = world.after(Documents(d.tokens, np.full(30, length), d.prompt_length))
        assert states.belief == pytest.approx(beliefs[:, length - 1], abs=1e-9)
        assert (states.status == (ARRIVED if length == 9 else OPEN)).all()
        assert world.law(states) == pytest.approx(np.maximum(world.process.law(beliefs[:, length - 1]), 0), abs=1e-9)
        assert world.beliefs(states) is states.belief


def test_impossible_tokens_are_lost() -> None:
    world = HMM(HMMConfig(process="golden_mean", length=5))
    states = world.start(np.array([[START]] * 3), np.ones(3, int))
    states = world.step(states, np.array([FIRST + 1, FIRST + 1, START]))
    assert states.status.tolist() == [OPEN, OPEN, ILLEGAL]
    assert world.legal(states).tolist() == [[True, False], [True, False], [False, False]]
    states = world.step(states, np.array([FIRST, FIRST + 1, FIRST]))
    assert states.status.tolist() == [OPEN, ILLEGAL, ILLEGAL]
    assert world.law(states)[1].tolist() == [0.5, 0.5]
    assert states.emitted.tolist() == [2, 1, 0]


def test_the_card_and_the_identity(world: HMM) -> None:
    card = world.card(100)
    low, high = card["entropy_rate_bounds"]
    assert low <= high <= card["myopic_entropies"][0] + 1e-9
    assert card["bayes_loss"] == pytest.approx(np.mean(world.process.myopic_entropies(7)))
    other = HMM(HMMConfig(process=world.config.process, length=9))
    assert other.identity() != world.identity()
    json.dumps(world.identity())
    assert world.process.name in world.summary(5)
