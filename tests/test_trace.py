"""Traces of finished runs: every kept checkpoint scored, once, whatever stops it; and what is drawn from them."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest
from command_lines import refused
from sample_records import result_of
from tiny_runs import SMALL_EVAL

import worldbench.runs.scoring
from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.core.files import lock
from worldbench.figures import filmstrip
from worldbench.records.finding import evidence_folder
from worldbench.records.reading import read
from worldbench.records.runs import Trace
from worldbench.runs.trace import TRACED
from worldbench.training.checkpoint import kept_steps, weights_path
from worldbench.training.curve import log_spaced

TINY = [
    *("--env.length", "6", "--train.steps", "12", "--train.batch", "8", "--train.checkpoints", "4"),
    *("--train.curve_documents", "20", "--train.warmup", "2", "--model.layers", "1", "--model.width", "16"),
    *("--model.heads", "2", *SMALL_EVAL, "--eval.documents", "40", "--eval.probe_documents", "80"),
]


OTHER = ["--eval.metrics", "belief_probe", "--eval.documents", "30"]


def run(out: Path, model: str, *more: str) -> Path:
    before = set(out.glob(f"hmm-{model}-*"))
    assert (
        main(
            [
                *("run", "hmm", "--model", model, *(TINY if model in ("gpt", "nextlat") else TINY[:2]), *more),
                *("--out", str(out), "--quiet"),
            ]
        )
        == 0
    )
    return (set(out.glob(f"hmm-{model}-*")) - before).pop()


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return run(tmp_path_factory.mktemp("runs"), "gpt")


@pytest.fixture(scope="module")
def traced(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the run, traced."""
    folder = copy(finished, tmp_path_factory.mktemp("traced"))
    assert main(["trace", str(folder), "--quiet"]) == 0
    return folder


