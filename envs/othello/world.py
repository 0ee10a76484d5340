"""The world of Othello games.

Shape letters: N documents, T tokens, M moves of the longest game, P positions, H histories of a position.
"""

from __future__ import annotations

import dataclasses
from functools import cached_property
from typing import Any

import numpy as np

from worldbench.core import streams
from worldbench.core.hashing import hashed
from worldbench.core.sampling import distinct_prompts
from worldbench.core.text import counted
from worldbench.core.world import Documents
from worldbench.envs.othello.config import OthelloConfig
from worldbench.envs.othello.games import NONE, Source, reordered, replayed
from worldbench.envs.othello.states import BLACK, END, PAD, START, WHITE, OthelloRules, OthelloStates

BLOCK = 8192
"""Games drawn together, to limit memory. Results do not depend on it."""
POSITIONS, HISTORIES, PROPOSALS = 1024, 8, 16
"""Positions of held-out games among which states are drawn; orders of moves that are looked for to each; proposals
between two of them."""


_ENDS = "every game of legal moves ends where it should"
_LAW = "random legal moves are the exact law of these games"
_FEW = "few moves are legal, and each is far more probable than the threshold of acceptance: noise rejects none"
EXCEPTIONS = {
    "valid_trajectories.arrives_sampled random-legal": _ENDS,
    "arrival_calibration.always random-legal": _ENDS,
    "arrival_calibration.arrives random-legal": _ENDS,
    "planning_tracking.lost random-legal": _ENDS,
    **{f"detours.arrives_p{p} random-legal": _ENDS for p in ("0.1", "0.5", "0.75")},
    "sequence_compression.compression noise": _FEW,
    "sequence_distinction.recall_law noise": _FEW,
    "split_merge.split_strict noise": _FEW,
}
UNIFORM = {f"split_merge.{score} random-legal": _LAW for score in ("split_strict", "split")}
"""Statements of metrics that do not hold here (`World.exceptions`), and those that do not hold without greedy
players."""


