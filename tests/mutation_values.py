"""Bytes, words and values that readers stumble over, and damage to bytes and to JSON values."""

from __future__ import annotations

import copy
import json
import math
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

BYTES = (
    b"\0", b"\xff", b"\x80", b"\n", b"\r", b'"', b"{", b"}", b"[", b"\\", b"\x1b[31m", b"\xef\xbb\xbf", b"\xff\xfe",
    b"\xed\xa0\x80", b"\xc3", b"PK\x01\x02", b"\x7f\xff\xff\xff", b"\xff" * 8, b"\0" * 64,
)  # fmt: skip
"""Put in by `damaged_bytes`: what ends a text, is no UTF-8, or counts for much in a header."""
WORDS = (
    "",
    "0",
    "-1",
    "1e308",
    "-1e308",
    "1e999",
    "nan",
    "NaN",
    "inf",
    "-inf",
    "Infinity",
    "N",
    "end",
    "<pad>",
    "\0",
    "\x1b[2J",
    "\x85",
    "\u2028",
    "\ufeff",
    "\u202e",
    "\ud800",
    "\udcff",
    "[" * 3000,
    "{" * 3000,
    "(" * 3000,
    '{"a":' * 3000,
    "9" * 5000,
    " " * 3000,
    "x" * 5000,
    "<",
    ">",
    "&amp;",
    "&#0;",
    "]]>",
    "<!--",
    "<![CDATA[",
    "<graph>",
    "</graph>",
    "<node/>",
    "<edge/>",
    "<data/>",
    '"',
    "'",
    '"""',
    ",",
    ";",
    "\n",
    "\r",
    "\t",
    "\\",
    "#",
    "=",
    "[a]",
    "null",
    "true",
    "false",
    "[[1, 2]]",
    "{}",
    "[]",
    "=1+1",
    "None",
    "4326",
    "+proj=utm",
    "POINT (1 2)",
    "é" * 100,
    "🚕",
    "../../x",
    "1" * 30,
    "18446744073709551616",
    "0x10",
    "1_000",
    "2026-01-01",
    "--seed",
    "--",
    "-",
    "%s",
    "{0}",
    "$x$",
)
"""Words that mean something to one of the readers, or are hard to hold."""


def deep(levels: int) -> Any:
    """Lists within one another."""
    out: Any = []
    for _ in range(levels):
        out = [out]
    return out


VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    -1,
    1,
    2**31,
    2**63 - 1,
    2**63,
    2**64,
    10**30,
    10**400,
    -(2**63) - 1,
    0.5,
    -0.0,
    1e308,
    1e-320,
    math.nan,
    math.inf,
    -math.inf,
    "",
    "inf",
    "nan",
    "0",
    "\0",
    "\x1b[31m",
    "\ud800",
    "\u202e",
    "\n",
    "../../x",
    "x" * 1000,
    "=1+1",
    "<b>",
    "[red]",
    [],
    {},
    [[]],
    [None],
    [0],
    [[0.5, 0.5]],
    {"": {}},
    [1, "a", None],
    {"a": {"b": 1}},
    deep(40),
    deep(100),
)
"""JSON values, and numbers that Python writes as JSON but JSON lacks."""


def pick(choices: Sequence[Any], rng: np.random.Generator) -> Any:
    return choices[int(rng.integers(len(choices)))]


def damaged_bytes(raw: bytes, rng: np.random.Generator) -> bytes:
    """One to three bits flipped, or pieces overwritten, cut out, cut off, doubled, moved or put in."""
    data = bytearray(raw)
    for _ in range(1 + int(rng.integers(3))):
        at = int(rng.integers(len(data) + 1))
        to = min(len(data), at + int(rng.integers(1, 1 + min(64, 1 + len(data)))))
        kind = int(rng.integers(7))
        if kind == 0 and at < len(data):
            data[at] ^= 1 << int(rng.integers(8))
        elif kind == 1:
            data[at:to] = rng.bytes(to - at)
        elif kind == 2:
            del data[at:to]
        elif kind == 3:
            del data[at:]
        elif kind == 4:
            data[at:at] = data[at:to] * int(rng.integers(1, 4))
        elif kind == 5:
            piece = data[at:to]
            del data[at:to]
            other = int(rng.integers(len(data) + 1))
            data[other:other] = piece
        else:
            data[at:at] = pick(BYTES, rng)
    return bytes(data)


