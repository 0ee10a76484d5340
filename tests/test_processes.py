"""Several processes train as one process does that accumulates their parts, and can be stopped and killed like it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest
import torch
from in_processes import (
    OPTIONS,
    STEPS,
    drifting,
    failing,
    killed,
    killed_first,
    one,
    silent,
    start,
    stop_and_go_on,
    train_all,
    trainer,
)
from safetensors.torch import load_file
from tiny_runs import tree

from worldbench.records.lines import Line, TrainLine
from worldbench.training import checkpoint, parallel, training_log


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(checkpoint.weights_path(folder, STEPS))


def logged(folder: Path) -> list[Line]:
    return [line for _, line in training_log.lines((folder / "metrics.jsonl").read_bytes())]


def assert_close(a: Path, b: Path, most: float = 1e-6) -> None:
    ours, theirs = weights(a), weights(b)
    assert ours.keys() == theirs.keys()
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=most, rtol=1e-6, msg=lambda m, n=name: f"{n}: {m}")
    for mine, other in zip(logged(a), logged(b), strict=True):
        assert flat(mine) == pytest.approx(flat(other), rel=1e-5)


def flat(line: Line) -> list[float]:
    """The numbers of a line."""
    losses = list(line.loss.values()) if isinstance(line, TrainLine) else [line.loss]
    return [float(line.step), *(float(value) for value in losses if value is not None)]


@pytest.mark.slow
@pytest.mark.parametrize("size", [2, 3])
def test_processes_equal_accumulated_parts(size: int, tmp_path: Path) -> None:
    """Of every objective; the rows of a step are split into the same parts."""
    for name, options in OPTIONS.items():  # first, so that the processes need not import again
        trainer(name, tmp_path / "one", accumulate=size * options.get("accumulate", 1)).train()
    assert start(train_all, tmp_path / "many", size) == [(0, "")] * size
    for name in OPTIONS:
        # Three sums are added in another order, and Muon divides by the size of a gradient.
        assert_close(tmp_path / "many" / name, tmp_path / "one" / name, 1e-5 if size > 2 and "muon" in name else 1e-6)


@pytest.mark.slow
def test_all_stop_when_one_is_asked_to_and_go_on_to_the_same_bytes(tmp_path: Path) -> None:
    assert start(stop_and_go_on, tmp_path) == [(0, "")] * 2
    assert tree(tmp_path / "parts") == tree(tmp_path / "whole")


@pytest.mark.slow
def test_a_killed_process_stops_the_others_with_the_state_saved(tmp_path: Path) -> None:
    (code, said), (theirs, _) = start(killed, tmp_path / "killed")
    assert (code, theirs) == (1, 9)
    assert said == (
        "Lost: another of the 2 processes ended or does not answer; after step 4 of 6, all saved; the same command "
        "goes on from there"
    )
    assert checkpoint.state_path(tmp_path / "killed/nextlat").exists()
    assert start(one, tmp_path / "killed") == [(0, "")] * 2
    assert start(one, tmp_path / "whole") == [(0, "")] * 2
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")


def test_the_reason_of_another_process_is_known(tmp_path: Path) -> None:
    (code, said), (theirs, _) = start(failing, tmp_path)
    assert (code, theirs) == (1, 1)
    assert "Lost: process 1 of 2 failed: KeyError: 'cheese'; after step 4 of 6, all saved" in said


def test_processes_with_other_settings_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IDENTITY_OF_RANK_1", "two")
    (code, said), (theirs, _) = start(one, tmp_path)
    assert (code, theirs) == (1, 1)
    assert "the training identity is two in process 1 and one in process 0, so their weights would differ" in said
    assert not list(tmp_path.iterdir())


def test_a_process_that_fails_before_training_gives_the_reason(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FAILURE_OF_RANK_1", "there is no map 'a.csv'")
    (code, said), (theirs, _) = start(one, tmp_path)
    assert (code, theirs) == (1, 1)
    assert said == "RunError: process 1 of 2 failed: there is no map 'a.csv'"


@pytest.mark.slow
def test_a_killed_first_process_loses_only_what_came_after_the_saved_state(tmp_path: Path) -> None:
    (code, _), (theirs, said) = start(killed_first, tmp_path / "killed")
    assert (code, theirs) == (9, 1)
    assert said.startswith("Lost: another of the 2 processes ended")
    assert start(one, tmp_path / "killed") == [(0, "")] * 2
    assert start(one, tmp_path / "whole") == [(0, "")] * 2
    assert tree(tmp_path / "killed") == tree(tmp_path / "whole")


@pytest.mark.slow
def test_a_process_that_does_not_answer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parallel, "PATIENCE", timedelta(seconds=1.5))
    (code, said), (theirs, _) = start(silent, tmp_path)
    assert (code, theirs) == (1, 1)
    assert said.startswith("Lost: another of the 2 processes ended or does not answer; after step 4 of 6, all saved")


def test_weights_that_drift_apart_are_noticed(tmp_path: Path) -> None:
    (code, said), (theirs, _) = start(drifting, tmp_path)
    assert (code, theirs) == (1, 1)
    assert "the processes no longer hold the same weights after step 6" in said
    assert not list(tmp_path.glob("gpt/checkpoint/step-00000006*"))


@pytest.mark.slow
def test_three_processes_give_the_same_bytes_again(tmp_path: Path) -> None:
    for name in "ab":
        assert start(one, tmp_path / name, 3) == [(0, "")] * 3
    assert tree(tmp_path / "a") == tree(tmp_path / "b")
