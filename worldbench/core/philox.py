"""The counter-based generator Philox 4x64-10, for many counters and keys at once.

numpy's `Philox` has one key and one counter per generator, and making a generator takes longer than drawing a short
row. Source: Salmon et al., "Parallel random numbers: as easy as 1, 2, 3" (SC 2011), section 4.3 and table 2.
"""

from __future__ import annotations

import numpy as np

MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
WEYL = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
"""Added to the two words of the key after every round."""
ROUNDS = 10
_LOW, _HALF = np.uint64(0xFFFFFFFF), np.uint64(32)


def philox(counter: np.ndarray, key_0: np.ndarray, key_1: np.ndarray) -> tuple[np.ndarray, ...]:
    """Four random words for each counter: uint64 arrays of the shape of `counter`. Counters are below 2^64. The keys
    broadcast against `counter`."""
    c_0, c_1 = counter, np.zeros_like(counter)
    c_2, c_3 = np.zeros_like(counter), np.zeros_like(counter)
    for _ in range(ROUNDS):
        high_0, low_0 = _product(c_0, MULTIPLIERS[0])
        high_1, low_1 = _product(c_2, MULTIPLIERS[1])
        c_0, c_1, c_2, c_3 = high_1 ^ c_1 ^ key_0, low_1, high_0 ^ c_3 ^ key_1, low_0
        key_0, key_1 = key_0 + np.uint64(WEYL[0]), key_1 + np.uint64(WEYL[1])
    return c_0, c_1, c_2, c_3


def _product(x: np.ndarray, factor: int) -> tuple[np.ndarray, np.ndarray]:
    """The high and the low 64 bits of x times a constant, computed from products of 32-bit halves. Each product is
    below 2^64."""
    f_low, f_high = np.uint64(factor & 0xFFFFFFFF), np.uint64(factor >> 32)
    x_low, x_high = x & _LOW, x >> _HALF
    middle = x_high * f_low + (x_low * f_low >> _HALF)
    rest = (middle & _LOW) + x_low * f_high
    return x_high * f_high + (middle >> _HALF) + (rest >> _HALF), x * np.uint64(factor)