@pytest.fixture(scope="module")
def beside(traced: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the traced run, traced under other options too."""
    folder = copy(traced, tmp_path_factory.mktemp("beside"))
    assert main(["trace", str(folder), *OTHER, "--quiet"]) == 0
    return folder


def copy(folder: Path, to: Path) -> Path:
    return Path(shutil.copytree(folder, to / folder.name))


def count_scoring(monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> list[int]:
    """How many checkpoints are scored from here on; the one numbered `stop_at` is interrupted."""
    calls: list[int] = []
    score = worldbench.runs.scoring.score

    def counted(*arguments: Any) -> Any:
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        calls.append(1)
        return score(*arguments)

    monkeypatch.setattr(worldbench.runs.scoring, "score", counted)
    return calls


def trace_of(folder: Path) -> Path:
    """The one trace of a run."""
    (path,) = folder.glob("trace-*.json")
    return path


def test_every_kept_checkpoint_is_scored_and_the_last_is_the_result(traced: Path) -> None:
    record, result = read(trace_of(traced), Trace), result_of(traced)
    steps = [p.step for p in record.trace]
    assert steps == kept_steps(traced) == log_spaced(12, 4)
    assert trace_of(traced).name == f"trace-{record.identity.evaluation[:10]}.json"
    # One prompt, and no state but the belief.
    assert set(record.scores) == set(TRACED) - {"valid_trajectories", "state_probe"}
    assert set(record.trace[0].not_applicable) == {"valid_trajectories", "state_probe"}
    for name, metric in record.scores.items():
        bounds = {k: getattr(result.scores[name], k) for k in ("floor", "ceiling")}
        assert msgspec.structs.replace(metric, **bounds) == result.scores[name]
    kl = [p.scores["excess_loss"].scores["kl"] for p in record.trace]
    assert len({s.value for s in kl}) == len(steps)
    assert all(s.interval[0] < s.value < s.interval[1] for s in kl)
    for point in record.trace:
        for name, metric in point.scores.items():
            if metric.evidence_sha256 is not None:
                raw = (evidence_folder(trace_of(traced)) / f"{point.step:08d}" / f"{name}.npz").read_bytes()
                assert hashlib.sha256(raw).hexdigest() == metric.evidence_sha256
    assert record.identity.training == result.identity.training
    assert record.trace_command == f"worldbench trace {traced.name}"
    assert not list(traced.glob("*.partial"))


def test_it_is_traced_once(traced: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    before = trace_of(traced).read_bytes()
    calls = count_scoring(monkeypatch)
    assert main(["trace", str(traced), "--eval.documents", "40"]) == 0  # the run's own options, said again
    message = capsys.readouterr()
    assert "traced already" in message.err
    assert "excess_loss kl" in message.out
    assert not calls
    assert trace_of(traced).read_bytes() == before


@pytest.mark.slow
def test_a_stopped_trace_goes_on_and_ends_in_the_same_bytes(
    finished: Path, traced: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copy(finished, tmp_path)
    with monkeypatch.context() as patch:
        assert len(count_scoring(patch, stop_at=2)) == 0
        assert main(["trace", str(folder), "--quiet"]) == 130
    assert not list(folder.glob("trace-*.json"))
    calls = count_scoring(monkeypatch)
    assert main(["trace", str(folder), "--quiet"]) == 0
    assert len(calls) == len(kept_steps(folder)) - 2
    assert trace_of(folder).read_bytes() == trace_of(traced).read_bytes()
    assert not list(folder.glob("*.partial"))


@pytest.mark.slow
def test_several_runs_at_a_time_give_the_same_bytes(finished: Path, beside: Path, tmp_path: Path) -> None:
    folders = [copy(finished, tmp_path / name) for name in "ab"]
    assert main(["trace", *map(str, folders), str(folders[0]), *OTHER, "--workers", "2", "--quiet"]) == 0
    for folder in folders:
        trace = trace_of(folder)
        assert trace.read_bytes() == (beside / trace.name).read_bytes()


@pytest.mark.slow
def test_what_was_half_traced_under_other_options_or_damaged_is_not_taken_over(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy(finished, tmp_path)
    few = ["--eval.metrics", "next_token"]
    with monkeypatch.context() as patch:
        count_scoring(patch, stop_at=1)
        assert main(["trace", str(folder), *few, "--quiet"]) == 130
    (partial,) = folder.glob("*.partial")
    record = json.loads(partial.read_text())
    other = json.dumps(record | {"identity": record["identity"] | {"evaluation": "0" * 16}})
    for damaged in (other, "{}", partial.read_text()[:-9]):
        partial.write_text(damaged)
        with monkeypatch.context() as patch:
            calls = count_scoring(patch)
            assert main(["trace", str(folder), *few]) == 0
        assert len(calls) == len(kept_steps(folder))
        assert ("starts over" in capsys.readouterr().err) == (damaged != other)
        trace_of(folder).unlink()


@pytest.mark.slow
def test_other_options_stand_beside(traced: Path, beside: Path) -> None:
    folder, own = beside, beside / trace_of(traced).name
    (other,) = set(folder.glob("trace-*.json")) - {own}
    record = read(other, Trace)
    assert list(record.scores) == ["excess_loss", "belief_probe"]  # the loss is always among them
    assert record.scores["excess_loss"].scores["kl"].n == 30
    assert record.trace_command == f"worldbench trace {folder.name} --eval.metrics belief_probe --eval.documents 30"
    ending = other.stem.removeprefix("trace")
    assert {p.name for p in (folder / f"trace-evidence{ending}").iterdir()} == {f"{s:08d}" for s in kept_steps(folder)}
    assert (folder / "figures" / f"filmstrip{ending}.png").exists()
    assert own.read_bytes() == trace_of(traced).read_bytes()


def test_refusals(
    finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = copy(finished, tmp_path)
    calls = count_scoring(monkeypatch)
    oracle = next(finished.parent.glob("hmm-oracle-*"))
    for argv, said in (
        ([str(folder), "--eval.documnets", "3"], "did you mean '--eval.documents'"),
        ([str(folder), "--eval.metrics", "belief"], "did you mean 'belief_probe'"),
        ([str(folder), "--train.steps", "3"], "cannot be changed after training"),
        ([str(folder), "--qiet"], "did you mean '--quiet'"),
        ([], "which runs"),
        (["--quiet"], "which runs"),
        (["--eval.trials", "3", str(folder)], "takes run folders, then options"),
        ([str(folder), str(tmp_path)], "not a run folder"),
        ([str(folder), str(oracle)], "oracle is not trained"),
    ):
        assert said in refused(capsys, "trace", *argv)
    with lock(folder):
        assert "another process" in refused(capsys, "trace", str(folder), code=1)
    weights_path(folder, 12).unlink()
    assert "is not fully trained" in refused(capsys, "trace", str(folder))
    assert not calls
    assert main(["trace", "--help"]) == 0
    assert "--eval.documents" in capsys.readouterr().out


def test_traces_are_validated(traced: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", str(traced)]) == 0
    message = capsys.readouterr().out.splitlines()
    kinds = [line.partition(": ")[2].partition(",")[0] for line in message]
    assert sorted(kinds) == ["arithmetic", "config", "manifest", "result", "trace"]
    assert sum(line.endswith("trace, gpt in hmm, 4 checkpoints, 6 metrics") for line in message) == 1
    record = json.loads(trace_of(traced).read_text())
    points = record["trace"]
    lost = json.loads(json.dumps(points))
    del lost[1]["scores"]["belief_probe"]["scores"]["r2"]
    for name, damage, said in (
        ("newer", {"schema_version": 99}, "newer worldbench"),
        ("order", {"trace": points[::-1]}, "do not go up"),
        ("empty", {"trace": []}, "holds no checkpoint"),
        ("mixed", {"trace": [points[0] | {"scores": {}}, *points[1:]]}, "same metrics"),
        ("lost", {"trace": lost}, "primary score 'r2'"),
    ):
        path = tmp_path / f"trace-{name}.json"
        path.write_text(json.dumps(record | damage))
        capsys.readouterr()
        assert main(["validate", str(path)]) == 2
        assert said in capsys.readouterr().out


@pytest.mark.slow
def test_runs_are_drawn_and_compared(
    finished: Path, traced: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folders = [copy(traced, tmp_path)]
    for horizon in ("1", "2"):
        folders.append(run(tmp_path, "nextlat", "--model.horizon", horizon))
    message = refused(capsys, "compare", "gpt", "nextlat[horizon=2]", str(tmp_path), "--matched", "excess_loss")
    assert message.endswith(
        f"has no trace to compare during training; first: worldbench trace {folders[2]}"
    )  # the other variant is not asked for
    assert "worldbench trace" in refused(capsys, "figures", *map(str, folders), "--together", str(tmp_path / "fig"))
    assert main(["trace", *map(str, folders), "--quiet"]) == 0
    assert main(["figures", *map(str, folders), "--together", str(tmp_path / "fig")]) == 0
    assert {p.name for p in (tmp_path / "fig").iterdir()} == {"matched.png", "matched.svg", "matched.csv"}
    drawn = (tmp_path / "fig" / "matched.csv").read_text()
    assert (
        drawn.count("run,nextlat[horizon=1],") == drawn.count("run,nextlat[horizon=2],") == drawn.count("run,gpt,") == 4
    )
    own = trace_of(folders[0])
    own.rename(folders[0] / "trace.json")  # as it was named once
    evidence_folder(own).rename(folders[0] / "trace-evidence")
    assert main(["trace", str(folders[0])]) == 0
    assert "traced already" in capsys.readouterr().err
    (tmp_path / "file").touch()
    lost = refused(capsys, "figures", *map(str, folders), "--together", str(tmp_path / "file" / "fig"))
    assert "choose another with --together" in lost
    together = ["figures", *map(str, folders), "--together", str(tmp_path / "fig")]
    assert main(together) == 0
    assert (tmp_path / "fig" / "matched.csv").read_text() == drawn
    assert main(["trace", str(folders[0]), "--eval.documents", "30", "--quiet"]) == 0
    assert main(together) == 0  # by the evaluation that all have
    assert (tmp_path / "fig" / "matched.csv").read_text() == drawn
    own.unlink(missing_ok=True)
    (folders[0] / "trace.json").rename(tmp_path / "kept.json")
    assert "no evaluation in common" in refused(capsys, *together)
    trace_of(folders[0]).unlink()
    (tmp_path / "kept.json").rename(folders[0] / "trace.json")
    for a, b in (("nextlat[horizon=1]", "nextlat[horizon=2]"), ("gpt", "nextlat model.horizon=1")):
        capsys.readouterr()
        assert (
            main(
                [
                    *("compare", a, b, str(tmp_path), "--matched", "excess_loss.kl", "--columns", "belief_probe"),
                    *("--format", "json"),
                ]
            )
            == 0
        )
        (row,) = json.loads(capsys.readouterr().out)
        assert (row["a"], row["b"], row["matched"], row["seeds"]) == (a, b, "excess_loss.kl", [0])
        records = [read(next(p.glob("trace*.json")), Trace) for p in folders if row["levels"]]
        least = [min(p.scores["excess_loss"].value("kl") or 0 for p in r.trace) for r in records]
        pair = (least[1], least[2]) if a.startswith("nextlat") else (least[0], least[1])
        assert row["levels"] == [max(pair)]
    shutil.rmtree(folders[0] / "trace-evidence")
    assert main(["figures", str(folders[0])]) == 0  # a trace that was kept without its evidence
    with pytest.raises(InputError, match=r"cannot read .*belief_probe"):
        filmstrip.draw(folders[0] / "trace.json", tmp_path / "film")


def test_evidence_is_what_the_probe_saw(traced: Path) -> None:
    record = read(trace_of(traced), Trace)
    for point in record.trace:
        with np.load(
            evidence_folder(trace_of(traced)) / f"{point.step:08d}" / "belief_probe.npz", allow_pickle=False
        ) as e:
            w = e["weight"] / e["weight"].sum()
            rest = w @ ((e["belief"] - e["predicted"]) ** 2).sum(axis=1)
            total = w @ ((e["belief"] - w @ e["belief"]) ** 2).sum(axis=1)
        assert 1 - rest / total == pytest.approx(point.scores["belief_probe"].value("r2"))
