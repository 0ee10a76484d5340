"""Softmax probes: the optimum of their loss, and the information that is known."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.optimize import minimize

from worldbench.metrics.softmax_probe import PENALTIES, Coordinates, Probe, chosen, fitted

STATES = np.array([[0.8, 0.1, 0.1, 0.0], [0.1, 0.7, 0.1, 0.1], [0.0, 0.0, 0.5, 0.5]])
"""The probabilities of four classes in three states."""


def known(rows: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """States as one-hot codes float [M, 3], and classes int [M] drawn from STATES."""
    rng = np.random.default_rng(seed)
    state = rng.integers(0, 3, rows)
    return np.eye(3)[state], (rng.random(rows)[:, None] > STATES[state].cumsum(axis=1)).sum(axis=1)


def halves(rows: int) -> np.ndarray:
    return np.arange(rows) % 2 == 0


def read(h: np.ndarray, label: np.ndarray, penalty: float, size: int = 4) -> float:
    """The mean bits of the other half."""
    fit = halves(len(h))
    at = Coordinates.of(h, fit)
    return float(fitted(at, label, fit, penalty).bits(at.z_MD[~fit], label[~fit], size).mean())


def test_the_bits_are_the_mutual_information() -> None:
    joint = STATES / 3
    marginal = joint.sum(axis=0)
    inside = joint > 0
    information = float((joint[inside] * np.log2((joint * 3 / marginal)[inside])).sum())
    assert read(*known(40_000), 1e-4) == pytest.approx(information, abs=0.02)


def test_noise_has_no_bits_and_the_largest_penalties() -> None:
    h, label = np.random.default_rng(1).normal(size=(4000, 20)), known(4000)[1]
    assert read(h, label, PENALTIES[0]) == pytest.approx(0, abs=0.01)
    assert read(h, label, PENALTIES[-1]) < -0.005, "a probe without a penalty fits the noise"
    fit = halves(4000)
    inner = fit & (np.arange(4000) % 8 != 0)
    assert chosen(Coordinates.of(h, fit), label, fit, inner, 4) >= 0.3
    signal, label = known(4000)
    assert chosen(Coordinates.of(signal, fit), label, fit, inner, 4) <= 0.01


def test_a_signal_behind_noise_of_more_variance_is_found() -> None:
    """Probes with large penalties read next to nothing; those with small penalties read the signal."""
    signal, label = known(4000)
    h = np.concatenate([signal, 10 * np.random.default_rng(5).normal(size=(4000, 20))], axis=1)
    fit = halves(4000)
    penalty = chosen(Coordinates.of(h, fit), label, fit, fit & (np.arange(4000) % 8 != 0), 4)
    assert penalty <= 0.001
    assert read(h, label, penalty) > 0.7


def test_the_fit_is_the_optimum_of_the_penalized_loss() -> None:
    rng = np.random.default_rng(2)
    h = rng.normal(size=(300, 4)) * [5.0, 1.0, 0.3, 1.0]
    label = (h @ rng.normal(size=(4, 3)) + rng.gumbel(size=(300, 3))).argmax(axis=1) * 2 + 1  # classes 1, 3, 5
    every, penalty = np.ones(300, bool), 0.03
    at = Coordinates.of(h, every)
    probe = fitted(at, label, every, penalty)
    a = h - h.mean(axis=0)
    mean_variance = float((a**2).mean(axis=0).mean())

    def loss(u: np.ndarray) -> float:
        w, b = u[:12].reshape(4, 3), u[12:]
        logits = a @ w + b
        log = logits - np.log(np.exp(logits).sum(axis=1, keepdims=True))
        return -log[np.arange(300), label // 2].mean() + 0.5 * penalty * mean_variance * (w**2).sum()

    best = minimize(loss, np.zeros(15), method="BFGS", options={"gtol": 1e-7}).x
    mine, theirs = at.z_MD @ probe.weight_DC + probe.bias_C, a @ best[:12].reshape(4, 3) + best[12:]
    centered = [x - x.mean(axis=1, keepdims=True) for x in (mine, theirs)]
    assert probe.classes.tolist() == [1, 3, 5]
    assert np.abs(centered[0] - centered[1]).max() < 0.02


def test_rotation_scale_and_shift_change_nothing() -> None:
    rng = np.random.default_rng(3)
    h, label = rng.normal(size=(2000, 6)), known(2000)[1]
    h[:, :3] += known(2000)[0]
    turned = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    bits = read(h, label, 0.01)
    assert bits > 0.05
    assert read(40 * h @ turned + 7, label, 0.01) == pytest.approx(bits, abs=1e-3)


def test_a_class_without_a_row_in_the_fit_has_no_bits() -> None:
    h, label = known(200)
    fit = halves(200)
    at = Coordinates.of(h, fit)
    label[~fit] = 9
    bits = fitted(at, label, fit, 0.01).bits(at.z_MD[~fit], label[~fit], 10)
    assert (bits == 0).all()


def test_probabilities_sum_to_one() -> None:
    probe = Probe(
        np.array([1, 4]), np.ones((3, 2), np.float32), np.array([0.3, -0.2], np.float32), np.array([0.7, 0.3]), 9
    )
    z = np.random.default_rng(4).normal(size=(5, 3)).astype(np.float32)
    frequency = {1: 0.9 * 0.7 + 0.1 / 6, 4: 0.9 * 0.3 + 0.1 / 6}
    of = [2 ** probe.bits(z, np.full(5, k), 6) * frequency[k] for k in (1, 4)]
    assert of[0] + of[1] + 4 * 0.1 / 6 == pytest.approx(np.ones(5), abs=1e-6)


def test_states_without_variance_read_nothing() -> None:
    h, label = np.ones((40, 3)), known(40)[1]
    assert read(h, label, 0.1) == pytest.approx(0, abs=1e-6)
