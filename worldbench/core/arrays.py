"""Named arrays in one file (.npz): written the same every time, read only where they are what they must be.

A file that is read may come from anywhere. So nothing of it is executed (no pickle), and memory is taken only for
arrays that are asked for, after the sizes that the file claims have been held against its bytes and against a limit.
"""

from __future__ import annotations

import hashlib
import io
import math
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.files import read_regular

LARGEST_FILE = 1 << 29
"""Most bytes of a file that is read: 512 MiB."""
LARGEST_ARRAYS = 1 << 30
"""Most bytes of the arrays that are read from one file together: 1 GiB."""
MOST_MEMBERS = 1024
"""Most arrays of a file; the largest evidence has some forty."""
LONGEST_EMPTY = 1 << 16
"""Longest dimension of an array without elements, whose bytes say nothing of its shape."""
KINDS = {"bool": "b", "int": "iu", "float": "fiu", "text": "U"}
"""Kind of an array -> the codes of numpy (`dtype.kind`) that will do."""

Named = Mapping[str, "Array"]


@dataclass(frozen=True)
class Array:
    """What an array must be.

    shape: a whole number is that size; a letter any size, the same wherever the letter stands; a letter with a plus
    sign any size above 0. The empty shape is one value, in however many dimensions of size 1.
    index: the letter of the dimension whose rows the values name, or one letter for each column of the last dimension.
    least, most: bounds of the values. finite: neither nan nor infinity.
    """

    kind: Literal["bool", "int", "float", "text"]
    shape: tuple[str | int, ...] = ()
    index: str | tuple[str, ...] = ""
    least: float = -math.inf
    most: float = math.inf
    finite: bool = True


class _Refused(Exception):
    """What is wrong with a file, as the end of a sentence that begins with its name."""


