"""BST: the belief state transformer (Hu et al. 2024, arXiv 2410.23506).

Two encoders share one token embedding. The forward encoder F reads a prefix: f_t = F(x_0 .. x_t). The backward encoder
B reads a suffix: b_s = B(x_s .. x_{L-1}, pad). The padding token ends every suffix and says that nothing follows; the
empty suffix b_L consists of this token alone.

The text head computes z + SwiGLU(z) and a norm on z = [f_t ; b_s] (2D). One unembedding reads both halves of the
result: the first half predicts x_{t+1}, the token after the prefix, the second half x_{s-1}, the token before the
suffix. At a gap s - t of 1 no token lies between, and both targets are the padding token.

L = (CE_next + CE_prev) / 2, averaged over the pairs (t, s) of one document with s - t >= min_gap where x_{t+1} is
scored (t is at or after the last token of the prompt). The pairs of a step can be sub-sampled; pairs with the empty
suffix are always kept. A document that is cut off by the end of its row has no empty suffix. Predictions use f_t and
the empty suffix.

Shape letters: B rows, T tokens, U cells of a row of suffixes, N documents, M pairs, S suffix tokens, D width, F hidden
size of the SwiGLU, V vocabulary.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldbench.baselines.attention import own_documents, pieces
from worldbench.baselines.backbone import Encoder, RMSNorm, swiglu_width
from worldbench.baselines.batch import Batch
from worldbench.baselines.cached import CachedDecoder
from worldbench.baselines.objective import Count, Objective, matrices, safe
from worldbench.baselines.options import BSTConfig
from worldbench.baselines.pairs import Pairs, Part, pairs_of, parts_of, suffix_rows
from worldbench.baselines.products import Linear, unrounded
from worldbench.core.errors import InputError

FLOATS_AT_ONCE = 1 << 24
"""Largest number of activations and logits of the head that are in memory at a time."""


class TextHead(nn.Module):
    """Maps [f ; b] to the two halves that the unembedding reads. Its first layer is linear, so the parts of f and b are
    computed once for each prefix and each suffix, not once for each pair, and then added."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.width = width
        hidden = swiglu_width(2 * width)
        self.gate_up = Linear(2 * width, 2 * hidden)
        self.down = Linear(hidden, 2 * width)
        self.norm = RMSNorm(2 * width)

    def of_prefix(self, f: Tensor) -> Tensor:
        """The part of the first layer that depends on the prefix, [.., 2F]."""
        return self.gate_up.product(f, self.gate_up.weight[:, : self.width])

    def of_suffix(self, b: Tensor) -> Tensor:
        """The part of the first layer that depends on the suffix, [.., 2F]."""
        return self.gate_up.product(b, self.gate_up.weight[:, self.width :])

    def forward(self, f: Tensor, b: Tensor, first: Tensor) -> tuple[Tensor, Tensor]:
        """Two hidden states [.., D]: one predicts the token after the prefix, the other the token before the suffix.
        first: the sum of both parts of the first layer, [.., 2F]."""
        gate, up = first.chunk(2, dim=-1)
        y = self.norm(torch.cat([f, b], dim=-1) + self.down(F.silu(gate) * up))
        return y[..., : self.width], y[..., self.width :]


