"""Tries many inputs in a process of its own, and says which one it was that crashed, hung or took too much memory."""

from __future__ import annotations

import contextlib
import faulthandler
import json
import mmap
import os
import resource
import signal
import tempfile
import traceback
import warnings
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from worldbench.core.errors import WorldbenchError

SECONDS = 10
"""Of the processor, for one input."""
WAIT = 60
"""Seconds of the clock for one input: other processes may take the processor meanwhile."""
MEMORY = 4 << 30
"""Bytes that the process may take beyond what it has at first."""
LONGEST = 5000
"""Characters of a sentence for people."""
SHOWN, WIDE = 3, 1000
"""Faults that a test's message shows, and characters of a line."""


@dataclass
class Report:
    """read, refused: inputs that were used, or refused in a sentence. faults: all others, each with its input.

    peak: bytes that the process held at most.
    """

    read: int = 0
    refused: int = 0
    faults: list[str] = field(default_factory=list)
    peak: int = 0

    def messages(self) -> str:
        """The first faults, with long lines cut."""
        more = [f".. and {len(self.faults) - SHOWN} more"] if len(self.faults) > SHOWN else []
        lines = "\n\n".join([*self.faults[:SHOWN], *more]).splitlines()
        return "\n".join(line if len(line) <= WIDE else f"{line[:WIDE]}.." for line in lines)


class Probe:
    """What the process tries inputs with."""

    def __init__(self, note: mmap.mmap, report: Report) -> None:
        self.note, self.report = note, report

    def __call__(self, which: str, attempt: Callable[[], Any]) -> None:
        """Try one input. which: says how the input can be made again. attempt: returns, or raises a WorldbenchError."""
        line = which.encode("utf-8", "backslashreplace")[: len(self.note) - 1]
        self.note[: len(line) + 1] = line + b"\0"
        signal.setitimer(signal.ITIMER_PROF, SECONDS)
        signal.setitimer(signal.ITIMER_REAL, WAIT)
        try:
            attempt()
            self.report.read += 1
        except WorldbenchError as error:
            self.report.refused += 1
            if wrong := wrong_with(error):
                self.report.faults.append(f"{which}\n{wrong}: {str(error)!r:.1000}")
        except BaseException as error:
            trace = "".join(traceback.format_exception(error, limit=-6))
            self.report.faults.append(f"{which}\n{trace}")
        finally:
            signal.setitimer(signal.ITIMER_PROF, 0)
            signal.setitimer(signal.ITIMER_REAL, 0)


def wrong_with(error: WorldbenchError) -> str:
    """What is wrong with a refusal; nothing, where it is one sentence about the input."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError):
            return "memory ran out"
        cause = cause.__cause__ or cause.__context__
    text = str(error)
    if not text.strip():
        return "the sentence is empty"
    if not text.isprintable():
        return "the sentence has several lines, or characters that are not seen"
    return "the sentence is too long" if len(text) > LONGEST else ""


def in_worker(work: Callable[[Probe], None]) -> Report:
    """What came of inputs that `work` tried in a forked process. An input that ends the process is the last one."""
    note, (reading, writing) = mmap.mmap(-1, 4096), os.pipe()
    with tempfile.TemporaryFile() as stacks:
        child = os.fork()
        if child == 0:
            os.close(reading)
            _work(work, note, writing, stacks)
        os.close(writing)
        with os.fdopen(reading, "rb") as pipe:
            message = pipe.read()
        _, status = os.waitpid(child, 0)
        stacks.seek(0)
        where = stacks.read().decode(errors="replace")
    if message:
        return Report(**json.loads(message))
    which = note[:].partition(b"\0")[0].decode(errors="replace")
    code = os.waitstatus_to_exitcode(status)
    why = {
        -signal.SIGPROF: f"it took more than {SECONDS} s of the processor",
        -signal.SIGALRM: f"it waited longer than {WAIT} s",
    }.get(code, f"it ended the process ({signal.Signals(-code).name if code < 0 else f'exit code {code}'})")
    return Report(faults=[f"{which}\n{why}\n{where}"])


def _most_held() -> int:
    """Bytes of memory that this process held at most."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss << 10


def _work(work: Callable[[Probe], None], note: mmap.mmap, writing: int, stacks: IO[bytes]) -> None:
    """The forked process, from beginning to end."""
    code, report = 1, Report()
    with contextlib.suppress(BaseException):
        faulthandler.enable(stacks)
        for number in (signal.SIGPROF, signal.SIGALRM):
            signal.signal(number, signal.SIG_DFL)
            faulthandler.register(number, stacks, chain=True)
        pages = int(Path("/proc/self/statm").read_text().split()[0])
        most = pages * resource.getpagesize() + MEMORY
        resource.setrlimit(resource.RLIMIT_AS, (most, most))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        before = _most_held()
        try:
            warnings.simplefilter("error")  # a warning is a line that nobody asked for
            work(Probe(note, report))
        except BaseException:
            report.faults.append(f"between the inputs:\n{traceback.format_exc()}")
        report.peak = _most_held()
        if report.peak - before > MEMORY:
            report.faults.append(f"the process took {report.peak - before:,} bytes")
        with os.fdopen(writing, "w", encoding="utf-8", errors="backslashreplace") as pipe:
            json.dump(vars(report), pipe)
        code = 0
    os._exit(code)
