"""The files of a corpus: which ones, what they hold, and which of them are held out.

A corpus does not depend on the names of its files: they are put in the order of a hash of their content, and a content
that occurs twice counts once.
"""

from __future__ import annotations

import glob
import hashlib
import os
import platform
import sysconfig
from dataclasses import dataclass
from pathlib import Path

from worldbench.core.errors import InputError
from worldbench.core.files import read_regular
from worldbench.core.text import counted

MOST_BYTES = 1 << 28
"""Most bytes of all files together: 256 MiB, so that the world stays below 1 GB of memory."""
MOST_FILES = 1_000_000
SKIPPED = {"encodings", "site-packages", "dist-packages", "test", "tests", "idle_test", "__pycache__"}
"""Folders that are not part of the default corpus: tests, installed packages, and tables of encodings."""
MACHINE = ("_sysconfigdata", "config-")
"""Beginnings of names in the standard library that differ from one machine to the next."""
SALT = b"worldbench text held out"


@dataclass(frozen=True)
class Corpus:
    """name: which corpus this is, for people. train, test: the contents of the files of each split. digest: SHA-256 of
    all contents, in hex. paths: of the files of the training split, then of the test split, for error messages."""

    name: str
    train: list[bytes]
    test: list[bytes]
    digest: str
    paths: list[str]


def standard_library() -> list[Path]:
    """The Python sources of the standard library, without tests, tables of encodings, installed packages, and files
    that differ from one machine to the next."""
    root = Path(sysconfig.get_path("stdlib"))
    found = []
    for folder, below, names in os.walk(root):
        below[:] = [name for name in below if name not in SKIPPED and not name.startswith(MACHINE)]
        found += [Path(folder, name) for name in names if name.endswith(".py") and not name.startswith(MACHINE)]
    if not found:
        raise InputError(
            f"the standard library of this Python has no source files in {str(root)!r}; name files: --env.files GLOB"
        )
    return found


def named(pattern: str) -> list[Path]:
    """The files that a pattern matches, or all files below a folder. Raises InputError if there is none."""
    try:
        found = [Path(name) for name in glob.iglob(os.path.expanduser(pattern), recursive=True)]
        if len(found) == 1 and found[0].is_dir():
            found = list(found[0].rglob("*"))
        found = [path for path in found if path.is_file()]
    except (OSError, ValueError) as error:
        raise InputError(f"env.files {pattern!r} cannot be searched ({error}); give another pattern") from error
    if not found:
        raise InputError(
            f"no file matches env.files {pattern!r}; give a folder or a pattern, such as 'data/**/*.txt' in quotation "
            "marks"
        )
    if len(found) > MOST_FILES:
        raise InputError(f"env.files {pattern!r} matches {len(found):,} files; at most {MOST_FILES:,} can be read")
    return found


def load(pattern: str, share: float) -> Corpus:
    """The corpus of a pattern ("": the standard library), with `share` of the files held out.

    Raises InputError if no file matches, if a file cannot be read, if the files are too large, or if fewer than two
    different files remain.
    """
    paths = named(pattern) if pattern else standard_library()
    contents: dict[bytes, bytes] = {}
    names: dict[bytes, str] = {}
    left = MOST_BYTES
    for path in paths:
        size = path.stat().st_size if path.exists() else 0
        if size > left:
            raise InputError(
                f"the files of env.files {pattern!r} hold more than {MOST_BYTES >> 20} MiB, the limit of a corpus "
                f"(reached at {path.name!r}, {size:,} bytes); name fewer or smaller files"
            )
        raw = read_regular(path, left)
        digest = hashlib.sha256(raw).digest()
        if len(raw) > 1 and digest not in contents:
            contents[digest], names[digest] = raw, str(path)
            left -= len(raw)
    if len(contents) < 2:
        raise InputError(
            f"env.files {pattern!r} gives {counted(len(contents), 'different file')} with text, and files are held out "
            "as a whole; give at least two, for example the parts of a large file that `split -C 1M FILE part-` makes"
        )
    digests = sorted(contents)
    by_lot = sorted(digests, key=lambda digest: hashlib.sha256(SALT + digest).digest())
    held_out = set(by_lot[: min(len(digests) - 1, max(1, round(share * len(digests))))])
    train, test = ([d for d in digests if (d in held_out) == out] for out in (False, True))
    return Corpus(
        name="the files of env.files" if pattern else f"the standard library of Python {platform.python_version()}",
        train=[contents[digest] for digest in train],
        test=[contents[digest] for digest in test],
        digest=hashlib.sha256(b"".join(digests)).hexdigest(),
        paths=[names[digest] for digest in (*train, *test)],
    )
