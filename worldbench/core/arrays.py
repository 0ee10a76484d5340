"""Named arrays in one file (.npz): written reproducibly, and checked when read.

A file may come from anywhere. So nothing in a file is executed (no pickle). The sizes that a file declares are
compared with its bytes and with a limit first. Only then is memory allocated, and only for arrays that were
requested.
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
"""The largest file that is read, in bytes: 512 MiB."""
LARGEST_ARRAYS = 1 << 30
"""The largest total size of the arrays that are read from one file, in bytes: 1 GiB."""
MOST_MEMBERS = 1024
"""Most arrays in one file. The largest evidence file has about forty."""
LONGEST_EMPTY = 1 << 16
"""The largest dimension of an array without elements. The bytes of such an array do not confirm its shape."""
KINDS = {"bool": "b", "int": "iu", "float": "fiu", "text": "U"}
"""Kind of an array -> the numpy codes (`dtype.kind`) that are accepted."""

Named = Mapping[str, "Array"]


@dataclass(frozen=True)
class Array:
    """What an array must look like.

    shape: the size of each dimension. A whole number stands for that size. A letter stands for any size, the same
    wherever the letter occurs. A letter with a plus sign stands for any size above 0. The empty shape stands for one
    value, in any number of dimensions of size 1.

    index: set where the values are row numbers. Values must be smaller than the size that this letter stands for. A
    tuple holds one letter for each column of the last dimension.

    least, most: bounds of the values. finite: if true, NaN and infinity are refused.
    """

    kind: Literal["bool", "int", "float", "text"]
    shape: tuple[str | int, ...] = ()
    index: str | tuple[str, ...] = ""
    least: float = -math.inf
    most: float = math.inf
    finite: bool = True


class _Refused(Exception):
    """What is wrong with a file: the end of a sentence that begins with the name of the file."""


# Writing


def npz(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Compressed arrays as bytes. The bytes depend only on the arrays (no time stamp, no pickle)."""
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
    """The needed arrays, and those optional arrays that the file has. Other arrays are not read.

    again: a clause that says how to make the file again. It ends the sentence of every error. sha256: the expected
    digest of the file, or None if the digest is not known.

    Raises InputError if the file cannot be read, has another digest, lacks a needed array, or has an array that is
    not what it must be.
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
    """The names of the arrays in a file. Raises InputError if the file cannot be read or has another digest."""
    with _members(path, again, sha256) as (_, members):
        return set(members)


@contextmanager
def _members(
    path: Path, again: str, sha256: str | None
) -> Iterator[tuple[zipfile.ZipFile, dict[str, zipfile.ZipInfo]]]:
    """The archive, and its members by array name. Inside the context, every error becomes one InputError."""
    try:
        raw = read_regular(path, LARGEST_FILE)
        if sha256 is not None and hashlib.sha256(raw).hexdigest() != sha256:
            raise _Refused("is not the file that its record names: it was changed, or belongs to another evaluation")
        # Checked first, because zipfile makes one object for each entry. Every entry begins with these bytes, and
        # they hardly ever occur by chance.
        if raw.count(b"PK\x01\x02") > MOST_MEMBERS:
            raise _Refused(f"holds more than {MOST_MEMBERS:,} arrays")
        with zipfile.ZipFile(io.BytesIO(raw)) as archive:
            members = {entry.filename.removesuffix(".npy"): entry for entry in archive.infolist()}
            if len(members) < len(archive.infolist()):
                raise _Refused("holds two arrays with the same name")
            yield archive, members
    except _Refused as reason:
        raise InputError(f"cannot use {str(path)!r}: it {reason}; {again}") from reason
    except InputError as error:
        raise InputError(f"{error}; {again}") from error
    except Exception as error:  # zipfile, zlib and numpy raise many kinds of error for a damaged file
        kind = "" if isinstance(error, (zipfile.BadZipFile, ValueError)) else f"{type(error).__name__}: "
        raise InputError(
            f"cannot read {str(path)!r} as arrays ({kind}{ascii(str(error))[1:-1][:120]}); {again}"
        ) from error


def _array(
    name: str, asked: Array, archive: zipfile.ZipFile, entry: zipfile.ZipInfo, sizes: dict[str, int]
) -> np.ndarray:
    """One array of the requested kind and shape. Letters that are met for the first time are added to `sizes`."""
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
            raise _Refused(f"claims {name} of shape {_shown(shape)}, but its bytes do not have that size")
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
    """Raises _Refused for values that later code cannot use. By now `sizes` holds every letter."""
    if not array.size:
        return
    if asked.kind == "text":
        codes = np.ascontiguousarray(array).reshape(-1).view(np.uint32)
        if ((codes > 0x10FFFF) | ((codes >= 0xD800) & (codes < 0xE000))).any():
            raise _Refused(f"has {name} with characters that do not exist")
        return
    if asked.index:
        letters = asked.index if isinstance(asked.index, tuple) else (asked.index,) * array.shape[-1]
        limits = np.array([sizes[letter] for letter in letters])
        if (array < 0).any() or (array >= limits).any():
            raise _Refused(f"has {name} with row numbers that do not exist")
    if asked.kind == "float" and asked.finite and not np.isfinite(array).all():
        raise _Refused(f"has {name} that are not finite")
    # float64, because float16 cannot hold every bound.
    if (array < np.float64(asked.least)).any() or (array > np.float64(asked.most)).any():
        raise _Refused(f"has {name} outside {asked.least:g} .. {asked.most:g}")


def _shown(value: object) -> str:
    text = str(value)
    return text if len(text) <= 60 else text[:60] + ".."
