"""BST: the belief state transformer (Hu et al. 2024, arXiv 2410.23506).

Two encoders with one token embedding: f_t = F(x_0 .. x_t) forward over a prefix, b_s = B(x_s .. x_{L-1}, nothing)
backward over a suffix. A text head on [f_t ; b_s] (2D): z + SwiGLU(z), norm, split in two halves that one unembedding
reads: the next token after the prefix, x_{t+1}, and the token before the suffix, x_{s-1}. L = (CE_next + CE_prev) / 2,
averaged over the pairs (t, s) of one document with s - t >= min_gap, x_{t+1} scored (t at or after the prompt's last
token). Every suffix ends in the padding token, which says that nothing follows: b_L, of nothing else, is the empty
suffix, from which prediction is made (F and b_L).
At a gap of 1 both targets are that token: nothing is left between.
The pairs of a step can be sub-sampled; those with the empty suffix are always kept. A document that its row cuts off
has no empty suffix.

Shape letters: B rows, T tokens, U cells of a row of suffixes, N documents, M pairs, S suffix tokens, D width, F hidden
size of the SwiGLU, V vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldbench.baselines.backbone import Encoder, RMSNorm, document_mask, swiglu_width
from worldbench.baselines.batch import Batch
from worldbench.baselines.cached import CachedDecoder
from worldbench.baselines.gpt import GPTConfig
from worldbench.baselines.objective import Count, Objective, safe
from worldbench.baselines.pairs import Pairs, pairs_of, suffix_rows
from worldbench.core.errors import InputError

FLOATS_AT_ONCE = 1 << 24
"""Of the head's activations and logits that exist at a time, however many pairs there are."""


@dataclass(frozen=True, kw_only=True)
class BSTConfig(GPTConfig):
    """The shared backbone's shape, for each of the two encoders, and the pairs."""

    pairs: float = 1.0
    """Share of the pairs of prefix and suffix that a step takes, besides those with the empty suffix, which it takes
    all."""
    min_gap: int = 2
    """Least distance from the prefix's last token to the suffix's first."""

    def __post_init__(self) -> None:
        super().__post_init__()
        if not 0 <= self.pairs <= 1:
            raise InputError(f"model.pairs must lie between 0 and 1, not {self.pairs}")
        if self.min_gap < 1:
            raise InputError(f"model.min_gap must be at least 1, not {self.min_gap}")


