"""`manifest.json`: the processes that worked in a run folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError, RunError
from worldbench.core.files import read_json, to_json, write_atomic
from worldbench.result import environment


@contextmanager
def manifest(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Times and the command line of each process that worked here: for people, never part of a result.

    A file that cannot be read does not stop the work: it begins anew, and `say` says so.
    """
    path = folder / "manifest.json"
    sessions = _sessions(path, say)
    started = time.time()
    entry = {"argv": sys.argv, "pid": os.getpid(), "started": _clock(started), "environment": environment(), "outcome": "killed"}
    write_atomic(path, to_json({"sessions": [*sessions, entry]}) + "\n")
    try:
        yield
        entry["outcome"] = "done"
    except BaseException as error:
        entry["outcome"] = f"{type(error).__name__}: {error}"
        raise
    finally:
        entry["seconds"] = round(time.time() - started, 2)
        try:
            write_atomic(path, to_json({"sessions": [*sessions, entry]}) + "\n")
        except RunError:
            if entry["outcome"] == "done":
                raise


def _sessions(path: Path, say: Callable[[str], None]) -> list[dict[str, Any]]:
    """Of the processes that worked here before."""
    if not path.exists():
        return []
    try:
        saved = read_json(path)
        sessions = saved.get("sessions") if isinstance(saved, dict) else None
        if isinstance(sessions, list) and all(isinstance(session, dict) for session in sessions):
            return sessions
        why = f"{str(path)!r} lacks a list of sessions"
    except InputError as error:
        why = str(error)
    say(f"{why}: the list of the processes that worked here begins anew")
    return []


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
