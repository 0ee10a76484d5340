"""The learning curve of a run that was stopped: no point is lost, added or changed in silence."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import shared_cases
import tiny_runs
from damaged_curves import DAMAGE, damage
from safetensors.torch import load

from worldbench.records.reading import read
from worldbench.records.runs import Result
from worldbench.training import checkpoint


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    out = tmp_path_factory.mktemp("done")
    assert tiny_runs.run(out)[0] == 0
    return out


@pytest.fixture(scope="module")
def stopped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After its third step, with a saved state."""
    out = tmp_path_factory.mktemp("stopped")
    stop_after(out, 3)
    return out


def stop_after(out: Path, steps: int, *more: str) -> None:
    from worldbench.training.trainer import Trainer

    real = Trainer.step

    def step(self: Trainer, number: int) -> dict:
        self.interrupted = number + 1 == steps
        return real(self, number)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Trainer, "step", step)
        assert tiny_runs.run(out, *more)[0] == 130


@pytest.fixture
def halfway(stopped: Path, tmp_path: Path) -> Path:
    shutil.copytree(stopped, tmp_path / "out")
    return tmp_path / "out"


def test_what_was_written_after_the_state_is_cut_off(halfway: Path, done: Path) -> None:
    with (tiny_runs.folder(halfway) / "metrics.jsonl").open("a") as log:
        log.write('{"kind": "train", "step": 4, "loss": {}, "learning_rate": 1.0}\n{"kind": "ev')
    assert tiny_runs.run(halfway)[0] == 0
    assert tiny_runs.tree(halfway) == tiny_runs.tree(done)


@pytest.mark.parametrize("kind", DAMAGE)
def test_training_does_not_go_on_from_a_log_that_is_not_what_it_wrote(kind: str, halfway: Path, done: Path) -> None:
    """Training losses cannot be computed again. The way out leads to the same bytes."""
    folder = tiny_runs.folder(halfway)
    damage(folder / "metrics.jsonl", kind)
    before = tiny_runs.tree(halfway)
    code, said = tiny_runs.run(halfway)
    assert code == 1
    assert "metrics.jsonl' is not what training had written when it saved" in said
    assert "delete the saved state and run the same command again" in said
    assert tiny_runs.tree(halfway) == before
    checkpoint.state_path(folder).unlink()
    assert tiny_runs.run(halfway)[0] == 0
    assert tiny_runs.tree(halfway) == tiny_runs.tree(done)


def test_training_does_not_go_on_without_the_weights_that_it_kept(halfway: Path) -> None:
    checkpoint.weights_path(tiny_runs.folder(halfway), 1).unlink()
    code, said = tiny_runs.run(halfway)
    assert code == 1
    assert "the weights of step 1 are gone, but training had passed them; put them back, or delete '" in said


def test_a_curve_does_not_depend_on_the_evaluation(halfway: Path, tmp_path: Path, done: Path) -> None:
    """It belongs to the weights: its documents are the same, whichever evaluation trains, goes on, or computes it
    again."""
    wanted = read(tiny_runs.result(tiny_runs.folder(done)), Result).training
    other = tmp_path / "other"
    other.mkdir()
    for out in (halfway, other):
        assert tiny_runs.run(out, "--eval.seed", "5")[0] == 0
        assert read(tiny_runs.result(tiny_runs.folder(out)), Result).training == wanted
        log = tiny_runs.folder(out) / "metrics.jsonl"
        assert log.read_bytes() == (tiny_runs.folder(done) / "metrics.jsonl").read_bytes()
    folder, own = tiny_runs.folder(other), tiny_runs.result(tiny_runs.folder(other))
    (folder / "metrics.jsonl").unlink()
    code, said = tiny_runs.call("eval", folder, "--eval.seed", "7")
    assert code == 0, said
    assert read(tiny_runs.result(folder, own), Result).training == wanted


def test_a_state_beyond_the_last_step(halfway: Path) -> None:
    folder = tiny_runs.folder(halfway)
    path = checkpoint.state_path(folder)
    tensors, about = load(path.read_bytes()), checkpoint.read_about(path)
    checkpoint._write(path, tensors, checkpoint.About(4, log=about.log))
    code, said = tiny_runs.run(halfway)
    assert code == 1
    assert "the saved state is of step 4 of 4; put the right file back, or delete" in said


@pytest.mark.parametrize("saved", [False, True])
@pytest.mark.parametrize("at", [1, 4])
def test_a_kill_around_the_weights_loses_no_point(at: int, saved: bool, tmp_path: Path, done: Path) -> None:
    """Just before the weights of a step are saved, or just after, where no state was saved yet.

    A slow test sends SIGKILL, at every change to the disk.
    """
    real = checkpoint.save_weights

    def save_weights(folder: Path, about: checkpoint.About, module: object) -> None:
        if about.step != at or saved:
            real(folder, about, module)  # type: ignore[arg-type]
        if about.step == at:
            raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(checkpoint, "save_weights", save_weights)
        assert tiny_runs.run(tmp_path)[0] == 130
    code, said = tiny_runs.run(tmp_path)
    assert code == 0
    assert "again" not in said
    assert tiny_runs.tree(tmp_path) == tiny_runs.tree(done)


@shared_cases.each("run-files/metrics-resume-*")
def test_broken_metrics_of_a_stopped_run(case: Path, halfway: Path) -> None:
    shutil.copyfile(case, tiny_runs.folder(halfway) / "metrics.jsonl")
    code, said = tiny_runs.run(halfway)
    assert code == 1
    assert "is not what training had written when it saved" in said
