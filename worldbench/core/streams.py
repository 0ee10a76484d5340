"""Random numbers by counter: item i of a named stream depends only on the name and on i.

The name of a stream is a tuple of strings and integers, such as `("train", seed, attempt)`. The 128-bit Philox key
of the stream is a hash of the name. So streams never overlap, and no generator is shared or global. Item i owns a
fixed block of the counter. So a contiguous range of items is one vectorized draw. Source: Salmon et al., "Parallel
random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

import numpy as np

from worldbench.core.philox import philox

PHILOX_WORDS = 4
"""Doubles per Philox counter. The number of doubles per item is rounded up to a multiple of it."""

DENSE = 12
"""If at least one item in DENSE is chosen, one long draw is faster than a draw for each chosen item."""
FEW_SEEKS = 12
"""Fewer ranges of items than this are faster when drawn one after another than when computed all at once."""
BLOCKS_AT_ONCE = 1 << 14
"""Philox blocks that are computed together: their working set fits into the cache of a core."""
SEEK, LONGEST_DRAW = 1 << 12, 1 << 20
"""SEEK: how many doubles are drawn in about the time of one seek. LONGEST_DRAW: the most doubles in one draw."""

Name = str | int


def _digest(name: tuple[Name, ...], size: int) -> bytes:
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in name)
    return hashlib.blake2b(text.encode(), digest_size=size, person=b"worldbench").digest()


def integer(*name: Name) -> int:
    """A 63-bit seed from the name of a stream, for generators of other libraries (torch)."""
    return int.from_bytes(_digest(name, 8), "little") >> 1


def generator(*name: Name) -> np.random.Generator:
    """A generator for one stream, for draws that are not numbered by item (shuffles, bootstrap)."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(_digest(name, 16), "little")))


def uniform(start: int, count: int, width: int, *name: Name) -> np.ndarray:
    """Uniform doubles [count, width] in [0, 1). Row r is item start + r of the stream. An item has the same value in
    every range."""
    stride = -(-width // PHILOX_WORDS) * PHILOX_WORDS
    bits = np.random.Philox(key=int.from_bytes(_digest(name, 16), "little"))
    bits.advance(start * (stride // PHILOX_WORDS))
    return np.random.Generator(bits).random((count, stride))[:, :width]


def uniform_cells(row: np.ndarray, column: np.ndarray, width: int, *name: Name) -> np.ndarray:
    """Single cells of the array that `uniform` draws with `width` numbers per item: float64 [k], at `row` and
    `column`, int [k].

    Cells sorted by row and then by column are found fastest. Memory grows with the number of cells, not with
    `width`.
    """
    stride = -(-width // PHILOX_WORDS) * PHILOX_WORDS
    at = np.asarray(row, np.int64) * stride + column
    order = np.argsort(at, kind="stable") if (np.diff(at) < 0).any() else slice(None)
    ascending = at[order]
    # One long draw is faster than many seeks. LONGEST_DRAW bounds its memory.
    breaks = np.flatnonzero((np.diff(ascending) > SEEK) | (np.diff(ascending // LONGEST_DRAW) > 0)) + 1
    out = np.empty(len(at))
    for run, cells in zip(np.split(ascending, breaks), np.split(np.arange(len(at))[order], breaks)):
        if len(run):
            first = int(run[0]) // PHILOX_WORDS
            bits = np.random.Philox(key=int.from_bytes(_digest(name, 16), "little"))
            bits.advance(first)
            drawn = np.random.Generator(bits).random(int(run[-1]) + 1 - first * PHILOX_WORDS)
            out[cells] = drawn[run - first * PHILOX_WORDS]
    return out


def uniform_rows(rows: np.ndarray, width: int, *name: Name) -> np.ndarray:
    """As `uniform`, for chosen items: [len(rows), width]. `rows` must be ascending."""
    if len(rows) == 0:
        return np.empty((0, width))
    low, high = int(rows[0]), int(rows[-1]) + 1
    if len(rows) * DENSE > high - low:
        return uniform(low, high - low, width, *name)[rows - low]
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    if len(breaks) < FEW_SEEKS:
        return np.concatenate([uniform(int(run[0]), len(run), width, *name) for run in np.split(rows, breaks)])
    return uniform_streams(rows, width, np.zeros(len(rows), np.int64), [name])


def uniform_streams(items: np.ndarray, width: int, which: np.ndarray, names: Sequence[tuple[Name, ...]]) -> np.ndarray:
    """Items of several streams: float64 [n, width]. Row r is item `items[r]` of the stream `names[which[r]]`.

    The numbers equal those of `uniform`. They are computed for all rows at once.
    """
    blocks = -(-width // PHILOX_WORDS)
    keys = np.array([np.frombuffer(_digest(name, 16), "<u8") for name in names], np.uint64).reshape(-1, 2)[which]
    out = np.empty((len(items), blocks * PHILOX_WORDS))
    for low in range(0, len(items), chunk := max(1, BLOCKS_AT_ONCE // blocks)):
        high = min(low + chunk, len(items))
        # numpy increments the counter before each block, so the first block has the counter 1.
        counter = np.asarray(items[low:high], np.uint64)[:, None] * np.uint64(blocks) + np.arange(
            1, blocks + 1, dtype=np.uint64
        )
        words = philox(counter, keys[low:high, 0, None], keys[low:high, 1, None])
        out[low:high] = (np.stack(words, axis=-1) >> np.uint64(11)).reshape(high - low, -1) * 2.0**-53
    return out[:, :width]
