"""Files of arrays: written the same every time, and read only where they are what they must be."""

from __future__ import annotations

import io
import os
import struct
import tempfile
import tracemalloc
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from worldbench.core import arrays
from worldbench.core.arrays import Array, names_in, npz, read_npz
from worldbench.core.errors import InputError

AGAIN = "the kitchen makes it again"
NEEDED = {
    "at": Array("float", ("N+", 2), most=1e10),
    "edges": Array("int", ("E", 2), index="N"),
    "words": Array("text", ("N+",)),
}
OPTIONAL = {"seen": Array("bool", ("E",)), "name": Array("text"), "loss": Array("float", ("E",), finite=False, least=0)}
GOOD = {"at": np.zeros((3, 2)), "edges": np.array([[0, 2]]), "words": np.array(["a", "b", "ü"])}


def read(path: Path) -> dict[str, np.ndarray]:
    return read_npz(path, NEEDED, OPTIONAL, again=AGAIN)


def saved(folder: Path, **changed: np.ndarray) -> Path:
    path = folder / "file.npz"
    path.write_bytes(npz({**GOOD, **changed}))
    return path


def test_what_is_written_is_read_and_nothing_else(tmp_path: Path) -> None:
    more = {"seen": np.array([True]), "name": np.array("a name"), "loss": np.array([np.inf]), "other": np.arange(4)}
    found = read(saved(tmp_path, **more))
    assert set(found) == {*GOOD, "seen", "name", "loss"}
    for name in ("at", "edges", "words", "seen", "loss"):
        assert np.array_equal(found[name], {**GOOD, **more}[name])
        assert found[name].dtype == {**GOOD, **more}[name].dtype
    assert found["name"].shape == ()
    assert str(found["name"]) == "a name"
    assert names_in(tmp_path / "file.npz", again=AGAIN) == {*GOOD, *more}
    assert npz(more) == npz(dict(reversed(more.items())))


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("code", ["<f8", ">f8", "<f4", "<f2", "<i2", ">u4"])
def test_orders_and_widths_of_numbers_are_read(tmp_path: Path, order: str, code: str) -> None:
    at = np.array(np.arange(6).reshape(3, 2), code, order=order)  # pyright: ignore[reportArgumentType, reportCallIssue]
    words = GOOD["words"].astype(">U3")
    np.savez(tmp_path / "file.npz", **{**GOOD, "at": at, "words": words})  # pyright: ignore[reportArgumentType]
    found = read(tmp_path / "file.npz")
    assert found["at"].tolist() == [[0, 1], [2, 3], [4, 5]]
    assert found["words"].tolist() == ["a", "b", "ü"]
    assert found["at"].dtype.isnative
    assert found["words"].dtype.isnative


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (
            {"at": np.zeros((0, 2)), "words": np.zeros(0, "U1")},
            r"has at of shape \(0, 2\), where \(some, 2\) is needed",
        ),
        ({"at": np.zeros((4, 2))}, r"has words of shape \(3,\), where \(4\) is needed"),
        ({"at": np.zeros((3, 3))}, r"has at of shape \(3, 3\)"),
        ({"at": np.zeros(6)}, r"has at of shape \(6,\)"),
        ({"at": np.zeros((3, 2), complex)}, "has at of type complex128, where float is needed"),
        ({"at": np.full((3, 2), np.nan)}, "has at that are not finite"),
        ({"at": np.zeros((3, 2), "V4")}, "has at of type"),
        ({"words": np.arange(3)}, "has words of type int64, where text is needed"),
        (
            {"words": np.array([[0xFFFF_FFFF]] * 3, np.uint32).view("U1").reshape(-1)},
            "with characters that do not exist",
        ),
        ({"words": np.array([[0xD800]] * 3, np.uint32).view("U1").reshape(-1)}, "with characters that do not exist"),
        ({"edges": np.array([[0, 3]])}, "has edges with row numbers that do not exist"),
        ({"edges": np.array([[0, -1]])}, "has edges with row numbers that do not exist"),
        ({"edges": np.array([[0.0, 1.0]])}, "has edges of type float64, where int is needed"),
        ({"seen": np.array([True, False])}, r"has seen of shape \(2,\), where \(1\) is needed"),
        ({"name": np.array(["a", "b"])}, r"has name of shape \(2,\), where one value is needed"),
        ({"loss": np.array([-1.0])}, "has loss outside 0 .. inf"),
    ],
)
def test_what_an_array_must_be_is_checked(tmp_path: Path, changed: dict[str, np.ndarray], words: str) -> None:
    path = saved(tmp_path, **changed)
    with pytest.raises(InputError, match=words) as caught:
        read(path)
    sentence = str(caught.value)
    assert str(path) in sentence
    assert sentence.endswith(AGAIN)
    assert "\n" not in sentence


def test_arrays_that_lack_are_named(tmp_path: Path) -> None:
    (tmp_path / "file.npz").write_bytes(npz({"at": GOOD["at"], "more": GOOD["at"]}))
    with pytest.raises(InputError, match="it lacks edges, words; the kitchen"):
        read(tmp_path / "file.npz")


