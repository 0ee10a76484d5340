"""What a memory of the last tokens knows of the belief: tables of the last k tokens, for every k.

Shape letters: M prefixes, S entries of the belief, G groups of prefixes.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from worldbench.core.world import Documents, World
from worldbench.metrics.linear_probe import mean_by_group, r_squared

LONGER = 1.0
"""Weight of the shorter table in the entries of a longer one, in occurrences."""


def table_groups(documents: Documents, row: np.ndarray, prefix_length: np.ndarray, k: int) -> np.ndarray:
    """A number for the last k tokens of each prefix (all tokens of a shorter prefix): int [M]. Equal tokens have equal
    numbers."""
    column = prefix_length[:, None] - k + np.arange(k)[None, :]
    last = np.where(column >= 0, documents.tokens[row[:, None], np.maximum(column, 0)], -1)
    return np.unique(last, axis=0, return_inverse=True)[1].ravel()


def mean_of_others(group: np.ndarray, y: np.ndarray, w: np.ndarray, shorter: np.ndarray) -> np.ndarray:
    """For each prefix the weighted mean of y [M, K] over the *other* prefixes of its group, in which `shorter` [M, K],
    what the shorter table says, counts with the weight LONGER: float [M, K]."""
    mean, weight = mean_by_group(group, y, w, int(group.max()) + 1)
    others = (weight[group] - w)[:, None]
    total = mean[group] * weight[group][:, None] - w[:, None] * y
    return (np.where(others > 0, total, 0) + LONGER * shorter) / (np.maximum(others, 0) + LONGER)


def frontier(
    world: World, documents: Documents, row: np.ndarray, length: np.ndarray, belief: np.ndarray, law: np.ndarray | None,
    w: np.ndarray, share: float, component: Callable[[np.ndarray], np.ndarray] | None,
) -> dict[str, list]:  # fmt: skip
    """By k: R^2 of the mean belief after the last k tokens, and the excess loss `kl` of the mean law after them, in
    nats per predicted token.

    The means for a prefix are over the other prefixes, as in the probe. Where few others end in the same k tokens, the
    table of k - 1 tokens counts too (LONGER). share: the prefixes with at least one token, among all prefixes from
    which a token is predicted. The others are bare prompts, whose law every table knows: with them, `kl` is over the
    predictions of `excess_loss.kl`. `component_r2` is the R^2 of the probability of the component, if there
    is one.
    """
    everything, known = np.zeros(len(w), np.int64), {"belief": belief} | ({} if law is None else {"law": law})
    guess = {name: mean_of_others(everything, y, w, np.full(y.shape, 1 / y.shape[1])) for name, y in known.items()}
    out: dict[str, list] = {"k": [], "r2": []}
    for k in range(1, world.input_length):
        group = table_groups(documents, row, length, k)
        guess = {name: mean_of_others(group, y, w, guess[name]) for name, y in known.items()}
        out["k"].append(k)
        out["r2"].append(r_squared(belief, guess["belief"], w))
        if component is not None:
            out.setdefault("component_r2", []).append(r_squared(component(belief), component(guess["belief"]), w))
        if law is not None:
            with np.errstate(divide="ignore", invalid="ignore"):
                kl = np.where(law > 0, law * np.log(law / guess["law"]), 0.0).sum(axis=1)
            out.setdefault("kl", []).append(share * float(w @ kl / w.sum()))
    return out
