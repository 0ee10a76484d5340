"""The entropy rate: exact where finitely many beliefs, closed classes or factors give it; else between two bounds."""

from __future__ import annotations

import json
import math
import time
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from some_cases import others_slow

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.entropy_bounds import bounds
from worldbench.envs.hmm.entropy_rate import entropy_rate
from worldbench.envs.hmm.library import mixture, named, product
from worldbench.envs.hmm.mixed_states import entropy
from worldbench.envs.hmm.process import Process
from worldbench.envs.hmm.world import HMM


def of_coin(p: float) -> float:
    return -p * math.log(p) - (1 - p) * math.log(1 - p)


def random_process(seed: int, tokens: int = 3, states: int = 3, filled: float = 0.5) -> Process:
    rng = streams.generator("random rates", seed)
    t = rng.random((tokens, states, states)) * (rng.random((tokens, states, states)) < filled)
    t[0] += 0.05 * np.roll(np.eye(states), 1, axis=1)
    return Process(name="random", transition=t / t.sum((0, 2))[None, :, None])


def simulated(process: Process, rows: int = 4000, burn: int = 60, tokens: int = 60) -> tuple[float, float]:
    """The mean entropy of the law along simulated documents, in nats, and its standard error over documents."""
    drawn = process.sample(streams.uniform(0, rows, 1 + burn + tokens, "rate", process.name)).astype(int)
    beliefs = process.beliefs(drawn)[:, burn:-1].reshape(-1, process.n_states)
    of_row = entropy(np.maximum(process.law(beliefs), 0)).reshape(rows, -1).mean(1)
    return float(of_row.mean()), float(of_row.std() / rows**0.5)


@pytest.mark.parametrize(
    ("spec", "rate"),
    [
        # The third bit is known up to the leak, once the phase is known; the beliefs are infinitely many.
        ("leaky_rrxor", 2 / 3 * math.log(2) + of_coin(0.1) / 3),
        ("product(leaky_rrxor, rrxor)", 4 / 3 * math.log(2) + of_coin(0.1) / 3),
        ("mixture(0.2*coin(p=0.3), 0.8*rrxor)", 0.2 * of_coin(0.3) + 0.8 * 2 / 3 * math.log(2)),
        ("mixture(rrxor, mixture(z1r, even))", (2 / 3 + (1 / 3 + 2 / 3) / 2) / 2 * math.log(2)),
        ("bloch_walk(alpha=1, beta=0)", math.log(4)),
    ],
)
def test_exact_rates(spec: str, rate: float) -> None:
    found = named(spec).rate()
    assert found.exact
    assert found.lower == pytest.approx(rate, abs=1e-12)
    assert named(spec).entropy_rate() == pytest.approx(rate, abs=1e-12)


@pytest.mark.parametrize("spec", ["rrxor", "leaky_rrxor", "z1r", "even", "golden_mean", "coin(p=0.2)"])
def test_bounds_hold_the_exact_rate(spec: str) -> None:
    """The bounds use none of the exact ways."""
    process = named(spec)
    for share in (0.001, 0.1, 1):
        low, high = bounds(process, share)
        assert low - 1e-9 <= process.rate().lower <= high + 1e-9
    assert high - low < 2e-4


@settings(max_examples=40)
@given(st.integers(0, 10_000))
def test_what_is_called_exact_is_exact(seed: int) -> None:
    """Beliefs that converge to one another are infinitely many, although they soon agree to nine decimals."""
    process = random_process(seed, 2, 2, filled=0.4)
    rate = entropy_rate(process, 0.02)
    if rate.exact:
        low, high = bounds(process, 0.02)
        assert low - 1e-10 <= rate.lower <= high + 1e-10


def test_converging_beliefs_are_not_finitely_many() -> None:
    rate = named("sns(p=0.3, q=0.6)").rate()
    assert not rate.exact
    assert rate.value is not None


@pytest.mark.slow
@settings(max_examples=12)
@given(st.integers(0, 10_000), st.integers(2, 4), st.integers(2, 4))
def test_more_work_never_contradicts_less(seed: int, tokens: int, states: int) -> None:
    process = random_process(seed, tokens, states)
    found = [bounds(process, share) for share in (1e-4, 1e-3, 1e-2)]
    assert max(low for low, _ in found) <= min(high for _, high in found) + 1e-9
    assert all(0 <= low <= high <= math.log(tokens) + 1e-9 for low, high in found)


@pytest.mark.parametrize(
    "spec", others_slow(["mess3", "mess3(a=0.6)", "sns", "bloch_walk", "product(leaky_rrxor, mess3)"], "mess3", "sns")
)
def test_bounds_hold_the_simulated_rate(spec: str) -> None:
    process = named(spec)
    # Bloch walks need about 100 tokens until the beliefs are pure states.
    mean, error = simulated(process, burn=150) if "bloch" in spec else simulated(process)
    rate = process.rate()
    assert rate.lower - 4 * error <= mean <= rate.upper + 4 * error
    assert not rate.exact
    assert rate.upper - rate.lower < 2e-3


