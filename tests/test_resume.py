"""A run can be stopped at any moment; the same command ends in the same bytes."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import pytest
import tiny_runs
import torch
from some_cases import others_slow
from tiny_jobs import job

from worldbench.core.errors import Interrupted, RunError
from worldbench.core.registry import models
from worldbench.core.streams import generator
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.runs.prepared import identify
from worldbench.runs.weights import build
from worldbench.settings.train import DataConfig, TrainConfig
from worldbench.training import checkpoint
from worldbench.training.curve import log_spaced
from worldbench.training.optimizer import learning_rate
from worldbench.training.stream import TrainingStream
from worldbench.training.trainer import Trainer

OPTIONS = [
    *("--env.map", "city:24", "--env.region", "all", "--env.min_moves", "2", "--env.max_moves", "9"),
    *("--data.documents", "50"),
]
OPTIONS += [
    *("--train.steps", "150", "--train.batch", "8", "--train.threads", "1", "--train.save_every", "0.05"),
    *("--train.curve_documents", "20"),
]
OPTIONS += ["--train.row_tokens", "30", "--model.layers", "1", "--model.width", "16", "--model.heads", "2"]
OPTIONS += ["--eval.metrics", "next_token", "valid_trajectories", "transition_consistency", "effective_rank"]
OPTIONS += ["--eval.trials", "20", "--eval.documents", "20", "--eval.rank_tokens", "40", "--eval.horizon", "5"]
OPTIONS += ["--eval.dynamics_documents", "20", "--eval.dynamics_steps", "20"]


RUN = ["run", "taxi", "--model", "nextlat", *OPTIONS, "--quiet", "--out"]


class Started:
    """The run in a process of its own, forked, so that it need not load everything again."""

    def __init__(self, out: Path) -> None:
        fork = multiprocessing.get_context("fork")
        self._said, theirs = fork.Pipe(duplex=False)
        self.process = fork.Process(target=self._run, args=(out, theirs))
        self.process.start()
        theirs.close()

    @staticmethod
    def _run(out: Path, said: Connection) -> None:
        code, message = tiny_runs.call(*RUN, out)
        said.send(message)
        os._exit(code)

    def ended(self) -> tuple[int | None, str]:
        """Its exit code, and what it said on standard error; "" if it was killed."""
        try:
            message = self._said.recv() if self._said.poll(60) else ""
        except EOFError:
            message = ""
        self.process.join(60)
        return self.process.exitcode, message


def finish(out: Path) -> dict[str, bytes]:
    """Run to the end, in this process; what must not depend on the interruptions."""
    code, message = tiny_runs.call(*RUN, out)
    assert code == 0, message
    folder = next(out.glob("taxi-nextlat-*"))
    kept = {
        str(p.relative_to(folder)): p.read_bytes()
        for p in folder.rglob("*")
        if p.is_file() and p.name not in ("manifest.json", ".lock")
    }
    assert any(name.startswith("result-") for name in kept)
    return kept


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    return finish(tmp_path_factory.mktemp("undisturbed"))


def disturb(out: Path, how: signal.Signals, moments: list[float]) -> None:
    """Start the run again and again, each time ended by a signal some seconds after its folder is there."""
    for moment in moments:
        started = Started(out)
        until = time.monotonic() + 60
        while (
            not list(out.glob("taxi-nextlat-*/metrics.jsonl"))
            and time.monotonic() < until
            and started.process.is_alive()
        ):
            time.sleep(0.01)
        time.sleep(moment)
        if started.process.is_alive():
            os.kill(started.process.pid, how)
        started.ended()


@pytest.mark.slow
def test_killed_again_and_again(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    disturb(tmp_path, signal.SIGKILL, [0.3, 0.5])
    assert finish(tmp_path) == undisturbed


@pytest.mark.slow
def test_asked_to_stop(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    started = Started(tmp_path)
    while not list(tmp_path.glob("taxi-nextlat-*/metrics.jsonl")):
        time.sleep(0.01)
    time.sleep(0.2)
    started.process.terminate()
    code, message = started.ended()
    assert code in (0, 130), message
    if code == 130:  # else it was done before the signal came
        assert message.count("\n") == 1
        assert "the same command goes on" in message
        assert list(tmp_path.glob("taxi-nextlat-*/checkpoint/state.safetensors"))
    assert finish(tmp_path) == undisturbed


@pytest.mark.slow
def test_killed_at_many_moments(tmp_path: Path, undisturbed: dict[str, bytes]) -> None:
    rng = generator("test", "moments")
    for i in range(5):
        disturb(tmp_path / str(i), signal.SIGKILL, (rng.random(4) * 1.5).tolist())
        assert finish(tmp_path / str(i)) == undisturbed


WORLD = TaxiConfig(map="city:24", min_moves=2, max_moves=9)
OTHERS = [e.name for e in models if e.trained and e.name != "nextlat"]


def trainer(
    folder: Path, model: str = "nextlat", more: dict[str, dict[str, object]] | None = None, **options: object
) -> Trainer:
    j = job(model, changes={"train": options, "data": {"documents": 40}, **(more or {})})
    world = TaxiWorld(j.groups["env"])
    folder.mkdir(exist_ok=True)
    return Trainer(world, build(identify(j, world)), j.groups["data"], j.groups["train"], 0, folder)


CASES = [
    *(("nextlat", stop, "adamw") for stop in (1, 2, 5, 11)),
    *(("nextlat", stop, "sgd") for stop in (1, 7)),
    *((m, 5, "adamw") for m in OTHERS),
]
BY_DEFAULT = [("nextlat", 1, "adamw"), ("nextlat", 5, "adamw"), ("nextlat", 7, "sgd"), ("bst", 5, "adamw")]


@pytest.mark.parametrize(("model", "stop", "optimizer"), others_slow(CASES, *BY_DEFAULT))
def test_n_plus_m_steps_are_n_save_load_m(model: str, stop: int, optimizer: str, tmp_path: Path) -> None:
    """BST's sub-sampled pairs too: their draws belong to the rows of the whole training."""
    more = {"model": {"pairs": 0.5}} if model == "bst" else {}
    stop_and_go_on(tmp_path, model, stop, more, optimizer=optimizer)


