"""Where records lie: the names of a run folder's files, and the records below folders.

A result is named by its evaluation identity, and its arrays likewise: `result-0123456789.json` has
`evidence-0123456789/`, so that no evaluation takes the place of another. Where another model reads the weights of the
run, its name follows: `result-0123456789-nextlat-rnn.json`. In folders from before that, `result.json` has
`evidence/`; `trace.json` likewise.
"""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Generic, TypeVar

from worldbench.core.errors import InputError
from worldbench.core.files import read_regular
from worldbench.core.text import counted
from worldbench.records.folder import Config
from worldbench.records.parts import Identity, Record
from worldbench.records.reading import LIMIT, kind_of, parsed, read, read_any
from worldbench.records.reconstruction import Reconstruction
from worldbench.records.runs import Result, Trace

PATTERNS = {
    "result": "result*.json",
    "trace": "trace*.json",
    "config": "config.json",
    "manifest": "manifest.json",
    "arithmetic": "arithmetic.json",
    "tuning": "tuning.json",
    "trial": "trial-*.json",
    "decode": "decode*.json",
    "check": "check.json",
    "faults": "faults.json",
    "measurement": "measured-*.json",
    "reconstruction": "reconstruction.json",
    "bench": "bench.json",
    "doctor": "doctor*.json",
    "forecast": "forecast*.json",
    "data": "data.json",
    "speedrun": "speedrun.json",
}
"""The names of each kind's files."""

R = TypeVar("R", bound=Record)


@dataclass
class Found(Generic[R]):
    """The records that were found. records: (file, record). left_out: (file, reason) for files below a folder that
    could not be read. named: the files that were named themselves. without: what was named and holds no such record,
    in `kinds`: folders, and files of another type, such as a README.md that the shell put in place of `results/*`."""

    records: list[tuple[Path, R]] = field(default_factory=list)
    left_out: list[tuple[Path, str]] = field(default_factory=list)
    named: set[Path] = field(default_factory=set)
    without: list[Path] = field(default_factory=list)
    kinds: str = ""

    def messages(self) -> list[str]:
        """A line for what holds no record, and a line for each file that was left out."""
        places = ", ".join(repr(str(path)) for path in self.without)
        none = [f"left out: there is no {self.kinds} file in {places}"] if places else []
        return [*none, *(f"left out: {reason}" for _, reason in self.left_out)]


def files(paths: list[Path], kinds: tuple[str, ...]) -> tuple[list[tuple[Path, bool]], list[Path]]:
    """The files among `paths`, and the files of some kinds below the folders among them: (file, whether the file itself
    was named). And the folders without such files.

    Raises InputError for a path that does not exist.
    """
    found: list[tuple[Path, bool]] = []
    without: list[Path] = []
    for path in paths:
        if os.path.isdir(path):
            inside = sorted(file for kind in kinds for file in path.rglob(PATTERNS[kind]))
            found += [(file, False) for file in inside]
            without += [] if inside else [path]
        elif os.path.exists(path):
            found.append((path, True))
        else:
            raise InputError(f"there is no file or folder {str(path)!r}")
    return _once(found), without


def _once(found: list[tuple[Path, bool]]) -> list[tuple[Path, bool]]:
    """Without a file that occurs again, such as one that is named beside its folder."""
    named = {os.path.realpath(path) for path, itself in found if itself}
    first: dict[str, tuple[Path, bool]] = {}
    for path, _ in found:
        real = os.path.realpath(path)
        first.setdefault(real, (path, real in named))
    return list(first.values())


def everything(paths: list[Path]) -> tuple[list[Path], list[Path]]:
    """The files among `paths`, and below the folders among them the files with the name or the content of a record.
    The second list has what holds no record: folders without such files, and, where several paths are named, other
    files that do not end in .json (a README.md that the shell put in place of `results/*`).

    Raises InputError for a path that does not exist, and where no file is found.
    """
    found: list[Path] = []
    without: list[Path] = []
    for path in paths:
        if os.path.isdir(path):
            inside = sorted(file for file in path.rglob("*.json") if _named(file) or _recognized(file))
            found += inside
            without += [] if inside else [path]
        elif not os.path.exists(path):
            raise InputError(f"there is no file or folder {str(path)!r}")
        else:
            foreign = len(paths) > 1 and path.suffix != ".json" and not _recognized(path)
            (without if foreign else found).append(path)
    if not found:
        raise InputError(f"there is no record in {' or '.join(repr(str(path)) for path in without)}")
    return found, without


def _named(path: Path) -> bool:
    return any(path.match(pattern) for pattern in PATTERNS.values())


