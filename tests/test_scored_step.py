"""`train.scored_step least_loss`: which of the kept weights are scored, and where the record says so."""

from __future__ import annotations

import shutil
from pathlib import Path

import msgspec
import numpy as np
import pytest
from sample_records import result_of

import worldbench as wb
from worldbench.cli.main import main
from worldbench.core.errors import RunError
from worldbench.records.folder import Config
from worldbench.records.lines import EvalLine
from worldbench.records.reading import read, write
from worldbench.runs.config_file import load_job
from worldbench.settings.resolve import resolve
from worldbench.studies.tune.criterion import Criterion
from worldbench.studies.tune.plan import trial_job
from worldbench.training import curve

OVERTRAINED = [
    "--env.process", "rrxor", "--env.length", "16",
    "--data.documents", "6", "--model.layers", "1", "--model.width", "32",
    "--model.heads", "2", "--train.steps", "60", "--train.batch", "6", "--train.checkpoints", "6",
    "--train.curve_documents", "64", "--train.learning_rate", "0.02", "--train.warmup", "0",
    "--train.schedule", "constant", "--eval.metrics", "next_token", "excess_loss", "--eval.documents", "50",
]  # fmt: skip


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run on six documents, which it knows by heart at the end."""
    out = tmp_path_factory.mktemp("runs")
    words = ["run", "hmm", *OVERTRAINED, "--out", str(out), "--quiet"]
    for rule in ("least_loss", "last"):
        assert main([*words, "--train.scored_step", rule]) == 0
    return out


def folder(out: Path, rule: str) -> Path:
    (found,) = [f for f in out.glob("hmm-gpt-*") if result_of(f).config["train"].get("scored_step", "last") == rule]
    return found


def test_the_weights_of_least_held_out_loss_are_scored(run: Path) -> None:
    record = result_of(folder(run, "least_loss"))
    assert record.training is not None
    losses = {line.step: line.choice for line in record.training.curve}
    step = record.training.scored_step
    assert None not in losses.values()
    assert step == min(losses, key=lambda s: (losses[s], s))
    assert step < 60
    assert "--train.scored_step least_loss" in record.command
    last = result_of(folder(run, "last"))
    assert last.training is not None
    assert last.training.scored_step is None
    assert all(line.choice is None for line in last.training.curve)
    assert last.identity.training != record.identity.training
    assert record.scores["excess_loss"].value("kl") < last.scores["excess_loss"].value("kl")


def test_last_weights_are_those_of_the_same_training(run: Path, tmp_path: Path) -> None:
    """They are copied from the run of least loss. The record is the one that a training of its own makes."""
    words = ["run", "hmm", *OVERTRAINED, "--train.scored_step", "last", "--out", str(tmp_path), "--quiet"]
    assert main(words) == 0
    alone, shared = folder(tmp_path, "last"), folder(run, "last")
    (mine,), (theirs,) = alone.glob("result-*.json"), shared.glob("result-*.json")
    assert mine.read_bytes() == theirs.read_bytes()
    logs = [(path / "metrics.jsonl").read_text() for path in (alone, shared, folder(run, "least_loss"))]
    assert logs[1] == logs[2] != logs[0]  # it did not train
    assert main([*words[:-5], "--train.scored_step", "least_loss", *words[-3:]]) == 0  # needs losses that are not there
    assert result_of(folder(tmp_path, "least_loss")) == result_of(folder(run, "least_loss"))


def test_documents_that_repeat_themselves_choose_by_loss(run: Path) -> None:
    """Unless the rule is named. New documents do not."""
    job = resolve("hmm", "gpt", preset="small", seed=0, options=["--data.documents", "6"])
    assert job.groups["train"].scored_step == "least_loss"
    assert "scored_step" not in job.command()
    assert resolve("hmm", "gpt", preset="small", seed=0).groups["train"].scored_step == "last"
    words = ["--data.documents", "6", "--train.scored_step", "last"]
    assert resolve("hmm", "gpt", preset="small", seed=0, options=words).groups["train"].scored_step == "last"


def test_the_command_of_an_older_run_names_the_rule(run: Path, tmp_path: Path) -> None:
    """Its settings were made when the last weights were the default."""
    path = tmp_path / "old"
    shutil.copytree(folder(run, "last"), path)
    saved = read(path / "config.json", Config)
    given = {name: value for name, value in saved.given.items() if name != "train.scored_step"}
    write(path / "config.json", msgspec.structs.replace(saved, given=given))
    assert "--train.scored_step last" in load_job(path, [], ()).command()


def test_tuning_judges_the_weights_that_are_scored() -> None:
    for documents, kept in (("6", 12), ("0", 1)):
        job = resolve("hmm", "gpt", preset="small", seed=0, options=["--data.documents", documents])
        assert (
            trial_job(job, {}, 1_000_000, Criterion("excess_loss", "kl", "lower")).groups["train"].checkpoints == kept
        )


def test_the_same_weights_are_loaded_again(run: Path) -> None:
    path = folder(run, "least_loss")
    record = result_of(path)
    assert record.training is not None
    model, chosen = wb.model(path), wb.model(path, step=record.training.scored_step)
    last = wb.model(path, step=60)
    tokens = np.zeros((1, 4), dtype=np.int64)
    np.testing.assert_array_equal(model.logits(tokens), chosen.logits(tokens))
    assert not np.array_equal(model.logits(tokens), last.logits(tokens))
    assert main(["eval", str(path), "--eval.seed", "1", "--quiet"]) == 0
    again = [r for p in path.glob("result-*.json") if (r := wb.record(p)).identity != record.identity]
    assert [r.training.scored_step for r in again] == [record.training.scored_step]


def test_the_documents_that_choose_are_those_of_no_evaluation() -> None:
    world = wb.world("hmm", process="rrxor")
    choosing = curve.choosing(world, 50)
    for seed in range(3):
        assert not np.array_equal(choosing.tokens, world.sample(seed, "test", 0, 50).tokens)


def test_ties_and_numbers_that_are_missing() -> None:
    lines = [EvalLine(step=s, loss=1.0, choice=c) for s, c in ((1, 2.0), (2, 1.0), (3, 1.0), (4, None))]
    assert curve.least(lines) == 2
    with pytest.raises(RunError, match="diverged"):
        curve.least([EvalLine(step=1, loss=None)])
