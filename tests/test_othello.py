"""Othello: the rules against a plain implementation, published counts of games, the law, openings, transpositions."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from worldbench.core.errors import InputError
from worldbench.core.states import replay
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Documents
from worldbench.envs.othello.boards import Board
from worldbench.envs.othello.config import OthelloConfig
from worldbench.envs.othello.games import NONE, reordered, replayed
from worldbench.envs.othello.world import OthelloWorld

WORLDS: dict[str, OthelloWorld] = {}


def world(**options: Any) -> OthelloWorld:
    """A world of these options, made once."""
    key = repr(sorted(options.items()))
    if key not in WORLDS:
        WORLDS[key] = OthelloWorld(OthelloConfig(**options))
    return WORLDS[key]


class Plain:
    """Othello on a dictionary of squares, one game, nothing vectorized."""

    def __init__(self, size: int) -> None:
        half = size // 2
        self.size, self.player = size, 1
        self.at = {(half - 1, half - 1): -1, (half, half): -1, (half - 1, half): 1, (half, half - 1): 1}

    def flips(self, square: tuple[int, int], player: int) -> list[tuple[int, int]]:
        if square in self.at:
            return []
        out: list[tuple[int, int]] = []
        for down in (-1, 0, 1):
            for right in (-1, 0, 1):
                line, (r, c) = [], (square[0] + down, square[1] + right)
                while self.at.get((r, c)) == -player:
                    line.append((r, c))
                    r, c = r + down, c + right
                if self.at.get((r, c)) == player and (down or right):
                    out += line
        return out

    def legal(self, player: int) -> dict[tuple[int, int], int]:
        every = [(r, c) for r in range(self.size) for c in range(self.size)]
        return {square: len(found) for square in every if (found := self.flips(square, player))}

    def play(self, square: tuple[int, int]) -> None:
        for place in [*self.flips(square, self.player), square]:
            self.at[place] = self.player
        if self.legal(-self.player) or not self.legal(self.player):  # nobody moves once the game is over
            self.player = -self.player


def games_of(size: int, plies: int) -> list[int]:
    """How many sequences of 1, 2, .. moves there are."""
    board = Board(size)
    mine, theirs = board.first(1)
    legal, out = board.legal(mine, theirs), []
    for _ in range(plies):
        row, square = np.nonzero(board.spread(legal))
        out.append(len(row))
        mine, theirs, _, legal = board.after(mine[row], theirs[row], board.squares[square])
    return out


def test_the_published_numbers_of_games() -> None:
    assert games_of(8, 6) == [4, 12, 56, 244, 1396, 8200]  # the perft of Othello


@pytest.mark.parametrize("size", [4, 6, 8])
def test_states_are_those_of_a_plain_game(size: int) -> None:
    w = world(size=size, opening=4)
    d = w.sample(7, "train", 0, 6)
    games = [Plain(size) for _ in range(6)]
    for seen, rows, here in replay(w, d):
        board, legal = here.cells.reshape(-1, size, size), w.legal(here)
        for k, row in enumerate(rows):
            game = games[row]
            assert {tuple(p): int(board[k][tuple(p)]) for p in np.argwhere(board[k])} == game.at
            assert here.player[k] == game.player
            found = {divmod(int(q), size) for q in w.square_of_move[legal[k, :-1]]}
            assert found == set(game.legal(game.player))
            assert legal[k, -1] == (not found)
            token = d.tokens[row, seen]
            if token != w.vocabulary.end:
                game.play(divmod(int(w.square_of_move[token - 3]), size))
    assert (w.after(d).status == ARRIVED).all()


def test_passes_are_implied() -> None:
    w = world(size=4, opening=4)
    d = w.sample(0, "train", 0, 300)
    passes = 0
    before = None
    for _, rows, here in replay(w, d):
        if before is not None:
            old = dict(zip(before[0].tolist(), before[1].tolist()))
            passes += sum(old[r] == p for r, p in zip(rows.tolist(), here.player.tolist()) if r in old)
        before = rows, here.player
    assert passes > 0


def test_the_law_is_uniform_and_greedy_players_flip_the_most() -> None:
    w, eager = world(size=6), world(size=6, greed=0.9)
    d = eager.sample(0, "test", 0, 40)
    for seen, rows, here in replay(eager, d):
        legal, law = w.legal(here), w.law(here)
        assert np.allclose(law, legal / legal.sum(axis=1, keepdims=True))
        greedy = eager.law(here)
        assert np.allclose(greedy.sum(axis=1), 1)
        assert (greedy[rows * 0 == 0][legal] > 0).all()
        if seen > 20 and len(rows):
            k = int(np.argmax(legal.sum(axis=1)))
            game = Plain(6)
            game.at = {tuple(p): int(v) for p, v in np.ndenumerate(here.cells[k].reshape(6, 6)) if v}
            flips = game.legal(int(here.player[k]))
            if not flips:
                continue
            most = max(flips.values())
            best = [q for q, n in flips.items() if n == most]
            p = greedy[k, [int(np.flatnonzero(w.square_of_move == r * 6 + c)[0]) for r, c in best]]
            assert np.allclose(p, 0.1 / len(flips) + 0.9 / len(best))


@pytest.mark.slow
@pytest.mark.parametrize("greed", [0.0, 0.9])
def test_impossible_boards_have_a_law_too(greed: float) -> None:
    """Hidden states with noise are decoded to boards that no game reaches, such as boards without discs in the middle.
    Damaged models ask for their law."""
    w = world(size=6, greed=greed)
    here = w.draw_states(np.linspace(0, 0.999, 400)[:, None])
    here.cells = np.random.default_rng(0).integers(-1, 2, here.cells.shape).astype(np.int8)
    with np.errstate(all="raise"):
        law = w.law(here)
    assert w.board.spread(w.board.legal(*w._position(here)))[:, w.board.size * 2 + 2].any(), "a move to the middle"
    assert np.allclose(law.sum(axis=1), 1)
    assert ((law > 0) == w.legal(here)).all(axis=1)[w.legal(here).any(axis=1)].all()


def test_moves_occur_as_often_as_the_law_says() -> None:
    w = world(size=4, opening=2, greed=0.5)
    d = w.sample(0, "train", 0, 3000)
    expected, seen = np.zeros(13), np.zeros(13)
    for t, rows, here in replay(w, d):
        if t > 3:  # openings are drawn until they belong to the split
            expected += w.law(here).sum(axis=0)
            seen += np.bincount(w.vocabulary.action_of_token[d.tokens[rows, t]], minlength=13)
    assert np.abs(seen - expected).max() < 5 * np.sqrt(expected.max())


@pytest.mark.slow
def test_openings_are_held_out() -> None:
    """With the positions to which they lead, in whatever order."""
    w = world(size=6, opening=4)

    def positions(tokens: np.ndarray) -> set[tuple[int, ...]]:
        return set(map(tuple, w.key(w.start(tokens, np.full(len(tokens), 5)))[0].tolist()))

    train, test = (positions(w.sample(0, split, 0, 1500).tokens[:, :5]) for split in ("train", "test"))
    assert not train & test
    assert 4 < len(test) < len(train)
    prompts, lengths = w.prompts(0, 1000)
    assert (lengths == 5).all()
    assert positions(prompts) == test
    assert len(np.unique(prompts, axis=0)) == len(prompts) <= 60


@pytest.mark.parametrize(
    ("size", "opening", "seed"), [(4, 8, 0), (6, 14, 0), pytest.param(6, 28, 2, marks=pytest.mark.slow)]
)
def test_a_game_never_ends_inside_its_opening(size: int, opening: int, seed: int) -> None:
    w = world(size=size, opening=opening)
    for split in ("train", "test"):
        d = w.sample(seed, split, 0, 2000)
        assert (w.after(d).status == ARRIVED).all()
        assert (d.length - 2 >= opening).all()


def test_documents_do_not_depend_on_the_range() -> None:
    w = world(size=6, greed=0.5)
    whole, part = w.sample(3, "test", 0, 40), w.sample(3, "test", 17, 5)
    assert (whole.tokens[17:22] == part.tokens).all()
    assert len(w.sample(0, "train", 0, 0)) == 0


def test_wrong_moves_and_wrong_ends() -> None:
    w = world(size=6)
    d = w.sample(0, "test", 0, 20)
    states = w.start(d.tokens[:, :8], np.full(20, 8))
    assert (w.step(states, np.full(20, w.vocabulary.end)).status == MISPLACED_END).all()
    assert (w.step(states, d.tokens[:, 3]).status == ILLEGAL).all()  # a square that is taken
    lost = w.step(states, np.full(20, w.vocabulary.pad))
    assert (lost.status == ILLEGAL).all()
    assert not w.legal(lost).any()
    assert (w.start(d.tokens[:, 1:4], np.full(20, 3)).status == ILLEGAL).all()


@pytest.mark.slow
def test_histories_are_other_orders_of_the_same_position() -> None:
    w = world(size=6)
    u = np.random.default_rng(0).random((200, 8))
    states = w.draw_states(u)
    first, second = (w.histories(states, np.ones(200, np.int64), u[:, k:]) for k in (4, 5))
    for documents in (first, second):
        after = w.after(documents)
        assert (w.key(after)[0] == w.key(states)[0]).all()
        assert (after.status == OPEN).all()
    assert (first.length == second.length).all()
    assert (first.tokens != second.tokens).any(axis=1).mean() > 0.3
    other = w.after(w.sample(5, "train", 0, 3))
    assert (w.histories(other, np.ones(3, np.int64), u[:3]).length == 0).all()


def test_reordered_games_are_legal() -> None:
    w = world(size=4, opening=4)
    games = w.source.draw(0, "train", 0, 50)
    games[:, 8:] = NONE
    black, white, turn, good = replayed(w.board, games)
    assert good.all()
    for order in reordered(w.board, games, 3, 10, np.random.default_rng(0)):
        b, c, t, legal = replayed(w.board, order)
        assert legal.all()
        assert (b == black).all()
        assert (c == white).all()
        assert (t == turn).all()


def test_boards_are_views_of_the_cells() -> None:
    w = world(size=6)
    states = w.after(w.sample(0, "test", 0, 30))
    boards = w.boards(states)
    assert (boards["color"] == np.where(states.cells == -1, 2, states.cells)).all()
    white = states.player == -1
    assert ((boards["mover"] == 1) == (states.cells == states.player[:, None])).all()
    assert white.any()
    assert w.board_shape == (6, 6)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"size": 5}, "must be 4, 6 or 8"),
        ({"greed": 1.5}, "between 0 and 1"),
        ({"opening": 1}, "env.opening must lie between 2 and 28"),
        ({"size": 4, "opening": 9}, "between 2 and 8"),
        ({"held_out_share": 0.0}, "above 0 and below 1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        OthelloConfig(**options)


def test_a_split_without_openings_is_refused() -> None:
    w = OthelloWorld(OthelloConfig(size=4, opening=2, held_out_share=1e-9))
    with pytest.raises(InputError, match="held_out_share"):
        w.sample(0, "test", 0, 1)
    with pytest.raises(InputError, match="unknown split"):
        w.sample(0, "tests", 0, 1)


def test_the_examples_of_the_docstring_are_games() -> None:
    w = world(size=4, opening=4)
    lines = [x.strip() for x in (OthelloWorld.__doc__ or "").splitlines() if x.strip().startswith("start ")]
    ids = {word: i for i, word in enumerate(w.vocabulary.words)}
    for line in lines:
        tokens = np.array([[ids[word] for word in line.split()]], np.int32)
        length = np.array([tokens.shape[1]], np.int32)
        assert w.after(Documents(tokens, length, np.ones(1, np.int32))).status.tolist() == [ARRIVED]
    assert len(lines) == 2
