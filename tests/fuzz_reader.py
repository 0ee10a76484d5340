"""A reader of files in the fuzz tests: whole files to start from, and how one is read."""

from __future__ import annotations

import gzip
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from mutation import generator, mutant
from mutation_values import damaged_bytes


@dataclass(frozen=True)
class Reader:
    """wholes: files that are read as they are, by their names. read: raises a WorldbenchError for a file, or uses it.

    count: damaged files that are tried. form: how they are damaged (`mutation.mutant`). packed: as gzip.
    """

    wholes: dict[str, bytes]
    read: Callable[[Path], object]
    count: int
    form: str = "text"
    packed: bool = False

    def damaged(self, name: str, index: int) -> tuple[str, bytes]:
        """The name of a file and what is in it: input `index` of the reader of that name."""
        rng = generator(name, index)
        file = list(self.wholes)[index % len(self.wholes)]
        raw = mutant(self.wholes[file], rng, self.form)
        if not self.packed:
            return file, raw
        packed = gzip.compress(raw, mtime=0)
        return file, packed if rng.random() < 0.8 else damaged_bytes(packed, rng)

    def whole(self, file: str) -> bytes:
        """What is in a whole file."""
        return gzip.compress(self.wholes[file]) if self.packed else self.wholes[file]


def encoded(files: dict[str, str]) -> dict[str, bytes]:
    return {name: content.encode() for name, content in files.items()}
