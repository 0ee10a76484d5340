"""Probes: affine least squares, its nonlinear extension, a linear classifier, means by group. numpy only.

Shape letters: M rows, D regressors, K targets, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RIDGES = tuple(10.0**e for e in range(-8, 1))
"""Ridge penalties to choose from, relative to the mean variance of a regressor."""


@dataclass(frozen=True)
class Affine:
    """y = x weight + bias."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x @ self.weight + self.bias


def _shares(n: int, w: np.ndarray | None) -> np.ndarray:
    """Weights that sum to 1: the given ones over their sum, else equal ones."""
    return np.full(n, 1 / n) if w is None else w / w.sum()


def fit_affine(x: np.ndarray, y: np.ndarray, w: np.ndarray | None = None) -> Affine:
    """Weighted least squares of y [M, K] on x [M, D] and a constant, with the ridge penalty of `RIDGES` whose
    leave-one-out error is least.

    The penalty matters where directions of x hardly vary (untrained networks): without it, a row unlike those fitted is
    predicted far off. Leave-one-out in closed form (Allen 1974, PRESS): a row's residual over one minus its leverage.
    """
    w = _shares(len(x), w)
    mx, my = w @ x, w @ y
    root = np.sqrt(w)[:, None]
    a, target = (x - mx) * root, (y - my) * root
    size, direction = np.linalg.eigh(a.T @ a)
    size = np.maximum(size, 0)
    along, moment = a @ direction, direction.T @ (a.T @ target)
    best, weight = np.inf, np.zeros((x.shape[1], y.shape[1]))
    for ridge in RIDGES:
        shrunk = 1 / (size + ridge * max(float(size.mean()), 1e-30))
        coefficient = shrunk[:, None] * moment
        left = 1 - w - along**2 @ shrunk
        error = float((((target - along @ coefficient) / np.maximum(left, 1e-9)[:, None]) ** 2).sum())
        if error < best * (1 - 1e-9):
            best, weight = error, direction @ coefficient
    return Affine(weight, my - mx @ weight)


def fourier_features(x: np.ndarray, fit: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """x [M, D] in units of its spread over the rows `fit` (bool [M]), and beside it `count` random Fourier features of
    a Gaussian kernel: an affine map of them is a nonlinear probe that the linear one is a case of. The kernel's width
    is the median distance of rows (Rahimi & Recht 2007).
    """
    spread = x[fit].std(axis=0)
    z = (x - x[fit].mean(axis=0)) / np.maximum(spread, 1e-6 * max(float(spread.max()), 1e-30))
    a, b = rng.choice(np.flatnonzero(fit), (2, 2000))
    width = max(float(np.median(np.linalg.norm(z[a] - z[b], axis=1))), 1e-12)
    phase = z @ (rng.normal(size=(x.shape[1], count)) / width) + rng.random(count) * 2 * np.pi
    return np.concatenate([z, np.sqrt(2 / count) * np.cos(phase)], axis=1)


def r_squared(y: np.ndarray, predicted: np.ndarray, w: np.ndarray | None = None) -> float:
    """1 - SSE / SST over all targets together, weighted; nan where the targets do not vary."""
    w = _shares(len(y), w)
    total = float((w @ (y - w @ y) ** 2).sum())
    return 1 - float((w @ (y - predicted) ** 2).sum()) / total if total > 1e-15 else float("nan")


def fit_discriminant(x: np.ndarray, label: np.ndarray, classes: int) -> Affine:
    """Fisher's linear discriminant: scores whose largest names the class; a class that was never seen is never named.

    Closed form (class means, pooled covariance within classes, shares as priors): a linear map like Vafa et al.'s,
    without a learning rate or a number of steps that would favor one model over another, and fast for thousands of
    classes.
    """
    count = np.bincount(label, minlength=classes).astype(float)
    total = np.zeros((classes, x.shape[1]))
    np.add.at(total, label, x)
    mean = total / np.maximum(count, 1)[:, None]
    within = x - mean[label]
    pooled = within.T @ within / len(x)
    pooled[np.diag_indices_from(pooled)] += 1e-4 * max(
        np.trace((x - x.mean(0)).T @ (x - x.mean(0)) / len(x)) / x.shape[1], 1e-30
    )
    weight = np.linalg.solve(pooled, mean.T)
    with np.errstate(divide="ignore"):
        bias = np.log(count / len(x)) - 0.5 * (mean.T * weight).sum(0)
    return Affine(weight, bias)


def top_components(x: np.ndarray, count: int, w: np.ndarray | None = None) -> np.ndarray:
    """The first principal directions of x [M, D], as columns [D, count]."""
    w = _shares(len(x), w)
    centered = x - w @ x
    _, vectors = np.linalg.eigh((centered * w[:, None]).T @ centered)
    return vectors[:, ::-1][:, :count]


def mean_by_group(group: np.ndarray, y: np.ndarray, w: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """Weighted means [groups, K] of y by group, and the weight of each group; zeros for empty ones."""
    weight = np.bincount(group, w, minlength=groups)
    total = np.stack([np.bincount(group, w * column, minlength=groups) for column in y.T], axis=1)
    return total / np.where(weight > 0, weight, 1)[:, None], weight
