"""Text: which files, which windows of them, what is held out, bytes and byte-pair encodings, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from worldbench.core.errors import InputError
from worldbench.envs.text import corpus, encoding
from worldbench.envs.text.config import TextConfig
from worldbench.envs.text.world import PAD, TextWorld

SENTENCES = [f"line {k} of a file: {k * k} is the square of {k}.\n" for k in range(200)]


def write(folder: Path, files: int = 8, lines: int = 12) -> str:
    folder.mkdir(exist_ok=True)
    for k in range(files):
        (folder / f"{k}.txt").write_text("".join(SENTENCES[(k * 7 + j) % 200] for j in range(lines)), encoding="utf-8")
    return str(folder / "*.txt")


def world(files: str, **options: Any) -> TextWorld:
    return TextWorld(TextConfig(files=files, **{"window": 20, **options}))


def test_windows_are_pieces_of_single_files_of_their_split(tmp_path: Path) -> None:
    w = world(write(tmp_path))
    contents = {path.name: path.read_bytes() for path in tmp_path.glob("*.txt")}
    where = {}
    for split in ("train", "test"):
        d = w.sample(0, split, 0, 200)
        assert (d.length == 20).all()
        assert (d.prompt_length == 1).all()
        where[split] = set()
        for row in d.tokens:
            inside = {name for name, content in contents.items() if w.text(row) in content}
            assert inside
            where[split] |= inside if len(inside) == 1 else set()
    assert where["train"]
    assert where["test"]
    assert not where["train"] & where["test"]


def test_the_documents_of_the_description(tmp_path: Path) -> None:
    (tmp_path / "one.py").write_text("import os")
    (tmp_path / "two.py").write_text(" = 12\ndef")
    w = world(str(tmp_path), window=8)
    shown = {w.vocabulary.text(row) for split in ("train", "test") for row in w.sample(0, split, 0, 20).tokens}
    lines = [line.strip() for line in str(TextWorld.__doc__).splitlines()[-3:-1]]
    assert lines[0].startswith("i m p")
    assert set(lines) <= shown


def test_a_document_depends_on_its_index_alone(tmp_path: Path) -> None:
    w = world(write(tmp_path))
    whole = w.sample(3, "train", 0, 50).tokens
    assert (w.sample(3, "train", 20, 5).tokens == whole[20:25]).all()
    assert (w.sample(4, "train", 0, 50).tokens != whole).any()


def test_every_place_of_every_file_is_equally_likely(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(bytes(range(30)))
    (tmp_path / "b").write_bytes(bytes(range(100, 124)))
    (tmp_path / "c").write_bytes(bytes(range(200, 220)))
    w = world(str(tmp_path))
    begins = np.concatenate([w.sample(0, split, 0, 6000).tokens[:, 0] - 1 for split in ("train", "test")])
    ends = {b for low, size in ((0, 30), (100, 24), (200, 20)) for b in range(low, low + size - 19)}
    assert set(begins.tolist()) == ends
    for split in ("train", "test"):
        first = w.sample(0, split, 0, 6000).tokens[:, 0]
        assert len(set(first)) == 1 or chisquare(np.unique(first, return_counts=True)[1]).pvalue > 1e-3


def test_a_short_file_is_one_short_document(tmp_path: Path) -> None:
    pattern = write(tmp_path, files=4)
    for k in range(6):
        (tmp_path / f"short{k}.txt").write_text(f"short {k}")
    w = world(pattern, held_out_share=0.5)
    d = w.sample(0, "train", 0, 3000)
    short = d.length < 20
    assert short.any()
    assert {w.text(row[:8]) for row in d.tokens[short]} <= {f"short {k}".encode() for k in range(6)}
    assert (d.tokens[short, 7:] == PAD).all()
    prompts, lengths = w.prompts(0, 50)
    assert prompts.shape == (len(prompts), 10)
    assert (lengths == 10).all()


def test_prompts_are_distinct_beginnings_of_held_out_windows(tmp_path: Path) -> None:
    w = world(write(tmp_path))
    prompts, lengths = w.prompts(1, 40)
    assert len(np.unique(prompts, axis=0)) == len(prompts) == len(lengths) == 40
    assert (w.prompts(1, 10)[0] == prompts[:10]).all()
    begins = {row.tobytes() for row in w.sample(1, "test", 0, 512).tokens[:, : w.prompt_length]}
    assert {row.tobytes() for row in prompts.astype(np.int32)} <= begins
    assert w.prompt_length + w.longest == w.context == 20
    few = world(write(tmp_path / "few", files=2, lines=1))
    assert 0 < len(few.prompts(0, 5000)[0]) < 100


def test_names_and_copies_of_files_do_not_matter(tmp_path: Path) -> None:
    one = world(write(tmp_path / "one"))
    two = tmp_path / "two"
    two.mkdir()
    for k, path in enumerate(sorted((tmp_path / "one").glob("*"))):
        (two / f"{9 - k}.text").write_bytes(path.read_bytes())
        (two / f"{9 - k}-copy.text").write_bytes(path.read_bytes())
    (two / "empty.text").touch()
    same = world(str(two))
    assert one.identity() == same.identity()
    assert (one.sample(0, "test", 0, 30).tokens == same.sample(0, "test", 0, 30).tokens).all()
    assert str(tmp_path) not in json.dumps([one.identity(), one.card(3), one.summary(3)])


def test_the_identity_is_that_of_the_content(tmp_path: Path) -> None:
    pattern = write(tmp_path)
    before = world(pattern).identity()
    (tmp_path / "0.txt").write_text("something else, long enough to be a window")
    assert world(pattern).identity() != before
    assert world(pattern, held_out_share=0.5).identity() != world(pattern).identity()


@pytest.mark.parametrize(("share", "held_out"), [(0.001, 1), (0.25, 2), (0.5, 4), (0.999, 7)])
def test_the_share_is_of_files(tmp_path: Path, share: float, held_out: int) -> None:
    card = world(write(tmp_path), held_out_share=share).card(0)
    assert (card["files_test"], card["files_train"]) == (held_out, 8 - held_out)


def test_more_held_out_files_contain_the_fewer(tmp_path: Path) -> None:
    few, many = (set(corpus.load(write(tmp_path), share).test) for share in (0.25, 0.5))
    assert few < many


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    every = bytes(range(256))
    for k in range(3):
        (tmp_path / f"{k}.bin").write_bytes(every[k:] + every[:k])
    w = world(str(tmp_path / "*.bin"), window=256)
    d = w.sample(0, "train", 0, 5)
    assert {w.text(row) for row in d.tokens} <= {every[k:] + every[:k] for k in range(3)}
    words = w.vocabulary.words
    assert len(set(words)) == 257
    assert [words[1 + ord(c)] for c in "a<\\ \n"] == ["a", "<", "\\\\", "␣", "\\n"]
    assert all(word.isprintable() for word in words)
    assert w.token_bytes().tolist() == [0] + [1] * 256


def test_names_of_tokens_differ() -> None:
    contents = [b"<pad>", b"\\n", b"\n", b"\\", b"n", "␣".encode(), b" ", b"\\x80", b"\x80", b"\x7f", b"'", b"\x00"]
    names = ["<pad>", *map(encoding.word, contents)]
    assert len(set(names)) == len(names)
    assert all(name.isprintable() and " " not in name for name in names)


def test_the_default_is_the_standard_library() -> None:
    found = [path.as_posix() for path in corpus.standard_library()]
    assert any(name.endswith("/argparse.py") for name in found)
    assert not any(
        f"/{folder}/" in name for name in found for folder in ("site-packages", "test", "tests", "encodings")
    )
    assert not any("_sysconfigdata" in name for name in found)
    loaded = corpus.load("", 0.1)
    assert "standard library of Python" in loaded.name
    assert 0.05 < len(loaded.test) / len([*loaded.train, *loaded.test]) < 0.15


def test_a_pattern_may_be_a_folder_or_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = world(write(tmp_path / "deep")).identity()
    assert world(str(tmp_path)).identity() == whole
    monkeypatch.chdir(tmp_path)
    assert world("*/*.txt").identity() == whole
    assert world("**/*.txt").identity() == whole


def test_files_that_cannot_be_used_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def said(pattern: str, **options: Any) -> str:
        with pytest.raises(InputError) as error:
            world(pattern, **options)
        return str(error.value)

    assert "no file matches" in said(str(tmp_path / "*.md"))
    assert "no file matches" in said(str(tmp_path / "none"))
    assert "no file matches" in said("a\0b") or "cannot be searched" in said("a\0b")
    pattern = write(tmp_path)
    assert "longest file of the" in said(pattern, window=5000)
    (tmp_path / "one.md").write_text("a single file, held out or not")
    assert "gives 1 different file" in said(str(tmp_path / "*.md"))
    monkeypatch.setattr(corpus, "MOST_BYTES", 1000)
    assert "hold more than" in said(pattern)
    monkeypatch.setattr(corpus, "MOST_FILES", 3)
    assert "at most 3" in said(pattern)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"vocabulary": 500}, "applies to --env.tokens bpe"),
        ({"tokens": "bpe", "vocabulary": 256}, "between 257"),
        ({"tokens": "bpe", "vocabulary": 70_000}, "between 257"),
        ({"tokens": "words"}, "'bytes' or 'bpe'"),
        ({"window": 1}, "between 2"),
        ({"held_out_share": 0.0}, "above 0 and below 1"),
        ({"held_out_share": 1.0}, "above 0 and below 1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        TextConfig(**options)


def test_a_missing_library_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "tokenizers", None)
    monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "cache"))
    with pytest.raises(InputError, match=r"needs the package tokenizers .*worldbench\[text\]"):
        world(write(tmp_path / "texts"), tokens="bpe", vocabulary=300)


class TestPairs:
    """Byte-pair encodings."""

    @pytest.fixture(autouse=True)
    def library(self) -> None:
        pytest.importorskip("tokenizers", reason="needs the package tokenizers")

    def test_tokens_are_the_text_again(self, tmp_path: Path) -> None:
        (tmp_path / "é.txt").write_text("naïve café: 你好, \t\x00 <pad>\r\n" * 9, encoding="utf-8")
        pattern = write(tmp_path)
        w = world(pattern, tokens="bpe", vocabulary=320)
        files = corpus.load(pattern, 0.1)
        made = encoding.as_pairs(files, 320)
        ends = np.cumsum(made.length)
        pieces = np.split(made.tokens, ends[:-1])
        assert [b"".join(made.words[t] for t in piece) for piece in pieces] == [*files.train, *files.test]
        assert len(w.vocabulary) == len(set(w.vocabulary.words)) == 321
        assert w.token_bytes().tolist() == [len(content) for content in made.words]
        assert {bytes([b]) for b in range(256)} <= set(made.words)
        assert w.card(0)["bytes_per_token"] > 1.5

    def test_the_encoding_is_made_once_and_always_the_same(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pattern, found = write(tmp_path / "texts"), []
        for cache in ("one", "two"):
            monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / cache))
            found.append(world(pattern, tokens="bpe", vocabulary=300))
        assert found[0].identity() == found[1].identity()
        files = {path.name: path.read_bytes() for path in (tmp_path / "one" / "text").glob("bpe-*")}
        assert files == {path.name: path.read_bytes() for path in (tmp_path / "two" / "text").glob("bpe-*")}
        monkeypatch.setattr(encoding, "_make", None)
        again = world(pattern, tokens="bpe", vocabulary=300)
        assert (again.sample(0, "train", 0, 9).tokens == found[0].sample(0, "train", 0, 9).tokens).all()

    def test_a_damaged_cache_is_made_again(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("WORLDBENCH_CACHE", str(tmp_path / "cache"))
        pattern = write(tmp_path / "texts")
        before = world(pattern, tokens="bpe", vocabulary=300).sample(0, "test", 0, 9).tokens
        (data,) = (tmp_path / "cache" / "text").glob("*.bin")
        for damaged in (data, data.with_suffix(".json")):
            damaged.write_bytes(damaged.read_bytes()[:-3])
            assert (world(pattern, tokens="bpe", vocabulary=300).sample(0, "test", 0, 9).tokens == before).all()

    def test_held_out_files_do_not_train_it(self, tmp_path: Path) -> None:
        pattern = write(tmp_path)
        files = corpus.load(pattern, 0.1)
        changed = corpus.Corpus("", files.train, [b"zqzqzqzq" * 900], "another", files.paths)
        assert encoding.as_pairs(files, 300).digest == encoding.as_pairs(changed, 300).digest

    def test_what_it_cannot_encode_is_refused(self, tmp_path: Path) -> None:
        pattern = write(tmp_path)
        with pytest.raises(InputError, match=r"encoding of \d+ tokens, and env.vocabulary asks for 9000"):
            world(pattern, tokens="bpe", vocabulary=9000)
        (tmp_path / "latin.txt").write_bytes(b"caf\xe9 " * 20)
        with pytest.raises(InputError, match=r"latin.txt' is not UTF-8 text \(byte 0xe9 at 3\)"):
            world(pattern, tokens="bpe", vocabulary=300)

    def test_long_files_are_read_in_pieces(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(encoding, "PIECE", 10)
        for text in ("", "short", "a\nbb\nccc\n" * 7, "no line ends here at all", "\n" * 35):
            pieces = list(encoding._pieces(text))
            assert "".join(pieces) == text
            assert all(0 < len(piece) <= 10 for piece in pieces)
