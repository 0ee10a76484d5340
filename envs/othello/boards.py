"""The rules of Othello on bit boards, for many games at once.

A board of size 4, 6 or 8 lies in the first rows and columns of a board of 8 x 8: square (row, column) is bit 8 row +
column of a uint64. A position is two such numbers: the discs of the player to move (`mine`) and of the other one
(`theirs`).
Shape letters: N positions, C squares of the board.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

_COLUMN = np.uint64(0x0101010101010101)
_EVERY = np.uint64(0xFFFFFFFFFFFFFFFF)
_DIRECTIONS = ((0, 1), (0, -1), (1, 0), (-1, 0), (1, 1), (1, -1), (-1, 1), (-1, -1))
"""Steps of (rows, columns)."""
_ZERO = np.uint64(0)


@dataclass(frozen=True)
class Board:
    """The rules on a board of `size` x `size` squares."""

    size: int

    @cached_property
    def squares(self) -> np.ndarray:
        """The bit of each square, row by row: uint64 [C]."""
        row, column = np.divmod(np.arange(self.size**2), self.size)
        return np.uint64(1) << (8 * row + column).astype(np.uint64)

    @cached_property
    def _valid(self) -> np.uint64:
        return np.bitwise_or.reduce(self.squares)

    @cached_property
    def _steps(self) -> list[tuple[bool, np.uint64, np.uint64]]:
        """For each direction: is it a shift to higher bits, by how many, and which bits are on the board after it?"""
        out = []
        for rows, columns in _DIRECTIONS:
            shift = 8 * rows + columns
            # A shift by one column must not lead from one end of a row to the other.
            kept = self._valid & (~_COLUMN if columns > 0 else ~(_COLUMN << np.uint64(7)) if columns < 0 else _EVERY)
            out.append((shift > 0, np.uint64(abs(shift)), kept))
        return out

    @staticmethod
    def _moved(bits: np.ndarray, up: bool, by: np.uint64, kept: np.uint64) -> np.ndarray:
        return (bits << by if up else bits >> by) & kept

    def first(self, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The start of a game, black to move: mine and theirs, uint64 [count] each. White holds the upper left and the
        lower right of the four squares in the middle."""
        half = self.size // 2
        at = self.squares.reshape(self.size, self.size)
        black, white = at[half - 1, half] | at[half, half - 1], at[half - 1, half - 1] | at[half, half]
        return np.full(count, black), np.full(count, white)

    def legal(self, mine: np.ndarray, theirs: np.ndarray) -> np.ndarray:
        """The squares to which the player may move: uint64 [N]. A move must enclose discs of the other player, in a
        straight line, between the new disc and one of the player's own."""
        empty, out = ~(mine | theirs), np.zeros_like(mine)
        for step in self._steps:
            line = self._moved(mine, *step) & theirs
            for _ in range(self.size - 3):
                line |= self._moved(line, *step) & theirs
            out |= self._moved(line, *step) & empty
        return out

    def flips(self, mine: np.ndarray, theirs: np.ndarray, move: np.ndarray) -> np.ndarray:
        """The discs that a move turns over, uint64 [N]; 0 where it encloses none. move: uint64 [N], one bit each."""
        out = np.zeros_like(mine)
        for step in self._steps:
            line = self._moved(move, *step) & theirs
            for _ in range(self.size - 3):
                line |= self._moved(line, *step) & theirs
            # The line is closed by a disc of the player next to its far end.
            closed = (self._moved(line, *step) & mine) != _ZERO
            out |= np.where(closed, line, _ZERO)
        return out

    def after(
        self, mine: np.ndarray, theirs: np.ndarray, move: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The position after a legal move, for the player who moves next: mine, theirs, uint64 [N]; bool [N], does the
        same player move again (the other one has no move and passes)? And the legal moves there, uint64 [N]; 0 where
        the game is over."""
        turned = self.flips(mine, theirs, move)
        own, other = mine | move | turned, theirs & ~turned
        reply = self.legal(other, own)
        passes = reply == _ZERO
        again = np.zeros_like(reply)
        if passes.any():
            again[passes] = self.legal(own[passes], other[passes])
        same = passes & (again != _ZERO)
        return np.where(same, own, other), np.where(same, other, own), same, np.where(same, again, reply)

    def spread(self, bits: np.ndarray) -> np.ndarray:
        """bool [N, C]: the squares of bit boards uint64 [N]."""
        eight = np.unpackbits(bits[:, None].view(np.uint8), axis=1, bitorder="little").astype(bool)
        return eight.reshape(len(bits), 8, 8)[:, : self.size, : self.size].reshape(len(bits), self.size**2)

    def packed(self, squares: np.ndarray) -> np.ndarray:
        """Bit boards uint64 [N] of squares bool [N, C]."""
        eight = np.zeros((len(squares), 8, 8), bool)
        eight[:, : self.size, : self.size] = squares.reshape(len(squares), self.size, self.size)
        return np.packbits(eight.reshape(len(squares), 64), axis=1, bitorder="little").view(np.uint64)[:, 0]


def chosen(allowed: np.ndarray, uniform: np.ndarray) -> np.ndarray:
    """A random true column of each row of allowed [N, C], by uniform [N] in [0, 1). Each row needs one."""
    count = np.cumsum(allowed, axis=1, dtype=np.int16)
    return np.argmax(count > (uniform * count[:, -1]).astype(np.int16)[:, None], axis=1)


def most_flips(board: Board, mine: np.ndarray, theirs: np.ndarray, allowed: np.ndarray) -> np.ndarray:
    """The legal moves that turn over the most discs: bool [N, C], among allowed bool [N, C]."""
    row, square = np.nonzero(allowed)
    turned = np.bitwise_count(board.flips(mine[row], theirs[row], board.squares[square]))
    count = np.zeros(allowed.shape, np.int16)
    count[row, square] = turned
    return allowed & (count == count.max(axis=1, keepdims=True, initial=0))
