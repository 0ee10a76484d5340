"""Attention of every transformer here: each token attends to the tokens before it in its own document.

A mask is one of three things. None: the row is one document, so causal attention is enough. A bool tensor: the cells
that may be read, for packed rows and for decoding. `Pieces`: where the documents of packed rows begin, for a kernel
that needs no mask.

Shape letters: B rows, T tokens, H heads, C head size, S keys (cached and new).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor

from worldbench.baselines.batch import Batch
from worldbench.baselines.products import unrounded

LARGEST_HEAD = 256
"""The largest head size of the flash kernels. They also need a multiple of 8."""


_AS_ON_A_CARD: ContextVar[bool] = ContextVar("as_on_a_card", default=False)


@contextlib.contextmanager
def as_on_a_card() -> Iterator[None]:
    """The block attends as on a graphics card, whatever the device: for counts with tensors without numbers."""
    token = _AS_ON_A_CARD.set(True)
    try:
        yield
    finally:
        _AS_ON_A_CARD.reset(token)


class Pieces(NamedTuple):
    """The rows of a batch as one sequence of B T tokens, cut into documents. Padding between them is a piece too.

    starts: int32 [N + 1], the first token of each piece, then B T. longest: no piece is longer.
    """

    starts: Tensor
    longest: int


Laid: TypeAlias = Callable[..., tuple[Tensor, ...]]
Mask: TypeAlias = Tensor | Pieces | None


class Cache:
    """Keys and values of one layer, [B, H, S, C] each. Columns that are not filled yet hold arbitrary values, and are
    never read.

    Both lie in one tensor [B, S, 2 H C], where the filled columns of a row are one piece of memory.
    """

    def __init__(self, rows: int, heads: int, room: int, head_size: int, device: torch.device) -> None:
        self._heads = (2, heads, head_size)
        self._hold(torch.empty(rows, room, 2 * heads * head_size, device=device))

    def _hold(self, both_BSE: Tensor) -> None:
        self._both = both_BSE
        self.k, self.v = both_BSE.unflatten(2, self._heads).permute(2, 0, 3, 1, 4)

    def select(self, index: Tensor, filled: int) -> None:
        """Keep the rows `index`, int [..]. Of their columns, the first `filled` are copied."""
        _, room, width = self._both.shape
        out = self._both.new_empty(len(index), room, width)
        there, here = (x.flatten(1)[:, : filled * width] for x in (self._both, out))
        torch.index_select(there, 0, index, out=here)
        self._hold(out)

    def first(self, rows: int) -> None:
        """Keep the first rows. Nothing is copied."""
        self._hold(self._both[:rows])

    def grow(self, filled: int, room: int) -> None:
        """Make room for as many columns, of which `filled` keep their content."""
        bigger = self._both.new_empty(len(self._both), room, self._both.shape[2])
        bigger[:, :filled] = self._both[:, :filled]
        self._hold(bigger)


@dataclass
class Step:
    """The columns of the caches that new tokens are written to, and the columns that they may read.

    start: number of columns already filled, the same for all rows. mask: bool [B, 1, K, S]; None for a plain causal
    mask.
    """

    start: int
    mask: Tensor | None


def attend(
    q_BTHC: Tensor, k_BTHC: Tensor, v_BTHC: Tensor, mask: Mask, cache: Cache | None = None, step: Step | None = None
) -> Tensor:
    """What each token reads, [B, T, H C]. cache, step: for decoding; then the mask is that of the step."""
    b, t = q_BTHC.shape[:2]
    if isinstance(mask, Pieces):
        return _attend_in_pieces(q_BTHC, k_BTHC, v_BTHC, mask).reshape(b, t, -1)
    q, k, v = q_BTHC.transpose(1, 2), k_BTHC.transpose(1, 2), v_BTHC.transpose(1, 2)
    causal = mask is None
    if cache is not None and step is not None:
        stop = step.start + t
        cache.k[:, :, step.start : stop], cache.v[:, :, step.start : stop] = k, v
        k, v, mask = cache.k[:, :, :stop], cache.v[:, :, :stop], step.mask
        causal = mask is None and step.start == 0
    # The compiler cannot read a context variable; nothing that it compiles is counted as on a card.
    here = torch.compiler.is_compiling() or not _AS_ON_A_CARD.get()
    if q.device.type == "cpu" and here and torch.is_autocast_enabled("cpu"):
        # In fp32: torch's gradient of attention on the CPU takes ten times as long in bf16.
        with torch.autocast("cpu", enabled=False):
            q, k, v = unrounded(q), unrounded(k), unrounded(v)
            attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    else:
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask, is_causal=causal)
    return attended.transpose(1, 2).reshape(b, t, -1)


def _attend_in_pieces(q_BTHC: Tensor, k_BTHC: Tensor, v_BTHC: Tensor, pieces: Pieces) -> Tensor:
    """[B T, H, C]. The kernel computes in half precision, and only on CUDA."""
    from torch.nn.attention.varlen import varlen_attn

    # With autocast the values are in half precision, while the rotation makes queries and keys fp32.
    q, k, v = (x.flatten(0, 1).to(v_BTHC.dtype) for x in (q_BTHC, k_BTHC, v_BTHC))
    whole = pieces.longest
    # A window of no token ahead is causal attention.
    out = varlen_attn(q, k, v, pieces.starts, pieces.starts, whole, whole, window_size=(-1, 0))
    assert isinstance(out, Tensor)
    return out


def own_documents(
    batch: Batch, head_size: int, laid: Callable[..., tuple[Tensor, ...]] | None = None, *of: Any
) -> Mask:
    """The mask with which each token of a batch attends to its own document.

    laid: a function for `Batch.derived` with arguments `of`, whose second result is int [B, U], the document of each
    token of other rows that the batch gives; None: the rows of the batch itself.
    """
    if batch.single:
        return None
    if takes_pieces(batch.tokens.device, head_size):
        return batch.derived(pieces, *([] if laid is None else [laid, *of]))
    return document_mask(batch.document if laid is None else batch.derived(laid, *of)[1])


def takes_pieces(device: torch.device, head_size: int) -> bool:
    """Whether documents are attended to without a mask: with autocast to half precision, on a card that can.

    The backward pass of this kernel adds up in a fixed order where torch requires deterministic operations. A kernel of
    fp32 does not exist; `flex_attention` has one, but only compiled.
    """
    return card_takes_pieces(device, head_size) and torch.is_autocast_enabled(device.type)


def card_takes_pieces(device: torch.device, head_size: int) -> bool:
    """Whether `device` is an NVIDIA card of compute capability 8 or more, and its kernels serve this head size."""
    served = head_size % 8 == 0 and head_size <= LARGEST_HEAD
    return served and (
        _AS_ON_A_CARD.get()
        or (
            device.type == "cuda"
            and torch.version.hip is None
            and torch.backends.cuda.is_flash_attention_available()
            and torch.cuda.get_device_capability(device) >= (8, 0)
        )
    )


def pieces(rows: Batch, laid: Laid | None = None, *of: Any) -> Pieces:
    """The documents of rows on the CPU, as one sequence. See `own_documents`."""
    document = rows.document if laid is None else rows.derived(laid, *of)[1]
    begins = torch.ones_like(document, dtype=torch.bool)
    begins[:, 1:] = document[:, 1:] != document[:, :-1]
    starts = torch.cat([begins.flatten().nonzero()[:, 0], torch.tensor([document.numel()])])
    return Pieces(starts.to(torch.int32), document.shape[1])


def document_mask(document: Tensor) -> Tensor:
    """Causal mask within documents, bool [B, 1, T, T], from document numbers int [B, T]. Padding sees padding, so that
    every row of the mask has an entry: a softmax over nothing is NaN."""
    t = document.shape[1]
    causal = torch.ones(t, t, dtype=torch.bool, device=document.device).tril()
    return ((document[:, :, None] == document[:, None, :]) & causal)[:, None]
