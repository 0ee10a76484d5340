"""What the last digits depend on: BLAS threads do not matter, and training goes on only where arithmetic rounds
alike."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits
from tiny_jobs import BASE_ENV, job

from worldbench.baselines.references import Oracle
from worldbench.cli.main import main
from worldbench.core.errors import InputError, RunError
from worldbench.core.eval_config import eval_config
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.runs.prepared import identify
from worldbench.runs.scoring import score
from worldbench.runs.weights import build
from worldbench.training import arithmetic
from worldbench.training.trainer import Trainer

SHORT = [
    *("--train.steps", "9", "--train.batch", "4", "--train.curve_documents", "5", "--env.length", "5"),
    *("--train.device", "cpu"),
    *("--model.layers", "1"),
]
SHORT += [
    *("--model.width", "16", "--model.heads", "1", "--eval.metrics", "next_token", "--eval.documents", "5"),
    "--quiet",
]


@pytest.fixture(autouse=True)
def _restored() -> Iterator[None]:
    """`set_up` is for a whole process, which other tests share."""
    before = torch.get_num_threads()
    warn = torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()
    with threadpool_limits():
        yield
    torch.set_num_threads(before)
    torch.use_deterministic_algorithms(warn[0], warn_only=warn[1])


def blas_threads() -> set[int]:
    return {library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"}


def test_scores_are_made_with_one_blas_thread() -> None:
    import scipy.linalg  # noqa: F401

    threadpool_limits(limits=2, user_api="blas")
    assert 2 in blas_threads()
    world = HMM(HMMConfig(length=4))
    score(world, Oracle(world), eval_config(metrics=("next_token",), documents=5), None)
    assert blas_threads() == {1}


@pytest.mark.parametrize("verb", ["run", "eval", "trace", "check"])
def test_every_verb_that_computes_sets_torch_up(verb: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Threads, deterministic operators and BLAS, as the run's options say, when the first metric is measured."""
    from worldbench.metrics.next_token import NextToken

    run = ["run", "hmm", *SHORT, "--out", str(tmp_path)]
    if verb in ("eval", "trace"):
        assert main(run) == 0
    torch.set_num_threads(2)
    torch.use_deterministic_algorithms(False)
    threadpool_limits(limits=2, user_api="blas")
    seen = []
    real = NextToken.measure
    monkeypatch.setattr(NextToken, "measure", lambda self, evaluation: seen.append(found()) or real(self, evaluation))

    def found() -> tuple[int, bool, set[int]]:
        return torch.get_num_threads(), torch.are_deterministic_algorithms_enabled(), blas_threads()

    small = ["--eval.metrics", "next_token", "--eval.documents", "4", "--quiet"]
    words = {
        "run": run,
        "eval": ["eval", *map(str, tmp_path.glob("hmm-gpt*")), "--eval.documents", "4", "--quiet"],
        "trace": ["trace", *map(str, tmp_path.glob("hmm-gpt*")), "--quiet"],
        "check": [
            *("check", "hmm", *small, "--env.length", "4", "--severities", "1", "--corruptions", "2", "--workers", "1"),
            *("--out", str(tmp_path)),
        ],
    }[verb]
    assert main(words) in (0, 1)  # a check that small may find a statement wanting
    assert seen
    assert set(map(repr, seen)) == {repr((1, True, {1}))}


def test_the_option_that_is_named_is_the_verbs_own(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert arithmetic.resolve_device("auto") == "cpu"
    with pytest.raises(InputError, match=r"--train\.device cuda was asked for.*use --train\.device cpu"):
        arithmetic.resolve_device("cuda")
    assert main(["bench", "gpt", "--device", "cuda", "--shape", "small", "--out", str(tmp_path)]) == 2
    message = capsys.readouterr().err
    assert "use --device cpu" in message
    assert "train.device" not in message


def test_an_operation_whose_digits_vary_is_refused(tmp_path: Path) -> None:
    taken = job("gpt")
    world = TaxiWorld(BASE_ENV)
    prepared = build(identify(taken, world))
    trainer = Trainer(world, prepared, taken.groups["data"], taken.groups["train"], 0, tmp_path)

    def backward(*_: object) -> dict[str, torch.Tensor]:
        torch.zeros(3).put_(torch.tensor([0, 0]), torch.tensor([1.0, 2.0]))
        return {}

    trainer.objective.backward = backward  # type: ignore[method-assign]
    with pytest.raises(RunError, match=r"'gpt' uses put_ on cpu, whose last digits vary.*use another operation"):
        trainer.step(0)


# The fingerprint


def test_the_fingerprint_repeats_and_leaves_what_it_found() -> None:
    arithmetic.set_up(1)
    first = arithmetic.fingerprint("cpu")
    state = torch.random.get_rng_state()
    keep = [np.empty(n, np.float32) for n in range(1, 60)]  # other addresses for what follows
    assert {arithmetic.fingerprint("cpu") for _ in range(5)} == {first}
    assert torch.equal(torch.random.get_rng_state(), state)
    assert len(keep) == 59


def in_process(*words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *words], capture_output=True, text=True, env=os.environ | environment, check=False
    )