def stop_and_go_on(
    tmp_path: Path, model: str, stop: int, more: dict[str, dict[str, object]], **changes: object
) -> None:
    """Train 12 steps (or `steps`), and again with a stop after step `stop`; weights and log must have the same
    bits."""
    options = {"steps": 12, "row_tokens": 25, "log_every": 1, **changes}
    whole = trainer(tmp_path / "whole", model, more, **options)
    whole.train()
    first = trainer(tmp_path / "parts", model, more, **options)
    first.interrupted = False
    real = first.step

    def stopping(step: int) -> dict[str, torch.Tensor]:
        first.interrupted = step + 1 == stop
        return real(step)

    first.step = stopping  # type: ignore[method-assign]
    with pytest.raises(Interrupted, match=f"step {stop} of {options['steps']}"):
        first.train()
    second = trainer(tmp_path / "parts", model, more, **options)
    second.train()
    for (name, a), (_, b) in zip(whole.objective.state_dict().items(), second.objective.state_dict().items()):
        assert torch.equal(a, b), name
    assert (tmp_path / "whole/metrics.jsonl").read_bytes() == (tmp_path / "parts/metrics.jsonl").read_bytes()


def test_not_a_number_stops_and_keeps_the_last_good_state(tmp_path: Path) -> None:
    t = trainer(tmp_path / "run", steps=40, save_every=0.0, log_every=1)
    real = t.step

    def poisoned(step: int) -> dict[str, torch.Tensor]:
        if step == 20:
            with torch.no_grad():
                next(t.objective.parameters())[:] = float("nan")
        return real(step)

    t.step = poisoned  # type: ignore[method-assign]
    with pytest.raises(RunError, match=r"not a number at step 21.*lower --train.learning_rate"):
        t.train()
    again = trainer(tmp_path / "run", steps=40)
    about = checkpoint.load_state(tmp_path / "run", again.objective, again.optimizer)
    assert about is not None
    assert about.step == 20
    assert all(torch.isfinite(p).all() for p in again.objective.parameters())


