"""A process that has loaded everything, and forks for each command: `python kill_server.py`.

It reads requests and writes replies, a line of JSON each.
{"warm": WORDS}: carry a command out in this process, so that what it loads is there for all that follow.
{"argv": WORDS, "root", "at", "half"}: carry it out in a child. root: the folder to watch. at, half: where to kill, see
`traced_files.Tracer`. The reply: {"killed"}, or what the command did: {"code", "printed", "said", "changes", "unseen",
"escaped"}; escaped: the files that are not what the changes add up to.
"""

from __future__ import annotations

import io
import json
import os
import select
import signal
import sys
import traceback
from pathlib import Path
from typing import Any

from traced_files import Tracer, content

LONGEST = 60
"""Seconds that a command may take."""


def command(request: dict[str, Any], reply: int) -> None:
    """What the child does."""
    from worldbench.cli import main as cli
    from worldbench.runs import processes

    processes.MOST_WORKERS = 1  # only what this process writes is watched
    printed, said = (io.TextIOWrapper(io.BytesIO(), "utf-8", write_through=True) for _ in range(2))
    sys.stdout, sys.stderr = printed, said
    root = Path(request["root"])
    tracer = Tracer(root, request["at"], half=request["half"])
    tracer.install()
    try:
        code = cli.main(request["argv"])
    except BaseException:
        code = -1
        traceback.print_exc(file=said)
    changes, there = tracer.changes.copy(), content(root)
    escaped = sorted(
        name for name in there.keys() | tracer.expected.keys() if there.get(name, 0) != tracer.expected.get(name, 0)
    )
    texts = {"printed": printed, "said": said}
    out = {name: stream.buffer.getvalue().decode() for name, stream in texts.items()}  # type: ignore[attr-defined]
    out |= {"code": code, "changes": changes, "unseen": tracer.unseen, "escaped": escaped}
    with os.fdopen(reply, "wb") as file:
        file.write(json.dumps(out).encode())
    os._exit(0)


def answer(request: dict[str, Any]) -> dict[str, Any]:
    """Fork, wait, and read the child's reply."""
    read, write = os.pipe()
    child = os.fork()
    if not child:
        os.close(read)
        command(request, write)
    os.close(write)
    raw = b""
    with os.fdopen(read, "rb", buffering=0) as file:
        while select.select([file], [], [], LONGEST)[0] and (piece := file.read(1 << 16)):
            raw += piece
    if not raw:
        os.kill(child, signal.SIGKILL)  # one that hangs; no harm to one that is dead
    _, status = os.waitpid(child, 0)
    if raw:
        return json.loads(raw)
    return {"killed": os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL}


def warm(argv: list[str]) -> dict[str, Any]:
    """Carry a command out in this process."""
    import tiny_runs

    code, said = tiny_runs.call(*argv)
    return {"code": code, "said": said}


def leave_out() -> None:
    """What takes long and is not asked here: pixels, the commit, and whether a flush survives a power cut."""
    import pytest
    import tiny_runs

    import worldbench.training.environment

    patch = pytest.MonkeyPatch()
    tiny_runs.draw_nothing(patch)
    patch.setattr(worldbench.training.environment, "commit", lambda: {})
    patch.setattr(os, "fsync", lambda handle: None)


def main() -> None:
    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    leave_out()
    for line in sys.stdin:
        request = json.loads(line)
        reply = warm(request["warm"]) if "warm" in request else answer(request)
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
