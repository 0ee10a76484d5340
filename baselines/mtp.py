"""MTP: multi-token prediction (Gloeckle et al. 2024, arXiv 2404.19737, section 2).

L = CE_0 + lambda mean(CE_1 .. CE_d)
    CE_i is the mean of -log p_i(x_{t+1+i} | x_0 .. x_t) over the positions t where t+i is an input of the same document
    and x_{t+1+i} is scored.
A trunk of `layers` - 1 blocks is followed by d + 1 parallel heads, each a block and a norm, with one unembedding for
all. Head 0 is the last block and the norm of the shared backbone, so that predictions cost as much as those of a GPT of
the same depth.

Shape letters: B rows, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldbench.baselines.attention import own_documents
from worldbench.baselines.backbone import Block, RMSNorm, swiglu_width
from worldbench.baselines.batch import Batch
from worldbench.baselines.horizons import places_ahead, tokens_ahead
from worldbench.baselines.objective import Count, Objective, at, matrices, safe
from worldbench.baselines.options import MTPConfig
from worldbench.baselines.products import unrounded


class Ahead(nn.Module):
    """A head: a block and a norm, applied to the output of the trunk."""

    def __init__(self, width: int, heads: int, head_size: int, hidden: int) -> None:
        super().__init__()
        self.block, self.norm = Block(width, heads, head_size, hidden), RMSNorm(width)

    def forward(self, x_BTD: Tensor, rotation: Tensor, mask: Tensor | None) -> Tensor:
        return self.norm(self.block(x_BTD, rotation, mask))


class MTP(Objective):
    """The shared backbone with more heads beside its last block. Predictions use head 0, whose output is the hidden
    state."""

    name = "mtp"
    hidden_name = "final norm of the next-token head (head input)"
    config: MTPConfig

    def add_parts(self) -> None:
        c = self.config
        hidden = c.mlp_width or swiglu_width(c.width)
        self.heads = nn.ModuleList(Ahead(c.width, c.heads, self.trunk.head_size, hidden) for _ in range(c.horizon))

    def inner_matrices(self) -> list[nn.Parameter]:
        """Those of the blocks, the blocks of the heads included."""
        return super().inner_matrices() + matrices(self.heads)

    def compiled_parts(self) -> list[tuple[nn.Module, bool]]:
        """All blocks, those of the heads included."""
        blocks = [head.block for head in self.heads if isinstance(head, Ahead)]
        return [*super().compiled_parts(), *((block, False) for block in blocks)]

    def counts(self, batch: Batch) -> dict[str, Count]:
        return tokens_ahead(batch, self.config.horizon)

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        """As `Objective.backward`. The gradient of each head is computed first, down to a detached copy of the output
        of the trunk, so that the logits of only one head are in memory; then the trunk is differentiated once."""
        t = batch.tokens.shape[1]
        rotation = self.trunk.rotation_at(t, None if batch.single else batch.position, batch.tokens.device)
        mask = own_documents(batch, self.trunk.head_size)
        x = self.embed(batch.tokens)
        for block in self.trunk.blocks[:-1]:
            x = block(x, rotation, mask)
        leaf = x.detach().requires_grad_()
        ahead = x.new_zeros(())
        for i, place in enumerate(batch.derived(places_ahead, self.config.horizon), start=1):
            if not self.config.lambda_mtp:
                break
            logits = unrounded(self.trunk.head(at(self.heads[i - 1](leaf, rotation, mask), place)))
            loss = F.cross_entropy(logits, batch.following.flatten()[place + i], reduction="sum") / (
                safe(totals[f"ahead_{i}"]) * self.config.horizon
            )
            (self.config.lambda_mtp * loss).backward()
            ahead = ahead + loss.detach()
        h = self.trunk.norm(self.trunk.blocks[-1](x, rotation, mask))
        next_token = self.next_token_sum(h, batch) / safe(totals["next_token"])
        if leaf.grad is None:
            next_token.backward()
        else:
            torch.autograd.backward([next_token, x], [torch.ones_like(next_token), leaf.grad])
        return {"next_token": next_token.detach(), "ahead": ahead}
