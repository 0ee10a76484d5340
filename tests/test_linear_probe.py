"""Linear probes against least squares, Fisher's discriminant and principal components."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldbench.core import streams
from worldbench.metrics.linear_probe import (
    RIDGES,
    fit_affine,
    fit_discriminant,
    fourier_features,
    left_out,
    r_squared,
    sum_by_class,
    top_components,
)


def literal_ridge(x: np.ndarray, y: np.ndarray, w: np.ndarray, ridge: float) -> tuple[np.ndarray, np.ndarray]:
    mx, my = (w[:, None] * x).sum(0), (w[:, None] * y).sum(0)
    root = np.sqrt(w)[:, None]
    a, b = (x - mx) * root, (y - my) * root
    penalty = np.sqrt(ridge * np.trace(a.T @ a) / x.shape[1]) * np.eye(x.shape[1])
    weight = np.linalg.lstsq(
        np.concatenate([a, penalty]), np.concatenate([b, np.zeros((x.shape[1], y.shape[1]))]), rcond=None
    )[0]
    return weight, my - mx @ weight


@given(st.integers(0, 50))
def test_affine_is_the_ridge_of_least_leave_one_out_error(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, d = int(rng.integers(15, 40)), int(rng.integers(1, 6))
    x = rng.normal(size=(m, d)) * 10.0 ** rng.integers(-3, 1, d)
    y = x @ rng.normal(size=(d, 2)) / x.std(0).mean() + rng.normal(size=(m, 2)) * rng.choice([0.01, 1])
    w = rng.integers(1, 5, m).astype(float)
    w /= w.sum()
    fits = [literal_ridge(x, y, w, r) for r in RIDGES]
    found = fit_affine(x, y, w * 7)
    gap = [np.abs(found(x) - (x @ a + b)).max() for a, b in fits]
    assert min(gap) < 1e-6 * np.abs(y).max()

    def leave_one_out(ridge: float) -> float:
        """The error of the leverage formula, by a fit without each row. The penalty and the center stay those of all
        rows."""
        total, root = 0.0, np.sqrt(w)
        a = np.concatenate([root[:, None], (x - w @ x) * root[:, None]], axis=1)
        penalty = np.diag([0, *np.full(d, ridge * np.trace(a[:, 1:].T @ a[:, 1:]) / d)])
        for i in range(m):
            keep = np.arange(m) != i
            beta = np.linalg.solve(a[keep].T @ a[keep] + penalty, a[keep].T @ (y[keep] * root[keep, None]))
            total += float(((y[i] * root[i] - a[i] @ beta) ** 2).sum())
        return total

    errors = [leave_one_out(r) for r in RIDGES]
    assert errors[int(np.argmin(gap))] <= min(errors) * (1 + 1e-6)


def test_affine_with_enough_rows_is_least_squares() -> None:
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(400, 5)), rng.normal(size=(400, 3))
    y += x @ rng.normal(size=(5, 3))
    design = np.concatenate([x, np.ones((400, 1))], axis=1)
    plain = design @ np.linalg.lstsq(design, y, rcond=None)[0]
    predicted = fit_affine(x, y)(x)
    assert np.abs(predicted - plain).max() < 0.02
    assert r_squared(y, plain) == pytest.approx(1 - ((y - plain) ** 2).sum() / ((y - y.mean(0)) ** 2).sum())
    assert r_squared(y, predicted) == pytest.approx(r_squared(y, plain), abs=1e-5)


def test_a_direction_without_variance_explodes_nowhere() -> None:
    """Regressors that hardly vary, and rows unlike those fitted: what an untrained network's hidden states are."""
    rng = np.random.default_rng(1)
    x = np.concatenate([rng.normal(size=(200, 2)), 1e-4 * rng.normal(size=(200, 30))], axis=1)
    y = x[:, :1] + rng.normal(size=(200, 1))
    far = np.concatenate([rng.normal(size=(50, 2)), 0.01 * np.ones((50, 30))], axis=1)
    plain = np.linalg.lstsq(np.concatenate([x, np.ones((200, 1))], axis=1), y, rcond=None)[0]
    assert (
        np.abs(fit_affine(x, y)(far)).max() < 15 < np.abs(np.concatenate([far, np.ones((50, 1))], axis=1) @ plain).max()
    )


