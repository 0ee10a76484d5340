"""Starts several processes that train together, as torchrun does, and what they do."""

from __future__ import annotations

import functools
import multiprocessing
import os
import socket
import time
from collections.abc import Callable
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed  # here, and not in each process
from tiny_jobs import job

from worldbench.core.errors import InputError, Interrupted
from worldbench.core.process import Launch
from worldbench.core.registry import models
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.runs.prepared import identify
from worldbench.runs.weights import build
from worldbench.settings.train import TrainConfig
from worldbench.training import checkpoint
from worldbench.training.parallel import ALONE, Several, Together, several
from worldbench.training.trainer import Trainer

TRAINED = [e.name for e in models if e.trained]
STEPS = 6
OPTIONS: dict[str, dict[str, Any]] = {
    **{model: {} for model in TRAINED},
    "gpt-muon": {"optimizer": "muon"},
    "gpt-accumulate": {"accumulate": 2},
    "gpt-documents": {"row_tokens": 0},
}
"""Name of a training -> options of training. The name begins with the model."""


def start(work: Callable[[Path, Several], None], folder: Path, size: int = 2) -> list[tuple[int, str]]:
    """Fork `size` processes that do a work. Returns the exit code and the error of each ("": none)."""
    port, fork = free_port(), multiprocessing.get_context("fork")
    pipes = [fork.Pipe(duplex=False) for _ in range(size)]
    running = [
        fork.Process(target=_child, args=(work, folder, variables(rank, size, port), theirs))
        for rank, (_, theirs) in enumerate(pipes)
    ]
    try:
        for process in running:
            process.start()
        for process in running:
            process.join(90)
        errors = [ours.recv() if ours.poll() else "" for ours, _ in pipes]
    finally:
        for process in running:
            process.kill()
    return [(process.exitcode or 0, error) for process, error in zip(running, errors)]


def _child(work: Callable[[Path, Several], None], folder: Path, where: dict[str, str], said: Connection) -> None:
    os.environ |= where
    try:
        with several(Launch.here()) as processes:
            if reason := os.environ.get(f"FAILURE_OF_RANK_{processes.rank}"):
                raise InputError(reason)
            processes.join(
                TrainConfig(device="cpu", products="torch"),
                os.environ.get("IDENTITY_OF_RANK_" + os.environ["RANK"], "one"),
            )
            work(folder, processes)
    except BaseException as error:
        said.send(f"{type(error).__name__}: {error}")
        os._exit(1)
    os._exit(0)


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def variables(rank: int, size: int, port: int) -> dict[str, str]:
    """The environment variables that torchrun sets."""
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    return {"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)} | where


def trainer(name: str, folder: Path, together: Together = ALONE, **options: Any) -> Trainer:
    """A small training of the objective that the name begins with, in a folder of its own."""
    model = name.partition("-")[0] if name not in TRAINED else name
    values = {"steps": STEPS, "log_every": 1, "processes": together.size, **OPTIONS[name], **options}
    j = job(model, changes={"train": values, "data": {"documents": 40}})
    world = TaxiWorld(j.groups["env"])
    if together.leads:
        (folder / name).mkdir(parents=True, exist_ok=True)
    return Trainer(
        world, build(identify(j, world)), j.groups["data"], j.groups["train"], 0, folder / name, together=together
    )


def stopping(made: Trainer, at: int, act: Any) -> Trainer:
    """The trainer, with an act before it does step `at`."""
    real = made.step

    def step(number: int) -> Any:
        if number == at:
            act()
        return real(number)

    made.step = step  # type: ignore[method-assign]
    return made


def train_all(folder: Path, t: Several) -> None:
    for name in OPTIONS:
        trainer(name, folder, t).train()


def stop_and_go_on(folder: Path, t: Several) -> None:
    """Process 1 alone is asked to stop; all do, and then go on."""
    for name in ("nextlat", "gpt-muon"):
        trainer(name, folder / "whole", t).train()
        first = trainer(name, folder / "parts", t)
        if t.rank == 1:
            stopping(first, 2, functools.partial(setattr, first, "interrupted", True))
        with pytest.raises(Interrupted, match="stopped after step 3 of 6, all saved"):
            first.train()
        assert not t.leads or checkpoint.state_path(folder / "parts" / name).exists()
        trainer(name, folder / "parts", t).train()


def one(folder: Path, t: Several) -> None:
    trainer("nextlat", folder, t).train()


def killed(folder: Path, t: Several) -> None:
    stopping(trainer("nextlat", folder, t), 4, lambda: t.rank == 1 and os._exit(9)).train()


def failing(folder: Path, t: Several) -> None:
    stopping(trainer("nextlat", folder, t), 4, lambda: t.rank == 1 and {}["cheese"]).train()


def killed_first(folder: Path, t: Several) -> None:
    stopping(trainer("nextlat", folder, t, save_every=0.0), 4, lambda: t.rank == 0 and os._exit(9)).train()


def silent(folder: Path, t: Several) -> None:
    stopping(trainer("nextlat", folder, t), 4, lambda: t.rank == 1 and time.sleep(4)).train()


def drifting(folder: Path, t: Several) -> None:
    made = trainer("gpt", folder, t)

    def drift() -> None:
        with torch.no_grad():
            next(made.objective.parameters()).flatten()[0] += 1e-6 * t.rank

    stopping(made, 4, drift).train()