def test_fixed_set_is_gone_through_in_a_new_order_each_epoch() -> None:
    world = TaxiWorld(WORLD)
    stream = TrainingStream(world, DataConfig(documents=12), TrainConfig(batch=4), seed=3)
    steps = [stream.documents(s).tokens for s in range(6)]
    fixed = world.sample(3, "train", 0, 12).tokens
    orders = []
    for epoch in range(2):
        seen = np.concatenate(steps[3 * epoch : 3 * epoch + 3])
        assert sorted(map(bytes, seen)) == sorted(map(bytes, fixed))
        orders.append([bytes(row) for row in seen])
    assert orders[0] != orders[1]
    assert np.array_equal(
        TrainingStream(world, DataConfig(documents=12), TrainConfig(batch=4), seed=3).documents(4).tokens, steps[4]
    )


def test_unlimited_stream_is_the_worlds_documents_in_order() -> None:
    world = TaxiWorld(WORLD)
    stream = TrainingStream(world, DataConfig(), TrainConfig(batch=900), seed=3)
    seen = np.concatenate([stream.documents(s).tokens for s in range(6)])  # across the edge of a block
    assert np.array_equal(seen, world.sample(3, "train", 0, 5400).tokens)


@pytest.mark.parametrize(("steps", "count"), [(1, 1), (1, 12), (5, 12), (3000, 12), (400_000, 20)])
def test_log_spaced(steps: int, count: int) -> None:
    points = log_spaced(steps, count)
    assert points[-1] == steps
    assert len(points) <= count
    assert points == sorted(set(points))
    assert points[0] >= 1


def test_schedules() -> None:
    for schedule, last in (("constant", 1.0), ("cosine", 0.01), ("linear", 0.01)):
        c = TrainConfig(steps=1000, warmup=10, learning_rate=1.0, schedule=schedule)  # type: ignore[arg-type]
        rates = [learning_rate(c, s) for s in range(1000)]
        assert rates[0] == pytest.approx(0.1)
        assert max(rates) == pytest.approx(1.0, abs=1e-2)
        assert rates[-1] == pytest.approx(last, abs=5e-3)


def test_gradient_descent_is_the_formula(tmp_path: Path) -> None:
    """w <- w - rate (gradient + decay w), decay on matrices alone; nothing is carried from step to step."""
    t = trainer(
        tmp_path / "run", optimizer="sgd", learning_rate=0.1, weight_decay=0.3, clip=0.0, warmup=0, schedule="constant"
    )
    for step in range(2):
        before = {name: p.detach().clone() for name, p in t.objective.named_parameters()}
        batches = t.batches(step)
        counts = [t.objective.counts(b) for b in batches]
        totals = {k: sum(c[k] for c in counts) for k in counts[0]}
        for b in batches:
            t.objective.backward(b, totals)
        gradient = {
            name: torch.zeros_like(p) if p.grad is None else p.grad.clone()
            for name, p in t.objective.named_parameters()
        }
        t.optimizer.zero_grad(set_to_none=True)
        t.step(step)
        for name, p in t.objective.named_parameters():
            decay = 0.3 if p.ndim >= 2 else 0.0
            torch.testing.assert_close(
                p.detach(), before[name] - 0.1 * (gradient[name] + decay * before[name]), atol=1e-6, rtol=1e-5
            )
    assert not t.optimizer.state or all(
        not any(torch.is_tensor(v) for v in s.values()) for s in t.optimizer.state.values()
    )


def test_threads_are_set(tmp_path: Path) -> None:
    before = torch.get_num_threads()
    trainer(tmp_path / "run", threads=2)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(before)


assert os.environ.get("OMP_NUM_THREADS") == "1"
