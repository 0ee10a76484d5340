"""Damage to a distribution of the next token.

Shape letters: N rows, A answers.
"""

from __future__ import annotations

import numpy as np

from worldbench.baselines import prefixes


def mixed(law: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    """(1 - share) law + share other, float64 [N, A]."""
    return (1 - share) * law + share * other


def tempered(law: np.ndarray, temperature: float) -> np.ndarray:
    """The law [N, A] with its logits divided by the temperature. Probability 0 stays 0."""
    with np.errstate(divide="ignore"):
        logits = np.log(law) / temperature
    weights = np.exp(logits - logits.max(axis=1, keepdims=True))
    return weights / weights.sum(axis=1, keepdims=True)


def noisy(law: np.ndarray, prefix: np.ndarray, sd: float) -> np.ndarray:
    """The law [N, A] with Gaussian noise on its logits, sd nats, a function of the prefix hashes uint64 [N]."""
    law = law * np.exp(sd * prefixes.normals(prefix, law.shape[1]))
    return law / law.sum(axis=1, keepdims=True)


def leaking(law: np.ndarray, legal: np.ndarray, share: float) -> np.ndarray:
    """The law [N, A], with `share` of the probability spread over the illegal answers. A row in which no answer is
    legal, or all are, stays as it is."""
    illegal = ~legal & legal.any(axis=1, keepdims=True)
    count = illegal.sum(axis=1, keepdims=True)
    spread = illegal / np.maximum(count, 1)
    return np.where(count > 0, mixed(law, spread, share), law)


def uniform_over(mask: np.ndarray) -> np.ndarray:
    """Uniform over the answers that are True, float64 [N, A]; over all answers in a row without any."""
    mask = np.where(mask.any(axis=1, keepdims=True), mask, True)
    return mask / mask.sum(axis=1, keepdims=True)