# Writing


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Compressed arrays as bytes that depend on nothing but the arrays (no clock, no pickle)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, array in sorted(arrays.items()):
            member = io.BytesIO()
            np.lib.format.write_array(member, np.ascontiguousarray(array), allow_pickle=False)
            entry = zipfile.ZipInfo(f"{name}.npy", (1980, 1, 1, 0, 0, 0))
            archive.writestr(entry, member.getvalue(), zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


# Reading


def read_npz(
    path: Path, needed: Named, optional: Named | None = None, *, again: str, sha256: str | None = None
) -> dict[str, np.ndarray]:
    """The arrays that are needed, and those of the optional ones that the file has. Others are left unread.

    again: what makes the file anew, as a whole clause; it ends the sentence of every error. sha256: what the digest of
    the file must be; None where nobody knows.
    Errors: InputError for a file that cannot be read, is another one, lacks an array, or has one that is not what it
    must be.
    """
    wanted = {**needed, **(optional or {})}
    with _members(path, again, sha256) as (archive, members):
        missing = [name for name in needed if name not in members]
        if missing:
            raise _Refused(f"lacks {', '.join(missing)}")
        there = {name: members[name] for name in wanted if name in members}
        total = sum(member.file_size for member in there.values())
        if total > LARGEST_ARRAYS:
            raise _Refused(f"claims arrays of {total:,} bytes, and at most {LARGEST_ARRAYS:,} are read")
        sizes: dict[str, int] = {}
        arrays = {name: _array(name, wanted[name], archive, member, sizes) for name, member in there.items()}
        for name, array in arrays.items():
            _check_values(name, wanted[name], array, sizes)
    return arrays


def names_in(path: Path, *, again: str, sha256: str | None = None) -> set[str]:
    """The arrays that a file holds. Errors: InputError for a file that cannot be read, or is another one."""
    with _members(path, again, sha256) as (_, members):
        return set(members)


@contextmanager
def _members(
    path: Path, again: str, sha256: str | None
) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """The archive and its members by the names of the arrays; within it, whatever is wrong becomes one InputError."""
    try:
        raw = read_regular(path, LARGEST_FILE)
        if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
            raise _Refused("is not the file that its record names: it was changed, or is of another evaluation")
        # Before zipfile makes an object of each entry: an entry begins with these bytes, which chance hardly ever
        # writes.
        if raw.count(b"PK\x01\x02") > MOST_MEMBERS:
            raise _Refused(f"holds more than {MOST_MEMBERS:,} arrays")
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            if len(members) < len(archive.infolist()):
                raise _Refused("holds two arrays of one name")
            yield archive, members
    except _Refused as reason:
        raise InputError(f"cannot use {str(path)!r}: it {reason}; {again}") from reason
    except InputError as error:
        raise InputError(f"{error}; {again}") from error
    except Exception as error:  # a damaged archive or header raises whatever zipfile, zlib or numpy's parser come upon
        kind = "" if isinstance(error, (zipfile.BadZipFile, ValueError)) else f"{type(error).__name__}: "
        raise InputError(
            f"cannot read {str(path)!r} as arrays ({kind}{ascii(str(error))[1:-1][:120]}); {again}"
        ) from error


def _array(
    name: str, asked: Array, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, sizes: dict[str, int]
) -> np.ndarray:
    """One array, of the kind and shape asked for. Adds the letters that it is the first to bind to `sizes`."""
    if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise _Refused(f"holds {name} in a compression other than deflate")
    with archive.open(entry) as member:
        version = np.lib.format.read_magic(member)
        if version not in ((1, 0), (2, 0)):
            raise _Refused(
                f"holds {name} in version {version[0]}.{version[1]} of numpy's format, where 1.0 or 2.0 is needed"
            )
        header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, fortran, dtype = header(member)
        if dtype.kind not in KINDS[asked.kind] or dtype.itemsize == 0:
            raise _Refused(f"has {name} of type {_shown(dtype)}, where {asked.kind} is needed")
        size = math.prod(shape) * dtype.itemsize
        if size != entry.file_size - member.tell() or (size == 0 and max(shape) > LONGEST_EMPTY):
            raise _Refused(f"claims {name} of shape {_shown(shape)}, which its bytes are not")
        if not asked.shape:
            if math.prod(shape) != 1:
                raise _Refused(f"has {name} of shape {_shown(shape)}, where one value is needed")
            shape = ()
        else:
            _check_shape(name, asked, shape, sizes)
        data = member.read(size)
    if len(data) < size:
        raise _Refused(f"is cut off within {name}")
    array = np.frombuffer(data, dtype).reshape(shape, order="F" if fortran else "C")
    return array if dtype.isnative else array.astype(dtype.newbyteorder("="))


def _check_shape(name: str, asked: Array, shape: tuple[int, ...], sizes: dict[str, int]) -> None:
    wanted = [part if isinstance(part, int) else sizes.get(part.rstrip("+"), part) for part in asked.shape]
    bound = dict(sizes)
    fits = len(shape) == len(wanted)
    for part, size in zip(wanted, shape):
        if isinstance(part, int):
            fits &= size == part
        else:
            fits &= bound.setdefault(part.rstrip("+"), size) == size and (size > 0 or not part.endswith("+"))
    if not fits:
        words = (str(p) if isinstance(p, int) else "some" if p.endswith("+") else "any" for p in wanted)
        raise _Refused(f"has {name} of shape {_shown(shape)}, where ({', '.join(words)}) is needed")
    sizes |= bound


def _check_values(name: str, asked: Array, array: np.ndarray, sizes: dict[str, int]) -> None:
    """Refuse values that whoever reads the array would stumble over. All letters are bound by now."""
    if not array.size:
        return
    if asked.kind == "text":
        codes = np.ascontiguousarray(array).reshape(-1).view(np.uint32)
        if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
            raise _Refused(f"has {name} with characters that there are not")
        return
    if asked.index:
        letters = asked.index if isinstance(asked.index, tuple) else (asked.index,) * array.shape[-1]
        limits = np.array([sizes[letter] for letter in letters])
        if (array < 0).any() or (array >= limits).any():
            raise _Refused(f"has {name} that name rows which are not there")
    if asked.kind == "float" and asked.finite and not np.isfinite(array).all():
        raise _Refused(f"has {name} that are not finite")
    if (array < np.float64(asked.least)).any() or (array > np.float64(asked.most)).any():  # a half has no such numbers
        raise _Refused(f"has {name} outside {asked.least:g} .. {asked.most:g}")


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:60] + ".."
