"""Checkpoints that are not what was saved: every kind of damage is refused in a sentence before anything of the file is
used.
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load, save
from shared_cases import CASES
from torch import nn

from worldbench.core.errors import RunError
from worldbench.training import checkpoint
from worldbench.training.checkpoint import About, Damaged
from worldbench.training.training_log import Prefix

LOG = Prefix.of(b"")
RUN_FILES = CASES / "run-files"


class Tiny(nn.Module):
    """A matrix, a vector that never has a gradient, and a buffer of another type."""

    def __init__(self, width: int = 2) -> None:
        super().__init__()
        self.matrix = nn.Parameter(torch.arange(2.0 * width).reshape(2, width))
        self.still = nn.Parameter(torch.ones(3))
        self.register_buffer("count", torch.tensor(5))


def trained(width: int = 2, *, sgd: bool = False) -> tuple[Tiny, torch.optim.Optimizer]:
    module = Tiny(width)
    optimizer = (
        torch.optim.SGD(module.parameters(), lr=0.1)
        if sgd
        else torch.optim.AdamW(module.parameters(), lr=0.1, fused=True)
    )
    module.matrix.sum().backward()
    optimizer.step()
    return module, optimizer


def save_both(folder: Path, step: int = 7) -> None:
    (folder / "checkpoint").mkdir()
    module, optimizer = trained()
    checkpoint.save_weights(folder, About(step, curve="c"), module)
    checkpoint.save_state(folder, About(step, log=LOG), module, optimizer)


def read_weights(folder: Path, step: int = 7) -> tuple[About, Tiny]:
    module = Tiny()
    return checkpoint.load_weights(checkpoint.weights_path(folder, step), module), module


def read_state(folder: Path) -> tuple[About | None, Tiny]:
    module = Tiny()
    return checkpoint.load_state(folder, module, torch.optim.AdamW(module.parameters(), fused=True)), module


READ: dict[str, Callable[[Path], object]] = {"state": read_state, "step-00000007": read_weights}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    save_both(tmp_path)
    return tmp_path


def test_what_is_saved_is_read(folder: Path) -> None:
    module, optimizer = trained()
    about, again = read_weights(folder)
    assert (about.step, about.curve, about.log) == (7, "c", None)
    assert all(torch.equal(a, b) for a, b in zip(module.state_dict().values(), again.state_dict().values()))
    assert checkpoint.read_about(checkpoint.weights_path(folder, 7)) == about
    for sgd in (False, True):
        module, optimizer = trained(sgd=sgd)
        checkpoint.save_state(folder, About(3, log=LOG), module, optimizer)
        again, other = Tiny(), trained(sgd=sgd)[1]
        other = type(other)(again.parameters(), lr=0.1, **({} if sgd else {"fused": True}))
        state = checkpoint.load_state(folder, again, other)
        assert state is not None
        assert (state.step, state.log) == (3, LOG)
        assert torch.equal(module.matrix, again.matrix)
        for p, q in zip(module.parameters(), again.parameters()):
            assert optimizer.state.get(p, {}).keys() == other.state.get(q, {}).keys()
            assert all(torch.equal(value, other.state[q][key]) for key, value in optimizer.state.get(p, {}).items())
    assert not (sgd and other.state)


def test_the_same_weights_are_the_same_bytes(folder: Path) -> None:
    path = checkpoint.weights_path(folder, 7)
    before = path.read_bytes()
    for _ in range(5):
        checkpoint.save_weights(folder, About(7, curve="c"), trained()[0])
        assert path.read_bytes() == before


def test_nothing_saved_is_nothing_to_go_on_from(tmp_path: Path) -> None:
    assert read_state(tmp_path)[0] is None


@pytest.mark.parametrize("name", READ)
def test_a_flipped_bit_is_noticed_wherever_it_is(name: str, folder: Path) -> None:
    path = folder / "checkpoint" / f"{name}.safetensors"
    whole = path.read_bytes()
    for at in range(0, len(whole), 1 + 2 * (name == "state")):
        raw = bytearray(whole)
        raw[at] ^= 1 << (at % 8)
        path.write_bytes(raw)
        with pytest.raises(
            Damaged, match=rf"{name}\.safetensors' is damaged .*delete it and run the same command again"
        ):
            READ[name](folder)


@pytest.mark.parametrize("name", READ)
def test_a_cut_or_longer_file_is_noticed(name: str, folder: Path) -> None:
    path = folder / "checkpoint" / f"{name}.safetensors"
    whole = path.read_bytes()
    for raw in (*(whole[:n] for n in range(0, len(whole), 7)), whole[:-1], whole + b"\0", whole * 2):
        path.write_bytes(raw)
        with pytest.raises(Damaged, match="is damaged"):
            READ[name](folder)


@pytest.mark.parametrize("name", READ)
def test_no_part_of_a_damaged_file_is_used(name: str, folder: Path) -> None:
    path = folder / "checkpoint" / f"{name}.safetensors"
    raw = bytearray(path.read_bytes())
    raw[-1] ^= 1
    path.write_bytes(raw)
    module = Tiny()
    optimizer = torch.optim.AdamW(module.parameters())
    with pytest.raises(Damaged):
        checkpoint.load_state(folder, module, optimizer) if name == "state" else checkpoint.load_weights(path, module)
    assert torch.equal(module.matrix, Tiny().matrix)
    assert not optimizer.state


def test_weights_of_another_step(folder: Path) -> None:
    checkpoint.weights_path(folder, 7).rename(checkpoint.weights_path(folder, 8))
    with pytest.raises(Damaged, match="it holds weights of step 7"):
        read_weights(folder, 8)


def without(tensors: dict[str, torch.Tensor], *names: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in tensors.items() if name not in names}


MATRIX, WEIGHTS, STATE = torch.ones(2, 2), "step-00000007", "state"
BROKEN = "holds values that are not numbers"
NAN, INF = torch.nan, torch.inf
Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]
CHANGES: dict[str, tuple[str, Change, str]] = {
    "a missing weight": (WEIGHTS, lambda t: without(t, "still"), "it lacks 'still'"),
    "another weight": (WEIGHTS, lambda t: {**t, "more": MATRIX}, "it holds 'more', which this model does not have"),
    "another shape": (WEIGHTS, lambda t: {**t, "still": torch.ones(5)}, "'still' is float32 [5], not float32 [3]"),
    "another order": (WEIGHTS, lambda t: {**t, "still": torch.ones(1, 3)}, "'still' is float32 [1, 3], not"),
    "another type": (WEIGHTS, lambda t: {**t, "matrix": MATRIX.half()}, "'matrix' is float16 [2, 2], not float32"),
    "not a number": (WEIGHTS, lambda t: {**t, "matrix": MATRIX * NAN}, f"'matrix' {BROKEN}"),
    "infinite": (WEIGHTS, lambda t: {**t, "matrix": MATRIX * INF}, f"'matrix' {BROKEN}"),
    "one moment of three": (STATE, lambda t: {**t, "exp_avg.still": torch.ones(3)}, "it lacks 'exp_avg_sq.still'"),
    "a missing moment": (STATE, lambda t: without(t, "exp_avg_sq.matrix"), "it lacks 'exp_avg_sq.matrix'"),
    "a missing count of steps": (STATE, lambda t: without(t, "step.matrix"), "it lacks 'step.matrix'"),
    "a missing weight of a state": (STATE, lambda t: without(t, "weights.matrix"), "it lacks 'weights.matrix'"),
    "a moment of nothing": (STATE, lambda t: {**t, "exp_avg.more": MATRIX}, "it holds 'exp_avg.more'"),
    "a moment too short": (STATE, lambda t: {**t, "exp_avg.matrix": MATRIX[0]}, "'exp_avg.matrix' is float32 [2]"),
    "a moment not a number": (STATE, lambda t: {**t, "exp_avg.matrix": MATRIX * NAN}, f"'exp_avg.matrix' {BROKEN}"),
}


@pytest.mark.parametrize("kind", CHANGES)
def test_tensors_that_do_not_fit(kind: str, folder: Path) -> None:
    """With a digest that agrees: as if another model, or another program, had saved them."""
    name, change, words = CHANGES[kind]
    path = folder / "checkpoint" / f"{name}.safetensors"
    checkpoint._write(path, change(load(path.read_bytes())), About(7, curve="c", log=LOG))
    with pytest.raises(Damaged, match=re.escape(words)):
        READ[name](folder)


def test_a_state_of_another_optimizer(folder: Path) -> None:
    """Moments where plain gradient descent has none."""
    module = Tiny()
    with pytest.raises(Damaged, match="which this model does not have"):
        checkpoint.load_state(folder, module, torch.optim.SGD(module.parameters(), lr=0.1))


def test_files_of_older_versions(folder: Path) -> None:
    """Weights without a digest are checked as far as they can be; a state says too little to go on from."""
    path, state = checkpoint.weights_path(folder, 7), checkpoint.state_path(folder)
    tensors = load(path.read_bytes())
    path.write_bytes(save(tensors, {"step": "7"}))
    assert read_weights(folder)[0] == About(7)
    path.write_bytes(save(tensors, {"step": "8"}))
    with pytest.raises(Damaged, match="weights of step 8"):
        read_weights(folder)
    state.write_bytes(save(load(state.read_bytes()), {"step": "7"}))
    with pytest.raises(
        Damaged, match=r"an older worldbench saved it, without a digest.*which then trains from the first step on"
    ):
        read_state(folder)


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        {},
        {"step": "x"},
        {"worldbench": "{}"},
        {"worldbench": "1"},
        {"worldbench": '{"step": "7"}'},
        {"other": "7"},
    ],
)
def test_metadata_of_others(metadata: dict[str, str] | None, folder: Path) -> None:
    path = checkpoint.weights_path(folder, 7)
    path.write_bytes(save(load(path.read_bytes()), metadata))
    with pytest.raises(Damaged, match="its metadata do not say what it holds"):
        read_weights(folder)
    with pytest.raises(Damaged, match="its metadata do not say what it holds"):
        checkpoint.read_about(path)


def header(text: bytes, size: int | None = None) -> bytes:
    return struct.pack("<Q", len(text) if size is None else size) + text


HEADERS = (
    b"",
    b"\0" * 7,
    header(b"", 2**63),
    header(b"{}", 1 << 30),
    header(b"{"),
    header(b"[]"),
    header(b"1"),
    header(b"\xff\xff"),
    header(b"[" * 100_000),
    header(b'{"a":' * 50_000),
    header(b'{"__metadata__":1}'),
    header(b'{"__metadata__":{"step":7}}'),
    header(b'{"__metadata__":{"step":"7"},"matrix":1}'),
)


@pytest.mark.parametrize("raw", HEADERS, ids=range(len(HEADERS)))
def test_headers_of_others(raw: bytes, folder: Path) -> None:
    path = checkpoint.weights_path(folder, 7)
    path.write_bytes(raw)
    with pytest.raises(Damaged, match="is damaged"):
        read_weights(folder)


def test_regular_files_alone_of_a_bounded_size(folder: Path) -> None:
    path = checkpoint.weights_path(folder, 7)
    with path.open("r+b") as file:
        file.truncate(1 << 40)  # without blocks on the disk
    with pytest.raises(Damaged, match="holds more than"):
        read_weights(folder)
    path.unlink()
    for make in (os.mkfifo, os.mkdir):
        make(path)
        with pytest.raises(Damaged, match="not a regular file"):
            read_weights(folder)
        with pytest.raises(Damaged, match="not a regular file"):
            checkpoint.read_about(path)
        path.unlink() if path.is_fifo() else path.rmdir()
    with pytest.raises(RunError, match="cannot read"):
        read_weights(folder)


def test_steps_that_are_kept(tmp_path: Path) -> None:
    assert checkpoint.kept_steps(tmp_path) == []
    odd = {
        "step-",
        "step-x",
        "step--0000001",
        "step-1",
        "step-00000001x",
        "step-0000000²",
        "step-00000003 (copy)",
        "step-" + "9" * 40,
        "other",
    }
    if RUN_FILES.is_dir():
        odd |= {path.read_text(encoding="utf-8").strip() for path in RUN_FILES.glob("kept-steps-*.txt")}
    (tmp_path / "checkpoint").mkdir()
    for name in odd | {"step-00000012", "step-00000003", "step-123456789"}:
        (tmp_path / "checkpoint" / f"{name}.safetensors").touch()
    (tmp_path / "checkpoint" / ".step-00000004.safetensors.part").touch()
    assert checkpoint.kept_steps(tmp_path) == [3, 12, 123456789]
