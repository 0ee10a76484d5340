"""The one reader and the one writer of records."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import numpy as np

from worldbench.core.content import quoted, require_bounded
from worldbench.core.errors import InputError, RunError
from worldbench.core.files import read_regular, to_json, write_atomic
from worldbench.records.bench import Bench
from worldbench.records.check import Check, Measurement
from worldbench.records.data import Data
from worldbench.records.decoding import Decoding
from worldbench.records.doctor import Doctor
from worldbench.records.faults import Faults
from worldbench.records.folder import Arithmetic, Config, Manifest
from worldbench.records.forecast import Forecast
from worldbench.records.parts import Record, decoded, marked
from worldbench.records.reconstruction import Reconstruction
from worldbench.records.runs import Result, Trace
from worldbench.records.speedrun import Speedrun
from worldbench.records.tuning import TrialRun, Tuning
from worldbench.records.upgrades import VERSION, upgraded

LIMIT = 1 << 25
"""The most bytes of a record: 32 MiB. The largest published one has 130 kB."""
TRIED = 10_000
"""Keys of an object among which the one that is wrong is looked for."""

R = TypeVar("R", bound=Record)

KINDS: tuple[type[Record], ...] = (
    Trace,
    Decoding,
    Tuning,
    Check,
    Reconstruction,
    Bench,
    Config,
    Manifest,
    Arithmetic,
    TrialRun,
    Measurement,
    Faults,
    Doctor,
    Forecast,
    Data,
    Speedrun,
    Result,
)
"""In the order in which a file of schema 1, which does not say what it is, is recognized."""


def read(path: Path, kind: type[R]) -> R:
    """A record of any schema that was ever published, in the present one.

    Raises InputError, with the place in the file and what to do, for a file that cannot be read, is of another kind, or
    holds what the kind does not allow.
    """
    return _typed(path, _content(path, f"a {kind.kind} file", f"; {kind.remedy}"), kind)


def read_any(path: Path) -> Record:
    """A record of the kind that the file says, or shows.

    Raises InputError as `read` does, and for a file of no kind.
    """
    content = _content(path, "a record of worldbench", "")
    kind = kind_of(content)
    if kind is None:
        raise InputError(
            f"{str(path)!r} is not a record of worldbench: it states no `kind`, and its keys fit no kind of record"
        )
    return _typed(path, content, kind)


def kind_of(content: dict[str, Any]) -> type[Record] | None:
    """What a parsed file says, or shows, that it is."""
    if "kind" in content:
        return next((kind for kind in KINDS if kind.kind == content["kind"]), None)
    return next((kind for kind in KINDS if all(mark in content for mark in kind.marks)), None)


def content_of(record: Record) -> dict[str, Any]:
    """What the file holds, as JSON has it."""
    fields = msgspec.to_builtins(record, enc_hook=_encoded)
    return {"schema_version": VERSION, "kind": record.kind, **marked(fields)}


def text(record: Record) -> str:
    """The whole file. Raises RunError where it could not be read again: what a plugin measured or says of its world may
    be anything.
    """
    try:
        out = to_json(content_of(record)) + "\n"
        _typed(Path(record.kind), parsed(out.encode()), type(record))
    except (InputError, TypeError, ValueError, RecursionError) as error:
        unreadable = f"the {record.kind} cannot be written, because it could not be read again"
        raise RunError(f"{unreadable}: {error}") from error
    return out


def write(path: Path, record: Record) -> None:
    """Write a record, whole or not at all. Raises RunError as `text` and `write_atomic` do."""
    write_atomic(path, text(record))


def parsed(raw: bytes) -> dict[str, Any]:
    """The JSON object of a file. Raises ValueError for bytes that are not one, or hold what no record does: numbers
    beyond 64 bits, 33 levels.
    """
    try:
        content = msgspec.json.decode(raw.removeprefix(b"\xef\xbb\xbf"))
    except RecursionError as error:
        raise ValueError("its lists and objects are nested too deeply") from error
    except UnicodeDecodeError as error:
        raise ValueError(f"it is not UTF-8 text (byte {raw[error.start]:#04x})") from error
    except msgspec.MsgspecError as error:
        raise ValueError(f"it is not JSON ({_fault(raw, str(error))})" if raw.strip() else "it is empty") from error
    if not isinstance(content, dict):
        raise ValueError("it is JSON, but not an object")
    require_bounded(content)
    return content


def _fault(raw: bytes, message: str) -> str:
    """What is wrong with the JSON, in msgspec's words; NaN and Infinity, which other programs write, by name."""
    found = re.search(r"invalid character \(byte (\d+)\)$", message)
    word = re.match(rb"-?(?:NaN|Infinity)", raw.removeprefix(b"\xef\xbb\xbf")[int(found[1]) :]) if found else None
    if word is not None:
        return f"JSON has no {word[0].decode()}"
    message = message.removeprefix("JSON is malformed: ")
    return message[:1].lower() + message[1:]


