"""Processes at a made-up terminal of a given width."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import sys
import termios
from pathlib import Path


def environment(**more: str) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("COLUMNS", "LINES", "PYTHONIOENCODING", "NO_COLOR")}
    return {**kept, "TERM": "xterm-256color", **more}


def with_command(folder: Path) -> dict[str, str]:
    """An environment whose command `worldbench` is this checkout's, whatever is installed."""
    command = folder / "bin" / "worldbench"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m worldbench "$@"\n', encoding="utf-8")
    command.chmod(0o755)
    return environment(PATH=f"{command.parent}{os.pathsep}{os.environ['PATH']}")


def start(argv: list[str], columns: int, folder: Path, *, keep_on: bool = False) -> tuple[subprocess.Popen[bytes], int]:
    """A process whose input and output are a terminal, and our end of it. keep_on: it ignores SIGHUP, as under
    nohup."""
    ours, theirs = pty.openpty()
    fcntl.ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def lead() -> None:
        os.setsid()
        fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        if keep_on:
            signal.signal(signal.SIGHUP, signal.SIG_IGN)

    process = subprocess.Popen(
        argv, stdin=theirs, stdout=theirs, stderr=theirs, cwd=folder, env=environment(), preexec_fn=lead
    )
    os.close(theirs)
    return process, ours


def run(argv: list[str], columns: int, folder: Path) -> tuple[int, str]:
    """The exit code, and all that was written, without colors and with what the cursor erased."""
    process, ours = start(argv, columns, folder)
    raw = b""
    with contextlib.suppress(OSError):  # EIO: the last process at the terminal has ended
        while piece := os.read(ours, 65536):
            raw += piece
    os.close(ours)
    code = process.wait(timeout=60)
    return code, re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", raw.decode()).replace("\r\n", "\n")