class TextHead(nn.Module):
    """[f ; b] to the two halves that the unembedding reads. Its first layer is linear in f and b apart, so each is
    taken through it once, not once a pair."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        hidden = swiglu_width(2 * width)
        self.gate_up = nn.Linear(2 * width, 2 * hidden, bias=False)
        self.down = nn.Linear(hidden, 2 * width, bias=False)
        self.norm = RMSNorm(2 * width)

    def of_prefix(self, f: Tensor) -> Tensor:
        """A prefix's part of the first layer [.., 2F]."""
        return F.linear(f, self.gate_up.weight[:, : self.width])

    def of_suffix(self, b: Tensor) -> Tensor:
        """A suffix's."""
        return F.linear(b, self.gate_up.weight[:, self.width :])

    def forward(self, f: Tensor, b: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """(what the next token is read off, what the token before the suffix is), each [.., D]. first: the sum of both
        parts of the first layer."""
        gate, up = first.chunk(2, dim=-1)
        y = self.norm(torch.cat([f, b], dim=-1) + self.down(F.silu(gate) * up))
        return y[..., : self.width], y[..., self.width :]


class BST(Objective):
    """A forward encoder (the trunk, whose output is the hidden state), a backward one, and the text head. Prediction:
    the trunk and the empty suffix."""

    name = "bst"
    hidden_name = "forward encoder"
    config: BSTConfig

    def add_parts(self) -> None:
        c = self.config
        self.suffix = Encoder(c.width, c.layers, c.heads, c.head_width, c.mlp_width)
        self.text_head = TextHead(c.width)
        self._pairs: tuple[Batch, Pairs] | None = None

    # Suffixes

    def encode_suffixes(self, tokens_NS: Tensor, length: Tensor) -> Tensor:
        """b [N, D] of suffixes, each of the first `length` [N] tokens of its row (0: the empty suffix)."""
        n, s = tokens_NS.shape
        offset = torch.arange(s + 1, device=tokens_NS.device)[None, :]
        back = torch.cat([tokens_NS, tokens_NS.new_full((n, 1), self.pad)], dim=1).gather(
            1, (length[:, None] - offset) % (s + 1)
        )
        back = torch.where(offset == 0, self.pad, back)
        return self.suffix(self.embed(back), None, None)[torch.arange(n, device=back.device), length]

    def empty_suffix(self) -> Tensor:
        """b of the empty suffix [1, D]."""
        device = self.trunk.head.weight.device
        return self.encode_suffixes(
            torch.zeros(1, 0, dtype=torch.int64, device=device), torch.zeros(1, dtype=torch.int64, device=device)
        )

    # Prediction

    def head(self, h: Tensor, tokens: Tensor | None = None) -> Tensor:
        return self.conditioned(h, self.empty_suffix())

    def conditioned(self, h: Tensor, b: Tensor) -> Tensor:
        """Next-token logits after prefixes h [.., D], given the suffixes b (broadcast to h)."""
        first = self.text_head.of_prefix(h) + self.text_head.of_suffix(b)
        return self.trunk.head(self.text_head(h, b.expand_as(h), first)[0])

    def decoder(
        self, prompts: np.ndarray, lengths: np.ndarray, device: str, condition: np.ndarray | None = None
    ) -> BSTDecoder:
        return BSTDecoder(self, device, prompts, lengths, condition)

    # Training

    def pairs(self, batch: Batch) -> Pairs:
        """The pairs that this batch is trained on: the same whenever it is asked for."""
        if self._pairs is None or self._pairs[0] is not batch:
            self._pairs = batch, pairs_of(batch, self.config.min_gap, self.config.pairs, self.pad, self.seed)
        return self._pairs[1]

    def counts(self, batch: Batch) -> dict[str, Count]:
        return {"pairs": len(self.pairs(batch).prefix)}

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        """One pass back through each encoder: the head is first taken back, some pairs at a time, to detached
        encodings."""
        pairs = self.pairs(batch)
        tokens, document, position = suffix_rows(batch, self.pad)
        f = self.encode_batch(batch)
        b = (
            self.suffix(self.embed(tokens), None, None)
            if batch.single
            else self.suffix(self.embed(tokens), position, document_mask(document))
        )
        gradient_f, gradient_b = torch.zeros_like(f), torch.zeros_like(b)
        terms = self._head_backward(
            (f.detach(), gradient_f), (b.detach(), gradient_b), pairs, 2 * safe(totals["pairs"])
        )
        torch.autograd.backward([f, b], [gradient_f, gradient_b])
        self._pairs = None
        return {"next_token": terms[0], "previous_token": terms[1]}

    def _head_backward(self, f: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], pairs: Pairs, total: Count) -> Tensor:
        """Add to the gradients of f [B, T, D] and b [B, U, D] (the second of each pair) and of the head; the sums of
        both terms over half of `total` [2]."""
        t, u, terms = f[0].shape[1], b[0].shape[1], f[0].new_zeros(2)
        size = max(1, FLOATS_AT_ONCE // (2 * self.vocabulary + 8 * self.width + 4 * self.text_head.down.in_features))
        for part in torch.split(torch.arange(len(pairs.prefix), device=pairs.prefix.device), size):
            prefix, suffix = pairs.prefix[part], pairs.suffix[part]
            low, high = (
                int(prefix[0]) // t,
                int(prefix[-1]) // t + 1,
            )  # pairs come row by row: only these rows' encodings are touched
            leaf_f, leaf_b = (x[low:high].flatten(0, 1).requires_grad_() for x in (f[0], b[0]))
            i, j = prefix - low * t, suffix - low * u
            first = self.text_head.of_prefix(leaf_f).index_select(0, i) + self.text_head.of_suffix(leaf_b).index_select(
                0, j
            )
            halves = self.text_head(leaf_f.index_select(0, i), leaf_b.index_select(0, j), first)
            losses = [
                F.cross_entropy(self.trunk.head(half), target[part], reduction="sum")
                for half, target in zip(halves, (pairs.next, pairs.previous))
            ]
            ((losses[0] + losses[1]) / total).backward()
            terms += torch.stack(losses).detach() * (2 / total)
            for leaf, gradient in ((leaf_f, f[1]), (leaf_b, b[1])):
                assert leaf.grad is not None
                gradient[low:high] += leaf.grad.view_as(gradient[low:high])
        return terms

    def inference_parameters(self) -> int:
        """Not the backward encoder: all that prediction needs of it is one constant vector."""
        return super().inference_parameters() + sum(p.numel() for p in self.text_head.parameters()) + self.width


class BSTDecoder(CachedDecoder):
    """Continues rows towards suffixes, which are encoded once."""

    objective: BST

    @torch.inference_mode()
    def __init__(
        self, objective: BST, device: str, prompts: np.ndarray, lengths: np.ndarray, condition: np.ndarray | None
    ) -> None:
        if condition is None:
            self._suffix = objective.empty_suffix()
        else:
            if condition.ndim != 2 or len(condition) != len(prompts):
                raise InputError(
                    f"a condition holds one suffix a row, [{len(prompts)}, S]; not shape {list(condition.shape)}"
                )
            suffix = torch.from_numpy(np.ascontiguousarray(condition, dtype=np.int64)).to(device)
            length = (suffix >= 0).long().cumprod(1).sum(1)
            self._suffix = objective.encode_suffixes(suffix.clamp(min=0), length)
        super().__init__(objective, device, prompts, lengths)

    def read(self, h_BKD: Tensor, tokens_BK: Tensor) -> Tensor:
        return self.objective.conditioned(h_BKD, self._suffix[:, None])

    def select(self, rows: np.ndarray) -> None:
        super().select(rows)
        if len(self._suffix) > 1:
            self._suffix = self._suffix[torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64)).to(self.device)]
