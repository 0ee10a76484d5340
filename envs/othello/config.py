"""The options of the world of Othello."""

from __future__ import annotations

from dataclasses import dataclass

from worldbench.core.errors import InputError

SIZES = (4, 6, 8)


@dataclass(frozen=True, kw_only=True)
class OthelloConfig:
    """Games of Othello."""

    size: int = 6
    """Number of rows and columns of the board: 4, 6 or 8."""
    greed: float = 0.0
    """Probability with which a player takes a random one of the moves that flip the most discs. Otherwise the player
    takes a random legal move. 0: all moves are uniform over the legal ones, as in the published synthetic games."""
    opening: int = 6
    """Number of moves of an opening. The first moves of a prompt are a held-out opening; the players of an opening are
    never greedy."""
    held_out_share: float = 0.1
    """Share of the positions after openings that is held out. A hash of the position decides, so an opening and its
    moves in another order are in one split. Held-out games begin with held-out openings; training games never do."""

    def __post_init__(self) -> None:
        if self.size not in SIZES:
            raise InputError(f"env.size must be 4, 6 or 8, not {self.size}")
        if not 0 <= self.greed <= 1:
            raise InputError(f"env.greed must be a probability between 0 and 1, not {self.greed}")
        if not 2 <= self.opening <= self.size**2 - 8:
            raise InputError(
                f"env.opening must lie between 2 and {self.size**2 - 8} on a board of {self.size} x {self.size}, not "
                f"{self.opening}"
            )
        if not 0 < self.held_out_share < 1:
            raise InputError(f"env.held_out_share must be above 0 and below 1, not {self.held_out_share}")

    @property
    def squares(self) -> int:
        """Number of squares of the board."""
        return self.size**2

    @property
    def most_moves(self) -> int:
        """Number of moves after which the board is full."""
        return self.squares - 4
