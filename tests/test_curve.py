"""The learning curve and metrics.jsonl: whatever happens to the files of a run, no point of the curve is lost or
changed in silence.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
import tiny_runs
from safetensors.torch import load, save

from worldbench.records.reading import read
from worldbench.records.runs import Result, Trace
from worldbench.training import checkpoint


@pytest.fixture(autouse=True, scope="module")
def no_pictures() -> None:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.draw_nothing(patch)
        yield


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that nothing happened to."""
    out = tmp_path_factory.mktemp("done")
    assert tiny_runs.run(out)[0] == 0
    return out


@pytest.fixture
def copy(done: Path, tmp_path: Path) -> Path:
    shutil.copytree(done, tmp_path / "out")
    return tmp_path / "out"


@pytest.fixture
def unscored(copy: Path) -> Path:
    """Trained to its end, and not scored."""
    tiny_runs.result(tiny_runs.folder(copy)).unlink()
    return copy


def change(text: str) -> str:
    """Another loss at the second point of the curve."""
    lines = [json.loads(line) for line in text.splitlines()]
    [line for line in lines if line["kind"] == "eval"][1]["loss"] += 0.125
    return "".join(json.dumps(line) + "\n" for line in lines)


DAMAGE: dict[str, Callable[[str], str | None]] = {
    "lost": lambda text: None,
    "empty": lambda text: "",
    "cut in a line": lambda text: text[:-20],
    "cut after a line": lambda text: text.rstrip().rpartition("\n")[0] + "\n",
    "a bad line": lambda text: text.replace('"kind"', "kind", 3),
    "not an object": lambda text: "1\n" + text,
    "another number": change,
}


def damage(log: Path, kind: str) -> None:
    text = DAMAGE[kind](log.read_text())
    log.unlink()
    if text is not None:
        log.write_text(text)


# A run that is trained to its end


def test_nothing_is_said_of_a_run_that_nothing_happened_to(unscored: Path, done: Path) -> None:
    code, said = tiny_runs.run(unscored)
    assert code == 0
    assert "again" not in said
    assert tiny_runs.tree(unscored) == tiny_runs.tree(done)


@pytest.mark.parametrize("kind", DAMAGE)
def test_the_curve_is_computed_again_where_the_log_is_not_what_training_wrote(
    kind: str, unscored: Path, done: Path
) -> None:
    """To the bit, and it is said; the damaged file is left as it is."""
    log = tiny_runs.folder(unscored) / "metrics.jsonl"
    damage(log, kind)
    left = log.read_bytes() if log.exists() else None
    code, said = tiny_runs.run(unscored)
    assert "the learning curve at steps 1, 2, 4 is computed again from the weights kept there" in said
    ours, theirs = (tiny_runs.result(tiny_runs.folder(out)) for out in (unscored, done))
    assert ours.read_bytes() == theirs.read_bytes()
    assert (log.read_bytes() if log.exists() else None) == left
    assert code in (0, 2)
    assert "Traceback" not in said


def test_eval_too_has_the_whole_curve(copy: Path, done: Path) -> None:
    folder = tiny_runs.folder(copy)
    own = tiny_runs.result(folder)
    (folder / "metrics.jsonl").unlink()
    code, said = tiny_runs.call("eval", folder, "--eval.trials", "13")
    assert code == 0, said
    assert "computed again" in said
    record = read(tiny_runs.result(folder, own), Result)
    assert record.training == read(tiny_runs.result(tiny_runs.folder(done)), Result).training


def older(path: Path) -> None:
    """Weights as older versions saved them: no digest, and nothing of the log."""
    tensors = load(path.read_bytes())
    path.write_bytes(save(tensors, {"step": str(int(path.stem.removeprefix("step-")))}))


def test_a_run_of_an_older_version_that_was_killed_before_its_last_point(unscored: Path, done: Path) -> None:
    """It wrote its last weights first, so its curve may lack the last point: that one is computed, the others are
    read."""
    folder = tiny_runs.folder(unscored)
    for path in folder.glob("checkpoint/*.safetensors"):
        older(path)
    damage(folder / "metrics.jsonl", "cut after a line")
    code, said = tiny_runs.run(unscored)
    assert code == 0, said
    assert "the learning curve at step 4 is computed again" in said
    assert tiny_runs.result(folder).read_bytes() == tiny_runs.result(tiny_runs.folder(done)).read_bytes()


# Weights that are gone or damaged


def flip(path: Path) -> None:
    raw = bytearray(path.read_bytes())
    raw[-5] ^= 4
    path.write_bytes(raw)


def again(said: str) -> list[str]:
    """The command that an error asks for."""
    command = said.rpartition(": worldbench ")[2].split()
    assert command[:2] == ["run", "hmm"], said
    return command