def test_files_that_are_no_files_are_refused_and_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.npz")
    (tmp_path / "folder.npz").mkdir()
    (tmp_path / "loop.npz").symlink_to("loop.npz")
    for name, words in (
        ("pipe", "a named pipe"),
        ("folder", "a folder"),
        ("none", "No such file"),
        ("loop", "cannot read"),
    ):
        with pytest.raises(InputError, match=words) as caught:
            read(tmp_path / f"{name}.npz")
        assert str(caught.value).endswith(AGAIN)


def member(shape: str, data: bytes = b"", descr: str = "'<f8'", version: bytes = b"\x01\x00") -> bytes:
    """A member of an archive whose header says what it likes."""
    header = f"{{'descr': {descr}, 'fortran_order': False, 'shape': {shape}, }}".encode()
    size = struct.pack("<H" if version[0] == 1 else "<I", len(header))
    return b"\x93NUMPY" + version + size + header + data


def archive(path: Path, members: dict[str, bytes], compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as out:
        for name, data in members.items():
            out.writestr(name, data)
    return path


def good(**changed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(npz(GOOD))) as whole:
        return {name: whole.read(name) for name in whole.namelist()} | {f"{k}.npy": v for k, v in changed.items()}


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (member("(1 << 40, 2)"), "cannot read"),
        (member("(1099511627776, 2)"), r"claims at of shape \(1099511627776, 2\), but its bytes do not have that size"),
        (member("(0, 1099511627776)"), "but its bytes do not have that size"),
        (member("(-3, 2)"), "but its bytes do not have that size"),
        (member("(3, 2)", bytes(47)), "but its bytes do not have that size"),
        (member("(3, 2)", bytes(49)), "but its bytes do not have that size"),
        (member("(3, 2)", b"cos\nsystem\n", "'|O'"), "has at of type object"),
        (member("(3, 2)", bytes(48), "[('a', '<f8')]"), r"has at of type \["),
        (member("(3, 2)", bytes(48), "'<U0'"), "has at of type"),
        (member("(3, 2)", bytes(48), version=b"\x03\x00"), "version 3.0 of numpy's format"),
        (member("(" * 5000), "cannot read"),
        (member("(3, 2)" + " " * 20_000, bytes(48)), "cannot read"),
        (b"", "cannot read"),
        (b"\x93NUMPY\x01\x00\xff\xff", "cannot read"),
        (b"a text", "cannot read"),
    ],
)
def test_what_a_header_claims_is_held_against_the_bytes(tmp_path: Path, data: bytes, words: str) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(InputError, match=words) as caught:
            read(archive(tmp_path / "file.npz", good(at=data)))
        assert tracemalloc.get_traced_memory()[1] < 20 << 20
    finally:
        tracemalloc.stop()
    assert "\n" not in str(caught.value)
    assert str(caught.value).endswith(AGAIN)


def test_archives_of_other_kinds_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="a compression other than deflate"):
        read(archive(tmp_path / "bz2.npz", good(), zipfile.ZIP_BZIP2))
    assert read(archive(tmp_path / "stored.npz", good(), zipfile.ZIP_STORED))
    whole = saved(tmp_path).read_bytes()
    with zipfile.ZipFile(tmp_path / "twice.npz", "w") as out:
        out.writestr("at.npy", good()["at.npy"])
        with pytest.warns(UserWarning, match="Duplicate"):
            out.writestr("at.npy", good()["at.npy"])
    with pytest.raises(InputError, match="two arrays with the same name"):
        read(tmp_path / "twice.npz")
    for cut in (0, 10, 60, len(whole) // 2, len(whole) - 1):
        (tmp_path / "cut.npz").write_bytes(whole[:cut])
        with pytest.raises(InputError, match="cannot read"):
            read(tmp_path / "cut.npz")
    np.save(tmp_path / "one.npy", np.zeros(3))
    with pytest.raises(InputError, match=r"cannot read .* as arrays"):
        read(tmp_path / "one.npy")


def test_a_file_that_is_small_may_not_claim_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arrays, "LARGEST_ARRAYS", 10_000)
    with pytest.raises(InputError, match=r"claims arrays of .* bytes, and at most 10,000 are read"):
        read(saved(tmp_path, at=np.zeros((3000, 2)), words=np.full(3000, "a")))
    assert read(saved(tmp_path, other=np.zeros(10**6)))  # what is not asked for takes no memory
    monkeypatch.setattr(arrays, "MOST_MEMBERS", 5)
    with pytest.raises(InputError, match="more than 5 arrays"):
        read(saved(tmp_path, **{f"a{i}": np.zeros(1) for i in range(4)}))
    monkeypatch.setattr(arrays, "LARGEST_FILE", 100)
    with pytest.raises(InputError, match="more than 100 bytes"):
        read(saved(tmp_path))


@settings(max_examples=150)
@given(st.data())
def test_a_flipped_byte_is_refused_or_harmless(data: st.DataObject) -> None:
    whole = npz({**GOOD, "seen": np.array([True]), "name": np.array("x")})
    raw = bytearray(whole)
    for _ in range(data.draw(st.integers(1, 3))):
        raw[data.draw(st.integers(0, len(raw) - 1))] ^= data.draw(st.integers(1, 255))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "file.npz")
        path.write_bytes(raw)
        try:
            found = read(path)
        except InputError:
            return
    for name in GOOD:  # flips in what the archive says of its members beside the data, such as their dates
        assert np.array_equal(found[name], GOOD[name])
