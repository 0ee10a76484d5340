"""Draws games, and orders of moves that lead to one position.

Shape letters: N games, M moves of the longest game, C squares of the board, H histories of a position.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.core import streams
from worldbench.core.errors import InputError
from worldbench.core.hashing import hashed, share_of
from worldbench.envs.othello.boards import Board, chosen, most_flips
from worldbench.envs.othello.config import OthelloConfig

MOST_TRIES = 2_000
"""Openings drawn for one game, before a split is given up."""
TOGETHER = 256
"""Openings drawn at once for the last games that have none: numpy's calls take longer than their work on a few rows."""
NONE = -1


@dataclass(frozen=True)
class Source:
    """Draws games as rows of squares, int64 [N, M], -1 after the last move."""

    config: OthelloConfig

    @property
    def board(self) -> Board:
        return Board(self.config.size)

    def held_out(self, openings: np.ndarray) -> np.ndarray:
        """bool [N]: is the position after an opening, squares int64 [N, K], held out? So all orders of moves that lead
        to one position are in one split. The seed of a run does not matter."""
        salt = streams.integer("held-out othello", self.config.size, self.config.opening)
        black, white, turn, _ = replayed(self.board, openings)
        position = np.stack([black.view(np.int64), white.view(np.int64), turn.astype(np.int64)], axis=1)
        return share_of(hashed(position, salt)) < self.config.held_out_share

    def draw(self, seed: int, split: str, start: int, count: int) -> np.ndarray:
        """Games start .. start + count - 1 of the split ("train" or "test").

        Raises InputError for another split, and for a split without openings.
        """
        c = self.config
        openings, rest = self.openings(seed, split, start, count), c.most_moves - c.opening
        u = streams.uniform(start, count, 2 * rest, "othello", seed, split)
        return np.concatenate([openings, self._played(u, c.greed, rest, openings)[0]], axis=1)

    def openings(self, seed: int, split: str, start: int, count: int) -> np.ndarray:
        """The openings of these games: squares int64 [count, K]. An opening is drawn until the position after it
        belongs to the split. A game that ends inside its opening is drawn again. Raises as `draw`."""
        if split not in ("train", "test"):
            raise InputError(f"unknown split {split!r}; the splits are 'train' and 'test'")
        c = self.config
        out = np.empty((count, c.opening), np.int64)
        missing, attempt = np.arange(count), 0
        while n := len(missing):
            if attempt == MOST_TRIES:
                raise InputError(
                    f"{MOST_TRIES} openings in a row do not belong to the split {split!r}; env.held_out_share is "
                    f"{c.held_out_share:g}: choose a value nearer to 0.5, or a longer env.opening"
                )
            attempts = range(attempt, min(attempt + max(1, TOGETHER // n), MOST_TRIES))
            rows = [
                streams.uniform_rows(start + missing, c.opening, "othello opening", seed, split, a) for a in attempts
            ]
            drawn, played = self._played(np.concatenate(rows), 0.0, c.opening)
            good = ((self.held_out(drawn) == (split == "test")) & (played == c.opening)).reshape(-1, n)
            found = good.any(axis=0)
            out[missing[found]] = drawn.reshape(-1, n, c.opening)[good.argmax(axis=0), np.arange(n)][found]
            missing, attempt = missing[~found], attempts.stop
        return out

    def _played(
        self, u: np.ndarray, greed: float, moves: int, before: np.ndarray | None = None
    ) -> tuple[np.ndarray, np.ndarray]:
        """Games of at most `moves` moves, after the moves `before` [N, K]: squares int64 [N, moves], -1 after the end;
        and the number of moves. u: random numbers [N, moves], or [N, 2 moves] of which the second half decides who is
        greedy."""
        board, n = self.board, len(u)
        mine, theirs = board.first(n)
        legal = board.legal(mine, theirs)
        if before is not None:
            for t in range(before.shape[1]):
                mine, theirs, _, legal = board.after(mine, theirs, board.squares[before[:, t]])
        out, on = np.full((n, moves), NONE, np.int64), np.arange(n)
        for t in range(moves):
            going = legal != 0
            if not going.all():
                on, mine, theirs, legal = on[going], mine[going], theirs[going], legal[going]
            if not len(on):
                break
            allowed = board.spread(legal)
            if greed:
                eager = u[on, moves + t] < greed
                if eager.any():
                    allowed[eager] = most_flips(board, mine[eager], theirs[eager], allowed[eager])
            square = chosen(allowed, u[on, t])
            out[on, t] = square
            mine, theirs, _, legal = board.after(mine, theirs, board.squares[square])
        return out, (out != NONE).sum(axis=1)


def replayed(board: Board, games: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The position after games int64 [N, M] (-1 after the last move): black, white uint64 [N], black to move bool [N];
    and bool [N], is every move legal?"""
    n = len(games)
    mine, theirs = board.first(n)
    black, legal, good = np.ones(n, bool), board.legal(mine, theirs), np.ones(n, bool)
    for t in range(games.shape[1]):
        square = games[:, t]
        move = np.where(square == NONE, np.uint64(0), board.squares[np.maximum(square, 0)])
        good &= (square == NONE) | ((legal & move) != 0)
        rows = np.flatnonzero(good & (square != NONE))
        if not len(rows):
            break
        mine[rows], theirs[rows], same, legal[rows] = board.after(mine[rows], theirs[rows], move[rows])
        black[rows] = np.where(same, black[rows], ~black[rows])
    return np.where(black, mine, theirs), np.where(black, theirs, mine), black, good


def reordered(board: Board, games: np.ndarray, kept: int, every: int, rng: np.random.Generator) -> np.ndarray:
    """Other orders of moves that lead to the position of each game: squares int64 [kept, N, M].

    A random walk over orders: two moves of a game, an even number of moves apart (most often of one player), change
    places if the game stays legal and ends in the same position. `every` such proposals lie between two orders that are
    kept. Games without another order stay as they are.
    """
    n, length = len(games), (games != NONE).sum(axis=1)
    black, white, turn, _ = replayed(board, games)
    now, rows, out = games.copy(), np.arange(n), []
    for _ in range(kept):
        for _ in range(every):
            i, j = (rng.random((2, n)) * length).astype(np.int64)
            j = np.where((i - j) % 2 == 0, j, np.where(j > 0, j - 1, np.minimum(j + 1, length - 1)))
            tried = now.copy()
            tried[rows, i], tried[rows, j] = now[rows, j], now[rows, i]
            b, w, t, good = replayed(board, tried)
            taken = good & (b == black) & (w == white) & (t == turn)
            now[taken] = tried[taken]
        out.append(now.copy())
    return np.stack(out)