def test_damaged_weights_in_the_middle(copy: Path, done: Path) -> None:
    """The way that the messages show leads back to the same bytes, and no step is dropped on it."""
    folder = tiny_runs.folder(copy)
    weights = checkpoint.weights_path(folder, 2)
    flip(weights)
    code, said = tiny_runs.call("trace", folder, "--quiet")
    assert code == 1
    assert "step-00000002.safetensors' is damaged (its digest" in said
    weights.unlink()
    code, said = tiny_runs.call("trace", folder, "--quiet")
    assert code == 2
    assert "lacks the weights of step 2; its command trains them again" in said
    code, said = tiny_runs.call(*again(said), "--out", copy)
    assert code == 0, said
    assert "the weights of step 2 are gone: training again from the first step on" in said
    code, said = tiny_runs.call("trace", folder, "--quiet")
    assert code == 0, said
    (trace,) = folder.glob("trace-*.json")
    assert [p.step for p in read(trace, Trace).trace] == [1, 2, 4]
    after = tiny_runs.tree(copy)
    assert {name: after.get(name) for name in tiny_runs.tree(done)} == tiny_runs.tree(done)


def test_damaged_last_weights_are_no_dead_end(copy: Path, done: Path) -> None:
    folder = tiny_runs.folder(copy)
    flip(checkpoint.weights_path(folder, 4))
    code, said = tiny_runs.call("eval", folder, "--quiet")
    assert code == 1
    assert (
        "is damaged (its digest is another one: bits of it have changed); "
        "delete it and train again by the command of the run" in said
    )
    checkpoint.weights_path(folder, 4).unlink()
    code, said = tiny_runs.call("eval", folder, "--quiet")
    assert code == 2
    assert "or its last weights are gone; run its command again first" in said
    code, said = tiny_runs.call(*again(said), "--out", copy)
    assert code == 0, said
    assert "done already" not in said
    code, said = tiny_runs.call("eval", folder, "--quiet")
    assert code == 0, said
    assert tiny_runs.tree(copy) == tiny_runs.tree(done)


def test_weights_removed_on_purpose_are_not_trained_again(copy: Path) -> None:
    shutil.rmtree(tiny_runs.folder(copy) / "checkpoint")
    code, said = tiny_runs.run(copy)
    assert code == 0
    assert "done already" in said
    assert "its weights were removed; to train them again, delete" in said
    assert not (tiny_runs.folder(copy) / "checkpoint").exists()


# A run that was stopped


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
    assert "the weights of step 1 are gone, and training was beyond them; put them back, or delete '" in said


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
    assert "the saved state is of step 4 of 4; put the right one there, or delete" in said


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


# The manifest


@pytest.mark.parametrize("content", ["", "{}", "1", "[]", '{"sessions": 1}', '{"sessions": [1]}', "\ud800", None])
def test_a_damaged_manifest_does_not_stop_a_run(content: str | None, unscored: Path, done: Path) -> None:
    manifest = tiny_runs.folder(unscored) / "manifest.json"
    manifest.unlink()
    if content is None:
        import os

        os.mkfifo(manifest)
    else:
        manifest.write_text(content, encoding="utf-8", errors="surrogatepass")
    code, said = tiny_runs.run(unscored)
    assert code == 0, said
    assert "the list of the processes that worked here begins anew" in said
    assert [s["outcome"] for s in json.loads(manifest.read_text())["sessions"]] == ["done"]
    assert tiny_runs.tree(unscored) == tiny_runs.tree(done)


# Files that once ended in a traceback

CASES = Path(__file__).resolve().parent.parent.parent / "shared" / "cases" / "run-files"
BROKEN = {name: sorted(CASES.glob(f"{name}-*")) for name in ("manifest", "metrics-resume")}


def test_the_broken_files_beside_the_checkout_are_there() -> None:
    if not all(BROKEN.values()):
        pytest.skip(f"the broken manifests and metrics files are not beside this checkout ({CASES.name})")


@pytest.mark.parametrize("case", BROKEN["manifest"], ids=lambda path: path.name)
def test_broken_manifests(case: Path, unscored: Path, done: Path) -> None:
    shutil.copyfile(case, tiny_runs.folder(unscored) / "manifest.json")
    code, said = tiny_runs.run(unscored)
    assert code == 0, said
    assert "begins anew" in said
    assert tiny_runs.tree(unscored) == tiny_runs.tree(done)


@pytest.mark.parametrize("case", BROKEN["metrics-resume"], ids=lambda path: path.name)
def test_broken_metrics_of_a_stopped_run(case: Path, halfway: Path) -> None:
    shutil.copyfile(case, tiny_runs.folder(halfway) / "metrics.jsonl")
    code, said = tiny_runs.run(halfway)
    assert code == 1
    assert "is not what training had written when it saved" in said
