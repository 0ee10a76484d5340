"""Reads a process from a JSON file. The keys of the file show which of three layouts it has.

    {"transition": [V][S][S], "start": [S], "phi": [S]}             this library; only "transition" is required
    {"transition_matrices": [V][S][S], "initial_state": [S]}        simplexity, (generalized) hidden Markov model;
                                                                    "initial_state" may be left out
    {"startprob": [S], "transmat": [S][S], "emissionprob": [S][V]}  hmmlearn, CategoricalHMM, also with the keys
                                                                    `startprob_` ..; "startprob" may be left out

Each layout may also have "words" [V], the names of the tokens, and "name". A list instead of an object is read as
"transition". In the first two layouts, entry [x][i][j] is the weight of the step from state i to state j that emits
token x. In hmmlearn, a state emits a token before the step, so T[x][i, j] = emissionprob[i][x] transmat[i][j].

Shape letters: V tokens, S states.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.errors import InputError, nearest
from worldbench.core.files import read_json
from worldbench.envs.hmm import validity
from worldbench.envs.hmm.process import Process
from worldbench.envs.hmm.validity import ROUNDED

LAYOUTS: dict[str, tuple[str, ...]] = {
    "transition": ("transition", "start", "phi"),
    "transition_matrices": ("transition_matrices", "initial_state"),
    "transmat": ("startprob", "transmat", "emissionprob"),
}
"""The keys of each layout, by its required key."""
BESIDE = ("words", "name")
"""Keys that every layout may have."""
RESERVED = ("<pad>", "<start>")
"""Words of the world, which cannot name a token of the process."""
KINDS = {  # what msgspec calls a type, and what an error calls it
    "str": "text",
    "null": "null",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "int": "a whole number",
    "float": "a number",
}


def from_file(path: Path) -> Process:
    """The process in a JSON file.

    Raises InputError, which names the file and the place in it, if the file cannot be read, has none of the layouts,
    or does not hold a process.
    """
    raw = read_json(path)
    try:
        return _process(raw if isinstance(raw, dict) else {"transition": raw}, path.stem)
    except InputError as error:
        raise InputError(f"{str(path)!r}: {error}") from error


def _process(raw: dict[str, Any], stem: str) -> Process:
    """The process in an object. stem: its name if the object has none."""
    raw = {k[:-1] if k.endswith("_") and k[:-1] in LAYOUTS["transmat"] else k: v for k, v in raw.items()}
    layouts = [key for key in LAYOUTS if key in raw]
    if len(layouts) != 1:
        problem = (
            f"has both {layouts[0]!r} and {layouts[1]!r}, which belong to different layouts"
            if layouts
            else "lacks 'transition', one square matrix per token"
        )
        raise InputError(
            f"the process {problem}; give one of 'transition', 'transition_matrices' (simplexity) and 'transmat' with "
            "'emissionprob' (hmmlearn)"
        )
    known = (*LAYOUTS[layouts[0]], *BESIDE)
    for key in raw:
        if key not in known:
            raise InputError(
                f"unknown key {key!r} beside {layouts[0]!r}{nearest(key, known)}; leave it out, or use one of "
                f"{', '.join(known)}"
            )
    name, words = raw.get("name", stem), _words(raw.get("words", []))
    if not isinstance(name, str) or not name or not name.isprintable():
        raise InputError(f"'name' must be printable text, not {name!r}")
    phi = None
    if layouts == ["transmat"]:
        start = _numbers(raw, "startprob", 1)
        transition = _edge_emitting(_numbers(raw, "transmat", 2), _numbers(raw, "emissionprob", 2))
    else:
        transition, start = (
            _numbers(raw, layouts[0], 3),
            _numbers(raw, "start" if "start" in known else "initial_state", 1),
        )
        phi = _numbers(raw, "phi", 1)
    given = {"start": start, "phi": phi, "own_phi": phi is not None}
    return Process(name=name, transition=transition, words=words, **given)  # type: ignore[arg-type]


def _numbers(raw: dict[str, Any], key: str, dimensions: int) -> np.ndarray | None:
    """The numbers under a key, as an array with this number of dimensions; None if the key is absent.

    Raises InputError for another shape, and for numbers that are not finite.
    """
    if key not in raw:
        return None
    import msgspec

    kind: Any = float
    for _ in range(dimensions):
        kind = list[kind]
    shape = "".join(
        {1: ("[states]",), 2: ("[states]", "[states or tokens]"), 3: ("[tokens]", "[states]", "[states]")}[dimensions]
    )
    try:
        value = msgspec.convert(raw[key], kind)
    except msgspec.ValidationError as error:
        parts = re.fullmatch(r"Expected `(?:\w+)`, got `(\w+)`(?: - at `\$(.*)`)?", str(error))
        found, where = (KINDS.get(parts[1], parts[1]), parts[2] or "") if parts else (str(error), "")
        raise InputError(f"{key}{where} is {found}; {key} holds numbers {shape}, without quotation marks") from error
    except OverflowError as error:
        raise InputError(
            f"{key} has a number that is too large ({error}); weights and probabilities are about 1"
        ) from error
    try:
        array = np.array(value, float)
    except ValueError as error:
        raise InputError(
            f"the lists of {key} differ in length: {_ragged(value, key)}; {key} holds numbers {shape}"
        ) from error
    if array.ndim != dimensions or array.size == 0:
        raise InputError(f"{key} is empty, or has empty lists; it holds numbers {shape}")
    if not np.isfinite(array).all():
        at = tuple(int(i) for i in np.argwhere(~np.isfinite(array))[0])
        raise InputError(f"{key}{''.join(f'[{i}]' for i in at)} is {array[at]}; {key} holds finite numbers {shape}")
    return array


def _ragged(value: list[Any], where: str) -> str:
    """A text that names the first list with a length other than that of its first neighbor."""
    for i, part in enumerate(value):
        if isinstance(part, list) and len(part) != len(value[0]):
            return f"{where}[{i}] has {len(part)} entries, {where}[0] has {len(value[0])}"
    return next(
        (text for i, part in enumerate(value) if isinstance(part, list) and (text := _ragged(part, f"{where}[{i}]"))),
        "",
    )


def _words(words: Any) -> tuple[str, ...]:
    if not isinstance(words, list) or not all(isinstance(w, str) for w in words):
        raise InputError(f"'words' must be a list of strings, one per token, not {words!r:.60}")
    for word in words:
        if not word or not word.isprintable() or any(c.isspace() for c in word) or word in RESERVED:
            raise InputError(
                f"the word {word!r} cannot name a token; a word must be printable, without spaces, and not "
                f"{' or '.join(RESERVED)}"
            )
    return tuple(words)


def _edge_emitting(transmat: np.ndarray | None, emissionprob: np.ndarray | None) -> np.ndarray:
    """T[x][i, j] = emissionprob[i][x] transmat[i][j]: float64 [V, S, S]. Refuses rows that are not distributions."""
    if transmat is None or emissionprob is None:
        raise InputError(
            "'emissionprob' is missing beside 'transmat'; it holds the probability of each token, [states][tokens]"
        )
    states = len(transmat)
    if transmat.shape != (states, states):
        raise InputError(f"transmat must be square, [states][states], not {list(transmat.shape)}")
    if len(emissionprob) != states:
        transposed = "; it is transposed" if emissionprob.shape[1] == states else ""
        raise InputError(
            f"emissionprob must have {states} rows, one per state of transmat, not {len(emissionprob)}{transposed}"
        )
    for key, matrix in (("transmat", transmat), ("emissionprob", emissionprob)):
        if (matrix < 0).any():
            i, j = np.argwhere(matrix < 0)[0]
            raise InputError(f"{key}[{i}][{j}] is {matrix[i, j]:g}; probabilities are not negative")
        off = np.abs(matrix.sum(1) - 1) >= ROUNDED
        if off.any() and (np.abs(matrix.sum(0) - 1) < ROUNDED).all():
            raise InputError(f"{key} is transposed: its columns, not its rows, sum to 1; row i belongs to state i")
        if off.any():
            i = int(np.argmax(off))
            raise InputError(f"{key}[{i}] sums to {matrix[i].sum():.6g} and not to 1; divide each row by its sum")
    validity.size("hmmlearn", emissionprob.shape[1], states)
    return emissionprob.T[:, :, None] * transmat[None]
