"""Documents of a world as a text file: one document a line, its words with spaces between them."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

import numpy as np

from worldbench.core.errors import InputError, RunError
from worldbench.core.files import identity_hash, make_folder, reason
from worldbench.core.world import World
from worldbench.settings.job import Job

BLOCK = 4096
"""Documents that are drawn and written together."""
SPLITS = ("train", "test")


def refuse(split: str, count: int) -> None:
    """Raises InputError for a split and a number of documents that cannot be written."""
    if split not in SPLITS:
        raise InputError(f"--split must be train or test, not {split!r}")
    if count < 1:
        raise InputError(f"--documents must be at least 1, not {count}")


def export(job: Job, world: World, split: str, count: int, out: Path) -> Path:
    """Writes the first `count` documents of a split into a file below `out`, and returns its path.

    The name of the file holds the world, the preset, the seed, the split, the count and a hash of the identity of the
    world. Raises InputError for options that cannot be used, and for a world whose words contain spaces; RunError if
    the file cannot be written, which is then absent.
    """
    refuse(split, count)
    words = np.array(world.vocabulary.words, object)
    if odd := [word for word in words.tolist() if not word or any(map(str.isspace, word))]:
        raise InputError(
            f"the word {odd[0]!r} of the world {world.name!r} is empty or contains a space, so its documents cannot be "
            "written as words with spaces between them"
        )
    make_folder(out)
    name = f"{world.name}-{job.preset}-s{job.seed}-{split}-{count}-{identity_hash(world.identity())[:10]}.txt"
    path = out / f"documents-{name}"
    part = path.with_name(f".{path.name}.part")
    try:
        with part.open("w", encoding="utf-8", newline="\n") as file:
            for low in range(0, count, BLOCK):
                documents = world.sample(job.seed, split, low, min(BLOCK, count - low))
                for row, length in zip(documents.tokens, documents.length.tolist()):
                    file.write(" ".join(words[row[:length]]) + "\n")
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        raise RunError(f"cannot write {str(path)!r} ({reason(error)}); choose another folder with --out") from error
    finally:
        with contextlib.suppress(OSError):
            part.unlink()
    return path