def damaged_value(content: Any, rng: np.random.Generator) -> Any:
    """A copy of a JSON value with one place changed, or a few.

    A place is lost, gets another value of its type or of another, the value of another place, a value nested once more,
    or another name.
    """
    content = copy.deepcopy(content)
    for _ in range(pick((1, 1, 1, 2, 3), rng)):
        places = _places(content)
        if not places:
            return pick(VALUES, rng)
        parent, key = pick(places, rng)
        kind = int(rng.integers(7))
        if rng.random() < 0.4:
            parent[key] = _of_its_type(parent[key], rng)
        elif kind == 0:
            del parent[key]
        elif kind == 1:
            parent[key] = copy.deepcopy(pick(VALUES, rng))
        elif kind == 2:
            other, name = pick(places, rng)
            parent[key] = copy.deepcopy(other[name])
        elif kind == 3:
            parent[key] = [parent[key]] if rng.random() < 0.5 else {"a": parent[key]}
        elif kind == 4:
            parent[key] = _of_another_type(parent[key])
        elif kind == 5 and isinstance(parent, list):
            parent[key:key] = [parent[key]] * int(rng.integers(1, 4))
        elif isinstance(parent, dict):
            parent[pick(("", "x", f"{key}s", "kind", "\ud800", "a.b"), rng)] = parent.pop(key)
    return content


def _places(content: Any) -> list[tuple[Any, Any]]:
    """Each (container, key) within a value."""
    places: list[tuple[Any, Any]] = []
    todo = [content]
    while todo:
        value = todo.pop()
        if isinstance(value, dict | list):
            keys = list(value) if isinstance(value, dict) else list(range(len(value)))
            places += [(value, key) for key in keys]
            todo += [value[key] for key in keys]
    return places


def _of_its_type(value: Any, rng: np.random.Generator) -> Any:
    if isinstance(value, bool) or value is None:
        return value is not True
    if isinstance(value, int):
        return pick((0, 1, -value, value + 1, 10**6, 2**63 - 1), rng)
    if isinstance(value, float):
        return pick((0.0, 1.0, -value, 2 * value, 1e308, -1e308, 1e-320, 7), rng)
    if isinstance(value, str):
        return pick(("", f"{value} ", value.upper(), value[:-1], "0" * len(value), *WORDS), rng)
    items = list(value.items()) if isinstance(value, dict) else value
    items = pick(([], items[::-1], items[: len(items) // 2], items[1:], items + items), rng)
    return dict(items) if isinstance(value, dict) else items


def _of_another_type(value: Any) -> Any:
    if isinstance(value, bool) or value is None:
        return str(value).lower()
    if isinstance(value, int | float):
        return str(value) if isinstance(value, float) or abs(value) < 10**300 else "9"
    if isinstance(value, str):
        return len(value)
    return dict(enumerate(value)) if isinstance(value, list) else list(value.values())


def json_bytes(content: Any) -> bytes:
    return json.dumps(content).encode()


def toml_bytes(content: Any) -> bytes:
    """Tables of one level, whose values are written as JSON writes them: what TOML lacks is wrong in it."""
    if not isinstance(content, dict):
        return json.dumps(content).encode()
    plain = [f"{_key(k)} = {json.dumps(v)}" for k, v in content.items() if not isinstance(v, dict)]
    for name, table in content.items():
        if isinstance(table, dict):
            plain += [f"[{_key(name)}]", *(f"{_key(k)} = {json.dumps(v)}" for k, v in table.items())]
    return "\n".join(plain).encode()


def _key(name: Any) -> str:
    return name if isinstance(name, str) and re.fullmatch(r"[A-Za-z0-9_-]+", name) else json.dumps(str(name))
