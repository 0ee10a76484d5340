"""Cells of a sweep on other machines: the files of a run folder travel there and back.

What an earlier process left in the run folder goes with the cell, so that a cut run goes on. On the other machine the
cell works in a folder of its own, which stays there until the cell is done: a cell that is tried again on that machine
continues there. Two cells that score the same weights under different evaluations have the same run folder here, and
different working folders there: neither removes what the other one has written.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from worldbench.core.errors import Interrupted, RunError
from worldbench.core.files import identity_hash, lock, make_folder, read_regular, write_atomic
from worldbench.records.parts import Identity
from worldbench.runs.config_file import write_config
from worldbench.runs.display import Display
from worldbench.runs.one_run import one_run
from worldbench.runs.prepared import Prepared

Files = dict[str, bytes]
"""Path below a run folder -> content."""


def files_of(folder: Path) -> Files:
    """The files of a run folder, without locks and partly written files. {} if there is no folder."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(path.relative_to(folder)): read_regular(path) for path in paths if not path.name.startswith(".")}


@dataclass(frozen=True)
class Sent:
    """A run folder here. When it is sent to another process, its files at that moment are sent."""

    folder: Path

    def __reduce__(self) -> Any:
        return Arrived, (files_of(self.folder),)


@dataclass(frozen=True)
class Arrived:
    """The files of a run folder that was sent."""

    files: Files


@dataclass(frozen=True)
class Returned:
    """What comes back of a cell. files: those of its working folder, with the saved state if it was stopped in mid-run.
    removed: the files that were sent with the cell and are gone."""

    files: Files
    removed: frozenset[str]
    stopped: bool = False


def score_elsewhere(prepared: Prepared, sent: Any, expected: Identity, sweep: str) -> Returned:
    """Train and score one cell on another machine. If the cell was stopped, its files also stay in the working folder,
    in case they do not arrive.

    sent: what has become of a `Sent`. sweep: names the working folder, so that two sweeps do not share one. Raises
    RunError if this machine computes another identity.
    """
    if prepared.identity != expected:
        raise RunError(
            "a machine of the cluster would compute another run: its worldbench, torch, numpy or files differ from "
            "those of the machine that started the sweep; install the same versions and files on both"
        )
    cells = Path(tempfile.gettempdir()) / f"worldbench-cells-{os.getuid()}" / sweep
    out = make_folder(cells / expected.file_key)
    folder = make_folder(prepared.folder(out))
    with lock(folder, wait=True):
        for name in files_of(folder) if sent.files else ():
            (folder / name).unlink()  # what comes with the cell takes the place of what an earlier try left here
        for name, content in sent.files.items():
            make_folder((folder / name).parent)
            write_atomic(folder / name, content)
    try:
        one_run(prepared, out, Display(quiet=True), wait=True, redraw=False)
    except (Interrupted, KeyboardInterrupt):
        return _returned(files_of(folder), sent, stopped=True)
    files = files_of(folder)
    shutil.rmtree(folder, ignore_errors=True)
    with contextlib.suppress(OSError):  # other cells of the sweep work in these folders
        out.rmdir()
        cells.rmdir()
    return _returned(files, sent)


def _returned(files: Files, sent: Arrived, *, stopped: bool = False) -> Returned:
    return Returned(files, frozenset(sent.files.keys() - files.keys()), stopped)


def bring_home(prepared: Prepared, back: Returned, out: Path) -> Path:
    """Write the files of a cell that was done or stopped elsewhere into its folder here, the result last. Returns the
    path of the result.

    Files that came here after the cell was sent stay: they are of another cell. `config.json` is written anew, because
    it holds the paths of this machine.
    """
    folder = make_folder(prepared.folder(out))
    result = f"result-{prepared.identity.file_key}.json"
    last = ("manifest.json", result)
    with lock(folder, wait=True):
        for path in files_of(folder).keys() & back.removed:
            (folder / path).unlink(missing_ok=True)
        for name in sorted(back.files, key=lambda name: (last.index(name) + 1 if name in last else 0, name)):
            target = folder / name
            if ".." in Path(name).parts or Path(name).is_absolute():
                raise RunError(f"a cell came back with the file {name!r}, which lies outside its folder")
            make_folder(target.parent)
            if name == "config.json":
                write_config(folder, prepared)
            else:
                write_atomic(target, back.files[name])
    return folder / result


def sweep_key(out: Path) -> str:
    """A name for the working folders of a sweep, the same whenever its command is repeated."""
    return identity_hash([os.uname().nodename, str(out.resolve())])