lower = pytest.mark.skipif(
    torch.backends.cpu.get_cpu_capability() in ("DEFAULT", "NO AVX"),
    reason="this processor has one instruction set only",
)


@pytest.mark.slow
@lower
def test_a_run_does_not_go_on_under_another_instruction_set(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Stopped at step 5 of 9, then taken up with other instructions: refused, nothing changed; with the same ones,
    finished."""
    command = ["run", "hmm", *SHORT, "--out", str(tmp_path)]
    real = Trainer.step

    def stopping(self: Trainer, step: int) -> dict[str, torch.Tensor]:
        self.interrupted = step == 4
        return real(self, step)

    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopping)
        assert main(command) == 130
    folder = next(tmp_path.glob("hmm-gpt*"))
    began = json.loads((folder / "checkpoint/arithmetic.json").read_text())
    before = {path: path.read_bytes() for path in (folder / "checkpoint").iterdir()}
    other = in_process("-m", "worldbench", *command, ATEN_CPU_CAPABILITY="default")
    assert other.returncode == 1
    message = other.stderr.strip().splitlines()[-1]
    assert f"set ATEN_CPU_CAPABILITY={began['instructions'].lower()}" in message
    assert "with DEFAULT instructions" in message
    assert {path: path.read_bytes() for path in (folder / "checkpoint").iterdir()} == before
    capsys.readouterr()
    assert main(command) == 0, capsys.readouterr().err
    assert json.loads((folder / "checkpoint/arithmetic.json").read_text()) == began
    assert list(folder.glob("result-*.json"))


@pytest.mark.parametrize(
    ("change", "way"),
    [
        (
            {"instructions": "ZVECTOR", "fingerprint": "0" * 16},
            "set ATEN_CPU_CAPABILITY=zvector on a processor that has these instructions",
        ),
        ({"fingerprint": "0" * 16}, "as they were"),
        ({"fingerprint": "0" * 16, "device": "a card"}, "go on there"),
        ({"device": "a card that rounds alike"}, None),
    ],
)
def test_what_may_go_on(change: dict[str, str], way: str | None, tmp_path: Path) -> None:
    (tmp_path / "checkpoint").mkdir()
    path = tmp_path / "checkpoint/arithmetic.json"
    arithmetic.guard(tmp_path, "cpu", goes_on=True)  # of a version that kept no record
    assert not path.exists()
    arithmetic.guard(tmp_path, "cpu", goes_on=False)
    arithmetic.guard(tmp_path, "cpu", goes_on=True)
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    if way is None:
        arithmetic.guard(tmp_path, "cpu", goes_on=True)
    else:
        with pytest.raises(RunError, match=way):
            arithmetic.guard(tmp_path, "cpu", goes_on=True)
        arithmetic.guard(tmp_path, "cpu", goes_on=False)  # from the start again: as of here
        arithmetic.guard(tmp_path, "cpu", goes_on=True)


# Bench


def test_bench_clips_the_groups_that_training_clips(monkeypatch: pytest.MonkeyPatch) -> None:
    from worldbench.baselines.gpt import GPT
    from worldbench.baselines.options import GPTConfig
    from worldbench.settings.train import TrainConfig
    from worldbench.studies.bench.timing import apply_gradients
    from worldbench.training.optimizer import make_optimizer

    objective, config = GPT(GPTConfig(layers=1, heads=1, width=16), 7, 9, 0, 0), TrainConfig(clip=0.5)
    one, *rest = objective.parameters()
    monkeypatch.setattr(objective, "clip_groups", lambda: [[one], rest])
    for p in objective.parameters():
        p.grad = torch.ones_like(p)
    norms = []
    optimizer = make_optimizer(objective, config)
    monkeypatch.setattr(
        optimizer, "step", lambda: norms.extend(torch.stack([p.grad.norm() for p in g]).norm() for g in ([one], rest))
    )
    apply_gradients(objective, optimizer, config)
    assert norms == [pytest.approx(0.5, abs=1e-4)] * 2
    assert all(p.grad is None for p in objective.parameters())
