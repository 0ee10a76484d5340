"""What the command line does with an unforeseen exception: print one sentence, and write the traceback to a file.

With WORLDBENCH_DEBUG=1, the traceback of every error is printed as well.
"""

from __future__ import annotations

import contextlib
import os
import platform
import shlex
import sys
import tempfile
import traceback
from pathlib import Path

from worldbench.core.text import visible
from worldbench.core.version import __version__

UNFORESEEN = 70
"""The exit code of an unforeseen error (EX_SOFTWARE of sysexits.h); a script can tell it from 1, work that failed."""
LONGEST = 4000
"""Characters of a sentence; a longer sentence is cut, and the cut is marked."""


def complain(sentence: str) -> None:
    """Print one sentence on standard error, or on standard output where standard error is closed."""
    errors = sys.stderr
    stream = sys.stdout if getattr(errors, "lost", None) == "closed" else errors
    print(f"worldbench: {visible(sentence, LONGEST)}", file=stream, flush=True)


def show_in_debug(error: BaseException) -> None:
    if os.environ.get("WORLDBENCH_DEBUG", "0") not in ("", "0"):
        print(_trace(error), file=sys.stderr, flush=True)


def caught(error: BaseException, argv: list[str]) -> int:
    """Print what happened and where the traceback is; return the exit code."""
    path = _write(error, argv)
    show_in_debug(error)
    where = f"the whole traceback is in {path}" if path else "set WORLDBENCH_DEBUG=1 to see the traceback"
    if isinstance(error, OSError):
        what = f" {str(error.filename)!r}" if error.filename else ""
        complain(f"the system refused{what}: {error.strerror or error}; what was saved before is intact; {where}")
        return 1
    if isinstance(error, MemoryError):
        complain(f"out of memory; try a smaller --train.batch or --eval.trials; {where}")
        return 1
    if isinstance(error, SystemExit):
        complain(f"{_place(error)} ended the program by sys.exit({error.code!r}), so the work is not done; {where}")
        return 1
    what = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    complain(
        f"an unforeseen error in {_place(error)} ({visible(what, 300)}); what was saved before is intact; {where}, "
        "please report it"
    )
    return UNFORESEEN


def _place(error: BaseException) -> str:
    """The file and the line that raised the error."""
    frames = [f for f in traceback.extract_tb(error.__traceback__) if not f.filename.startswith("<frozen")]
    return f"{Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else "an unknown place"


def _trace(error: BaseException) -> str:
    return "\n".join(visible(line) for line in "".join(traceback.format_exception(error)).splitlines())


def _write(error: BaseException, argv: list[str]) -> str | None:
    """The path of a new file with the traceback, in the folder for temporary files; None where writing fails.

    Only this user can read the file.
    """
    with contextlib.suppress(OSError, MemoryError, RecursionError):
        handle, path = tempfile.mkstemp(prefix="worldbench-", suffix=".txt")
        head = f"worldbench {__version__}, Python {platform.python_version()}, {platform.platform()}"
        command = "worldbench " + " ".join(map(shlex.quote, argv))
        with os.fdopen(handle, "w", encoding="utf-8", errors="backslashreplace") as file:
            file.write(f"{head}\n{visible(command)}\n{_trace(error)}\n")
        return path
    return None
