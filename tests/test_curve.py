"""The learning curve and metrics.jsonl: whatever happens to the files of a run, no point of the curve is lost or
changed in silence.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import shared_cases
import tiny_runs
from damaged_curves import DAMAGE, damage
from safetensors.torch import load, save

from worldbench.records.reading import read
from worldbench.records.runs import Result, Trace
from worldbench.training import checkpoint


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
    assert "step-00000002.safetensors' is damaged (its content has changed" in said
    weights.unlink()
    code, said = tiny_runs.call("trace", folder, "--quiet")
    assert code == 2
    assert "lacks the weights of step 2; to train them again: worldbench" in said
    code, said = tiny_runs.call(*again(said), "--out", copy)
    assert code == 0, said
    assert "the weights of step 2 are missing: training again from the first step" in said
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
        "is damaged (its content has changed: the digest that it holds does not match); "
        "delete it and train again by the command of the run" in said
    )
    checkpoint.weights_path(folder, 4).unlink()
    code, said = tiny_runs.call("eval", folder, "--quiet")
    assert code == 2
    assert "or its last weights are missing; first run its command again" in said
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
    assert "its folder has no weights; to train them again, repeat the command with another --out" in said
    assert not (tiny_runs.folder(copy) / "checkpoint").exists()


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
    assert "the list of processes is started again" in said
    assert [s["outcome"] for s in json.loads(manifest.read_text())["sessions"]] == ["done"]
    assert tiny_runs.tree(unscored) == tiny_runs.tree(done)


@shared_cases.each("run-files/manifest-*")
def test_broken_manifests(case: Path, unscored: Path, done: Path) -> None:
    shutil.copyfile(case, tiny_runs.folder(unscored) / "manifest.json")
    code, said = tiny_runs.run(unscored)
    assert code == 0, said
    assert "is started again" in said
    assert tiny_runs.tree(unscored) == tiny_runs.tree(done)
