"""`torchrun -m worldbench run`: what people see, and what the folder holds."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from tiny_runs import OPTIONS, RUN, SETTINGS, TIMES, call, folder, run, tree

from worldbench.core.errors import InputError
from worldbench.core.process import Launch
from worldbench.runs.config_file import load_job

WHERE = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "29500"}
TORCHRUN = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", "--standalone", "-m", "worldbench"]


def launched(patch: pytest.MonkeyPatch, rank: int, size: int, **more: str) -> None:
    for name, value in ({"RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank)} | WHERE | more).items():
        patch.setenv(name, value)


def test_which_process_this_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert Launch.here() == Launch(0, 1, 0)
    launched(monkeypatch, 1, 3, LOCAL_RANK="0")
    assert Launch.here() == Launch(1, 3, 0)
    monkeypatch.delenv("LOCAL_RANK")
    assert Launch.here() == Launch(1, 3, 1)
    launched(monkeypatch, 0, 1)
    assert Launch.here() == Launch(0, 1, 0)


@pytest.mark.parametrize(
    ("variables", "why"),
    [
        ({"RANK": "2"}, "RANK is 2, and must be 0 to 1"),
        ({"RANK": "-1"}, "RANK must be a whole number from 0, not '-1'"),
        ({"WORLD_SIZE": "two"}, "WORLD_SIZE must be a whole number from 1, not 'two'"),
        ({"MASTER_PORT": ""}, "MASTER_PORT must be set too; start the processes by torchrun"),
    ],
)
def test_variables_that_cannot_be(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], why: str) -> None:
    launched(monkeypatch, 0, 2, **variables)
    with pytest.raises(InputError, match=why):
        Launch.here()
    code, said = call("ls")
    assert (code, said.count("\n")) == (2, 1)
    assert why in said


@pytest.mark.parametrize("rank", [0, 1])
def test_other_verbs_are_refused_by_one_voice(rank: int, monkeypatch: pytest.MonkeyPatch) -> None:
    launched(monkeypatch, rank, 2)
    code, said = call("ls")
    assert code == 2
    sentence = "worldbench ls works in one process, and 2 were started; start it without torchrun"
    assert (sentence in said) if rank == 0 else said == ""


def test_refused_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    code, said = run(tmp_path, "--train.processes", "2")
    assert code == 2
    assert "train.processes is 2, and this command was started with 1 process" in said
    assert "torchrun --nproc-per-node 2 -m worldbench run" in said
    launched(monkeypatch, 0, 8)
    code, said = run(tmp_path)
    assert code == 2
    assert "train.batch 4 has too few rows for 8 parts (train.processes 8" in said
    launched(monkeypatch, 0, 2)
    code, said = call("run", "hmm", "--model", "uniform", "--out", tmp_path)
    assert code == 2
    assert "uniform is not trained, so several processes cannot share the work" in said
    assert not list(tmp_path.iterdir())


# Slow: each process loads everything


def start(out: Path, *more: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*TORCHRUN, *RUN, *SETTINGS, *more, "--out", str(out)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    try:
        printed, said = process.communicate(timeout=200)
    finally:
        process.kill()
    return process.returncode, printed, said


@pytest.mark.slow
def test_a_run_of_two_processes(tmp_path: Path) -> None:
    """Its results are those of one process with two accumulated parts; one process speaks; it can be scored again."""
    code, printed, said = finish(start(tmp_path / "two"))
    assert code == 0, said
    assert printed.count("gpt in hmm, seed 0") == 1
    assert said.count("training gpt: ") == 1
    assert "2 processes of 1 thread" in said
    assert run(tmp_path / "one", "--train.accumulate", "2")[0] == 0
    two, one = folder(tmp_path / "two"), folder(tmp_path / "one")
    assert two.name != one.name
    last = f"checkpoint/step-{OPTIONS['train']['steps']:08d}.safetensors"
    ours, theirs = load_file(two / last), load_file(one / last)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-5, rtol=1e-5)
    config = json.loads((two / "config.json").read_text())
    assert config["groups"]["train"]["processes"] == 2
    assert load_job(two, []).command().startswith("torchrun --nproc-per-node 2 -m worldbench run hmm --model gpt ")
    before = tree(two)
    assert finish(start(tmp_path / "two"))[0] == 0
    assert tree(two) == before
    code, said = call("eval", two, "--eval.documents", "10")
    assert code == 0, said


@pytest.mark.long
@pytest.mark.parametrize("how", ["launcher", "killed"])
def test_stopped_and_the_same_command_goes_on(how: str, tmp_path: Path) -> None:
    more = ("--train.steps", "400", "--train.save_every", "0.1")
    assert finish(start(tmp_path / "whole", *more))[0] == 0
    process = start(tmp_path / "parts", *more)
    until = time.monotonic() + 120
    while not list((tmp_path / "parts").glob("*/checkpoint/state.safetensors")) and time.monotonic() < until:
        time.sleep(0.01)
    if how == "launcher":
        process.send_signal(signal.SIGTERM)
    else:
        os.kill(other_process(process.pid), signal.SIGKILL)
    code, _, said = finish(process)
    assert code != 0
    ours = [line for line in said.splitlines() if line.startswith("worldbench: ")]
    assert len(ours) == 1
    assert "of 400, all saved; the same command goes on from there" in ours[0]
    assert ("stopped after step" if how == "launcher" else "another of the 2 processes ended") in ours[0]
    assert "worldbench/training" not in said  # no traceback of ours
    code, _, said = finish(start(tmp_path / "parts", *more))
    assert code == 0, said
    assert tree(folder(tmp_path / "parts"), TIMES) == tree(folder(tmp_path / "whole"), TIMES)


@pytest.mark.slow
@pytest.mark.gpu
@pytest.mark.skipif(torch.cuda.device_count() < 2, reason="torch sees fewer than two CUDA devices")
def test_two_graphics_cards(tmp_path: Path) -> None:
    """Through NCCL: the same bits again, and the weights of one card that accumulates two parts."""
    more = ("--train.device", "cuda")
    for name in "ab":
        code, _, said = finish(start(tmp_path / name, *more))
        assert code == 0, said
    assert tree(folder(tmp_path / "a")) == tree(folder(tmp_path / "b"))
    assert run(tmp_path / "one", *more, "--train.accumulate", "2")[0] == 0
    last = f"checkpoint/step-{OPTIONS['train']['steps']:08d}.safetensors"
    ours, theirs = load_file(folder(tmp_path / "a") / last), load_file(folder(tmp_path / "one") / last)
    for name, tensor in ours.items():
        torch.testing.assert_close(tensor, theirs[name], atol=1e-5, rtol=1e-5)


def other_process(launcher: int) -> int:
    """The process with rank 1 that torchrun started."""
    for child in Path(f"/proc/{launcher}/task/{launcher}/children").read_text().split():
        if b"\0RANK=1\0" in b"\0" + Path(f"/proc/{child}/environ").read_bytes():
            return int(child)
    raise AssertionError("torchrun has no process of rank 1")