class OthelloWorld(OthelloRules):
    """Games of Othello (Li et al. 2023, arXiv 2210.13382; Vafa et al. 2024, arXiv 2406.03689).

    A document is the moves of one game, from `start` to `end`. Black begins, and the players take turns; no color is
    written. A player without a legal move passes, which is not written either: the rules imply it. A game ends when
    neither player can move. Moves are uniform over the legal ones (`greed` 0), as in the published synthetic games; or
    players are greedy, as a stand-in for games of a champion, which visit few of all positions.

    State: the board and the player to move. (The code of Vafa et al. leaves the player out.) Ground truth: the legal
    moves, the exact law, the board. Openings are held out, by a hash of the position after them; a prompt is a held-out
    opening. Histories of a state are other orders of moves that lead to the same board and player (transpositions).

    Two games on a board of 4 x 4:
        start b1 a3 a4 c1 d1 b4 c4 d3 a2 a1 d2 d4 end
        start c4 d2 d1 b4 a4 a3 d3 c1 a2 a1 b1 d4 end
    """

    name = "othello"
    version = 3

    def __init__(self, config: OthelloConfig | None = None) -> None:
        super().__init__(config or OthelloConfig())
        self.source = Source(self.config)
        self.exceptions = EXCEPTIONS | ({} if self.config.greed else UNIFORM)

    # Documents

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        parts = [
            self._documents(self.source.draw(seed, split, low, min(BLOCK, start + count - low)), split)
            for low in range(start, start + max(count, 1), BLOCK)
        ]
        return Documents.concat(parts)

    def _documents(self, games: np.ndarray, split: str) -> Documents:
        """The opening of a test game is its prompt. Only openings that are held out occur there, so their moves are not
        uniform over the legal ones, and are not scored. In training every move is learned."""
        n, moves = len(games), (games != NONE).sum(axis=1)
        tokens = np.full((n, self.context), PAD, np.int32)
        tokens[:, 0] = START
        tokens[:, 1:-1] = np.where(games != NONE, self.token_of_square[np.maximum(games, 0)], PAD)
        tokens[np.arange(n), 1 + moves] = END
        prompt = self.prompt_length if split == "test" else 1
        return Documents(tokens, (2 + moves).astype(np.int32), np.full(n, prompt, np.int32))

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The distinct openings of the test games of `seed`."""

        def prompts(start: int, count: int) -> np.ndarray:
            openings = self.source.openings(seed, "test", start, count)
            return np.concatenate([np.full((count, 1), START), self.token_of_square[openings]], axis=1).astype(np.int32)

        return distinct_prompts(prompts, count)

    # Transpositions

    @cached_property
    def _transpositions(self) -> tuple[np.ndarray, np.ndarray, OthelloStates]:
        """Positions of held-out games with at least two orders of moves: the orders, squares int64 [P, H, M]; a hash of
        each position, uint64 [P], ascending; and the states."""
        games = self.source.draw(0, "test", 0, POSITIONS)
        rng = streams.generator("othello transpositions", self.config.size)
        length = (games != NONE).sum(axis=1)
        least = min(self.config.opening, 4)
        cut = least + (rng.random(POSITIONS) * (length - least)).astype(np.int64)
        games = np.where(np.arange(games.shape[1])[None, :] < cut[:, None], games, NONE)
        orders = np.moveaxis(reordered(self.board, games, HISTORIES, PROPOSALS, rng), 0, 1)
        several = (orders != orders[:, :1]).any(axis=(1, 2))
        games, orders = games[several], orders[several]
        black, white, turn, _ = replayed(self.board, games)
        states = self._states(black, white, np.where(turn, BLACK, WHITE), (games != NONE).sum(axis=1))
        _, first = np.unique(self._hash(states), return_index=True)
        states, orders = states.take(first), orders[first]
        return orders, self._hash(states), states

    def _hash(self, states: OthelloStates) -> np.ndarray:
        """A hash of board and player: uint64 [N]."""
        return hashed(self.key(states)[0][:, :3])

    def draw_states(self, uniform: np.ndarray) -> OthelloStates:
        """States uniform over the positions of some held-out games that have transpositions."""
        _, _, states = self._transpositions
        return states.take((uniform[:, 0] * len(states)).astype(np.int64))

    def histories(self, states: OthelloStates, moves: np.ndarray, uniform: np.ndarray) -> Documents:
        """An order of moves that leads to each state. The board fixes the number of moves, so `moves` is not used."""
        orders, known, _ = self._transpositions
        wanted = self._hash(states)
        at = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
        found = known[at] == wanted
        column = uniform[:, 0] if uniform.shape[1] else np.zeros(len(states))
        games = orders[at, (column * orders.shape[1]).astype(np.int64)]
        length = np.where(found, 1 + (games != NONE).sum(axis=1), 0)
        whole = self._documents(games, "test").tokens
        tokens = np.where(np.arange(whole.shape[1])[None, :] < length[:, None], whole, PAD)
        tokens[tokens == END] = PAD
        return Documents(tokens, length.astype(np.int32), np.ones(len(states), np.int32))

    # Identity, and texts for people

    def identity(self) -> dict[str, Any]:
        return {"world": self.name, "version": self.version, **dataclasses.asdict(self.config)}

    def summary(self, documents: int) -> str:
        c = self.config
        players = f"players greedy with probability {c.greed:g}" if c.greed else "uniformly random legal moves"
        text = f"games of Othello on {c.size} x {c.size} squares, {players}"
        return text + (f"; {counted(documents, 'game')} for training" if documents else "")

    def card(self, documents: int) -> dict[str, Any]:
        c, d = self.config, self.sample(0, "train", 0, 2000)
        whole = self.start(d.tokens, d.length - 1)
        return {
            "size": c.size,
            "greed": c.greed,
            "opening": c.opening,
            "moves": float((d.length - 2).mean()),
            "full_boards": float((d.length - 2 == c.most_moves).mean()),
            "black_wins": float((whole.cells.astype(np.int64).sum(axis=1) > 0).mean()),
            "tokens": float(d.length.mean()),
            "vocabulary": len(self.vocabulary),
            "held_out": f"{c.held_out_share:.3g} of the positions after {c.opening} moves, by a salted hash",
            "games": documents,
        }
