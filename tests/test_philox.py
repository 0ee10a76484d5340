"""Items of many streams at once have the numbers that each stream gives alone."""

from __future__ import annotations

import numpy as np
import pytest

from worldbench.core import streams
from worldbench.core.philox import philox


@pytest.mark.parametrize("width", [1, 3, 4, 5, 42])
def test_chosen_items_are_those_of_the_range(width: int) -> None:
    items = np.sort(np.random.default_rng(0).choice(10**7, 300, replace=False))
    alone = np.concatenate([streams.uniform(int(item), 1, width, "a", 3) for item in items])
    assert np.array_equal(streams.uniform_rows(items, width, "a", 3), alone)
    assert np.array_equal(streams.uniform_rows(items[:5], width, "a", 3), alone[:5])


def test_items_of_several_streams_in_any_order() -> None:
    items = np.random.default_rng(1).integers(0, 2**40, 50)
    names = [("a", 1), ("b", 2, "c"), ("a", 2)]
    which = np.arange(50) % 3
    alone = [streams.uniform(int(item), 1, 7, *names[k]) for item, k in zip(items, which)]
    assert np.array_equal(streams.uniform_streams(items, 7, which, names), np.concatenate(alone))
    assert streams.uniform_streams(items[:0], 7, which[:0], names).shape == (0, 7)


def test_blocks_are_numpys(monkeypatch: pytest.MonkeyPatch) -> None:
    """Over several chunks too, and with words of the key that overflow when they are counted up."""
    monkeypatch.setattr(streams, "BLOCKS_AT_ONCE", 8)
    items = np.arange(0, 4000, 40)
    alone = np.concatenate([streams.uniform(int(item), 1, 9, "x") for item in items])
    assert np.array_equal(streams.uniform_streams(items, 9, np.zeros(100, int), [("x",)]), alone)
    key = np.array([2**64 - 1, 2**64 - 2], np.uint64)
    words = philox(np.arange(1, 6, dtype=np.uint64), key[:1], key[1:])
    theirs = np.random.Philox(key=int(key[0]) | int(key[1]) << 64).random_raw(20).reshape(5, 4)
    assert np.array_equal(np.stack(words, 1), theirs)
