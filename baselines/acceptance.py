"""Which drafts of a round of speculative decoding are accepted, and which token follows them.

Source: Leviathan et al. 2023 (arXiv 2211.17192), algorithm 1.

Random numbers: each position of each row has three uniforms: one for drawing a draft, one for accepting it, one for
drawing from the model's distribution or from what remains of it after a rejection. Each position is decided in one
round only, so no uniform is used twice for the output.

Shape letters: B rows, K drafts per round, L largest number of new tokens, V vocabulary.
"""

from __future__ import annotations

import torch
from torch import Tensor

from worldbench.core import streams

DRAFT, ACCEPT, LAW = 0, 1, 2
"""Index of a uniform among the three of its position."""


def uniforms(first: int, rows: int, limit: int, seed: int) -> Tensor:
    """The uniforms of continuations first .. first + rows - 1: float64 [B, L, 3], above 0 and below 1."""
    u = streams.uniform(first, rows, 3 * limit, "decoding", seed).reshape(rows, limit, 3)
    return torch.from_numpy(u.clip(1e-12, 1 - 1e-12))


def inverse(weights: Tensor, u: Tensor) -> Tensor:
    """Draw from distributions proportional to `weights` [.., V] with uniforms [..] (inverse transform): int [..]."""
    weights = weights.double()
    # Some versions of torch refuse this sum on CUDA where operations must be deterministic.
    total = weights.cpu().cumsum(-1).to(weights.device) if weights.is_cuda else weights.cumsum(-1)
    return torch.searchsorted(total, (u * total[..., -1])[..., None], right=True)[..., 0]


def settle(
    logits: Tensor, drafts: Tensor, drafted: Tensor, laws: Tensor | None, u: Tensor | None
) -> tuple[Tensor, Tensor]:
    """Decide which drafts are accepted: the number accepted, int [B], and the token that follows them, int [B].

    logits: [B, K + 1, V], the model's, before and after each draft. drafts: int [B, K]; the first `drafted` [B] of each
    row are valid. laws: [B, K, V], the distributions that the drafts were drawn from. u: [B, K + 1, 3], the uniforms of
    the K + 1 positions. Greedy decoding: laws and u are None.
    """
    k = drafts.shape[1]
    counted = torch.arange(k, device=drafts.device) < drafted[:, None]
    if laws is None or u is None:
        best = logits.argmax(-1)
        stay = (best[:, :k] == drafts) & counted
        kept = stay.long().cumprod(1).sum(1)
        return kept, best.gather(1, kept[:, None])[:, 0]
    # In double precision: p - q below is a difference of nearly equal numbers for a good drafter.
    p = torch.softmax(logits.double(), -1)
    own, theirs = p[:, :k].gather(2, drafts[..., None])[..., 0], laws.gather(2, drafts[..., None])[..., 0]
    stay = (u[:, :k, ACCEPT] * theirs < own) & counted
    kept = stay.long().cumprod(1).sum(1)
    row = torch.arange(len(drafts), device=drafts.device)
    at = p[row, kept]
    if k:
        rejected = (kept < drafted)[:, None]
        left = (at - laws[row, kept.clamp(max=k - 1)] * rejected).clamp(min=0)
        # Nothing is left only by rounding, where p and q are equal; then the rejected draft had probability 0.
        at = torch.where(left.sum(1, keepdim=True) > 0, left, at)
    return kept, inverse(at, u[row, kept, LAW])
