"""Text from records as LaTeX that compiles, whatever the text holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from worldbench.core import cells
from worldbench.records.differences import plain

LAST = 0xFF
"""The last character that the fonts of a plain document have; others are written as their numbers."""
MARKS = {"–": "--", "—": "---", "‘": "`", "’": "'", "“": "``", "”": "''", "…": r"\ldots{}"}


def text(value: Any) -> str:
    """Text in which no character acts."""
    out = cells.latex(value)
    return "".join(MARKS.get(c, c if ord(c) <= LAST else f"U+{ord(c):04X}") for c in out)


def code(value: Any) -> str:
    r"""A name in letters of one width: \texttt{..}."""
    return f"\\texttt{{{text(value)}}}"


def option(name: str, value: Any) -> str:
    """The name of an option and its value."""
    return f"{code(name)} {text(plain(value))}"


def joined(words: Sequence[str]) -> str:
    """a; a and b; a, b and c."""
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} and {words[-1]}"


FLOATS = 8
"""Floats after which LaTeX must place them; it stops with an error where too many wait."""


def floats(parts: Sequence[str]) -> str:
    """Tables or figures, one after the other."""
    lines = []
    for i, part in enumerate(parts, 1):
        lines += [part, *([r"\clearpage"] if i % FLOATS == 0 else [])]
    return "\n\n".join(lines) + "\n"
