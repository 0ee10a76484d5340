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

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldbench.baselines.backbone import RMSNorm, document_mask
from worldbench.baselines.batch import Batch
from worldbench.baselines.gpt import GPTConfig
from worldbench.baselines.horizons import check_horizon, continues, tokens_ahead
from worldbench.baselines.objective import Count, Objective, matrices, safe

GAMMA = 0.1
"""Initial weight of the hidden state in the planning sequence."""
FLOATS_AT_ONCE = 1 << 24
"""Largest number of floats of planning sequences and logits that are in memory at a time."""


@dataclass(frozen=True, kw_only=True)
class JTPConfig(GPTConfig):
    """The shape of the shared backbone, and the planning sequence."""

    horizon: int = 4
    """Number d of tokens that are predicted after the next one, each from the tokens before it."""
    lambda_jtp: float = 1.0
    """Weight of the mean loss of the tokens after the next one."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_horizon(self, "lambda_jtp")


class Planning(nn.Module):
    """Causal self-attention over the slots of a position, with a learned bias for each head and distance."""

    def __init__(self, width: int, heads: int, head_size: int, slots: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, head_size
        self.gamma = nn.Parameter(torch.tensor(GAMMA))
        self.combine_norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * heads * head_size, bias=False)
        self.out = nn.Linear(heads * head_size, width, bias=False)
        self.bias = nn.Parameter(torch.zeros(heads, slots))

    def combine(self, h: Tensor, e: Tensor) -> Tensor:
        return self.combine_norm(e + self.gamma * h)

    def forward(self, c_MSD: Tensor) -> Tensor:
        """The output of the attention for each slot, [M, S, D], from the planning sequences [M, S, D], S <= d + 1."""
        m, s, _ = c_MSD.shape
        if s == 1:  # the slot attends to itself alone, so the output is its value
            return self.out(F.linear(c_MSD, self.qkv.weight[2 * self.heads * self.head_size :]))
        q, k, v = self.qkv(c_MSD).view(m, s, 3, self.heads, self.head_size).permute(2, 0, 3, 1, 4)
        slot = torch.arange(s, device=c_MSD.device)
        distance = slot[:, None] - slot[None, :]
        bias = self.bias[:, distance.clamp(min=0)].masked_fill(distance < 0, -torch.inf)
        scores = (q @ k.transpose(-1, -2)) * self.head_size**-0.5 + bias
        return self.out((scores.softmax(-1) @ v).transpose(1, 2).reshape(m, s, -1))


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
        return tokens_ahead(batch, self.config.horizon)

    def _slots(self, batch: Batch) -> Tensor:
        """The slots that are scored, bool [B, T, S]."""
        b, t = batch.tokens.shape
        out = torch.zeros(b, t, self.config.horizon + 1, dtype=torch.bool, device=batch.tokens.device)
        out[:, :, 0] = batch.scored
        for i, inside in enumerate(continues(batch, self.config.horizon), start=1):
            out[:, : t - i, i] = inside & batch.scored[:, i:]
        return out if self.config.lambda_jtp else out[:, :, :1]

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        """As `Objective.backward`. The gradient of the planning sequences is computed first, for some positions at a
        time, down to detached copies of the states and embeddings; then the trunk is differentiated once."""
        c, t = self.config, batch.tokens.shape[1]
        embedded = self.embed(batch.tokens)
        h = (
            self.trunk(embedded, None, None)
            if batch.single
            else self.trunk(embedded, batch.position, document_mask(batch.document))
        )
        leaf_h, leaf_e = (x.detach().flatten(0, 1).requires_grad_() for x in (h, embedded))
        slots_BTS = self._slots(batch)
        s = slots_BTS.shape[2]
        cell = torch.nonzero(slots_BTS.any(2).flatten())[:, 0]
        scored = slots_BTS.flatten(0, 1)[cell]
        # A slot beyond the end of the row is not scored, and no scored slot attends to it, so its input is arbitrary.
        ahead = torch.minimum(cell[:, None] + torch.arange(s, device=cell.device), (cell // t * t + t - 1)[:, None])
        target = batch.following.flatten()[ahead]
        divisors = [safe(totals["next_token"]), *(safe(totals.get(f"ahead_{i}", 0)) * c.horizon for i in range(1, s))]
        weight = 1 / torch.stack([torch.as_tensor(x, dtype=h.dtype, device=h.device) for x in divisors])
        terms = h.new_zeros(2)
        size = max(1, FLOATS_AT_ONCE // (s * (self.vocabulary + 12 * c.width)))
        for part in torch.split(torch.arange(len(cell), device=cell.device), size):
            e_MSD = leaf_e.index_select(0, ahead[part].flatten()).view(len(part), s, -1)
            out = self.plan(leaf_h.index_select(0, cell[part]), e_MSD)
            on = scored[part]
            loss = F.cross_entropy(self.trunk.head(out[on]), target[part][on], reduction="none")
            slot = torch.nonzero(on)[:, 1]
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
