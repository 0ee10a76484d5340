"""Batches that a thread makes one step ahead: the same bits, errors in their place, nothing beside other work."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest
from tiny_jobs import job
from torch import Tensor

from worldbench.baselines.batch import Batch
from worldbench.core.errors import Interrupted, RunError
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.runs.prepared import identify
from worldbench.runs.weights import build
from worldbench.training.ahead import Ahead
from worldbench.training.trainer import Trainer


def test_values_come_from_the_thread() -> None:
    seen: list[tuple[int, str]] = []

    def make(step: int) -> int:
        seen.append((step, threading.current_thread().name.rsplit("_", 1)[0]))
        return step * 10

    ahead, main = Ahead(make), threading.current_thread().name
    assert ahead.take(3) == 30
    with ahead.beside(4):
        pass
    assert ahead.take(4) == 40
    with ahead.beside(None):
        pass
    assert ahead.take(5) == 50
    with ahead.beside(6):
        pass
    assert ahead.take(9) == 90  # another step than the one made ahead
    assert ahead.take(6) == 60
    ahead.close()
    assert ahead.take(7) == 70
    thread = "worldbench-batches"
    assert seen == [(3, main), (4, thread), (5, main), (6, thread), (9, main), (6, main), (7, main)]


def test_the_block_runs_beside_the_thread_and_ends_after_it() -> None:
    begun, done = threading.Event(), []

    def make(step: int) -> int:
        assert begun.wait(10)  # only the block sets it: the two run at the same time
        time.sleep(0.02)
        done.append(step)
        return step

    ahead = Ahead(make)
    with ahead.beside(1):
        begun.set()
    assert done == [1]
    ahead.close()
    assert not any("worldbench-batches" in t.name for t in threading.enumerate())


def test_an_error_of_the_thread_belongs_to_its_step() -> None:
    """The step before ends as usual, and an error of this step is not hidden by one of the next."""

    def make(step: int) -> int:
        raise RunError(f"no batch {step}")

    ahead = Ahead(make)
    with ahead.beside(1):
        pass
    with pytest.raises(RunError, match="no batch 1"):
        ahead.take(1)
    with pytest.raises(RunError, match="the step"), ahead.beside(2):
        raise RunError("the step")
    ahead.close()


# Training


def trainer(folder: Path, model: str, ahead: bool) -> Trainer:
    options = {"steps": 5, "accumulate": 2, "log_every": 1, "threads": 1}
    j = job(model, changes={"train": options, "data": {"documents": 40}})
    world = TaxiWorld(j.groups["env"])
    folder.mkdir(exist_ok=True)
    made = Trainer(world, build(identify(j, world)), j.groups["data"], j.groups["train"], 0, folder)
    made.ahead = ahead
    return made


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("model", ["nextlat", pytest.param("bst", marks=pytest.mark.slow), "gru"])
def test_training_gives_the_same_bytes(tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whole, and stopped after a step and continued; the number of tokens too."""
    plain = trainer(tmp_path / "plain", model, ahead=False)
    plain.train()
    threads: list[str] = []
    real = Trainer.batches

    def batches(self: Trainer, step: int) -> list[Batch]:
        threads.append(threading.current_thread().name)
        return real(self, step)

    monkeypatch.setattr(Trainer, "batches", batches)
    whole = trainer(tmp_path / "whole", model, ahead=True)
    whole.train()
    assert [name.startswith("worldbench-batches") for name in threads] == [False, True, True, True, True]
    assert whole.tokens == plain.tokens
    assert bytes_of(tmp_path / "whole") == bytes_of(tmp_path / "plain")
    first = trainer(tmp_path / "parts", model, ahead=True)
    step = first.step

    def stopping(number: int) -> dict[str, Tensor]:
        first.interrupted = number == 2
        return step(number)

    monkeypatch.setattr(first, "step", stopping)
    with pytest.raises(Interrupted, match="stopped after step 3 of 5"):
        first.train()
    trainer(tmp_path / "parts", model, ahead=True).train()
    assert bytes_of(tmp_path / "parts") == bytes_of(tmp_path / "plain")
    assert not any("worldbench-batches" in t.name for t in threading.enumerate())


def test_an_error_of_a_batch_ends_training_after_the_step_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = Trainer.batches

    def batches(self: Trainer, step: int) -> list[Batch]:
        if step == 2:
            raise RunError("the world draws no third batch")
        return real(self, step)

    monkeypatch.setattr(Trainer, "batches", batches)
    logs = []
    for ahead in (False, True):
        folder = tmp_path / str(ahead)
        with pytest.raises(RunError, match="the world draws no third batch"):
            trainer(folder, "gpt", ahead).train()
        logs.append((folder / "metrics.jsonl").read_bytes())
    assert logs[0] == logs[1]
    assert b'"step":2' in logs[0].replace(b" ", b"")
    assert not any("worldbench-batches" in t.name for t in threading.enumerate())
