"""Effective latent rank (Roy & Vetterli 2007; NextLat, Teoh et al. 2025): how many directions the hidden states spread
over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from worldbench.core.metric import Metric, Report, Score
from worldbench.core.model import HasHidden
from worldbench.core.options import require_at_least, small
from worldbench.core.text import counted
from worldbench.metrics.evaluation import Evaluation, chunks

LEAST_SPREAD = 1e-6
"""Below this share of the largest singular value, what is left after centering is rounding: states are float32."""


def effective_rank(singular_values: np.ndarray) -> float:
    """exp(entropy of s_i / sum s) of singular values; NaN for a matrix of zeros."""
    if not singular_values.any():
        return float("nan")
    p = singular_values / singular_values.sum()
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def participation_ratio(singular_values: np.ndarray) -> float:
    """(sum s^2)^2 / sum s^4 of singular values; NaN for a matrix of zeros."""
    if not singular_values.any():
        return float("nan")
    return float((singular_values**2).sum() ** 2 / (singular_values**4).sum())


@dataclass(frozen=True, kw_only=True)
class RankOptions:
    """How many hidden states are taken."""

    rank_tokens: int = field(default=5000, metadata=small(2000))
    """Number of hidden states from which the effective rank is computed; the same for every model."""

    def __post_init__(self) -> None:
        require_at_least(self, "eval", 1, "rank_tokens")


class EffectiveRank(Metric):
    """exp(entropy of s_i / sum s) over the singular values of the matrix of hidden states [tokens, D] that the head
    reads. The number of tokens is the same for every model.

    Three forms: uncentered (as published), centered, and the participation ratio (centered). For comparison the rank of
    the untrained network (`rank_untrained`, uncentered). The rank has **no better direction**: a one-hot code of the
    place has a rank of about twice the number of places, and a low rank is not correctness.
    """

    name, version, direction = "effective_rank", 1, "none"
    primary = "rank"
    needs_of_model, serves_labels = (HasHidden,), True
    floor = ceiling = None
    blind = "no damage makes a rank worse: neither a high nor a low rank of the hidden states is correct"

    def measure(self, evaluation: Evaluation) -> Report:
        wanted, model = evaluation.settings.rank_tokens, evaluation.model
        h = _states(evaluation, model, wanted)
        s = np.linalg.svd(h, compute_uv=False)
        centered = np.linalg.svd(h - h.mean(0), compute_uv=False)
        n = len(h)
        scores = {
            "rank": _spread(s, n, effective_rank),
            "rank_centered": _spread(centered, n, effective_rank, s),
            "participation_ratio": _spread(centered, n, participation_ratio, s),
        }
        notes = [f"hidden state: {model.hidden_name}, width {h.shape[1]}"]
        if n < wanted:
            notes.append(f"{counted(n, 'hidden state', commas=False)}: there are no more (asked: {wanted})")
        arrays = {"singular_values": s, "singular_values_centred": centered}
        untrained = model.untrained(evaluation.seed)
        if untrained is not None:
            plain = np.linalg.svd(_states(evaluation, untrained, wanted), compute_uv=False)
            scores["rank_untrained"] = _spread(plain, n, effective_rank)
            arrays["singular_values_untrained"] = plain
        return Report(scores, arrays=arrays, notes=notes)


def _spread(
    singular_values: np.ndarray,
    n: int,
    measure: Callable[[np.ndarray], float],
    uncentered: np.ndarray | None = None,
) -> Score:
    """The measure of the singular values of n hidden states; missing where the states do not spread at all.

    uncentered: the singular values before centering.
    """
    least = 0.0 if uncentered is None else LEAST_SPREAD * float(uncentered.max(initial=0))
    if not singular_values.max(initial=0) > least:
        what = "are all 0" if uncentered is None else "are the same at every position"
        return Score.missing(f"the hidden states {what}: they spread over no direction", n)
    return Score(measure(singular_values), n)


def _states(evaluation: Evaluation, model: HasHidden, wanted: int) -> np.ndarray:
    """The first `wanted` hidden states, float64 [wanted, D]; fewer where there are no more."""
    parts, have = [], 0
    for part in chunks(evaluation.documents):
        row, t = np.nonzero(part.targets >= 0)
        h = model.hidden(part.inputs)
        parts.append(h[row, t].astype(np.float64))
        have += len(row)
        if have >= wanted:
            break
    return np.concatenate(parts)[:wanted]


METRIC = EffectiveRank()
