"""Damaged arrays and tensors: .npz and .safetensors files."""

from __future__ import annotations

import io
import json
from typing import Any

import numpy as np
from mutation_values import damaged_bytes, damaged_value, json_bytes, pick


def arrays_of(raw: bytes) -> dict[str, np.ndarray]:
    with np.load(io.BytesIO(raw), allow_pickle=False) as file:
        return dict(file)


def damaged_arrays(arrays: dict[str, np.ndarray], rng: np.random.Generator) -> dict[str, np.ndarray]:
    """One or two arrays lost, renamed, of another type or shape, or with other values."""
    arrays = dict(arrays)
    for _ in range(1 + int(rng.integers(2))):
        if not arrays:
            break
        name = pick(list(arrays), rng)
        array = arrays.pop(name)
        kind = int(rng.integers(8))
        if kind == 0:
            continue
        if kind == 1:
            name = pick(("", "x", f"{name}s", "../x", "é"), rng)
        elif kind == 2:
            array = np.ones(
                array.shape, pick(("U3", "S3", "f2", "f8", "c16", "i1", "u8", ">i4", "bool", "M8[s]", "V4"), rng)
            )
        elif kind == 3:
            array = array[: int(rng.integers(len(array) + 1))] if array.ndim else array.reshape(1, 1)
        elif kind == 4:
            array = pick(
                (array[None], array.reshape(-1), array.T, np.asfortranarray(array), np.zeros(0), np.array(0)), rng
            )
        elif kind == 5:
            array = np.concatenate([array, array]) if array.ndim else np.array([array, array])
        elif array.size and array.dtype.kind in "biuf":
            array = array.copy()
            odd = (np.nan, np.inf, -1.0, 1e30) if array.dtype.kind == "f" else (-1, 127, 1)
            array.reshape(-1)[int(rng.integers(array.size))] = pick(odd, rng)
        arrays[name] = array
    return arrays


def npz_bytes(arrays: dict[str, np.ndarray]) -> bytes:
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def tensors_of(raw: bytes) -> dict[str, Any]:
    """The header of a safetensors file, and its bytes as text of hex digits: values that can be damaged like JSON."""
    size = int.from_bytes(raw[:8], "little")
    return {"header": json.loads(raw[8 : 8 + size]), "size": size, "data": raw[8 + size :].hex()}


def damaged_tensors(content: dict[str, Any], rng: np.random.Generator) -> dict[str, Any]:
    header, size, data = content["header"], content["size"], bytes.fromhex(content["data"])
    if rng.random() < 0.3:
        return content | {"data": damaged_bytes(data, rng).hex()}
    header = damaged_value(header, rng)
    size = pick((0, 1, size + 1, 2**31, 2**63, 2**64 - 1), rng) if rng.random() < 0.1 else len(json_bytes(header))
    return content | {"header": header, "size": size}


def safetensors_bytes(content: dict[str, Any]) -> bytes:
    return content["size"].to_bytes(8, "little") + json_bytes(content["header"]) + bytes.fromhex(content["data"])
