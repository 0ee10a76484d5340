"""The options of the world of text."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from worldbench.core.errors import InputError
from worldbench.core.options import FILES

LEAST, MOST, USUAL = 257, 65_535, 1000
"""Fewest, most, and usual number of tokens of a byte-pair encoding. Every byte is a token."""
LONGEST = 65_536
"""Most tokens of a window."""


@dataclass(frozen=True, kw_only=True)
class TextConfig:
    """Windows of text files."""

    files: str = field(default="", metadata=FILES)
    """The files: a pattern such as `'data/**/*.txt'` (in quotation marks), or a folder (all files in it, at any
    depth). At least two files. Empty: the sources of the standard library of the Python that runs worldbench."""
    tokens: Literal["bytes", "bpe"] = "bytes"
    """What a token is. `bytes`: one byte. `bpe`: a token of a byte-pair encoding that is trained on the training files
    (needs the package tokenizers, and files in UTF-8)."""
    vocabulary: int | None = None
    """Number of tokens of the byte-pair encoding (default 1,000). Does not apply to bytes."""
    window: int = 256
    """Number of tokens of a document. A shorter file is one shorter document."""
    held_out_share: float = 0.1
    """Share of the files that is held out; at least one file. A hash of the content of a file decides. Evaluation uses
    these files, training never does."""

    def __post_init__(self) -> None:
        if self.tokens not in ("bytes", "bpe"):
            raise InputError(f"env.tokens must be 'bytes' or 'bpe', not {self.tokens!r}")
        if self.vocabulary is not None and self.tokens == "bytes":
            raise InputError(
                f"env.vocabulary applies to --env.tokens bpe; bytes have 256 words, so leave it out (it is "
                f"{self.vocabulary})"
            )
        if not LEAST <= self.size <= MOST:
            raise InputError(f"env.vocabulary must lie between {LEAST} and {MOST}, not {self.size}")
        if not 2 <= self.window <= LONGEST:
            raise InputError(f"env.window must lie between 2 and {LONGEST}, not {self.window}")
        if not 0 < self.held_out_share < 1:
            raise InputError(f"env.held_out_share must be above 0 and below 1, not {self.held_out_share}")

    @property
    def size(self) -> int:
        """Number of tokens of the byte-pair encoding."""
        return USUAL if self.vocabulary is None else self.vocabulary
