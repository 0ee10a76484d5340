"""Writing: whole or not at all, through no link, with nothing left behind; and the lock of a folder."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import logging
import os
import resource
import signal
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from worldbench.core import files
from worldbench.core.errors import InputError, RunError


@contextlib.contextmanager
def limited(size: int) -> Iterator[None]:
    """No file may grow beyond `size` bytes: what a full disk does, for root too."""
    limits, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, action)


def test_a_link_in_the_place_of_the_part_or_the_file_is_not_followed(tmp_path: Path) -> None:
    victim, folder = tmp_path / "victim", tmp_path / "run"
    victim.write_text("mine")
    folder.mkdir()
    for name in (".result.json.part", "result.json"):
        (folder / name).symlink_to(victim)
    files.write_atomic(folder / "result.json", "new")
    assert victim.read_text() == "mine"
    assert (folder / "result.json").read_text() == "new"
    assert not (folder / "result.json").is_symlink()
    assert os.listdir(folder) == ["result.json"]


def test_the_part_of_a_killed_process_is_replaced(tmp_path: Path) -> None:
    (tmp_path / ".result.json.part").write_text("a longer text than the one that comes")
    files.write_atomic(tmp_path / "result.json", "new")
    assert (tmp_path / "result.json").read_text() == "new"
    assert os.listdir(tmp_path) == ["result.json"]


def test_two_processes_that_write_one_file_do_not_mix(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The other one makes its part after ours was written: neither half of its file becomes official, nor is its part
    removed.
    """
    part, real = tmp_path / ".result.json.part", os.fsync

    def other(handle: int) -> None:
        real(handle)
        part.unlink()
        part.write_text("hal")

    (tmp_path / "result.json").write_text("old")
    monkeypatch.setattr(os, "fsync", other)
    with pytest.raises(RunError, match="another process writes"):
        files.write_atomic(tmp_path / "result.json", "new")
    assert (tmp_path / "result.json").read_text() == "old"
    assert part.read_text() == "hal"


def test_a_folder_in_the_place_of_a_file(tmp_path: Path) -> None:
    (tmp_path / "result.json").mkdir()
    (tmp_path / ".other.part").mkdir()
    for name in ("result.json", "other"):
        with pytest.raises(RunError, match=rf"cannot write '.*{name}' \(Is a directory\)"):
            files.write_atomic(tmp_path / name, "new")
    assert sorted(os.listdir(tmp_path)) == [".other.part", "result.json"]


