"""The backbone prepared for decoding: a few new tokens per row in each call, with a key-value cache.

The engine computes the same function as `Encoder.forward`, up to rounding. It is faster for three reasons:
- the weight of each norm is folded into the matrix that follows the norm;
- each residual sum is computed by the matrix product that precedes the sum;
- on a CPU, matrices are packed by oneDNN for products of a few rows, where one token costs nearly as much as eight.

Rows may have different lengths. The token at position p of a row always lies in column p of the cache, so removing the
last tokens of a row only means setting its length: later tokens overwrite the old columns before any query reads them.

Shape letters: B rows, K new tokens per row, S columns of the cache, D width, H heads, C head size, V vocabulary.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from worldbench.baselines.backbone import NORM_EPS, Block, Encoder, RMSNorm, rotary_table

PACKED_FOR = 8
"""Number of rows that oneDNN packs a matrix for. 8 was measured to be faster than 1, for products of 1 to 65 rows."""
SMALL = 1 << 16
"""Largest number of weights for which torch's own product is faster, measured for products of 1 to 9 rows."""


class Product(Protocol):
    """act(x W^T), or x W^T + other, for x [N, I] and W [O, I]."""

    def __call__(self, x: Tensor, other: Tensor | None = None) -> Tensor: ...


def packs(weight: Tensor) -> bool:
    """True if this matrix should be packed and can be packed; for other matrices torch's own product is used."""
    fits = weight.device.type == "cpu" and weight.dtype == torch.float32 and weight.numel() > SMALL
    there = torch.backends.mkldnn.is_available() and torch.backends.mkldnn.enabled
    # Both operators are private to torch: a release without them decodes more slowly and stays correct.
    names = ("_reorder_linear_weight", "_linear_pointwise")
    return fits and there and all(hasattr(torch.ops.mkldnn, name) for name in names)


def product(weight: Tensor, scale: Tensor | None = None, unary: str = "none") -> Product:
    """The product with a weight [O, I] whose columns are first multiplied by `scale` [I]. unary: "none" or "gelu"."""
    w = weight.detach() if scale is None else weight.detach() * scale.detach()[None, :]
    if not packs(w):
        wt = w.t().contiguous()

        def plain(x: Tensor, other: Tensor | None = None) -> Tensor:
            y = torch.mm(x, wt) if other is None else torch.addmm(other, x, wt)
            return F.gelu(y) if unary == "gelu" else y

        return plain
    packed = torch.ops.mkldnn._reorder_linear_weight(w.contiguous(), PACKED_FOR)
    alone, added = torch.ops.mkldnn._linear_pointwise.default, torch.ops.mkldnn._linear_pointwise.binary

    def quick(x: Tensor, other: Tensor | None = None) -> Tensor:
        if other is None:
            return alone(x, packed, None, unary, [], "none")
        return added(x, other, packed, None, "add")

    return quick


class QuickNorm:
    """The final norm of an encoder: an `RMSNorm` with its weights, or the identity where the encoder has no norm."""

    def __init__(self, norm: nn.Module) -> None:
        self.weight = norm.weight.detach() if isinstance(norm, RMSNorm) else None

    def __call__(self, x: Tensor) -> Tensor:
        return x if self.weight is None else F.rms_norm(x, (x.shape[-1],), self.weight, NORM_EPS)


