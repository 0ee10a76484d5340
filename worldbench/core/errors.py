"""Errors that a person reads: what was wrong, the value, what to do next."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class WorldbenchError(Exception):
    """Anything the command line reports as one sentence, without a traceback."""

    exit_code = 1


class InputError(WorldbenchError, ValueError):
    """The user's input (an option, a file, a name) cannot be used."""

    exit_code = 2


class RunError(WorldbenchError, RuntimeError):
    """The work itself failed: a full disk, a loss that is not a number, a run held by another process."""


class Diverged(RunError):
    """Training came to numbers that are none."""


class Interrupted(WorldbenchError):
    """The run was asked to stop; it saved its state first."""

    exit_code = 130


def nearest(name: str, names: Iterable[str]) -> str:
    """`"; did you mean 'taxi'?"` for the closest of `names`, else `"; there are a, b, c"`."""
    known = sorted(set(names))
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if close:
        return f"; did you mean {close[0]!r}?"
    return f"; there are {', '.join(known)}" if known else ""


def unknown(kind: str, name: str, names: Iterable[str]) -> InputError:
    """The error for a name that nobody registered."""
    return InputError(f"unknown {kind} {name!r}{nearest(name, names)}")
