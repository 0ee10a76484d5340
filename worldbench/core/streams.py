"""Random numbers by counter: what item i of a named stream is depends on (name, i) alone.

A stream is named by any tuple of strings and integers, such as `("train", seed, attempt)`. Its 128-bit Philox key is a
hash of that name, so streams never overlap and no generator is shared or global. Item i owns a fixed block of the
counter, so a contiguous range of items is one vectorised draw.
Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011).
"""

from __future__ import annotations

import hashlib

import numpy as np

PHILOX_WORDS = 4
"""Doubles per Philox counter: the stride of an item is a multiple of it."""

SEEK, LONGEST_DRAW = 1 << 12, 1 << 20
"""Doubles that are drawn in the time of one seek, about; doubles that are drawn at once."""

Name = str | int


def _digest(name: tuple[Name, ...], size: int) -> bytes:
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in name)
    return hashlib.blake2b(text.encode(), digest_size=size, person=b"worldbench").digest()


def integer(*name: Name) -> int:
    """A 63-bit seed for a generator that is not ours (torch's), from the stream's name."""
    return int.from_bytes(_digest(name, 8), "little") >> 1


def generator(*name: Name) -> np.random.Generator:
    """A generator of the stream's own, for draws that are not counted item by item (shuffles, bootstrap)."""
    return np.random.Generator(np.random.Philox(key=int.from_bytes(_digest(name, 16), "little")))


def uniform(start: int, count: int, width: int, *name: Name) -> np.ndarray:
    """Uniform doubles [count, width] in [0, 1): row r belongs to item start + r of the stream, whatever the range asked
    for."""
    stride = -(-width // PHILOX_WORDS) * PHILOX_WORDS
    bits = np.random.Philox(key=int.from_bytes(_digest(name, 16), "little"))
    bits.advance(start * (stride // PHILOX_WORDS))
    return np.random.Generator(bits).random((count, stride))[:, :width]


def uniform_cells(row: np.ndarray, column: np.ndarray, width: int, *name: Name) -> np.ndarray:
    """Single cells of what `uniform` draws for items of `width` numbers: float64 [k], for row and column int [k].

    Cells in ascending order, by row and then by column, are found fastest. Takes as much memory as there are cells,
    however wide the rows are.
    """
    stride = -(-width // PHILOX_WORDS) * PHILOX_WORDS
    at = np.asarray(row, np.int64) * stride + column
    order = np.argsort(at, kind="stable") if (np.diff(at) < 0).any() else slice(None)
    ascending = at[order]
    # One long draw is cheaper than many seeks, and must not be long without an end.
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
    """As `uniform`, for chosen items: [len(rows), width]. `rows` ascending."""
    if len(rows) == 0:
        return np.empty((0, width))
    low, high = int(rows[0]), int(rows[-1]) + 1
    if len(rows) * 24 > high - low:  # one long draw is cheaper than many seeks
        return uniform(low, high - low, width, *name)[rows - low]
    breaks = np.flatnonzero(np.diff(rows) != 1) + 1
    runs = np.split(rows, breaks)
    return np.concatenate([uniform(int(run[0]), len(run), width, *name) for run in runs])
