"""Every change that a process makes below a folder, counted; and a SIGKILL before, or in the middle of, a chosen one.

Python tells an audit hook of every file that it opens, renames, removes, cuts or links, and of every folder, before it
does so. Only `os.write` is told of nowhere, and so replaced. A file opened for writing in another way, whose writes
would not be seen, is listed as unseen. From the changes alone the hook works out what the folder must hold in the end:
where the real folder holds the same, nothing has escaped the count.
"""

from __future__ import annotations

import fcntl
import os
import signal
import sys
from pathlib import Path
from typing import Any

WRITES = os.O_WRONLY | os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND


def content(root: Path) -> dict[str, bytes | None]:
    """Every file below a folder and its bytes, by relative path; None for a folder."""
    return {str(p.relative_to(root)): None if p.is_dir() else p.read_bytes() for p in sorted(root.rglob("*"))}


class Tracer:
    """Watches `root` from `install` on, to the end of the process.

    at: the number of the change before which the process kills itself; None: of none. half: rather after the first half
    of the bytes of that change, which is a write.
    """

    def __init__(self, root: Path, at: int | None = None, *, half: bool = False) -> None:
        self.root, self.at, self.half = str(root.resolve()), at, half
        self.changes: list[str] = []
        self.unseen: list[str] = []
        self.expected = content(root)

    def install(self) -> None:
        self._write = os.write
        os.write = self.write  # type: ignore[assignment]
        sys.addaudithook(self.hook)

    def hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open":
            self._open(*arguments)
        elif event in ("os.remove", "os.rmdir"):
            if (name := self._name(arguments[0])) in self.expected:
                self._count(event, name)
                del self.expected[name]
        elif event == "os.mkdir":
            name = self._name(arguments[0])
            if name is not None and name not in self.expected and self._has_parent(name):
                self._count(event, name)
                self.expected[name] = None
        elif event == "os.rename":
            old, new = self._name(arguments[0]), self._name(arguments[1])
            if old is not None and old in self.expected and new is not None and self._has_parent(new):
                self._count(event, new)
                for name in [n for n in self.expected if n == old or n.startswith(f"{old}/")]:
                    self.expected[f"{new}{name.removeprefix(old)}"] = self.expected.pop(name)
        elif event == "os.truncate":
            name = self._name(arguments[0])
            before = self.expected.get(name or "")
            if name is not None and before is not None and len(before) != arguments[1]:
                self._count(event, name)
                self.expected[name] = before[: arguments[1]].ljust(arguments[1], b"\0")
        elif event in ("os.link", "os.symlink") and (name := self._name(arguments[1])) is not None:
            self.unseen.append(f"{event} {name}")

    def write(self, handle: int, data: Any) -> int:
        name = self._name(handle)
        if name is None:
            return self._write(handle, data)
        raw = bytes(data)
        self._count("write", name, lambda: self._write(handle, raw[: len(raw) // 2]))
        before = self.expected[name] or b""
        appends = fcntl.fcntl(handle, fcntl.F_GETFL) & os.O_APPEND
        start = len(before) if appends else os.lseek(handle, 0, os.SEEK_CUR)
        taken = self._write(handle, raw)
        self.expected[name] = before[:start].ljust(start, b"\0") + raw[:taken] + before[start + taken :]
        return taken

    def _open(self, path: Any, mode: str | None, flags: int) -> None:
        name = None if isinstance(path, int) else self._name(path)
        if name is None or not flags & WRITES:
            return
        if mode is not None:
            self.unseen.append(f"open {name} as {mode!r}")
        there = name in self.expected
        if flags & os.O_CREAT and not there and self._has_parent(name):
            self._count("create", name)
            self.expected[name] = b""
        elif there and flags & os.O_TRUNC and self.expected[name]:
            self._count("empty", name)
            self.expected[name] = b""

    def _name(self, path: Any) -> str | None:
        """Relative to the root; None for what is not below it."""
        if isinstance(path, int):
            path = os.readlink(f"/proc/self/fd/{path}")
        path = os.path.abspath(os.fsdecode(path))
        return os.path.relpath(path, self.root) if path.startswith(f"{self.root}/") else None

    def _has_parent(self, name: str) -> bool:
        parent = os.path.dirname(name)
        return not parent or (parent in self.expected and self.expected[parent] is None)

    def _count(self, what: str, name: str, first_half: Any = None) -> None:
        if len(self.changes) == self.at:
            if self.half:
                first_half()
            os.kill(os.getpid(), signal.SIGKILL)
        self.changes.append(f"{what} {name}")