@pytest.mark.parametrize(
    ("code", "way"),
    [(errno.ENOSPC, "make room"), (errno.EDQUOT, "make room"), (errno.EIO, "make it possible to write there")],
)
@pytest.mark.parametrize("at", ["open", "write", "fsync", "replace"])
def test_a_failure_at_each_step_keeps_the_old_file(
    at: str, code: int, way: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise OSError(code, os.strerror(code))

    (tmp_path / "result.json").write_text("old")
    monkeypatch.setattr(os, at, fail)
    with pytest.raises(
        RunError, match=rf"cannot write '.*result\.json' \({os.strerror(code)}\).*intact, {way} and run"
    ):
        files.write_atomic(tmp_path / "result.json", "new")
    monkeypatch.undo()
    assert os.listdir(tmp_path) == ["result.json"]
    assert (tmp_path / "result.json").read_text() == "old"


def test_a_write_that_is_taken_in_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = os.write
    monkeypatch.setattr(os, "write", lambda handle, data: real(handle, data[:3]))
    files.write_atomic(tmp_path / "file", bytes(range(100)))
    assert (tmp_path / "file").read_bytes() == bytes(range(100))


def test_what_makes_a_file_official_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file before the rename, the folder after it; for new folders, those that hold them."""
    done: list[str] = []
    real, move = os.fsync, os.replace

    def flush(handle: int) -> None:
        done.append(f"flush {Path(os.readlink(f'/proc/self/fd/{handle}')).name}")
        real(handle)

    monkeypatch.setattr(os, "fsync", flush)
    monkeypatch.setattr(os, "replace", lambda a, b: (done.append("move"), move(a, b)))
    files.make_folder(tmp_path / "a" / "b")
    assert sorted(done) == ["flush a", f"flush {tmp_path.name}"]
    done.clear()
    files.write_atomic(tmp_path / "a" / "file", "new")
    assert done == ["flush .file.part", "move", "flush a"]
    done.clear()
    files.remove(tmp_path / "a" / "file")
    assert done == ["flush a"]
    files.remove(tmp_path / "a" / "file")
    assert os.listdir(tmp_path / "a") == ["b"]


def test_file_systems_that_cannot_flush_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def flush(handle: int) -> None:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            raise OSError(errno.EINVAL, "Invalid argument")

    monkeypatch.setattr(os, "fsync", flush)
    files.write_atomic(files.make_folder(tmp_path / "a") / "file", "new")
    assert (tmp_path / "a" / "file").read_text() == "new"


def test_a_full_disk(tmp_path: Path) -> None:
    """What needs no bytes is done; what needs them is refused in a sentence, and nothing is lost."""
    with limited(0):
        folder = files.make_folder(tmp_path / "a" / "b")
        with (
            files.lock(folder),
            pytest.raises(RunError, match=r"cannot write .*File too large.*make room and run the same command again"),
        ):
            files.write_atomic(folder / "file", "new")
    assert os.listdir(folder) == [".lock"]


def test_a_folder_that_cannot_be_written_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # tests may run as root, who may write everywhere
    with pytest.raises(
        InputError, match=r"cannot write to the folder '.*a' \(Permission denied\); choose another with --out"
    ):
        files.make_folder(tmp_path / "a")
    with pytest.raises(InputError, match="cannot write to the folder"):
        files.make_folder(tmp_path / "a\0b")


def test_a_lock_clears_what_a_killed_process_left(tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    (tmp_path / "target.part").write_text("kept")
    for left in (tmp_path / ".config.json.part", tmp_path / "checkpoint" / ".state.safetensors.part"):
        left.write_text("half")
    (tmp_path / "checkpoint" / ".link.part").symlink_to(tmp_path / "target.part")
    with files.lock(tmp_path):
        assert sorted(str(p.relative_to(tmp_path)) for p in tmp_path.rglob("*")) == [
            ".lock",
            "checkpoint",
            "target.part",
        ]


def test_a_lock_is_waited_for_and_that_is_said(tmp_path: Path) -> None:
    said, taken = [], threading.Event()
    told = threading.Event()

    def say(line: str) -> None:
        said.append(line)
        told.set()

    def second() -> None:
        with files.lock(tmp_path, wait=True, say=say):
            taken.set()

    waiting = threading.Thread(target=second)
    with files.lock(tmp_path):
        waiting.start()
        assert told.wait(60)
        assert not taken.is_set()
    waiting.join(60)
    assert taken.is_set()
    assert said == [f"another process is working in {str(tmp_path)!r}; waiting for it"]


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / ".lock").symlink_to(tmp_path / "victim")
    with (
        pytest.raises(RunError, match=r"cannot open the lock '.*\.lock' \(it is a link\); remove it"),
        files.lock(tmp_path),
    ):
        pass
    assert not (tmp_path / "victim").exists()


def test_a_lock_that_cannot_be_made(tmp_path: Path) -> None:
    with pytest.raises(RunError, match=r"cannot open the lock .*No such file"), files.lock(tmp_path / "absent"):
        pass
    (tmp_path / ".lock").mkdir()
    with pytest.raises(RunError, match=r"cannot open the lock .*Is a directory"), files.lock(tmp_path):
        pass


def refuse(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def flock(handle: int, operation: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(fcntl, "flock", flock)


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.EOPNOTSUPP])
def test_without_locks_the_work_goes_on_and_it_is_said_once(
    code: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    refuse(monkeypatch, code)
    files._warn_unlocked.cache_clear()
    (tmp_path / ".half.part").write_text("perhaps of another process that works here")
    with caplog.at_level(logging.WARNING, "worldbench"):
        for _ in range(3):
            with files.lock(tmp_path):
                assert (tmp_path / ".half.part").exists()
    assert [record.getMessage() for record in caplog.records] == [
        f"the file system has no locks ({os.strerror(code)}): let no two commands work in one folder at the same time"
    ]


@pytest.mark.parametrize(
    ("code", "words"),
    [(errno.EWOULDBLOCK, "another process is working"), (errno.EIO, r"cannot lock .*Input/output error.*--out")],
)
def test_why_there_is_no_lock(code: int, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    refuse(monkeypatch, code)
    with pytest.raises(RunError, match=words), files.lock(tmp_path):
        pass
