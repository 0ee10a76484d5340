"""Damaged inputs for tests: whole files with a few bytes, words or values changed.

What is made depends on the generator alone, so a failing input can be made again from the name and the index that its
test says.
"""

from __future__ import annotations

import json
import re
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from mutation_arrays import arrays_of, damaged_arrays, damaged_tensors, npz_bytes, safetensors_bytes, tensors_of
from mutation_values import WORDS, damaged_bytes, damaged_value, json_bytes, pick, toml_bytes

from worldbench.core import streams


def generator(name: str, index: int) -> np.random.Generator:
    """For input `index` of a reader."""
    return streams.generator("fuzz", name, index)


TOKEN = re.compile(r"[\w.+-]+")
SPAN = re.compile(r">[^<]*<|\"[^\"]*\"|[^,\n]+")


def damaged_text(text: str, rng: np.random.Generator) -> str:
    """One to four cuts, doublings, inserted or replaced words, or lines in another order."""
    for _ in range(1 + int(rng.integers(4))):
        at = int(rng.integers(len(text) + 1))
        to = min(len(text), at + int(rng.integers(1, 60)))
        kind = int(rng.integers(6))
        word = pick(WORDS, rng)
        if kind == 0:
            text = text[:at] + text[to:]
        elif kind == 1:
            text = text[:to] + text[at:]
        elif kind == 2:
            text = text[:at] + word + text[at:]
        elif kind == 3:
            lines = text.splitlines(keepends=True)
            if lines:
                lines.insert(int(rng.integers(len(lines))), lines.pop(int(rng.integers(len(lines)))))
            text = "".join(lines)
        else:
            found = list((TOKEN if kind == 4 else SPAN).finditer(text))
            if found:
                token = pick(found, rng)
                text = text[: token.start()] + word + text[token.end() :]
    return text


@dataclass(frozen=True)
class Form:
    """How the content of a file is read, damaged and written."""

    load: Callable[[bytes], Any]
    damage: Callable[[Any, np.random.Generator], Any]
    dump: Callable[[Any], bytes]
    text: bool = True


FORMS = {
    "json": Form(json.loads, damaged_value, json_bytes),
    "toml": Form(lambda raw: tomllib.loads(raw.decode()), damaged_value, toml_bytes),
    "npz": Form(arrays_of, damaged_arrays, npz_bytes, text=False),
    "safetensors": Form(tensors_of, damaged_tensors, safetensors_bytes, text=False),
}


def mutant(raw: bytes, rng: np.random.Generator, form: str = "text") -> bytes:
    """A file that is not the whole one, damaged in one of the ways that its form has.

    form: a key of FORMS, "text" or "bytes".
    """
    while (out := _mutant(raw, rng, form)) == raw:
        pass
    return out


def _mutant(raw: bytes, rng: np.random.Generator, name: str) -> bytes:
    roll, form = rng.random(), FORMS.get(name)
    if roll < 0.01:
        return pick((b"", b" ", b"\n", b"\xef\xbb\xbf", b"\0" * 100, b"null", b"[]", b"{}"), rng)
    if form is not None and roll < 0.6:
        return form.dump(form.damage(form.load(raw), rng))
    if name == "bytes" or roll > 0.85 or (form is not None and not form.text):
        return damaged_bytes(raw, rng)
    return damaged_text(raw.decode(), rng).encode("utf-8", "surrogatepass")
