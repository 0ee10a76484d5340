"""Pairs of a prefix and a suffix of one document, over packed rows.

Document j of a row has n inputs x_0 .. x_{n-1}, the first one in column c_0, and one more token, x_n. Its suffixes
start at s = 1 .. n; a document that is not cut off also has the empty suffix, s = n + 1.

A row of suffixes holds each document backwards, from column c_0 + j on: an empty cell where the document is whole, then
x_n .. x_1. A causal encoder over this row sees at the cell of x_s the tokens x_n .. x_s, and so computes b_s, the
hidden state of suffix s. The empty cell computes the hidden state of the empty suffix. In a row of suffixes, a whole
document takes one cell more than it has inputs, so document j begins j columns later.

Shape letters: B rows, T tokens, U cells of a row of suffixes, M pairs.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from worldbench.baselines.batch import Batch
from worldbench.core import streams

CELLS_AT_ONCE = 1 << 23
"""Largest number of (prefix, suffix) cells of the rows that are read in one operation: it bounds the memory."""


class Pairs(NamedTuple):
    """Pairs (t, s), each field int64 [M], row by row.

    prefix: the flat cell of t among the inputs [B T]. suffix: the flat cell of s among the suffix rows [B U].
    next, previous: the targets, x_{t+1} and x_{s-1}.
    """

    prefix: Tensor
    suffix: Tensor
    next: Tensor
    previous: Tensor


def _lengths(batch: Batch) -> tuple[Tensor, Tensor]:
    """For the document of each cell: its number of inputs in the row, and 1 if it is whole, 0 if it is cut off.

    Both int64 [B, T], and 0 at padding.
    """
    b, t = batch.tokens.shape
    valid = batch.valid
    key = batch.document.clamp(min=0)
    size = torch.zeros(b, t, dtype=torch.int64, device=key.device).scatter_add_(1, key, valid.long())
    whole = torch.zeros_like(size).scatter_add_(1, key, batch.closed)
    return size.gather(1, key) * valid, whole.gather(1, key) * valid


def suffix_width(batch: Batch) -> int:
    """U: the inputs of a row and one empty cell for each of its documents."""
    return batch.tokens.shape[1] + int(batch.document.max()) + 1


def suffix_rows(batch: Batch, pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """For `Batch.derived`, the documents backwards: tokens, document (-1: none) and position, each int64 [B, U]. Empty
    cells hold `pad`."""
    b, _ = batch.tokens.shape
    u, valid = suffix_width(batch), batch.valid
    size, whole = _lengths(batch)
    column = torch.arange(batch.tokens.shape[1], device=size.device)[None, :]
    start = column - batch.position + batch.document
    offset = whole + size - 1 - batch.position  # of x_{t+1} from the document's first cell in the row of suffixes
    row, _ = torch.nonzero(valid, as_tuple=True)
    out = [torch.full((b, u), fill, dtype=torch.int64, device=size.device) for fill in (pad, -1, 0)]
    at = (start + offset)[valid]
    for x, value in zip(out, (batch.following, batch.document, offset)):
        x[row, at] = value[valid]
    first = valid & (batch.position == 0) & (whole == 1)  # the empty suffix, in its document's first cell
    row, _ = torch.nonzero(first, as_tuple=True)
    out[1][row, start[first]] = batch.document[first]
    return out[0], out[1], out[2]


def pairs_of(batch: Batch, min_gap: int, share: float, pad: int, seed: int) -> Pairs:
    """For `Batch.derived`: all pairs with s - t >= min_gap where x_{t+1} is scored. A pair whose suffix is not empty is
    kept with probability `share`; pairs with the empty suffix are all kept.

    The draw is a function of (seed, row of training, t, s), so that it does not depend on how a batch is split. At a
    gap of 1 the suffix begins with x_{t+1}, so nothing is left to predict, and both targets are `pad`.
    """
    b, t = batch.tokens.shape
    u = suffix_width(batch)
    size, whole = _lengths(batch)
    device, start = size.device, torch.arange(t, device=size.device)[None, :] - batch.position
    rows = max(1, CELLS_AT_ONCE // (t * (t + 1)))
    key = streams.integer("pairs", seed)
    parts: list[tuple[Tensor, ...]] = []
    for low in range(0, b, rows):
        row, c = torch.nonzero(batch.scored[low : low + rows], as_tuple=True)
        row = row + low
        # The suffixes of a prefix start at first .. first + many - 1.
        first = batch.position[row, c] + min_gap
        many = (size[row, c] + whole[row, c] + 1 - first).clamp(min=0)
        k = torch.arange(int(many.sum()), device=device) - torch.repeat_interleave(many.cumsum(0) - many - first, many)
        row, c = torch.repeat_interleave(row, many), torch.repeat_interleave(c, many)
        empty = k == size[row, c] + 1
        if share < 1:
            kept = empty | (_uniform(key, batch.row[row], c, k) < share)
            row, c, k, empty = row[kept], c[kept], k[kept], empty[kept]
        near = k == batch.position[row, c] + 1
        head = start[row, c]
        suffix = head + batch.document[row, c] + whole[row, c] + size[row, c] - k
        next_token = torch.where(near, pad, batch.following[row, c])
        previous = torch.where(near, pad, batch.following[row, head + (k - 2).clamp(min=0)])
        parts.append((row * t + c, row * u + suffix, next_token, previous))
    return Pairs(*(torch.cat(x) for x in zip(*parts)))


class Part(NamedTuple):
    """Consecutive pairs start .. stop - 1, and the rows low .. high - 1 that they lie in."""

    start: int
    stop: int
    low: int
    high: int


def parts_of(batch: Batch, size: int, *how: Any) -> list[Part]:
    """For `Batch.derived`: the pairs of `pairs_of(batch, *how)` in parts of at most `size` pairs."""
    row = batch.derived(pairs_of, *how).prefix // batch.tokens.shape[1]
    bounds = [(start, min(start + size, len(row))) for start in range(0, len(row), size)]
    # Pairs are ordered by row.
    return [Part(start, stop, int(row[start]), int(row[stop - 1]) + 1) for start, stop in bounds]


def _uniform(key: int, row: Tensor, column: Tensor, s: Tensor) -> Tensor:
    """One uniform for each cell, float64 [M] in [0, 1): the finalizer of splitmix64 (Steele, Lea, Flood 2014), applied
    to the cell's number. torch has no counter-based generator; this one gives a cell the same number in any batch.
    """
    # The constants are those of splitmix64, as signed integers: torch multiplies int64 modulo 2^64, as unsigned
    # integers are multiplied.
    x = ((row * 1_000_003 + column) * 1_000_033 + s) * -7046029254386353131 + _signed(key)
    x = (x ^ _shift(x, 30)) * -4658895280553007687
    x = (x ^ _shift(x, 27)) * -7723592293110705685
    return _shift(x ^ _shift(x, 31), 11).double() * 2.0**-53


def _shift(x: Tensor, by: int) -> Tensor:
    """Shift int64 to the right, filling with zeros (torch fills with the sign)."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def _signed(key: int) -> int:
    """The int64 with the same 64 bits."""
    key &= (1 << 64) - 1
    return key - (1 << 64) if key >> 63 else key
