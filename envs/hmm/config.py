"""The options of the hidden Markov world."""

from __future__ import annotations

from dataclasses import dataclass, field

from worldbench.core.errors import InputError
from worldbench.core.options import FILE

MOST_TOKENS = 65_536
"""Most tokens of a document."""


@dataclass(frozen=True, kw_only=True)
class HMMConfig:
    """The process, and the length of documents."""

    process: str = field(default="rrxor", metadata=FILE)
    """The process, by name and parameters: rrxor, mess3(x=0.15, a=0.6), mixture(0.2*coin, 0.8*z1r), product(coin, z1r);
    or a FILE.json with your own matrices."""
    length: int = 10
    """Number of tokens of a document after its start token."""

    def __post_init__(self) -> None:
        if not 1 <= self.length <= MOST_TOKENS:
            raise InputError(f"env.length must lie between 1 and {MOST_TOKENS}, not {self.length}")
