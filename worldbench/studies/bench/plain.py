"""A plain GPT of the shape of nanoGPT, which `bench` times beside the objectives: a yardstick that readers know.

Its shape is GPT-2's (Radford et al. 2019) as described in nanoGPT's README: learned positions, LayerNorm before each
part, GELU on four times the width, one matrix for embedding and head. As in nanoGPT's training defaults there are no
biases and no dropout. Rows are read as one text, without document boundaries, and every token is predicted. The code is
our own.

Shape letters: B rows, T tokens, H heads, C head size, D width, V vocabulary.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldbench.baselines.batch import Batch
from worldbench.baselines.objective import Count, Objective, matrices
from worldbench.baselines.options import GPTConfig
from worldbench.studies.bench.plan import PLAIN


class PlainBlock(nn.Module):
    """x + attention(norm x), then x + MLP(norm x)."""

    def __init__(self, width: int, heads: int, head_size: int) -> None:
        super().__init__()
        self.heads, self.head_size = heads, head_size
        self.norm_attention, self.norm_mlp = (nn.LayerNorm(width, bias=False) for _ in range(2))
        self.qkv = nn.Linear(width, 3 * heads * head_size, bias=False)
        self.out = nn.Linear(heads * head_size, width, bias=False)
        self.up, self.down = nn.Linear(width, 4 * width, bias=False), nn.Linear(4 * width, width, bias=False)

    def forward(self, x_BTD: Tensor) -> Tensor:
        b, t, _ = x_BTD.shape
        qkv = self.qkv(self.norm_attention(x_BTD)).chunk(3, dim=2)
        q, k, v = (x.view(b, t, self.heads, self.head_size).transpose(1, 2) for x in qkv)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x_BTD = x_BTD + self.out(attended.transpose(1, 2).contiguous().view(b, t, -1))
        return x_BTD + self.down(F.gelu(self.up(self.norm_mlp(x_BTD))))


class PlainGPT(Objective):
    """Trained on the next token of every position. It only serves to be timed: it has no decoder."""

    name = PLAIN
    config: GPTConfig

    def add_trunk(self) -> None:
        c = self.config
        self.embedding, self.positions = nn.Embedding(self.vocabulary, c.width), nn.Embedding(self.context, c.width)
        self.blocks = nn.ModuleList(
            PlainBlock(c.width, c.heads, c.head_width or c.width // c.heads) for _ in range(c.layers)
        )
        self.norm = nn.LayerNorm(c.width, bias=False)

    def inner_matrices(self) -> list[nn.Parameter]:
        """Those of the blocks."""
        return matrices(*self.blocks)

    def counts(self, batch: Batch) -> dict[str, Count]:
        return {"next_token": int((batch.following >= 0).sum())}

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        place = torch.arange(batch.tokens.shape[1], device=batch.tokens.device)
        x = self.embedding(batch.tokens) + self.positions(place)
        for block in self.blocks:
            x = block(x)
        logits = F.linear(self.norm(x), self.embedding.weight).flatten(0, 1).float()
        total = F.cross_entropy(logits, batch.following.flatten(), ignore_index=-1, reduction="sum")
        loss = total / totals["next_token"]
        loss.backward()
        return {"next_token": loss.detach()}

    def inference_parameters(self) -> int:
        return self.parameter_count()
