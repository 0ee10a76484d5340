"""Pairs of a prefix and a suffix of one document, over packed rows.

Document j of a row has n inputs x_0 .. x_{n-1}, from its column c_0 on, and one more token, x_n. Its suffixes start at
s = 1 .. n, and, where it is not cut off, at n + 1: the empty one. Rows of suffixes hold each document backwards,
(nothing,) x_n .. x_1, from column c_0 + j on: an encoder that looks back reads b_s at the cell of x_s.

Shape letters: B rows, T tokens, U cells of a row of suffixes, M pairs.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from worldbench.baselines.batch import Batch
from worldbench.core import streams

CELLS_AT_ONCE = 1 << 23
"""Prefix-suffix cells that are looked at together."""


@dataclass(frozen=True)
class Pairs:
    """int64 [M], row by row. prefix: the flat cell of t among inputs [B T]; suffix: that of s among suffix rows [B U];
    next, previous: the two targets."""

    prefix: Tensor
    suffix: Tensor
    next: Tensor
    previous: Tensor


def _lengths(batch: Batch) -> tuple[Tensor, Tensor]:
    """By cell [B, T], of its document: the inputs it has in the row, and whether it is whole (1) or cut off (0). 0 at
    padding."""
    b, t = batch.tokens.shape
    valid = batch.valid
    key = batch.document.clamp(min=0)
    size = torch.zeros(b, t, dtype=torch.int64, device=key.device).scatter_add_(1, key, valid.long())
    whole = torch.zeros_like(size).scatter_add_(1, key, batch.closed)
    return size.gather(1, key) * valid, whole.gather(1, key) * valid


def suffix_width(batch: Batch) -> int:
    return batch.tokens.shape[1] + int(batch.document.max()) + 1


def suffix_rows(batch: Batch, pad: int) -> tuple[Tensor, Tensor, Tensor]:
    """tokens, document (-1: none), position [B, U] of the documents backwards."""
    b, _ = batch.tokens.shape
    u, valid = suffix_width(batch), batch.valid
    size, whole = _lengths(batch)
    column = torch.arange(batch.tokens.shape[1], device=size.device)[None, :]
    start = column - batch.position + batch.document
    offset = whole + size - 1 - batch.position  # of x_{t+1}, from the document's start
    row, _ = torch.nonzero(valid, as_tuple=True)
    out = [torch.full((b, u), fill, dtype=torch.int64, device=size.device) for fill in (pad, -1, 0)]
    at = (start + offset)[valid]
    for x, value in zip(out, (batch.following, batch.document, offset)):
        x[row, at] = value[valid]
    first = valid & (batch.position == 0) & (whole == 1)  # the empty suffix, at its document's first cell
    row, _ = torch.nonzero(first, as_tuple=True)
    out[1][row, start[first]] = batch.document[first]
    return out[0], out[1], out[2]


def pairs_of(batch: Batch, min_gap: int, share: float, pad: int, seed: int) -> Pairs:
    """All pairs with s - t >= min_gap and x_{t+1} scored; of those with a suffix that is not empty, each kept with
    probability `share`.

    The draw belongs to (seed, row of the training, t, s): it does not depend on how the rows are split. At a gap of 1
    both targets are `pad`.
    """
    b, t = batch.tokens.shape
    u = suffix_width(batch)
    size, whole = _lengths(batch)
    device, start = size.device, torch.arange(t, device=size.device)[None, :] - batch.position
    s = torch.arange(1, t + 2, device=device)
    rows = max(1, CELLS_AT_ONCE // (t * len(s)))
    key = streams.integer("pairs", seed)
    parts: list[tuple[Tensor, ...]] = []
    for low in range(0, b, rows):
        r = slice(low, low + rows)
        last = size[r] + whole[r]
        wanted = (s >= batch.position[r, :, None] + min_gap) & (s <= last[:, :, None]) & batch.scored[r, :, None]
        row, c, k = torch.nonzero(wanted, as_tuple=True)
        row, k = row + low, k + 1
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


def _uniform(key: int, row: Tensor, column: Tensor, s: Tensor) -> Tensor:
    """float64 [M] in [0, 1): by counter, splitmix64's finaliser (Steele, Lea, Flood 2014) over the cell."""
    x = ((row * 1_000_003 + column) * 1_000_033 + s) * -7046029254386353131 + _signed(key)
    x = (x ^ _shift(x, 30)) * -4658895280553007687
    x = (x ^ _shift(x, 27)) * -7723592293110705685
    return _shift(x ^ _shift(x, 31), 11).double() * 2.0**-53


def _shift(x: Tensor, by: int) -> Tensor:
    """Logical shift to the right of int64."""
    return (x >> by) & ((1 << (64 - by)) - 1)


def _signed(key: int) -> int:
    key &= (1 << 64) - 1
    return key - (1 << 64) if key >> 63 else key
