"""`manifest.json`: the processes that worked in a run folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec

from worldbench.core.errors import InputError, RunError
from worldbench.records.folder import Manifest, Session
from worldbench.records.reading import read, write
from worldbench.training.environment import environment


@contextmanager
def manifest(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Records times and command line of each process that works in the folder. They are for people, never part of a
    result.

    An unreadable file does not stop the work: a new list is started, and `say` reports it.
    """
    path = folder / "manifest.json"
    sessions = _sessions(path, say)
    started = time.time()
    entry = Session(
        argv=sys.argv,
        pid=os.getpid(),
        started=_clock(started),
        environment=environment(),
        outcome="killed",
    )
    write(path, Manifest(sessions=[*sessions, entry]))
    outcome = "killed"
    try:
        yield
        outcome = "done"
    except BaseException as error:
        outcome = f"{type(error).__name__}: {error}"
        raise
    finally:
        entry = msgspec.structs.replace(entry, outcome=outcome, seconds=round(time.time() - started, 2))
        try:
            write(path, Manifest(sessions=[*sessions, entry]))
        except RunError:
            if outcome == "done":
                raise


def ended(folder: Path) -> bool:
    """Whether the last process that worked in the folder did all its work, the figures included. True too for a folder
    without a manifest: a process writes it before anything else, so such a folder is a copy of a record."""
    path = folder / "manifest.json"
    sessions = _sessions(path, lambda _: None)
    return not path.exists() or (bool(sessions) and sessions[-1].outcome == "done")


def _sessions(path: Path, say: Callable[[str], None]) -> list[Session]:
    """The sessions of earlier processes."""
    if not path.exists():
        return []
    try:
        return read(path, Manifest).sessions
    except InputError as error:
        say(f"{error}; the list of processes is started again")
        return []


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
