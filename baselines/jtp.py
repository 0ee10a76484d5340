"""JTP: joint multi-token prediction (Ahn et al. 2025, arXiv 2503.21801).

L = CE_ntp + lambda mean(CE_1 .. CE_d)
    The planning sequence of position t is c_0 .. c_d with c_i = LayerNorm(e(x_{t+i}) + gamma h_t).
    a is a causal self-attention over c_0 .. c_d with a learned bias by distance (no MLP).
    Slot 0 predicts x_{t+1} from a_0. Slot i >= 1 predicts x_{t+i+1} from a_i + h_t. A norm precedes the unembedding.
CE_i is a mean over the positions t where t+i is an input of the same document and x_{t+i+1} is scored, so that no slot
lies beyond the end of a document. h_t is the output of the last block, before any norm.

Shape letters: B rows, T tokens, M positions, S slots (d + 1), H heads, C head size, D width, V vocabulary.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldbench.baselines.backbone import RMSNorm
from worldbench.baselines.batch import Batch, places
from worldbench.baselines.horizons import scored_ahead, tokens_ahead
from worldbench.baselines.objective import Count, Objective, at, matrices, safe
from worldbench.baselines.options import JTPConfig
from worldbench.baselines.products import Linear, unrounded

GAMMA = 0.1
"""Initial weight of the hidden state in the planning sequence."""
FLOATS_AT_ONCE = 1 << 24
"""Largest number of floats of planning sequences and logits that are in memory at a time."""


class Planning(nn.Module):
    """Causal self-attention over the slots of a position, with a learned bias for each head and distance."""

    def __init__(self, width: int, heads: int, head_size: int, slots: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, head_size
        self.gamma = nn.Parameter(torch.tensor(GAMMA))
        self.combine_norm = nn.LayerNorm(width)
        self.qkv = Linear(width, 3 * heads * head_size)
        self.out = Linear(heads * head_size, width)
        self.bias = nn.Parameter(torch.zeros(heads, slots))

    def combine(self, h: Tensor, e: Tensor) -> Tensor:
        return self.combine_norm(e + self.gamma * h)

    def forward(self, c_MSD: Tensor) -> Tensor:
        """The output of the attention for each slot, [M, S, D], from the planning sequences [M, S, D], S <= d + 1."""
        m, s, _ = c_MSD.shape
        if s == 1:  # the slot attends to itself alone, so the output is its value
            return self.out(self.qkv.product(c_MSD, self.qkv.weight[2 * self.heads * self.head_size :]))
        q, k, v = self.qkv(c_MSD).view(m, s, 3, self.heads, self.head_size).permute(2, 0, 3, 1, 4)
        slot = torch.arange(s, device=c_MSD.device)
        distance = slot[:, None] - slot[None, :]
        bias = self.bias[:, distance.clamp(min=0)].masked_fill(distance < 0, -torch.inf)
        scores = (q @ k.transpose(-1, -2)) * self.head_size**-0.5 + bias
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(m, s, -1))


class Part(NamedTuple):
    """Some of the positions with a scored slot.

    cell: int64 [M], the flat places of the positions among the inputs [B, T]. ahead: int64 [M, S], the places of the
    tokens of their slots. on: int64 [N], the flat places of the scored slots in [M, S]. slot: int64 [N], their numbers.
    target: int64 [N], the tokens that they predict.
    """

    cell: Tensor
    ahead: Tensor
    on: Tensor
    slot: Tensor
    target: Tensor


def scored_slots(rows: Batch, slots: int, size: int) -> list[Part]:
    """For `Batch.derived`: the positions with a scored slot, at most `size` in a part."""
    b, t = rows.tokens.shape
    scored = torch.zeros(b, t, slots, dtype=torch.bool)
    scored[:, :, 0] = rows.scored
    for i, mask in enumerate(scored_ahead(rows, slots - 1), start=1):
        scored[:, : t - i, i] = mask
    cell = places(scored.any(2))
    # A slot beyond the end of the row is not scored, and no scored slot attends to it, so its input is arbitrary.
    ahead = torch.minimum(cell[:, None] + torch.arange(slots), (cell // t * t + t - 1)[:, None])
    on, target = scored.flatten(0, 1)[cell], rows.following.flatten()[ahead]
    return [
        Part(cell_, ahead_, places(on_), on_.nonzero()[:, 1], target_[on_])
        for cell_, ahead_, on_, target_ in zip(*(x.split(size) for x in (cell, ahead, on, target)))
        if len(cell_)
    ]


class JTP(Objective):
    """The shared backbone, whose hidden state predicts several tokens through the planning attention. Predictions use
    slot 0."""

    name = "jtp"
    hidden_name = "last block (before the planning attention)"
    config: JTPConfig

    def add_trunk(self) -> None:
        super().add_trunk()
        self.trunk.norm = nn.Identity()

    def add_parts(self) -> None:
        c = self.config
        self.planning = Planning(c.width, c.heads, self.trunk.head_size, c.horizon + 1)
        self.norm = RMSNorm(c.width)

    def inner_matrices(self) -> list[nn.Parameter]:
        """Those of the blocks, and of the planning attention. Its biases by head and distance are a table."""
        return super().inner_matrices() + matrices(self.planning.qkv, self.planning.out)

    def compiled_parts(self) -> list[tuple[nn.Module, bool]]:
        """The blocks, and the planning attention, whose number of positions varies."""
        return [*super().compiled_parts(), (self.planning, True)]

    def plan(self, h_MD: Tensor, e_MSD: Tensor) -> Tensor:
        """The input of the unembedding for every slot, [M, S, D], from hidden states h_t [M, D] and the embeddings of
        x_t, x_{t+1}, .. [M, S, D]."""
        a = self.planning(self.planning.combine(h_MD[:, None], e_MSD))
        return self.norm(torch.cat([a[:, :1], a[:, 1:] + h_MD[:, None]], dim=1))

    def head(self, h: Tensor, tokens: Tensor | None = None) -> Tensor:
        assert tokens is not None, "slot 0 reads the last token as well"
        flat = h.reshape(-1, h.shape[-1])
        return self.trunk.head(self.plan(flat, self.embed(tokens).reshape(-1, 1, flat.shape[1]))[:, 0]).view(
            *h.shape[:-1], -1
        )

    def counts(self, batch: Batch) -> dict[str, Count]:
        self._parts(batch)
        return tokens_ahead(batch, self.config.horizon)

    def _parts(self, batch: Batch) -> list[Part]:
        """The scored slots of the batch, in parts that bound the memory."""
        c = self.config
        slots = c.horizon + 1 if c.lambda_jtp else 1
        return batch.derived(scored_slots, slots, max(1, FLOATS_AT_ONCE // (slots * (self.vocabulary + 12 * c.width))))

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        """As `Objective.backward`. The gradient of the planning sequences is computed first, for some positions at a
        time, down to detached copies of the states and embeddings; then the trunk is differentiated once."""
        c = self.config
        embedded = self.embed(batch.tokens)
        h = self.trunk.over(embedded, batch)
        leaf_h, leaf_e = (x.detach().flatten(0, 1).requires_grad_() for x in (h, embedded))
        parts = self._parts(batch)
        s = c.horizon + 1 if c.lambda_jtp else 1
        divisors = [safe(totals["next_token"]), *(safe(totals.get(f"ahead_{i}", 0)) * c.horizon for i in range(1, s))]
        weight = 1 / torch.stack([x.to(h) if isinstance(x, Tensor) else h.new_full((), x) for x in divisors])
        terms = h.new_zeros(2)
        for cell, ahead, on, slot, target in parts:
            e_MSD = leaf_e.index_select(0, ahead.flatten()).view(*ahead.shape, c.width)
            out = self.plan(leaf_h.index_select(0, cell), e_MSD)
            loss = F.cross_entropy(unrounded(self.trunk.head(at(out, on))), target, reduction="none")
            weighted = loss * weight[slot]
            next_token, later = (weighted * (slot == 0)).sum(), (weighted * (slot > 0)).sum()
            (next_token + c.lambda_jtp * later).backward()
            terms += torch.stack([next_token.detach(), later.detach()])
        if leaf_h.grad is not None and leaf_e.grad is not None:
            torch.autograd.backward([h, embedded], [leaf_h.grad.view_as(h), leaf_e.grad.view_as(embedded)])
        return {"next_token": terms[0], "ahead": terms[1]}

    def inference_parameters(self) -> int:
        return super().inference_parameters() + sum(
            p.numel() for p in (*self.planning.parameters(), *self.norm.parameters())
        )
