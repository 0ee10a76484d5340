"""The process library against an established one, against arithmetic, and against what must be refused."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldbench.baselines.gpt import GPT
from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.entropy_rate import entropy_rate
from worldbench.envs.hmm.library import mixture, named, product
from worldbench.envs.hmm.mixed_states import rounded
from worldbench.envs.hmm.process import Process
from worldbench.envs.hmm.world import HMM
from worldbench.settings.resolve import resolve


def probability(p: Process, word: str) -> float:
    return float(np.exp(p.log_probability(np.array([[int(c) for c in word]])))[0])


@pytest.mark.parametrize(("x", "a"), [(0.05, 0.85), (0.15, 0.6), (0.3, 0.4)])
def test_filter_agrees_with_hmmlearn_on_mess3(x: float, a: float) -> None:
    """Mess3 emits by the state arrived in, so it is a state-emitting model whose first state is one step on from the
    stationary law: which is that law."""
    hmmlearn = pytest.importorskip("hmmlearn.hmm")
    theirs = hmmlearn.CategoricalHMM(n_components=3, n_features=3)
    theirs.startprob_ = np.full(3, 1 / 3)
    theirs.transmat_ = np.where(np.eye(3, dtype=bool), 1 - 2 * x, x)
    theirs.emissionprob_ = np.where(np.eye(3, dtype=bool), a, (1 - a) / 2)
    p = named(f"mess3(x={x}, a={a})")
    tokens = p.sample(streams.uniform(0, 25, 16, "hmmlearn")).astype(int)
    beliefs, log_p = p.beliefs(tokens), p.log_probability(tokens)
    for i, row in enumerate(tokens):
        assert theirs.score(row[:, None]) == pytest.approx(log_p[i], abs=1e-9)
        for t in range(1, len(row) + 1):  # the smoothed law of a prefix's last state is its filtered law
            assert theirs.predict_proba(row[:t, None])[-1] == pytest.approx(beliefs[i, t], abs=1e-9)


def test_probabilities_of_words_by_hand() -> None:
    assert probability(named("z1r"), "100110") == pytest.approx(1 / 12)
    assert probability(named("z1r(p=0.2)"), "010") == pytest.approx(0.2 / 3)  # phases 0, 1, R; no other reads 0 1 0
    assert probability(named("rrxor"), "000") == pytest.approx(
        1 / 12 + 1 / 24 + 1 / 24
    )  # from S; from '0', F, S; from F, S, '0'
    assert probability(named("even"), "010") == 0
    assert probability(named("golden_mean"), "11") == 0
    assert probability(named("golden_mean"), "101") == pytest.approx((1 / 3) * (1 / 2))
    assert probability(named("coin(p=0.3)"), "001") == pytest.approx(0.3 * 0.3 * 0.7)
    assert probability(named("leaky_rrxor(leak=1)"), "00") == pytest.approx(probability(named("rrxor"), "00"))
    # From the start [1, 0, 0] of the Bloch walk: 1/4 each; the law then moves along the first or second direction by o.
    bloch = named("bloch_walk")
    o = 2 * math.sqrt(51) / (4 * 52)
    assert bloch.start.tolist() == bloch.phi.tolist() == [1, 0, 0]
    assert bloch.beliefs(np.array([[0]]))[0, 1] == pytest.approx([1, 0, 4 * o])
    assert probability(bloch, "00") == pytest.approx(1 / 16 + o * o)
    assert probability(bloch, "01") == pytest.approx(1 / 16 - o * o)
    assert probability(bloch, "02") == pytest.approx(1 / 16)


PARTS = [
    "bloch_walk",
    "product(coin, coin(p=0.3))",
    "product(even, golden_mean)",
    "mixture(bloch_walk, product(coin, coin))",
]


@pytest.mark.parametrize(("a", "b"), list(itertools.combinations(PARTS, 2)))
def test_words_of_a_mixture_are_mixed(a: str, b: str) -> None:
    first, second, both = named(a), named(b), mixture([named(a), named(b)], [0.3, 0.7])
    for word in map("".join, itertools.product("0123", repeat=3)):
        assert probability(both, word) == pytest.approx(
            0.3 * probability(first, word) + 0.7 * probability(second, word), abs=1e-12
        )
    written = named(f"mixture(0.3*{a}, 0.7*{b})")
    assert np.allclose(written.start, both.start)
    assert written.name != named(f"mixture({a}, {b})").name


@pytest.mark.parametrize(
    ("a", "b"), [("bloch_walk", "coin(p=0.3)"), ("even", "bloch_walk"), ("bloch_walk", "bloch_walk")]
)
def test_words_of_a_product_multiply(a: str, b: str) -> None:
    first, second = named(a), named(b)
    both = product([first, second])
    n = second.n_tokens
    for left, right in itertools.product(
        itertools.product(range(first.n_tokens), repeat=2), itertools.product(range(n), repeat=2)
    ):
        joint = np.array([[i * n + j for i, j in zip(left, right)]])
        expected = math.exp(first.log_probability(np.array([left]))[0]) * math.exp(
            second.log_probability(np.array([right]))[0]
        )
        assert math.exp(both.log_probability(joint)[0]) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize(
    ("spec", "rate"),
    [
        ("rrxor", 2 / 3 * math.log(2)),
        ("z1r", math.log(2) / 3),
        ("even", 2 / 3 * math.log(2)),
        ("golden_mean", 2 / 3 * math.log(2)),
        ("coin(p=0.25)", -(0.25 * math.log(0.25) + 0.75 * math.log(0.75))),
        ("mixture(coin(p=0), coin)", math.log(2) / 2),
        ("product(z1r, coin)", math.log(2) * 4 / 3),
    ],
)
def test_entropy_rates_are_exact(spec: str, rate: float) -> None:
    assert named(spec).entropy_rate() == pytest.approx(rate, abs=1e-9 if "mixture" not in spec else 1e-5)


@settings(max_examples=12)
@given(st.integers(0, 10_000))
def test_entropy_rate_is_the_limit(seed: int) -> None:
    """Random processes of two states: few beliefs or ever more, h_L falls to it."""
    rng = streams.generator("random rates", seed)
    t = rng.random((2, 2, 2)) * (rng.random((2, 2, 2)) < 0.6) + 0.02
    t /= t.sum((0, 2))[None, :, None]
    p = Process(name="random", transition=t)
    h = p.myopic_entropies(12)
    rate = entropy_rate(p, 0.1)
    assert h[-1] - 5e-3 < rate.upper
    assert rate.lower <= h[-1] + 1e-9
    assert rate.upper - rate.lower < 1e-3


def test_equal_beliefs_are_one_at_any_border() -> None:
    """Fractions that end where rounding would break them, reached by sums in different order."""
    b = np.array(
        [[2.0**-k, 1 - 2.0**-k] for k in range(1, 22)] + [[5 * 10.0**-k, 1 - 5 * 10.0**-k] for k in range(1, 12)]
    )
    for decimals in (6, 9, 10):
        assert (rounded(b, decimals) == rounded(b + 1e-16, decimals)).all()
        assert (rounded(b, decimals) == rounded(b - 1e-16, decimals)).all()
    assert len(np.unique(rounded(np.array([[0.5], [0.5 + 2e-9]])), axis=0)) == 2


def test_many_tokens() -> None:
    p = Process(name="wide", transition=np.full((300, 1, 1), 1 / 300))
    level = p.mixed_states(1)[1]
    assert level.tokens[:, 0].tolist() == list(range(300))
    assert p.sample(streams.uniform(0, 2000, 3, "wide")).max() > 255


TOO_FAR = named("bloch_walk").transition.copy()
TOO_FAR[:2, [0, 2], [2, 0]] *= 5
"""Every first token has probability 1/4; the second's would be 1/16 - .343^2, below 0, for some."""


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"phi": np.array([1.0, 2.0])}, "right eigenvector"),
        ({"phi": np.zeros(2)}, "right eigenvector"),
        ({"transition": np.array([[[1.5, 0], [0, 1.5]], [[-0.5, 0], [0, -0.5]]])}, "2 possible phi"),
        (
            {"transition": np.array([[[1.5, 0], [0, 0.2]], [[-0.5, 0], [0, 0.3]]]), "start": np.array([1.0, 0])},
            "negative probability",
        ),
        ({"transition": TOO_FAR, "start": np.array([1.0, 0, 0])}, "negative probability"),
        ({"words": ("a", "a")}, "two tokens with the name"),
    ],
)
def test_what_is_no_generalised_process_is_refused(change: dict, message: str) -> None:
    good = {"name": "mine", "transition": named("even").transition}
    with pytest.raises(InputError, match=message):
        Process(**{**good, **change})


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("mess3(x=.1, x=.2)", "given twice"),
        ("mixture(0.3*coin, even)", "a weight for all"),
        ("mixture(big*coin, 1*even)", "must be a number, not 'big'"),
        ("mixture(-1*coin, 2*even)", "one weight for each"),
        ("mess3(x=nan)", "between 0 and 1"),
        ("mess3(x=0)", "give its start"),
        ("sns(p=0, q=0)", "give its start"),
    ],
)
def test_wrong_processes_are_reported(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        named(spec)


def test_a_generalised_process_is_a_world_like_any_other() -> None:
    world = HMM(HMMConfig(process="mixture(bloch_walk, product(even, coin))", length=6))
    d = world.sample(0, "test", 0, 400)
    states = world.after(d)
    assert (world.outcome(states) == 1).all()
    beliefs = world.process.beliefs(d.tokens[:, 1:] - 2)
    assert states.belief == pytest.approx(beliefs[:, -1], abs=1e-9)
    assert (states.belief @ world.process.phi) == pytest.approx(np.ones(400))
    assert not world.process.hidden_markov
    h = world.expected_entropies()
    assert h is not None
    assert len(h) == 6
    assert world.card(0)["bayes_loss"] == pytest.approx(h.mean())


def test_expected_entropies_are_whole_or_absent() -> None:
    assert np.isfinite(HMM(HMMConfig(process="rrxor", length=64)).expected_entropies()).all()
    assert np.isnan(HMM(HMMConfig(process="mess3", length=64)).expected_entropies())[-1]
    assert HMM(HMMConfig(process="mess3", length=64)).card(0)["bayes_loss"] is None


def test_card_of_many_beliefs_stops_short() -> None:
    """3^40 beliefs: what would need them all is left out, the rest is given as far as it is known."""
    card = HMM(HMMConfig(process="mess3", length=40)).card(0)
    assert card["bayes_loss"] is None
    assert 5 < len(card["myopic_entropies"]) < 40


def test_the_papers_network_is_the_preset() -> None:
    """Shai et al. 2024: context 10, 4 layers of width 64, one head of 8, an MLP of 256; plain gradient descent at .01,
    batches of 64, a million steps."""
    job = resolve("hmm", "gpt", preset="paper", seed=0)
    model, train = job.groups["model"], job.groups["train"]
    assert (job.groups["env"].process, job.groups["env"].length) == ("mess3", 10)
    assert (model.layers, model.width, model.heads, model.head_width, model.mlp_width) == (4, 64, 1, 8, 256)
    assert (train.optimizer, train.learning_rate, train.batch, train.steps, train.schedule) == (
        "sgd",
        0.01,
        64,
        1_000_000,
        "constant",
    )
    assert (train.weight_decay, train.clip, train.warmup) == (0, 0, 0)
    block = GPT(model, 5, 11, 0).trunk.blocks[0]
    assert block.qkv.weight.shape == (24, 64)  # type: ignore[union-attr]
    for wrong in ({"head_width": 7}, {"head_width": -2}, {"mlp_width": -1}, {"heads": 3}):
        with pytest.raises(InputError, match="model"):
            dataclasses.replace(model, **({"head_width": 0} | wrong))
    with pytest.raises(InputError, match="optimizer"):
        dataclasses.replace(train, optimizer="sdg")
