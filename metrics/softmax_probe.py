"""Softmax probes: how many bits of a class can be read linearly from a hidden state?

A softmax probe (multinomial logistic regression with a ridge penalty) predicts a distribution over classes. It reads
as many bits as its log loss is below the log loss of the frequencies of the classes. This also sees what the likeliest
class hides: where one class is the likeliest everywhere, every probe has the accuracy of this class.

The loss is convex, and is minimized by L-BFGS. Its coordinates are the principal directions, scaled such that the
bound of the curvature (Böhning, Ann. Inst. Statist. Math. 1992) is about 1 in each of them. Otherwise directions of
small variance would need many steps.

Shape letters: M rows, F rows of the fit, D width, C classes of the fit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

PENALTIES = (10.0, 3.0, 1.0, 0.3, 0.1, 0.03, 0.01, 0.003, 0.001, 0.0003, 0.0001)
"""Ridge penalties to choose from, as multiples of the mean variance of the hidden state along a direction."""
ITERATIONS = 200
TOLERANCE = 1e-5
"""The fit ends when a step improves the loss by less than this share (below 1 nat: by less than this many nats)."""
WORSE = 0.05
"""The search for a penalty ends where a probe reads this many bits less than the best one."""


@dataclass(frozen=True)
class Coordinates:
    """Hidden states in the coordinates of a fit. z_MD: float32; variance: the variance of each coordinate before it was
    divided by its standard deviation, as a multiple of the mean."""

    z_MD: np.ndarray
    variance: np.ndarray

    @classmethod
    def of(cls, h_MD: np.ndarray, fit: np.ndarray) -> Coordinates:
        """The principal directions of the rows `fit` (bool [M]), each with unit variance there. Directions without
        variance are left out."""
        center = h_MD[fit].mean(axis=0)
        a = h_MD - center
        size, direction = np.linalg.eigh(a[fit].T @ a[fit] / fit.sum())
        kept = size > 1e-10 * max(float(size.max()), 1e-30)
        z_MD = (a @ direction[:, kept]) / np.sqrt(size[kept])
        return cls(z_MD.astype(np.float32), size[kept] / max(float(size.mean()), 1e-30))


@dataclass(frozen=True)
class Probe:
    """A fitted probe: the logits of the classes [C] are z @ weight_DC + bias_C. rows: the rows of the fit."""

    classes: np.ndarray
    weight_DC: np.ndarray
    bias_C: np.ndarray
    share_C: np.ndarray
    rows: int

    def bits(self, z_MD: np.ndarray, label: np.ndarray, size: int) -> np.ndarray:
        """log2 of the probability of each label, minus log2 of its frequency in the fit: float [M].

        size: how many classes there can be. Both the probe and the frequencies get one extra row, which is spread
        evenly over all these classes. So a class that is not in the fit also has a probability. For such a class both
        are equal, and the bits are 0.
        """
        place = np.minimum(np.searchsorted(self.classes, label), len(self.classes) - 1)
        seen = self.classes[place] == label
        log_MC = _log_softmax(z_MD @ self.weight_DC + self.bias_C)
        rest = 1 / (self.rows + 1)
        p = (1 - rest) * np.exp(log_MC[np.arange(len(label)), place].astype(np.float64)) + rest / size
        q = (1 - rest) * self.share_C[place] + rest / size
        return np.where(seen, np.log2(p / q), 0.0)


def _log_softmax(logits_MC: np.ndarray) -> np.ndarray:
    top = logits_MC - logits_MC.max(axis=1, keepdims=True)
    return top - np.log(np.exp(top).sum(axis=1, keepdims=True))


def fitted(at: Coordinates, label: np.ndarray, fit: np.ndarray, penalty: float) -> Probe:
    """The probe of the rows `fit` (bool [M]) of hidden states and their labels int [M]."""
    from scipy.optimize import minimize

    z_FD = at.z_MD[fit]
    classes, y, count = np.unique(label[fit], return_inverse=True, return_counts=True)
    f, d, c = len(y), z_FD.shape[1], len(classes)
    # A weight w of z is w / sd(h) of h: its penalty is that of h divided by the variance.
    ridge_D = penalty / at.variance
    # Curvature: at most 1/2 from the loss (Böhning), and the penalty.
    scale_D1 = (1 / np.sqrt(0.5 + ridge_D))[:, None]
    ridge_D1 = (ridge_D * scale_D1[:, 0] ** 2)[:, None]
    scaled_FD = z_FD * scale_D1[:, 0].astype(np.float32)
    rows = np.arange(f)

    def loss(u: np.ndarray) -> tuple[float, np.ndarray]:
        u_DC, bias_C = u[: d * c].reshape(d, c), u[d * c :]
        log_FC = _log_softmax(scaled_FD @ u_DC.astype(np.float32) + bias_C.astype(np.float32))
        value = -float(log_FC[rows, y].mean(dtype=np.float64)) + 0.5 * float((ridge_D1 * u_DC**2).sum())
        error_FC = np.exp(log_FC)
        error_FC[rows, y] -= 1
        slope_DC = (scaled_FD.T @ error_FC).astype(np.float64) / f + ridge_D1 * u_DC
        return value, np.concatenate([slope_DC.ravel(), error_FC.mean(axis=0, dtype=np.float64)])

    start = np.concatenate([np.zeros(d * c), np.log(count / f)])
    options = {"maxiter": ITERATIONS, "ftol": TOLERANCE, "gtol": 0.0}
    found = minimize(loss, start, jac=True, method="L-BFGS-B", options=options).x
    weight_DC = (found[: d * c].reshape(d, c) * scale_D1).astype(np.float32)
    return Probe(classes, weight_DC, found[d * c :].astype(np.float32), count / f, f)


def chosen(at: Coordinates, label: np.ndarray, fit: np.ndarray, inner: np.ndarray, size: int) -> float:
    """The penalty whose probe, fitted on the rows `inner` of the rows `fit` (both bool [M]), reads most of the other
    rows of `fit`. Penalties are tried from the largest one, until a probe reads WORSE bits less than the best one.
    Smaller penalties would fit more noise, and take longer."""
    asked = fit & ~inner
    best = (-np.inf, PENALTIES[0])
    for penalty in PENALTIES:
        read = float(fitted(at, label, inner, penalty).bits(at.z_MD[asked], label[asked], size).mean())
        if read < best[0] - WORSE:
            break
        best = max(best, (read, penalty))
    return best[1]
