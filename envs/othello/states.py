"""The automaton of Othello: the board after every move, the legal moves, the exact law.

Shape letters: N rows, T tokens, C squares of the board, A actions (the squares that are empty at first, then the end).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Automaton, States, Vocabulary
from worldbench.envs.othello.boards import Board, most_flips
from worldbench.envs.othello.config import OthelloConfig

PAD, END, START = 0, 1, 2
FIRST_MOVE = 3
LETTERS = "abcdefgh"
EMPTY, MINE, YOURS = 0, 1, 2
BLACK, WHITE = 1, -1


@dataclass
class OthelloStates(States):
    """cells: int8 [N, C], 1 for a black disc, -1 for a white one, 0 for none. player: int8 [N], who moves next: 1 or
    -1. moves: int64 [N], moves so far. status: int64 [N], the outcome."""

    cells: np.ndarray
    player: np.ndarray
    moves: np.ndarray
    status: np.ndarray


class OthelloRules(Automaton[OthelloStates]):
    """The automaton on one size of board. (`world.py` draws games.)"""

    def __init__(self, config: OthelloConfig) -> None:
        self.config = c = config
        self.board = Board(c.size)
        self.board_shape = (c.size, c.size)
        middle = (c.size // 2 - 1, c.size // 2)
        row, column = np.divmod(np.arange(c.squares), c.size)
        free = ~(np.isin(row, middle) & np.isin(column, middle))
        self.square_of_move = np.flatnonzero(free)
        """The square of each move in the vocabulary, int64 [M]."""
        self.token_of_square = np.full(c.squares, PAD, np.int64)
        """The token of each square, int64 [C]; the padding for the four squares in the middle."""
        self.token_of_square[self.square_of_move] = FIRST_MOVE + np.arange(c.most_moves)
        names = tuple(f"{LETTERS[q]}{r + 1}" for r, q in zip(row[free], column[free]))
        moves = tuple(range(FIRST_MOVE, FIRST_MOVE + c.most_moves))
        self.vocabulary = Vocabulary(("<pad>", "end", "start", *names), pad=PAD, end=END, actions=(*moves, END))
        self.square_of_action = np.concatenate([self.square_of_move, [-1]])
        """The square of each action, int64 [A]; -1 for the end."""
        self.prompt_length = 1 + c.opening
        self.longest = c.most_moves - c.opening + 1
        self.context = 1 + c.most_moves + 1

    # Positions as bit boards

    def _position(self, states: OthelloStates) -> tuple[np.ndarray, np.ndarray]:
        """The discs of the player to move and of the other player, uint64 [N] each."""
        own = states.cells * states.player[:, None]
        return self.board.packed(own > 0), self.board.packed(own < 0)

    def _states(self, black: np.ndarray, white: np.ndarray, player: np.ndarray, moves: np.ndarray) -> OthelloStates:
        cells = self.board.spread(black).astype(np.int8) - self.board.spread(white).astype(np.int8)
        return OthelloStates(cells, player.astype(np.int8), moves, np.full(len(black), OPEN))

    # The automaton

    def prompt_lengths(self, tokens: np.ndarray) -> np.ndarray:
        """Documents are asked for every move; their prompt is the start alone."""
        return np.ones(len(tokens), np.int64)

    def start(self, tokens: np.ndarray, lengths: np.ndarray) -> OthelloStates:
        tokens, lengths = np.asarray(tokens), np.asarray(lengths)
        n = len(tokens)
        states = self._states(*self.board.first(n), np.full(n, BLACK), np.zeros(n, np.int64))
        states.status = np.where((lengths > 0) & (tokens[:, 0] == START), OPEN, ILLEGAL)
        for t in range(1, int(lengths.max(initial=1))):
            rows = np.flatnonzero(t < lengths)
            states.put(rows, self.step(states.take(rows), tokens[rows, t]))
        return states

    def step(self, states: OthelloStates, tokens: np.ndarray) -> OthelloStates:
        tokens, going = np.asarray(tokens), states.status == OPEN
        mine, theirs = self._position(states)
        legal = self.board.legal(mine, theirs)
        is_move = (tokens >= FIRST_MOVE) & (tokens < FIRST_MOVE + self.config.most_moves)
        square = self.square_of_move[np.where(is_move, tokens - FIRST_MOVE, 0)]
        bit = self.board.squares[square]
        moving = np.flatnonzero(going & is_move & ((legal & bit) != 0))
        out = states.copy()
        own, other, same, _ = self.board.after(mine[moving], theirs[moving], bit[moving])
        player = np.where(same, states.player[moving], -states.player[moving]).astype(np.int8)
        cells = self.board.spread(own).astype(np.int8) - self.board.spread(other).astype(np.int8)
        out.cells[moving], out.player[moving] = cells * player[:, None], player
        out.moves[moving] += 1
        over = legal == 0
        failed = np.where(tokens == END, np.where(over, ARRIVED, MISPLACED_END), ILLEGAL)
        failed[moving] = OPEN
        out.status = np.where(going, failed, states.status)
        return out

    def legal(self, states: OthelloStates) -> np.ndarray:
        """The legal moves of the player to move; the end where neither player has one."""
        squares = self.board.spread(self.board.legal(*self._position(states)))[:, self.square_of_move]
        over = ~np.asarray(squares.any(axis=1))
        return np.concatenate([squares, over[:, None]], axis=1) & (states.status == OPEN)[:, None]

    def outcome(self, states: OthelloStates) -> np.ndarray:
        return states.status

    def law(self, states: OthelloStates) -> np.ndarray:
        """Uniform over the legal moves; with probability `greed`, uniform over those that flip the most discs. The
        moves of an opening are always uniform."""
        legal = self.legal(states)
        law = legal / np.maximum(legal.sum(axis=1, keepdims=True), 1)
        eager = np.flatnonzero(legal[:, :-1].any(axis=1) & (states.moves >= self.config.opening))
        if self.config.greed and len(eager):
            mine, theirs = self._position(states.take(eager))
            # Boards that were decoded from hidden states with noise can be without discs in the middle: no move there.
            allowed = np.zeros((len(eager), self.board.size**2), bool)
            allowed[:, self.square_of_move] = legal[eager, :-1]
            best = most_flips(self.board, mine, theirs, allowed)[:, self.square_of_move]
            g = self.config.greed
            law[eager, :-1] = (1 - g) * law[eager, :-1] + g * best / best.sum(axis=1, keepdims=True)
        return np.where(legal.any(axis=1, keepdims=True), law, 1 / law.shape[1])

    def within_budget(self, states: OthelloStates) -> np.ndarray:
        """Every legal move: a game always ends."""
        out = self.legal(states)
        out[:, -1] = False
        return out

    def key(self, states: OthelloStates) -> tuple[np.ndarray, np.ndarray]:
        """(black discs, white discs, player to move, outcome). With greedy players, the law of an opening is another
        one: the predictive key says whether the opening is over."""
        black, white = (self.board.packed(states.cells == colour).view(np.int64) for colour in (BLACK, WHITE))
        structural = np.stack([black, white, states.player.astype(np.int64), states.status], axis=1)
        opening = (states.moves < self.config.opening) & (self.config.greed > 0)
        return structural, np.concatenate([structural, opening[:, None].astype(np.int64)], axis=1)

    # What probes predict

    def targets(self, states: OthelloStates) -> dict[str, np.ndarray]:
        """player: who moves next. board: 1 for a disc of this player, -1 for one of the other, 0 for none. lead: the
        sum of the board. mobility: the number of legal moves. (`boards` has the squares as classes.)"""
        board = (states.cells * states.player[:, None]).astype(float)
        mobility = self.legal(states)[:, :-1].sum(axis=1)
        return {
            "player": (states.player > 0).astype(np.int64),
            "board": board,
            "lead": board.sum(axis=1, keepdims=True),
            "mobility": mobility.astype(float)[:, None],
        }

    def classes(self, target: str) -> int:
        return 2 if target == "player" else super().classes(target)

    def boards(self, states: OthelloStates) -> dict[str, np.ndarray]:
        """The class of every square, int64 [N, C], by view. mover: 0 empty, 1 a disc of the player to move, 2 one of
        the other player. color: 0 empty, 1 black, 2 white."""
        own = states.cells.astype(np.int64) * states.player[:, None]
        color = states.cells.astype(np.int64)
        return {"mover": np.where(own < 0, YOURS, own), "color": np.where(color < 0, YOURS, color)}
