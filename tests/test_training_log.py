"""metrics.jsonl while training writes it: where it goes on, what is cut off, and which lines are lines of it."""

from __future__ import annotations

from pathlib import Path

import pytest

from worldbench.core.errors import InputError, RunError
from worldbench.records.lines import EvalLine
from worldbench.training import training_log
from worldbench.training.training_log import Prefix


def line(step: int) -> EvalLine:
    return EvalLine(step=step, loss=0.5)


def written(*steps: int) -> bytes:
    return b"".join(b'{"kind": "eval", "step": %d, "loss": 0.5}\n' % step for step in steps)


def test_a_log_goes_on_where_a_prefix_ends(tmp_path: Path) -> None:
    path, state = tmp_path / "metrics.jsonl", tmp_path / "state"
    with training_log.started(path) as log:
        log.write(line(1))
        prefix = log.flush()
        log.write(line(2))
    assert prefix == Prefix.of(written(1))
    for _ in range(2):
        with training_log.resumed(path, prefix, state) as log:
            log.write(line(3))
            assert log.flush() == Prefix.of(path.read_bytes())
            assert log.curve == training_log.digest_of(path.read_bytes().splitlines(keepends=True))
        assert path.read_bytes() == written(1, 3)
    with training_log.started(path):
        assert path.read_bytes() == b""
    with (
        pytest.raises(RunError, match=r"is not what training had written .*cut or changed"),
        training_log.resumed(path, prefix, state),
    ):
        pass


def test_a_log_follows_no_link(tmp_path: Path) -> None:
    (tmp_path / "victim").write_text("mine")
    path = tmp_path / "metrics.jsonl"
    path.symlink_to("victim")
    with pytest.raises(RunError, match="cannot write"), training_log.resumed(path, Prefix.of(b""), tmp_path / "state"):
        pass
    with training_log.started(path) as log:
        log.write(line(1))
    assert (tmp_path / "victim").read_text() == "mine"


@pytest.mark.parametrize("length", [-5, 2**62])
def test_a_prefix_of_a_length_that_no_file_has(length: int, tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_bytes(b"x")
    assert Prefix(length, "").read(path) is None
    with pytest.raises(InputError):
        Prefix(length, "").read(tmp_path / "absent")


BAD = (
    b"",
    b"1",
    b"{}",
    b'{"kind": "train", "st',
    b'{"kind": "eval", "step": "1", "loss": 1.0}',
    b'{"kind": "other", "step": 1}',
    b"\xff",
    b"[" * 10_000,
)


@pytest.mark.parametrize("bad", BAD)
def test_lines_end_at_the_first_that_is_none(bad: bytes) -> None:
    good = b'{"kind": "train", "step": 1, "loss": {"a": null}, "learning_rate": 0.1}\n'
    assert [found.step for _, found in training_log.lines(good + bad + b"\n" + good)] == [1]
