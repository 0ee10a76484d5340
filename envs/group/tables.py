"""Finite groups by name, as tables of products.

A permutation p acts from the left: the product p q maps x to p(q(x)). Elements are numbered in lexicographic order of
their permutations; the identity is element 0.
Shape letters: G elements of the group, N things that are permuted.
"""

from __future__ import annotations

import itertools
import math
import re
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from worldbench.core.errors import InputError

MOST = 1024
"""Most elements of a group: a table of products then has a million entries."""
_NAME = re.compile(r"([SAZD])([0-9]{1,4})")


@dataclass(frozen=True)
class Group:
    """name: in its usual spelling. words: a name for each element. product: int16 [G, G], the number of a b at [a, b].
    solvable: bool."""

    name: str
    words: tuple[str, ...]
    product: np.ndarray
    solvable: bool

    def __len__(self) -> int:
        return len(self.words)

    @property
    def inverse(self) -> np.ndarray:
        """The number of the inverse of each element, int64 [G]."""
        return (self.product == 0).argmax(axis=1)


def order_of(name: str) -> int:
    """The number of elements of a group. Raises InputError for a name that is no group, or a group that is too
    large."""
    order = 1
    for part in name.split("x"):
        match = _NAME.fullmatch(part)
        if match is None or int(match[2]) < 1:
            raise InputError(
                f"env.group {name!r} names no group; write S<n>, A<n>, Z<n> or D<n>, such as A5, or a product: Z2xA4"
            )
        kind, n = match[1], int(match[2])
        size = {"Z": n, "D": 2 * n}.get(kind)
        if size is None:
            size = math.factorial(min(n, 20)) // (2 if kind == "A" and n > 1 else 1)
        order *= size
        if order > MOST:
            raise InputError(f"env.group {name!r} has more than {MOST:,} elements; name a smaller group")
    return order


@lru_cache(maxsize=8)
def group(name: str) -> Group:
    """The group of a name. Raises InputError as `order_of`."""
    order_of(name)
    parts = [_simple(part) for part in name.split("x")]
    out = parts[0]
    for part in parts[1:]:
        out = _direct(out, part)
    return out


def _simple(name: str) -> Group:
    kind, n = name[0], int(name[1:])
    if kind == "Z":
        k = np.arange(n)
        return Group(name, tuple(str(x) for x in k), ((k[:, None] + k) % n).astype(np.int16), True)
    if kind == "D":
        return _dihedral(name, n)
    permutations = np.array(list(itertools.permutations(range(n))), np.int64)
    if kind == "A":
        permutations = permutations[_even(permutations)]
    solvable = n < 5
    return Group(name, tuple("".join(_digit(x) for x in p) for p in permutations), _products(permutations), solvable)


def _digit(x: int) -> str:
    return "0123456789abcdef"[x]


def _even(permutations: np.ndarray) -> np.ndarray:
    """bool [G]: is each permutation even? It has an even number of pairs in the wrong order."""
    n = permutations.shape[1]
    first, second = np.triu_indices(n, 1)
    return (permutations[:, first] > permutations[:, second]).sum(axis=1) % 2 == 0


def _products(permutations: np.ndarray) -> np.ndarray:
    """The table of products of permutations int64 [G, N] that are closed under it: int16 [G, G]."""
    n = permutations.shape[1]
    weights = n ** np.arange(n)[::-1]
    code = permutations @ weights  # ascending, as the order is lexicographic
    both = permutations[:, permutations]  # [a, b, x] = a(b(x))
    return np.searchsorted(code, both @ weights).astype(np.int16)


def _dihedral(name: str, n: int) -> Group:
    """Rotations r0 .. and reflections s0 ..: r_a r_b = r_{a+b}, r_a s_b = s_{a+b}, s_a r_b = s_{a-b}, s_a s_b =
    r_{a-b}."""
    turn, flip = np.tile(np.arange(n), 2), np.repeat([0, 1], n)
    sign = np.where(flip[:, None] == 1, -1, 1)
    product = (turn[:, None] + sign * turn[None, :]) % n + n * (flip[:, None] ^ flip[None, :])
    words = tuple(f"{'rs'[f]}{t}" for f, t in zip(flip, turn))
    return Group(name, words, product.astype(np.int16), True)


def _direct(a: Group, b: Group) -> Group:
    """The direct product of two groups: pairs of elements."""
    first, second = np.divmod(np.arange(len(a) * len(b)), len(b))
    product = a.product[first[:, None], first].astype(np.int64) * len(b) + b.product[second[:, None], second]
    words = tuple(f"{a.words[i]}.{b.words[j]}" for i, j in zip(first, second))
    return Group(f"{a.name}x{b.name}", words, product.astype(np.int16), a.solvable and b.solvable)