def test_rates_of_the_papers() -> None:
    assert named("mess3").entropy_rate() == pytest.approx(0.7935, abs=5e-5)
    assert named("product(leaky_rrxor, mess3)").entropy_rate() == pytest.approx(1.3639, abs=5e-5)
    walk = named("bloch_walk").rate()
    assert 1.3672 < walk.lower < 1.36725 < walk.upper < 1.368
    with pytest.raises(InputError, match="use both bounds"):
        named("bloch_walk").entropy_rate()


@pytest.mark.slow
def test_parts_make_the_whole() -> None:
    def rates(*processes: Process) -> list[tuple[float, float]]:
        return [(r.lower, r.upper) for r in (entropy_rate(p, 0.05) for p in processes)]

    a, b, c = named("mess3(a=0.6)"), named("sns"), named("mess3")
    (low_a, high_a), (low_b, high_b), (low_c, high_c) = rates(a, b, c)
    (low, high), (low_mixed, high_mixed) = rates(product([a, b]), mixture([a, c], [0.3, 0.7]))
    assert low_a + low_b <= high
    assert low <= high_a + high_b
    assert 0.3 * low_a + 0.7 * low_c <= high_mixed
    assert low_mixed <= 0.3 * high_a + 0.7 * high_c
    assert max(high - low, high_mixed - low_mixed) < 0.02
    assert named("mixture(bloch_walk, product(coin, coin))").component.tolist() == [0, 0, 0, 1]


def test_a_process_ends_in_closed_classes() -> None:
    """From state 0, with 1/4 a fair coin for ever, with 3/4 a constant."""
    t = np.zeros((2, 3, 3))
    t[0, 0, 1], t[1, 0, 2] = 0.25, 0.75
    t[:, 1, 1], t[0, 2, 2] = 0.5, 1
    process = Process(name="fork", transition=t, start=np.array([1.0, 0, 0]))
    assert process.rate().exact
    assert process.entropy_rate() == pytest.approx(math.log(2) / 4)


def test_units_of_the_states_do_not_matter() -> None:
    """Scaled states make a process with another phi, which is not in the form of a hidden Markov process."""
    process = named("mess3")
    scale = np.array([1.0, 2.0, 5.0])
    scaled = Process(name="scaled", transition=process.transition * scale / scale[:, None], phi=1 / scale)
    assert not scaled.hidden_markov
    assert scaled.entropy_rate() == pytest.approx(process.entropy_rate(), abs=1e-8)


def test_generalized_processes_without_bounds_say_so() -> None:
    """A Bloch walk with six states: too many for its polytope, so the lower bound is 0."""
    t = np.zeros((4, 6, 6))
    t[:, :3, :3] = t[:, 3:, 3:] = named("bloch_walk").transition
    mix = np.linalg.qr(streams.generator("mix").standard_normal((6, 6)))[0]
    process = Process(
        name="six", transition=mix.T @ t @ mix, start=np.array([1.0, 0, 0, 0, 0, 0]) @ mix,
        phi=mix.T @ np.array([1.0, 0, 0, 1, 0, 0]),
    )  # fmt: skip
    rate = process.rate()
    assert (rate.lower, rate.value) == (0, None)
    assert 1.3672 < rate.upper < 1.369


def test_the_card_gives_a_value_or_an_interval() -> None:
    for spec, exact, known in (("leaky_rrxor", True, True), ("mess3", False, True), ("bloch_walk", False, False)):
        world = HMM(HMMConfig(process=spec))
        card, rate = world.card(0), world.process.rate()
        assert card["entropy_rate_bounds"] == [rate.lower, rate.upper]
        assert card["entropy_rate_exact"] == exact
        assert (card["entropy_rate"] is not None) == known
        if not known:
            low, high = f"{rate.lower:.6g}", f"{rate.upper:.6g}"
            assert card["left_out"]["entropy_rate"] == f"only known to lie between {low} and {high} nats"
            assert "entropy rate between 1.3672 and 1.3678 nats" in world.summary(0)
        else:
            assert "left_out" not in card or "entropy_rate" not in card["left_out"]
            assert f"entropy rate {card['entropy_rate']:.4f} nats" in world.summary(0)


@pytest.mark.parametrize(
    ("tokens", "states"), [(12, 2), (70, 70), pytest.param(4, 1000, marks=pytest.mark.slow), (3, 5)]
)
def test_a_card_takes_little_time(tokens: int, states: int) -> None:
    """At most a second on a free core; measured in time of the processor, with room for a slow one."""
    t = np.random.default_rng(1).random((tokens, states, states))  # a process that no other test has
    world = HMM(HMMConfig(length=16), Process(name="random", transition=t / t.sum((0, 2))[None, :, None]))
    begin = time.process_time()
    world.expected_entropies(), world.summary(0), world.card(0)
    assert time.process_time() - begin < 3


def test_a_generalized_process_whose_weights_are_negative_in_one_part_has_a_rate(tmp_path: Path) -> None:
    """Its matrices are those of a chain in two parts, of which only the first one ever starts."""
    path = tmp_path / "parts.json"
    matrices = [[[0.5, 0.25, 0], [1, 0.5, 0], [0, 0, 1]]]
    path.write_text(json.dumps({"transition": matrices, "start": [-1e308, 0, 0.5], "phi": [1, 2, 1]}))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert HMM(HMMConfig(process=str(path), length=4)).process.rate().value == pytest.approx(0)
