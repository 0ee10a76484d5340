"""Runs checks in a process of their own, so that neither a crash nor a hanging check ends the examination.

`python -m worldbench.studies.doctor.apart` reads which checks it makes from standard input, and prints a
line with what each of them found. The line begins with MARK; whatever libraries print is not read.
"""

from __future__ import annotations

import contextlib
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from typing import IO, Any

import msgspec

from worldbench.records.doctor import Finding
from worldbench.studies.doctor.checks import Check, failure, made
from worldbench.studies.doctor.plan import checks_of

MARK = "worldbench-doctor "
STARTING = 60.0
"""Seconds in which the process must begin with its first check."""
SPOILED = ("illegal memory access", "device-side assert", "launch failure", "misaligned address", "uncorrectable")
"""Parts of the reason of an error of CUDA after which no CUDA operation of the process works."""
PLAN = msgspec.json.Decoder(list[tuple[str, str]])


def findings(plan: Sequence[Check]) -> Iterator[Finding]:
    """The findings of checks, in order. After a crash, a new process makes the checks that are left."""
    left = list(plan)
    while left:
        before = len(left)
        for found in _from_one_process(left):
            left = left[1:]
            yield found
        if len(left) == before:  # the process ended before its first check
            yield failure(left[0], "the process that makes the checks cannot be started", 0.0)
            left = left[1:]


def _from_one_process(plan: list[Check]) -> Iterator[Finding]:
    """The findings of one process; the last one says how the process ended, unless all checks were made."""
    with tempfile.TemporaryFile() as errors, _started(plan, errors) as lines:
        for i, check in enumerate(plan):
            started = time.monotonic()
            limit = check.limit + (0 if i else STARTING)
            try:
                line = lines.get(timeout=limit)
            except queue.Empty:
                yield failure(check, f"not done after {limit:.0f} s", limit)
                return
            if line is None:
                yield failure(check, _end_of(lines.code(), errors), time.monotonic() - started)
                return
            found = msgspec.json.decode(line, type=Finding)
            yield found
            if any(part in found.text for part in SPOILED):
                return


class _Lines(queue.Queue[str | None]):
    """The marked lines of a process; None after its end."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        super().__init__()
        self.process = process
        threading.Thread(target=self._read, daemon=True).start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        with contextlib.suppress(ValueError):  # closed, because the process was ended
            for line in self.process.stdout:
                if line.startswith(MARK):
                    self.put(line.removeprefix(MARK))
        self.put(None)

    def code(self) -> int:
        return self.process.wait()


@contextlib.contextmanager
def _started(plan: list[Check], errors: IO[bytes]) -> Iterator[_Lines]:
    """A process that makes the checks. It and the processes that it has started are ended with the block."""
    command = [sys.executable, "-m", "worldbench.studies.doctor.apart"]
    process = subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True, encoding="utf-8",
        errors="replace", start_new_session=True,
    )  # fmt: skip
    try:
        assert process.stdin is not None
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(msgspec.json.encode([(c.where, c.name) for c in plan]).decode())
            process.stdin.close()
        yield _Lines(process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def _end_of(code: int, errors: IO[bytes]) -> str:
    """How a process ended, and the last line that it wrote to standard error."""
    how = f"exit code {code}"
    if code < 0:
        with contextlib.suppress(ValueError):
            how = signal.Signals(-code).name
    errors.seek(0)
    lines = errors.read().decode(errors="replace").strip().splitlines()
    return f"the process ended with {how}" + (f" ({lines[-1].strip()})" if lines else "")


def main() -> None:
    """Make the checks that standard input names."""
    from worldbench.core.process import set_environment

    set_environment()
    wanted = PLAN.decode(sys.stdin.read())
    known: dict[tuple[str, str], Check] = {}
    for where, name in wanted:
        if (where, name) not in known:
            known |= {(c.where, c.name): c for c in checks_of(where)}
        _say(made(known[where, name]))


def _say(found: Any) -> None:
    sys.stdout.write(f"{MARK}{msgspec.json.encode(found).decode()}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    main()
