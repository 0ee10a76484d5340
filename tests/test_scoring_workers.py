"""A run scored in several processes: the bytes, the errors and the end of a run in one."""

from __future__ import annotations

import multiprocessing
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_runs import call, tree

import worldbench as wb
from worldbench.core.errors import InputError, RunError
from worldbench.metrics.split_merge import METRIC as SPLIT
from worldbench.metrics.split_merge import SplitMerge
from worldbench.metrics.valid_trajectories import METRIC as RIDES
from worldbench.runs import processes, scoring
from worldbench.runs.pool import Cell

METRICS = ["valid_trajectories", "sequence_compression", "map_reconstruction", "split_merge"]
RUN = [
    *["run", "taxi", "--model", "ngram", "--preset", "small", "--env.map", "city:24", "--env.region", "all"],
    *["--env.min_moves", "2", "--env.max_moves", "9", "--eval.trials", "8", "--eval.structure_trials", "8"],
    *["--eval.suffixes", "3", "--eval.pairs", "8", "--eval.suffix_limit", "16", "--eval.reconstruction_rides", "8"],
    *["--eval.reconstruction_orders", "2", "--eval.metrics", *METRICS],
]
HERE = os.getpid()


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folders that one process writes."""
    out = tmp_path_factory.mktemp("alone")
    code, said = call(*RUN, "--workers", "1", "--out", out)
    assert code == 0, said
    return out


@pytest.mark.slow
def test_the_bytes_do_not_depend_on_the_number_of_processes(alone: Path, tmp_path: Path) -> None:
    code, said = call(*RUN, "--workers", "2", "--out", tmp_path)
    assert code == 0, said
    assert tree(tmp_path) == tree(alone)
    assert "scoring the references oracle, random-legal, uniform on the prompts of the run, in a second process" in said
    assert "scoring: valid_trajectories and 1 more, sequence_compression (0 of 4 done)" in said
    run = next(tmp_path.glob("taxi-ngram-*"))
    next(run.glob("result-*.json")).unlink()
    (code, said), nothing = call("eval", run, "--workers", "3"), "second process"
    assert (code, nothing in said) == (0, False)  # the references are there
    assert tree(tmp_path) == tree(alone)
    with pytest.raises(InputError, match="number of workers must be at least 1, not 0"):
        wb.evaluate(run, workers=0)


@pytest.mark.slow
@pytest.mark.parametrize("error", [RunError("these pairs cannot be had"), ZeroDivisionError("by nothing")])
def test_an_error_is_that_of_one_process(error: Exception, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(self: Any, evaluation: Any) -> None:
        if evaluation.model.name == "ngram":
            raise error

        raise RunError("no pairs for a reference")

    monkeypatch.setattr(SplitMerge, "measure", fail)
    ends = []
    for workers in ("1", "2"):
        code, said = call(*RUN, "--workers", workers, "--out", tmp_path / workers)
        last = said.splitlines()[-1]
        ends.append((code, last.split("; the whole traceback")[0]))
        assert ("no oracle beside the scores: no pairs for a reference" in said) == (workers == "1")
    assert ends[0] == ends[1]
    assert ends[0][0] == (1 if isinstance(error, RunError) else 70)
    assert str(error) in ends[0][1]


@pytest.mark.slow
def test_a_lost_process_costs_nothing_but_time(alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    measure, lost = SplitMerge.measure, tmp_path / "lost"

    def die_beside(self: Any, evaluation: Any) -> Any:
        if os.getpid() != HERE:
            lost.touch()
            os.kill(os.getpid(), signal.SIGKILL)  # as the system does without memory
        return measure(self, evaluation)

    monkeypatch.setattr(SplitMerge, "measure", die_beside)
    code, said = call(*RUN, "--workers", "2", "--out", tmp_path / "runs")
    assert (code, lost.exists()) == (0, True), said
    assert tree(tmp_path / "runs") == tree(alone)


@pytest.mark.slow
def test_a_signal_stops_every_process_and_the_command_goes_on(
    alone: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = signal.getsignal(signal.SIGINT)
    with monkeypatch.context() as patch:

        def stop(self: Any, evaluation: Any) -> None:
            if evaluation.model.name == "ngram":  # in a process of a process that gets Ctrl-C
                os.kill(HERE, signal.SIGINT)
            time.sleep(60)  # the reference beside it, too

        patch.setattr(SplitMerge, "measure", stop)
        started = time.monotonic()
        code, said = call(*RUN, "--workers", "2", "--out", tmp_path)
        assert (code, said.splitlines()[-1]) == (
            130,
            "worldbench: stopped; the same command goes on with what is missing",
        )
        assert time.monotonic() - started < 50
    assert multiprocessing.active_children() == []
    assert signal.getsignal(signal.SIGINT) is before
    assert call(*RUN, "--workers", "2", "--out", tmp_path)[0] == 0
    assert tree(tmp_path) == tree(alone)


def test_metrics_that_share_rides_stay_together(monkeypatch: pytest.MonkeyPatch, alone: Path) -> None:
    monkeypatch.setattr(type(RIDES), "apart", True)
    code, said = call("eval", next(alone.glob("taxi-ngram-*")), "--eval.trials", "7")
    assert code == 2
    assert "a metric with `apart = True` asks for rides" in said


def test_how_many_processes_score_a_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "MOST_WORKERS", 4)
    for cores, threads, device, most in [(2, 1, "cpu", 2), (2, 2, "cpu", 1), (64, 1, "cpu", 4), (64, 1, "cuda", 1)]:
        monkeypatch.setattr(processes, "usable_cores", lambda n=cores: n)
        assert processes.default_workers(threads, device) == most
    assert call(*RUN, "--workers", "0") == (2, "worldbench: the number of workers must be at least 1, not 0\n")


def test_one_process_scores_where_forking_is_not_safe(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scoring, "fork_is_safe", lambda: False)
    chosen: dict[str, Any] = {"valid_trajectories": RIDES, "split_merge": SPLIT}
    assert scoring._in_processes(None, chosen, None, pytest.fail, 2) == {}  # type: ignore[arg-type]


def test_forking_is_not_safe_where_torch_has_threads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.accelerator, "is_available", lambda: False)
    assert processes.fork_is_safe()
    monkeypatch.setattr(torch, "get_num_threads", lambda: 2)
    assert not processes.fork_is_safe()


@pytest.mark.slow
def test_no_process_is_forked_beside_a_graphics_card(monkeypatch: pytest.MonkeyPatch) -> None:
    """A forked process cannot use CUDA, as soon as its parent has asked whether there is any."""
    for card, started in [(False, "ForkProcess"), (True, "SpawnProcess")]:
        monkeypatch.setattr(torch.accelerator, "is_available", lambda found=card: found)
        outcomes = list(processes.Processes(1).run([Cell("one", _kind_of_process, ())]))
        assert [(outcome.error, outcome.value) for outcome in outcomes] == [(None, started)]


def _kind_of_process() -> str:
    return type(multiprocessing.current_process()).__name__