def _content(path: Path, wanted: str, remedy: str) -> dict[str, Any]:
    raw = read_regular(path, LIMIT)
    try:
        return parsed(raw)
    except ValueError as error:
        raise InputError(f"{str(path)!r} is not {wanted}: {error}{remedy}") from error


def _typed(path: Path, content: dict[str, Any], kind: type[R]) -> R:
    version = _version(path, content, kind)
    if version > VERSION:
        newest = f"schema {version}, this one reads up to {VERSION}"
        raise InputError(f"{str(path)!r} was written by a newer worldbench ({newest}); upgrade worldbench to read it")
    if (found := kind_of(content)) is not kind:
        raise InputError(f"{str(path)!r} is not a {kind.kind} file: {_shown(content, found, kind)}")
    raw = upgraded(
        kind.kind, {name: value for name, value in content.items() if name not in ("schema_version", "kind")}, version
    )
    try:
        return msgspec.convert(raw, kind, dec_hook=decoded)
    except msgspec.ValidationError as error:
        raise InputError(
            f"{str(path)!r} is not a {kind.kind} file that can be read: {_where(raw, kind, str(error))}; {kind.remedy}"
        ) from error


def _shown(content: dict[str, Any], found: type[Record] | None, kind: type[Record]) -> str:
    """What a file is, that is not of a kind."""
    if found is not None:
        return f"it is a {found.kind} file"
    if "kind" in content:
        return f"it says that its kind is {quoted(content['kind'])}"
    missing = [mark for mark in kind.marks if mark not in content]
    return f"it lacks {' and '.join(map(repr, missing or kind.marks))}; {kind.remedy}"


def _version(path: Path, content: dict[str, Any], kind: type[Record]) -> int:
    version = content.get("schema_version", None if kind.versioned or "kind" in content else 1)
    if version is None:
        raise InputError(f"{str(path)!r} is not a {kind.kind} file: it has no schema_version; {kind.remedy}")
    if type(version) is not int or version < 1:
        raise InputError(
            f"{str(path)!r} is not a {kind.kind} file: its schema_version is not a number of at least 1; {kind.remedy}"
        )
    return version


def _encoded(value: Any) -> Any:
    if isinstance(value, float):
        return float(value)
    if isinstance(value, np.generic):
        return value.item()
    if isinstance(value, np.ndarray):
        return value.tolist()
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"a value of type {type(value).__name__} is no JSON")


def _where(raw: dict[str, Any], kind: type[Record], message: str) -> str:
    """msgspec's message, with the keys of open objects by name: msgspec writes them as `[...]`."""
    what, _, path = message.partition(" - at `")
    parts = re.findall(r"\[\.\.\.\]|\[\d+\]|\.[^.\[`]+", path)
    value: Any = raw
    for i, part in enumerate(parts):
        if isinstance(value, dict) and part == "[...]":
            if (name := _culprit(raw, kind, value, message)) is None:
                return message
            parts[i], value = f".{name}" if name.isidentifier() else f"[{name!r}]", value[name]
        else:
            value = (
                value[int(part[1:-1])]
                if isinstance(value, list)
                else value.get(part[1:])
                if isinstance(value, dict)
                else None
            )
    return f"{what} at `${''.join(parts)}`" if path else what


def _culprit(raw: dict[str, Any], kind: type[Record], place: dict[str, Any], message: str) -> str | None:
    """The key of an object within `raw` without which the message would be another one: by halving."""
    items = list(place.items())
    if len(items) > TRIED:
        return None
    low, high = 0, len(items)
    try:
        while high - low > 1:
            middle = (low + high) // 2
            place.clear()
            place.update(items[low:middle])
            low, high = (low, middle) if _message(raw, kind) == message else (middle, high)
        place.clear()
        place.update(items[low:high])
        return items[low][0] if _message(raw, kind) == message else None
    finally:
        place.clear()
        place.update(items)


def _message(raw: dict[str, Any], kind: type[Record]) -> str:
    try:
        msgspec.convert(raw, kind, dec_hook=decoded)
    except msgspec.ValidationError as error:
        return str(error)
    return ""