class BST(Objective):
    """A forward encoder (the trunk, whose output is the hidden state), a backward encoder, and the text head.
    Predictions use the trunk and the empty suffix."""

    name = "bst"
    hidden_name = "forward encoder"
    config: BSTConfig

    def add_parts(self) -> None:
        c = self.config
        self.suffix = Encoder(c.width, c.layers, c.heads, c.head_width, c.mlp_width)
        self.text_head = TextHead(c.width)

    def inner_matrices(self) -> list[nn.Parameter]:
        """Those of both encoders, and of the SwiGLU of the text head."""
        return super().inner_matrices() + matrices(self.suffix, self.text_head)

    def compiled_parts(self) -> list[tuple[nn.Module, bool]]:
        """The blocks of both encoders, and the text head. Rows of suffixes and the number of pairs vary."""
        return [*super().compiled_parts(), *((block, True) for block in self.suffix.blocks), (self.text_head, True)]

    # Suffixes

    def encode_suffixes(self, tokens_NS: Tensor, length: Tensor) -> Tensor:
        """b [N, D] of suffixes: the first `length` [N] tokens of each row [N, S]; length 0 is the empty suffix."""
        n, s = tokens_NS.shape
        offset = torch.arange(s + 1, device=tokens_NS.device)[None, :]
        back = torch.cat([tokens_NS, tokens_NS.new_full((n, 1), self.pad)], dim=1).gather(
            1, (length[:, None] - offset) % (s + 1)
        )
        back = torch.where(offset == 0, self.pad, back)
        return self.suffix(self.embed(back), None, None)[torch.arange(n, device=back.device), length]

    def empty_suffix(self) -> Tensor:
        """b of the empty suffix, [1, D]."""
        device = self.trunk.head.weight.device
        return self.encode_suffixes(
            torch.zeros(1, 0, dtype=torch.int64, device=device), torch.zeros(1, dtype=torch.int64, device=device)
        )

    # Prediction

    def head(self, h: Tensor, tokens: Tensor | None = None) -> Tensor:
        return self.conditioned(h, self.empty_suffix())

    def conditioned(self, h: Tensor, b: Tensor) -> Tensor:
        """Next-token logits [.., V] after prefixes h [.., D], given suffixes b (broadcast to h)."""
        first = self.text_head.of_prefix(h) + self.text_head.of_suffix(b)
        return self.trunk.head(self.text_head(h, b.expand_as(h), first)[0])

    def decoder(
        self, prompts: np.ndarray, lengths: np.ndarray, device: str, condition: np.ndarray | None = None
    ) -> BSTDecoder:
        return BSTDecoder(self, device, prompts, lengths, condition)

    # Training

    def pairs(self, batch: Batch) -> Pairs:
        """The pairs that the step uses of this batch."""
        return batch.derived(pairs_of, *self._how())

    def _how(self) -> tuple[int, float, int, int]:
        """Which pairs are used: the arguments of `pairs_of`."""
        return self.config.min_gap, self.config.pairs, self.pad, self.seed

    def _parts(self, batch: Batch) -> list[Part]:
        """The pairs of the batch, in parts that bound the memory."""
        floats = 2 * self.vocabulary + 8 * self.width + 4 * self.text_head.down.in_features
        return batch.derived(parts_of, max(1, FLOATS_AT_ONCE // floats), *self._how())

    def counts(self, batch: Batch) -> dict[str, Count]:
        batch.derived(suffix_rows, self.pad)
        self._parts(batch)
        return {"pairs": len(self.pairs(batch).prefix)}

    def cut(self, batch: Batch) -> None:
        super().cut(batch)
        batch.derived(pieces, suffix_rows, self.pad)

    def backward(self, batch: Batch, totals: dict[str, Count]) -> dict[str, Tensor]:
        """As `Objective.backward`. The gradient of the head is computed first, for some pairs at a time, down to
        detached encodings; then each encoder is differentiated once."""
        tokens, _, position = batch.derived(suffix_rows, self.pad)
        f = self.encode_batch(batch)
        own = own_documents(batch, self.suffix.head_size, suffix_rows, self.pad)
        b = self.suffix(self.embed(tokens), None if batch.single else position, own)
        gradient_f, gradient_b = torch.zeros_like(f), torch.zeros_like(b)
        terms = self._head_backward(
            (f.detach(), gradient_f),
            (b.detach(), gradient_b),
            self.pairs(batch),
            self._parts(batch),
            2 * safe(totals["pairs"]),
        )
        torch.autograd.backward([f, b], [gradient_f, gradient_b])
        return {"next_token": terms[0], "previous_token": terms[1]}

    def _head_backward(
        self, f: tuple[Tensor, Tensor], b: tuple[Tensor, Tensor], pairs: Pairs, parts: list[Part], total: Count
    ) -> Tensor:
        """Add to the gradients of f [B, T, D], of b [B, U, D] and of the head. f and b are given as (value, gradient).

        Returns both terms [2]: their sums, divided by half of `total`.
        """
        t, u, terms = f[0].shape[1], b[0].shape[1], f[0].new_zeros(2)
        for start, stop, low, high in parts:
            prefix, suffix, following, previous = (x[start:stop] for x in pairs)
            leaf_f, leaf_b = (x[low:high].flatten(0, 1).requires_grad_() for x in (f[0], b[0]))
            i, j = prefix - low * t, suffix - low * u
            first = self.text_head.of_prefix(leaf_f).index_select(0, i) + self.text_head.of_suffix(leaf_b).index_select(
                0, j
            )
            halves = self.text_head(leaf_f.index_select(0, i), leaf_b.index_select(0, j), first)
            losses = [
                F.cross_entropy(unrounded(self.trunk.head(half)), target, reduction="sum")
                for half, target in zip(halves, (following, previous))
            ]
            ((losses[0] + losses[1]) / total).backward()
            terms += torch.stack(losses).detach() * (2 / total)
            for leaf, gradient in ((leaf_f, f[1]), (leaf_b, b[1])):
                assert leaf.grad is not None
                gradient[low:high] += leaf.grad.view_as(gradient[low:high])
        return terms

    def inference_parameters(self) -> int:
        """Number of parameters that prediction needs. Of the backward encoder it needs one constant vector: the output
        for the empty suffix."""
        return super().inference_parameters() + sum(p.numel() for p in self.text_head.parameters()) + self.width


class BSTDecoder(CachedDecoder):
    """Decodes rows towards given suffixes, which are encoded once."""

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

    def _keep(self, rows: np.ndarray, copied: bool = False) -> None:
        super()._keep(rows, copied)
        if len(self._suffix) > 1:
            self._suffix = self._suffix[torch.from_numpy(np.ascontiguousarray(rows, dtype=np.int64)).to(self.device)]
