"""Which id of another program's language model stands for each word of a world."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.errors import InputError, nearest
from worldbench.core.files import read_json
from worldbench.core.text import counted
from worldbench.core.world import Vocabulary

SAME, WORDS = "ids", "words"
NO_ID = -1
"""The entry of the padding, if no id stands for it: a model never reads padding before a token that counts."""
FORM = 'a JSON object such as {"end": "</s>", "north": 17}'

Tokens = str | Path | Mapping[str, Any] | None
"""How words are mapped. "ids": the model has the ids of the world. "words": each word is a token of the model's
tokenizer. A mapping, or a JSON file with one: word -> id or token; other words are tokens of the tokenizer. None:
"words" if the model has a tokenizer, else "ids"."""


def word_ids(vocabulary: Vocabulary, tokens: Tokens, tokenizer: Mapping[str, int] | None, size: int) -> np.ndarray:
    """The model's id of each word of a world, int64 [V]; NO_ID for padding without an id.

    tokenizer: token -> id; None if the model has none. size: number of ids of the model. Raises InputError, with the
    word, if a word has no id, an id that the model lacks, or the id of another word.
    """
    if tokens is None:
        tokens = WORDS if tokenizer else SAME
    if tokens == SAME:
        return _same(vocabulary, size)
    given = {} if tokens == WORDS else _given(tokens)
    if unknown := [word for word in given if word not in vocabulary.words]:
        raise InputError(
            f"the mapping of tokens names {unknown[0]!r}, which is no word of the world"
            f"{nearest(unknown[0], vocabulary.words)}"
        )
    if tokenizer is None and tokens == WORDS:
        raise InputError(
            "the model has no tokenizer (tokenizer.json), so its tokens cannot be found by the words of the world; "
            f"give --tokens FILE.json, {FORM}, or --tokens ids if the model has the ids of the world"
        )
    ids = np.full(len(vocabulary), NO_ID, np.int64)
    for place, word in enumerate(vocabulary.words):
        value = given.get(word, word if tokenizer and word in tokenizer else None)
        if value is not None:
            ids[place] = _id(word, value, tokenizer, size)
        elif place != vocabulary.pad:
            have = "is no token of the model's tokenizer" if tokenizer else "is not in the mapping of tokens"
            raise InputError(f"the word {word!r} of the world {have}; name its token by --tokens FILE.json, {FORM}")
    _refuse_shared(vocabulary, ids)
    return ids


def _same(vocabulary: Vocabulary, size: int) -> np.ndarray:
    if size != len(vocabulary):
        raise InputError(
            f"the model has {counted(size, 'id')} and the world {counted(len(vocabulary), 'word')}, so their ids are "
            f"not the same; give --tokens words if the model has a tokenizer with the words of the world, or --tokens "
            f"FILE.json, {FORM}"
        )
    return np.arange(size, dtype=np.int64)


def _given(tokens: Any) -> Mapping[str, Any]:
    """The mapping, from itself or from its file."""
    if isinstance(tokens, (str, Path)):
        path = Path(tokens)
        if not os.path.exists(path):
            raise InputError(f"--tokens takes ids, words or a JSON file, and there is no file {str(path)!r}")
        tokens = read_json(path)
    if not isinstance(tokens, Mapping) or not all(isinstance(word, str) for word in tokens):
        raise InputError(f"the mapping of tokens must be {FORM}")
    return tokens


def _id(word: str, value: Any, tokenizer: Mapping[str, int] | None, size: int) -> int:
    if isinstance(value, str):
        if tokenizer is None or value not in tokenizer:
            have = (
                "the model has no tokenizer (tokenizer.json)"
                if tokenizer is None
                else "the tokenizer has no such token"
            )
            raise InputError(f"the word {word!r} of the world is mapped to the token {value!r}, and {have}; give an id")
        value = tokenizer[value]
    if isinstance(value, bool) or not isinstance(value, int):
        raise InputError(f"the word {word!r} of the world is mapped to {value!r}; give an id or a token")
    if not 0 <= value < size:
        raise InputError(
            f"the word {word!r} of the world is mapped to the id {value}, and the model has the ids 0 to {size - 1}"
        )
    return value


def _refuse_shared(vocabulary: Vocabulary, ids: np.ndarray) -> None:
    """Raises InputError if two words have one id: the model could not tell them apart."""
    found, counts = np.unique(ids[ids != NO_ID], return_counts=True)
    if (counts > 1).any():
        shared = found[counts > 1][0]
        first, second = (vocabulary.words[place] for place in np.flatnonzero(ids == shared)[:2])
        raise InputError(
            f"the words {first!r} and {second!r} of the world have the same id {shared}; give each its own by --tokens "
            f"FILE.json, {FORM}"
        )
