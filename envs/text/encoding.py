"""Tokens of text: bytes, or a byte-pair encoding (BPE) that the library tokenizers trains on the training files.

A BPE and the tokens of the corpus are kept in the cache, under a name that depends on the corpus and the options.
Id 0 is the padding word, so the tokens of text begin at 1.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from worldbench.core.cache import cache_folder
from worldbench.core.errors import InputError
from worldbench.core.files import (
    identity_hash,
    lock,
    make_folder,
    read_json,
    read_regular,
    sha256,
    to_json,
    write_atomic,
)
from worldbench.envs.text.corpus import Corpus

PIECE = 1 << 16
"""Characters that the library reads at once, to limit memory. Pieces end at the end of a line where there is one."""
FORMAT = 1
"""Raised when the cached files change."""


@dataclass(frozen=True)
class Encoded:
    """words: the bytes of each token; entry 0 is the padding word and empty. tokens: uint16 [M], all files of the
    training split, then those of the test split. length: int64 [F], tokens of each file. digest: of the BPE; "" for
    bytes."""

    words: list[bytes]
    tokens: np.ndarray
    length: np.ndarray
    digest: str = ""


def word(content: bytes) -> str:
    """The name of a token: printable ASCII characters as they are, a space as an open box, other bytes as escapes. Two
    contents never have the same name."""
    text = "".join(
        "␣" if b == 32 else chr(b) if 32 < b < 127 and b != 92 else repr(chr(b))[1:-1] if b < 127 else f"\\x{b:02x}"
        for b in content
    )
    return text if text != "<pad>" else "\\x3cpad>"


def as_bytes(corpus: Corpus) -> Encoded:
    """The bytes of the corpus as tokens 1 .. 256."""
    files = [*corpus.train, *corpus.test]
    tokens = np.frombuffer(b"".join(files), np.uint8).astype(np.uint16) + np.uint16(1)
    words = [b"", *(bytes([b]) for b in range(256))]
    return Encoded(words, tokens, np.array([len(raw) for raw in files], np.int64))


def as_pairs(corpus: Corpus, size: int) -> Encoded:
    """The tokens of a BPE of `size` tokens. The BPE is trained on the training files alone, unless it is in the cache.

    Raises InputError if the library tokenizers is missing, for a file that is not UTF-8, if the text is too short for
    so many tokens, or if the cache cannot be written.
    """
    folder = cache_folder() / "text"
    key = {"format": FORMAT, "corpus": corpus.digest, "train": len(corpus.train), "size": size}
    stem = folder / f"bpe-{identity_hash(key)[:16]}"
    record, data = stem.with_suffix(".json"), stem.with_suffix(".bin")
    make_folder(folder, "set WORLDBENCH_CACHE to another")
    with lock(folder, wait=True):
        if not _complete(record, data):
            _make(corpus, size, record, data)
    known = read_json(record)
    return Encoded(
        words=[b"", *(bytes.fromhex(text) for text in known["words"])],
        tokens=np.frombuffer(read_regular(data), "<u2"),
        length=np.array(known["length"], np.int64),
        digest=known["digest"],
    )


def _complete(record: Path, data: Path) -> bool:
    """Are both files in the cache, as they were written?"""
    try:
        known = read_json(record)
        return isinstance(known, dict) and known.get("sha256") == sha256(data)
    except (InputError, OSError):
        return False


def _make(corpus: Corpus, size: int, record: Path, data: Path) -> None:
    """Trains the BPE, encodes all files, and writes the tokens and then their record."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    try:
        from tokenizers import (  # pyright: ignore[reportMissingImports]
            Tokenizer,
            decoders,
            models,
            pre_tokenizers,
            trainers,
        )
    except ImportError as error:
        raise InputError(
            f"--env.tokens bpe needs the package tokenizers ({error}); install it with pip install 'worldbench[text]', "
            "or use --env.tokens bytes"
        ) from error
    texts = [_text(raw, name) for raw, name in zip((*corpus.train, *corpus.test), corpus.paths)]
    made = Tokenizer(models.BPE())
    made.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    made.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=size, initial_alphabet=pre_tokenizers.ByteLevel.alphabet(), show_progress=False
    )
    made.train_from_iterator((p for text in texts[: len(corpus.train)] for p in _pieces(text)), trainer)
    if made.get_vocab_size() < size:
        raise InputError(
            f"the training files give a byte-pair encoding of {made.get_vocab_size()} tokens, and env.vocabulary asks "
            f"for {size}; ask for fewer, or give more text"
        )
    parts, length = [], []
    for text in texts:
        ids = [np.array(made.encode(piece).ids, "<u2") + np.uint16(1) for piece in _pieces(text)]
        length.append(sum(map(len, ids)))
        parts.append(np.concatenate(ids) if ids else np.empty(0, "<u2"))
    table = _byte_of_character(pre_tokenizers.ByteLevel.alphabet())
    numbers = made.get_vocab()
    words = [bytes(table[c] for c in token) for token in sorted(numbers, key=numbers.__getitem__)]
    merges = json.loads(made.to_str())["model"]
    write_atomic(data, np.concatenate(parts).astype("<u2").tobytes())
    known = {
        "sha256": sha256(data),
        "digest": identity_hash({"vocab": merges["vocab"], "merges": merges["merges"]}),
        "words": [content.hex() for content in words],
        "length": length,
        "tokenizer": json.loads(made.to_str()),
    }
    write_atomic(record, to_json(known) + "\n")


def _text(raw: bytes, path: str) -> str:
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{path!r} is not UTF-8 text (byte {error.object[error.start]:#04x} at {error.start}), as --env.tokens bpe "
            "needs; convert it, or use --env.tokens bytes"
        ) from error


def _pieces(text: str) -> Iterator[str]:
    at = 0
    while at < len(text):
        cut = text.rfind("\n", at, at + PIECE) + 1 if at + PIECE < len(text) else len(text)
        cut = cut if cut > at else at + PIECE
        yield text[at:cut]
        at = cut


def _byte_of_character(alphabet: list[str]) -> dict[str, int]:
    """The byte that each character of a byte-level BPE stands for. Printable characters of Latin-1 stand for their own
    byte, and the others, in order, for the bytes that are left (Radford et al. 2019)."""
    own = {c: ord(c) for c in alphabet if ord(c) < 256}
    rest = sorted(c for c in alphabet if ord(c) >= 256)
    free = [b for b in range(256) if b not in own.values()]
    return own | dict(zip(rest, free))
