"""Reads the arrays that figures are drawn from. Errors name the command that makes a damaged file again."""

from __future__ import annotations

import shlex
from pathlib import Path

import numpy as np

from worldbench.core import arrays
from worldbench.core.arrays import Array, Named
from worldbench.records.finding import evidence_digest

BELIEFS: Named = {
    "belief": Array("float", ("M+", "S+")),
    "predicted": Array("float", ("M+", "S+")),
    "weight": Array("float", ("M+",), least=0),
}
"""Of the belief probe: exact and probed beliefs, weights of the prefixes. Shape letters: M prefixes, S states."""


def read(path: Path, needed: Named, optional: Named | None = None) -> dict[str, np.ndarray]:
    """The arrays of an evidence file, each of the kind and shape asked for (see `core/arrays.py`).

    The file must have the digest that its record has for it. Errors: InputError that names the file, what is wrong, and
    the command that makes it again.
    """
    return arrays.read_npz(path, needed, optional, again=made_by(path), sha256=evidence_digest(path))


def names(path: Path) -> set[str]:
    """The names of the arrays in an evidence file; an empty set if there is no such file. Raises InputError as `read`
    does."""
    return arrays.names_in(path, again=made_by(path), sha256=evidence_digest(path)) if path.exists() else set()


def made_by(path: Path) -> str:
    """A clause that says which command makes an evidence file again."""
    folder = path.parent.parent
    if folder.name.startswith("trace-evidence"):
        trace = folder.name.replace("trace-evidence", "trace", 1) + ".json"
        return f"delete {trace}, and worldbench trace {shlex.quote(str(folder.parent))} makes it again"
    if (folder / "reconstruction.json").exists():
        return f"the worldbench reconstruct command of {str(folder)!r} makes it again"
    return f"worldbench eval {shlex.quote(str(folder))} makes it again"