def _recognized(path: Path) -> bool:
    try:
        return kind_of(parsed(read_regular(path, LIMIT))) is not None
    except (InputError, ValueError):
        return False


def find(paths: list[Path], *kinds: type[R]) -> Found[R]:
    """The records of some kinds among files and folders.

    A file that was named must be one of them; a file below a folder that cannot be read is left out. Where several
    paths are named, so is a file that does not end in .json and a folder without such files. Raises InputError as
    `files` does, for a file that was named, and where no record is left.
    """
    names = tuple(kind.kind for kind in kinds)
    listed, without = files(paths, names)
    found: Found[R] = Found(without=without, kinds=" or ".join(names))
    for path, named in listed:
        try:
            found.records.append((path, _one_of(path, kinds)))
        except InputError as error:
            if named and len(paths) > 1 and path.suffix != ".json":
                found.without.append(path)
            elif named:
                raise
            else:
                found.left_out.append((path, str(error)))
        if named:
            found.named.add(path)
    if not found.records and not found.left_out:
        places = ", ".join(repr(str(path)) for path in found.without)
        raise InputError(f"there is no {found.kinds} file {'below' if len(paths) == 1 else 'in'} {places}")
    if not found.records:
        more = f"; and {counted(len(found.left_out) - 1, 'more file')}" if len(found.left_out) > 1 else ""
        raise InputError(f"no file there can be read: {found.left_out[0][1]}{more}")
    return found


def _one_of(path: Path, kinds: tuple[type[R], ...]) -> R:
    if len(kinds) == 1:
        return read(path, kinds[0])
    record = read_any(path)
    if not isinstance(record, kinds):
        raise InputError(
            f"{str(path)!r} is a {record.kind} file; name a {' or '.join(kind.kind for kind in kinds)} file"
        )
    return record


def result_path(folder: Path, identity: Identity) -> Path:
    """Where the result of an evaluation is, or goes."""
    return _place(folder, identity, Result)


def trace_path(folder: Path, identity: Identity) -> Path:
    """Where the trace of an evaluation is, or goes."""
    return _place(folder, identity, Trace)


def _place(folder: Path, identity: Identity, kind: type[Result] | type[Trace]) -> Path:
    """The file named by the evaluation; or the one of a folder from before, where it answers the same question."""
    old = folder / f"{kind.kind}.json"
    with contextlib.suppress(InputError):  # what cannot be read answers nothing, and is left where it is
        if old.exists() and read(old, kind).identity == identity:
            return old
    return folder / f"{kind.kind}-{identity.file_key}.json"


def evidence_folder(path: Path) -> Path:
    """Of a result or a trace: result-0123456789.json has evidence-0123456789, trace.json has trace-evidence."""
    evidence = (
        path.stem.replace("trace", "trace-evidence", 1)
        if path.stem.startswith("trace")
        else path.stem.replace("result", "evidence", 1)
    )
    return path.with_name(evidence)


def evidence_digest(path: Path) -> str | None:
    """The SHA-256 that the record of an evidence file has for it; None where there is no record beside the file.

    Raises InputError for a record that cannot be read, or that has no such file.
    """
    folder, step = path.parent, None
    if folder.parent.name.startswith("trace-evidence"):
        folder, step = folder.parent, folder.name
    kind = "trace" if folder.name.startswith("trace-evidence") else "result"
    old = "trace-evidence" if kind == "trace" else "evidence"
    file = folder.with_name(folder.name.replace(old, kind, 1) + ".json")
    digests: dict[str, str | None] = {}
    if not file.exists():
        file = folder.with_name("reconstruction.json")
        if not file.exists():
            return None
        digests = {path.stem: read(file, Reconstruction).evidence_sha256}
    elif kind == "result":
        digests = {name: metric.evidence_sha256 for name, metric in read(file, Result).scores.items()}
    else:
        points = [point for point in read(file, Trace).trace if step == f"{point.step:08d}"]
        digests = {name: metric.evidence_sha256 for point in points for name, metric in point.scores.items()}
    if digests.get(path.stem) is None:
        raise InputError(
            f"{str(path)!r} does not belong to {file.name!r}, which has no digest of it; delete {path.name}"
        )
    return digests[path.stem]


def own_result(folder: Path) -> Path | None:
    """The result of the run's own evaluation, which its last `worldbench run` asked for and config.json names; without
    a config.json the first by name.

    None where there is none. Raises InputError for a config.json that cannot be read.
    """
    if (folder / "config.json").exists():
        path = result_path(folder, read(folder / "config.json", Config).identity)
        return path if path.exists() else None
    return min(folder.glob(PATTERNS["result"]), key=lambda path: (path.stem.count("-"), path.name), default=None)
