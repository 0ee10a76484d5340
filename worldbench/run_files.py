"""`manifest.json`: the processes that worked in a run folder."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from worldbench.core.errors import RunError
from worldbench.core.files import read_json, to_json, write_atomic
from worldbench.result import environment


@contextmanager
def manifest(folder: Path) -> Iterator[None]:
    """Times and the command line of each process that worked here: for people, never part of a result."""
    path = folder / "manifest.json"
    sessions = read_json(path)["sessions"] if path.exists() else []
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


def _clock(seconds: float) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))
