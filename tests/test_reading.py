"""Reading a file that may be anything: a regular file of a bounded size is read, everything else is refused in a
sentence, at once.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path

import pytest

from worldbench.core.errors import InputError
from worldbench.core.files import read_json, read_regular, read_text


def test_the_bytes_and_the_limit(tmp_path: Path) -> None:
    path = tmp_path / "file"
    for content in (b"", b"a", bytes(range(256)) * 5):
        path.write_bytes(content)
        assert read_regular(path) == content
        assert read_regular(path, limit=len(content)) == content
    with pytest.raises(InputError, match=r"'.*file' holds more than 1,279 bytes.*check that it is the right file"):
        read_regular(path, limit=1279)


def test_a_link_to_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"there")
    (tmp_path / "link").symlink_to("file")
    assert read_regular(tmp_path / "link") == b"there"
    (tmp_path / "loose").symlink_to("nowhere")
    with pytest.raises(InputError, match=r"cannot read '.*loose' \(No such file"):
        read_regular(tmp_path / "loose")
    (tmp_path / "ring").symlink_to("ring")
    with pytest.raises(InputError, match=r"cannot read '.*ring'"):
        read_regular(tmp_path / "ring")


def test_what_is_no_regular_file_is_refused_at_once(tmp_path: Path) -> None:
    """A test that waits for a writer of the FIFO would never end."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "link").symlink_to("fifo")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "socket"))
    kinds = {tmp_path: "a folder", Path("/dev/zero"): "a device"}
    kinds |= {tmp_path / "fifo": "a named pipe", tmp_path / "link": "a named pipe", tmp_path / "socket": "a socket"}
    for path, kind in kinds.items():
        with pytest.raises(InputError, match=f"is {kind}, not a regular file"):
            read_regular(path)


def test_a_fifo_that_takes_the_place_of_a_file_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between the look at the path and its opening."""
    os.mkfifo(tmp_path / "fifo")
    (tmp_path / "file").write_bytes(b"")
    real, regular = os.stat, os.stat(tmp_path / "file")
    monkeypatch.setattr(os, "stat", lambda path, **more: regular if path == tmp_path / "fifo" else real(path, **more))
    assert stat.S_ISREG(os.stat(tmp_path / "fifo").st_mode)
    with pytest.raises(InputError, match="is a named pipe, not a regular file"):
        read_regular(tmp_path / "fifo")


@pytest.mark.parametrize("name", ["a\0b", "half\ud800", "no/such", "x" * 5000])
def test_names_that_no_file_has(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot read"):
        read_regular(tmp_path / name)


def test_text(tmp_path: Path) -> None:
    path = tmp_path / "text"
    path.write_bytes("\ufeffé\r\nb\rc\n".encode())
    assert read_text(path) == "é\nb\nc\n"
    path.write_bytes(b"ab\xff")
    with pytest.raises(InputError, match=r"is not UTF-8 text \(byte 0xff at 2\)"):
        read_text(path)


def test_json(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text('\ufeff{"a": [1]}', encoding="utf-8")
    assert read_json(path) == {"a": [1]}
    path.write_text('["\\ud83d\\ude95", "\\\\ud800"]', encoding="utf-8")
    assert read_json(path) == ["🚕", "\\ud800"]
    for text, words in (
        ("{", "is not JSON"),
        ("[" * 200_000, "is not JSON"),
        ("9" * 5000, "is not JSON"),
        ("", "is not JSON"),
        ('["\\uD83D"]', "half a character"),
        ('{"\\udc00 \\ud800": 1}', "half a character"),
    ):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(InputError, match=words):
            read_json(path)
    path.write_text("9" * 5000, encoding="utf-8")
    with pytest.raises(InputError, match=r"^'.*x\.json' holds more than 4,000 bytes"):
        read_json(path, limit=4000)