def test_discriminant_is_fishers() -> None:
    rng = np.random.default_rng(2)
    label = rng.integers(0, 4, 500)
    label[label == 2] = 3
    x = rng.normal(size=(5, 3))[label] + 0.7 * rng.normal(size=(500, 3)) @ rng.normal(size=(3, 3))
    found = fit_discriminant(x, label, 5)(x).argmax(axis=1)
    assert not np.isin(found, (2, 4)).any()
    seen = (0, 1, 3)
    mean = {c: x[label == c].mean(0) for c in seen}
    pooled = sum((r - mean[c])[:, None] @ (r - mean[c])[None, :] for r, c in zip(x, label)) / len(x)
    pooled += 1e-4 * np.trace(np.cov(x.T, bias=True)) / 3 * np.eye(3)
    inverse = np.linalg.inv(pooled)
    literal = [
        max(seen, key=lambda c: -0.5 * (row - mean[c]) @ inverse @ (row - mean[c]) + np.log((label == c).mean()))
        for row in x
    ]
    assert found.tolist() == literal


def test_left_out_is_the_fit_without_the_row() -> None:
    """At the penalty of all rows, and with the center of all rows for what shrinks."""
    rng = np.random.default_rng(8)
    x, w = rng.normal(size=(25, 3)), rng.integers(1, 4, 25).astype(float)
    y = x @ rng.normal(size=(3, 2)) + rng.normal(size=(25, 2))
    w /= w.sum()
    found = fit_affine(x, y, w)
    ridge = min(RIDGES, key=lambda r: np.abs(x @ literal_ridge(x, y, w, r)[0] - x @ found.weight).max())
    root, centered = np.sqrt(w)[:, None], x - w @ x
    a = np.concatenate([root, centered * root], axis=1)
    penalty = np.diag([0, *np.full(3, ridge * np.trace(a[:, 1:].T @ a[:, 1:]) / 3)])
    for i, predicted in enumerate(left_out(x, y, w)):
        keep = np.arange(25) != i
        beta = np.linalg.solve(a[keep].T @ a[keep] + penalty, a[keep].T @ (y[keep] * root[keep]))
        assert predicted == pytest.approx(np.array([1, *centered[i]]) @ beta)


@pytest.mark.slow
def test_a_nonlinear_probe_finds_an_exclusive_or() -> None:
    """Hidden states that hold the last two tokens, and a belief that is their exclusive or: no affine map has it."""
    rng = np.random.default_rng(4)
    bits = rng.integers(0, 2, (600, 2)).astype(float)
    y = np.eye(2)[(bits.sum(1) % 2).astype(int)]
    fit = np.arange(600) < 300
    x = bits + 0.05 * rng.normal(size=bits.shape)
    z = fourier_features(x, 100, streams.generator("test fourier"))
    assert r_squared(y[~fit], fit_affine(x[fit], y[fit])(x[~fit])) < 0.05
    assert r_squared(y[~fit], fit_affine(z[fit], y[fit])(z[~fit])) > 0.95
    # Shuffled labels: what remains in each of the four corners is chance, 4 d with d of sd .03 either way; the mean of
    # forty is 0 within three of its own.
    shuffled = [r_squared(y[~fit], fit_affine(z[fit], y[fit][rng.permutation(300)])(z[~fit])) for _ in range(40)]
    assert abs(np.mean(shuffled)) < 0.06
    # The products of features are the Gaussian kernel of the median width.
    many = fourier_features(x, 20_000, streams.generator("test kernel"))[:, 2:]
    unit = (x - x.mean(0)) / x.std(0)
    gap = np.linalg.norm(unit[:40, None] - unit[None, :40], axis=2)
    kernel = many[:40] @ many[:40].T
    slope = np.log(np.clip(kernel[0, 1:], 1e-3, 1)) / -(gap[0, 1:] ** 2)
    width = np.sqrt(1 / (2 * np.median(slope[gap[0, 1:] > 0.5])))
    assert kernel == pytest.approx(np.exp(-(gap**2) / (2 * width**2)), abs=0.06)


def test_top_components_are_the_principal_ones() -> None:
    rng = np.random.default_rng(3)
    x = rng.normal(size=(300, 4)) * [5, 1, 3, 0.1] @ np.linalg.qr(rng.normal(size=(4, 4)))[0]
    found = top_components(x, 2)
    _, _, v = np.linalg.svd(x - x.mean(0), full_matrices=False)
    assert np.abs(found.T @ v[:2].T).round(6).tolist() == np.eye(2).tolist()


@given(st.integers(0, 20))
def test_sums_by_class_have_every_bit_of_a_sum_row_by_row(seed: int) -> None:
    rng = np.random.default_rng(seed)
    m, classes = int(rng.integers(0, 200)), int(rng.integers(1, 9))
    x = rng.normal(size=(m, 5)) * 10.0 ** rng.integers(-8, 8, (m, 1))
    label = rng.integers(0, classes, m)
    one_by_one = np.zeros((classes, 5))
    np.add.at(one_by_one, label, x)
    assert np.array_equal(sum_by_class(x, label, classes), one_by_one)
