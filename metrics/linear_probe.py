"""Probes, with numpy only: affine least squares, a nonlinear extension, a linear classifier, and means of groups.

Shape letters: M rows, D regressors, K targets, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

RIDGES = tuple(10.0**e for e in range(-8, 1))
"""Ridge penalties to choose from, as multiples of the mean variance of a regressor."""


@dataclass(frozen=True)
class Affine:
    """The affine map y = x @ weight + bias. weight: float [D, K]. bias: float [K]."""

    weight: np.ndarray
    bias: np.ndarray

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return x @ self.weight + self.bias


def _shares(n: int, w: np.ndarray | None) -> np.ndarray:
    """float [n], weights that sum to 1: `w` divided by its sum, or equal weights if `w` is None."""
    return np.full(n, 1 / n) if w is None else w / w.sum()


def fit_affine(x: np.ndarray, y: np.ndarray, w: np.ndarray | None = None) -> Affine:
    """Weighted least squares of y [M, K] on x [M, D] and a constant. The ridge penalty is the one in `RIDGES` with the
    smallest leave-one-out error.

    The penalty matters if x hardly varies in some directions (untrained networks): without a penalty, the prediction
    for a row unlike the fitted rows is far off. w: float [M], weights of the rows; None: equal weights."""
    return _ridge(x, y, w)[0]


def left_out(x: np.ndarray, y: np.ndarray, w: np.ndarray | None = None) -> np.ndarray:
    """The prediction for each row by the map of `fit_affine` that is fitted on all other rows, float [M, K]. The
    penalty, and the center from which the map shrinks, are those of all rows."""
    return _ridge(x, y, w)[1]


def _ridge(x: np.ndarray, y: np.ndarray, w: np.ndarray | None) -> tuple[Affine, np.ndarray]:
    """The map of `fit_affine` and the predictions of `left_out`. The error of a row that is left out has a closed form
    (Allen 1974, PRESS): the residual of the row, divided by one minus its leverage."""
    w = _shares(len(x), w)
    mx, my = w @ x, w @ y
    root = np.sqrt(w)[:, None]
    a, target = (x - mx) * root, (y - my) * root
    size, direction = np.linalg.eigh(a.T @ a)
    size = np.maximum(size, 0)
    along, moment = a @ direction, direction.T @ (a.T @ target)
    squared = along**2
    best, weight, missed = np.inf, np.zeros((x.shape[1], y.shape[1])), target
    for ridge in RIDGES:
        shrunk = 1 / (size + ridge * max(float(size.mean()), 1e-30))
        coefficient = shrunk[:, None] * moment
        left = 1 - w - squared @ shrunk
        residual = (target - along @ coefficient) / np.maximum(left, 1e-9)[:, None]
        error = float((residual**2).sum())
        if error < best * (1 - 1e-9):
            best, weight, missed = error, direction @ coefficient, residual
    return Affine(weight, my - mx @ weight), y - missed / root


def fourier_features(x: np.ndarray, count: int, rng: np.random.Generator) -> np.ndarray:
    """x [M, D], standardized, followed by `count` random Fourier features of a Gaussian kernel: float [M, D + count].

    An affine map of these features is a nonlinear probe, and the linear probe is a special case of it. The width of the
    kernel is the median distance between rows (Rahimi & Recht 2007).
    """
    spread = x.std(axis=0)
    z = (x - x.mean(axis=0)) / np.maximum(spread, 1e-6 * max(float(spread.max()), 1e-30))
    a, b = rng.integers(0, len(x), (2, 2000))
    width = max(float(np.median(np.linalg.norm(z[a] - z[b], axis=1))), 1e-12)
    phase = z @ (rng.normal(size=(x.shape[1], count)) / width) + rng.random(count) * 2 * np.pi
    return np.concatenate([z, np.sqrt(2 / count) * np.cos(phase)], axis=1)


def r_squared(y: np.ndarray, predicted: np.ndarray, w: np.ndarray | None = None) -> float:
    """R^2 = 1 - SSE / SST over all targets together, weighted by `w` [M]; NaN if the targets do not vary."""
    w = _shares(len(y), w)
    total = float((w @ (y - w @ y) ** 2).sum())
    return 1 - float((w @ (y - predicted) ** 2).sum()) / total if total > 1e-15 else float("nan")


def sum_by_class(x: np.ndarray, label: np.ndarray, classes: int) -> np.ndarray:
    """float64 [C, D]: the sum of the rows of x [M, D] of each class, added in the order of the rows, as by `np.add.at`,
    in an eighth of its time. label: int [M]."""
    from scipy.sparse import csc_array

    chosen = csc_array((np.ones(len(x)), label, np.arange(len(x) + 1)), shape=(classes, len(x)))
    return np.asarray(chosen @ x)


def fit_discriminant(x: np.ndarray, label: np.ndarray, classes: int) -> Affine:
    """Fisher's linear discriminant: an affine map from x [M, D] to one score per class. The class with the largest
    score is the prediction; a class that does not occur in `label` is never predicted.

    label: int [M]. The solution has a closed form (class means, pooled covariance within classes, class shares as
    priors). It is a linear map like the one of Vafa et al., but without a learning rate or a number of steps, which
    could favor one model over another. It is fast for thousands of classes.
    """
    count = np.bincount(label, minlength=classes).astype(float)
    mean = sum_by_class(x, label, classes) / np.maximum(count, 1)[:, None]
    within = x - mean[label]
    pooled = within.T @ within / len(x)
    centered = x - x.mean(0)
    pooled[np.diag_indices_from(pooled)] += 1e-4 * max(float(np.vdot(centered, centered)) / centered.size, 1e-30)
    weight = np.linalg.solve(pooled, mean.T)
    with np.errstate(divide="ignore"):
        bias = np.log(count / len(x)) - 0.5 * (mean.T * weight).sum(0)
    return Affine(weight, bias)


def top_components(x: np.ndarray, count: int, w: np.ndarray | None = None) -> np.ndarray:
    """float [D, count]: the first principal directions of x [M, D], one per column. w: float [M], weights of the
    rows."""
    w = _shares(len(x), w)
    centered = x - w @ x
    _, vectors = np.linalg.eigh((centered * w[:, None]).T @ centered)
    return vectors[:, ::-1][:, :count]


def mean_by_group(group: np.ndarray, y: np.ndarray, w: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """The weighted mean of y in each group, [groups, K], and the weight of each group, [groups]; zeros for empty
    groups.

    group: int [M]. y: float [M, K]. w: float [M].
    """
    weight = np.bincount(group, w, minlength=groups)
    total = np.stack([np.bincount(group, w * column, minlength=groups) for column in y.T], axis=1)
    return total / np.where(weight > 0, weight, 1)[:, None], weight