class QuickBlock:
    """One `Block`, applied to hidden states [B * K, D], with its own key-value cache [B, S, 2 H C]."""

    def __init__(self, block: Block) -> None:
        self.heads, self.head_size, self.hidden = block.heads, block.head_size, block.hidden
        self.inner = block.heads * block.head_size
        self.qkv = product(block.qkv.weight, block.norm_attention.weight)
        self.out = product(block.out.weight)
        self.gate_up = product(block.gate_up.weight, block.norm_mlp.weight)
        self.down = product(block.down.weight)
        self.device = block.qkv.weight.device

    def start(self, rows: int, room: int) -> None:
        # The cache starts as zeros: attention multiplies the columns that a row has not reached by weight 0, and memory
        # that was never written may hold NaN, for which 0 * NaN is NaN.
        self._hold(torch.zeros(rows, room, 2 * self.inner, device=self.device))

    def _hold(self, cache: Tensor) -> None:
        """Make the views of the cache that every step needs, once."""
        self.cache, self.flat = cache, cache.view(-1, 2 * self.inner)
        self.k, self.v = cache.view(*cache.shape[:2], 2, self.heads, self.head_size).permute(2, 0, 3, 1, 4)

    def select(self, index: Tensor) -> None:
        self._hold(self.cache.index_select(0, index))

    def __call__(self, x: Tensor, place: Place) -> Tensor:
        b, k, h, c, inner = place.rows, place.new, self.heads, self.head_size, self.inner
        width = x.shape[1]
        qkv = self.qkv(F.rms_norm(x, (width,), None, NORM_EPS))
        # Rotary positions, in place, for queries and keys together (the first 2 H of the 3 H heads).
        torch.view_as_complex(qkv.view(b * k, 3 * h, c // 2, 2).narrow(1, 0, 2 * h)).mul_(place.rotation)
        kv = qkv.narrow(1, inner, 2 * inner)
        if place.flat is None:
            self.cache.narrow(1, place.start, k).copy_(kv.view(b, k, 2 * inner))
        else:
            self.flat.index_copy_(0, place.flat, kv)
        q = qkv.view(b, k, 3 * h, c).narrow(2, 0, h).transpose(1, 2)
        keys, values = self.k.narrow(2, 0, place.stop), self.v.narrow(2, 0, place.stop)
        attended = F.scaled_dot_product_attention(q, keys, values, attn_mask=place.mask)
        x = self.out(attended.transpose(1, 2).reshape(b * k, inner), x)
        gate_up = self.gate_up(F.rms_norm(x, (width,), None, NORM_EPS))
        return self.down(F.silu(gate_up.narrow(1, 0, self.hidden)).mul_(gate_up.narrow(1, self.hidden, self.hidden)), x)


class Place:
    """The cache columns that the new tokens of a step are written to, and those they may read; the same for all blocks.

    start: the first column written, for rows of equal length. stop: the last column that any row reads, plus one.
    flat: int [B * K], the cells written, for rows of unequal length (None for rows of equal length).
    rotation: rotary factors, complex [B * K, 1, C / 2]. mask: additive, [.., K, S]; None where every column may be
    read."""

    def __init__(self, lengths: np.ndarray, new: int, room: int, table: Tensor) -> None:
        self.rows, self.new = len(lengths), new
        low, high = int(lengths.min()), int(lengths.max())
        self.start, self.stop = low, high + new
        if self.stop > room:
            raise ValueError(f"{self.stop} tokens do not fit a cache of {room}")
        self.flat: Tensor | None = None
        self.mask: Tensor | None = None
        device = table.device
        if low == high:
            rotation = table.narrow(0, low, new)
            self.rotation = (rotation if self.rows == 1 else rotation.repeat(self.rows, 1))[:, None]
            if new > 1:
                self.mask = _ahead(torch.arange(low, self.stop, device=device), self.stop)
            return
        position = torch.from_numpy(lengths).to(device)[:, None] + torch.arange(new, device=device)
        self.rotation = table[position.view(-1)][:, None]
        self.flat = (position + room * torch.arange(self.rows, device=device)[:, None]).view(-1)
        self.mask = _ahead(position, self.stop)[:, None]


def _ahead(position: Tensor, stop: int) -> Tensor:
    """The causal mask, additive float [.., S]: -inf at the columns after each position."""
    ahead = torch.arange(stop, device=position.device) > position[..., None]
    return torch.zeros(ahead.shape, device=position.device).masked_fill_(ahead, float("-inf"))


class Engine:
    """Decodes with the blocks and the final norm of an `Encoder`.

    lengths: int64 [B], in numpy: the number of tokens that each row holds.
    """

    def __init__(self, encoder: Encoder) -> None:
        self.blocks = [QuickBlock(block) for block in encoder.blocks]  # type: ignore[arg-type]
        self.norm = QuickNorm(encoder.norm)
        self.width, self.head_size = encoder.width, encoder.head_size
        self.device = self.blocks[0].device
        self.forwards = 0
        """Number of forward passes since the engine was made."""
        self.lengths = np.zeros(0, np.int64)
        self.table = torch.view_as_complex(rotary_table(0, self.head_size, self.device))
        self.below: Tensor | None = None
        """Input of the last block in the last forward pass, [B, K, D]."""

    def start(self, rows: int, room: int) -> None:
        """Clear the cache. room: the largest number of tokens that a row will hold."""
        self.lengths, self.room = np.zeros(rows, np.int64), room
        if len(self.table) < room:
            self.table = torch.view_as_complex(rotary_table(room, self.head_size, self.device))
        for block in self.blocks:
            block.start(rows, room)

    def forward(self, embedded_BKD: Tensor) -> Tensor:
        """Append K embedded tokens to every row and return their hidden states after the final norm, [B, K, D]."""
        b, k, d = embedded_BKD.shape
        place = Place(self.lengths, k, self.room, self.table)
        x = below = embedded_BKD.reshape(b * k, d)
        for block in self.blocks:
            below = x
            x = block(x, place)
        self.below = below.view(b, k, d)
        self.lengths = self.lengths + k
        self.forwards += 1
        return self.norm(x).view(b, k, d)

    def truncate(self, lengths: np.ndarray) -> None:
        """Keep the first `lengths` [B] tokens of each row. Nothing is copied (see the top of this file)."""
        if (lengths > self.lengths).any():
            raise ValueError("a row cannot be cut to more tokens than it holds")
        self.lengths = np.asarray(lengths, np.int64)

    def select(self, index: Tensor) -> None:
        """Keep only the chosen rows, int [..], in the given order."""
        self.lengths = self.lengths[index.cpu().numpy()]
        for block in self.blocks:
            block.select(index)
