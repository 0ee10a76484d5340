"""`worldbench show`: a run, an unfinished run, every kind of record, and what is none; the end of a run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import tiny_runs
from sample_records import every_kind, metric, result, trace

from worldbench.cli.main import main
from worldbench.records.parts import Record
from worldbench.records.reading import read, write
from worldbench.records.runs import Result

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A tiny run's folder, and what the run said on standard error."""
    out = tmp_path_factory.mktemp("runs")
    code, said = tiny_runs.run(out)
    assert code == 0, said
    return tiny_runs.folder(out), said


def shown(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    """What `worldbench show` prints."""
    capsys.readouterr()
    assert main(["show", *map(str, argv)]) == 0, capsys.readouterr().err
    return capsys.readouterr().out


def refused(capsys: pytest.CaptureFixture[str], *argv: str | Path) -> str:
    assert main(["show", *map(str, argv)]) == 2
    out, said = capsys.readouterr()
    assert out == ""
    return said


def test_a_run(done: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = done
    record = read(tiny_runs.result(folder), Result)
    out = shown(capsys, folder)
    joined = " ".join(out.split())
    for fact in (
        "run: gpt in hmm, seed 0, preset small",
        f"training {record.identity.training}, evaluation {record.identity.evaluation}",
        f"torch {record.environment.torch}",
        f"{record.model.parameters.training if record.model.parameters else 0:,} in training",
        "learning curve, nats per token",
        "next_token.top1_legal (up)",
        f"result-{record.identity.evaluation[:10]}.json",
    ):
        assert fact in joined
    assert set(record.command.split()) <= set(joined.split())
    assert out == shown(capsys, tiny_runs.result(folder)) + f"file: {tiny_runs.result(folder)}\n"


def test_every_score_or_the_primary_ones(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    reason, names = "the world has no law", ["first", "second", "third"]
    measured = metric({name: 0.5 + i for i, name in enumerate(names)}, notes=["a note"])
    recorded = {"random-legal": {"first": 0.125}, "oracle": {"first": 0.875}}
    measured = tiny_runs.changed(measured, floor="random-legal", ceiling="oracle", bounds_as_recorded=recorded)
    record = result(scores={"m": measured})
    write(tmp_path / "result.json", tiny_runs.changed(record, not_applicable={"one": reason, "two": reason}))
    short, whole = shown(capsys, tmp_path / "result.json"), shown(capsys, tmp_path / "result.json", "--all")
    (row,) = [line for line in short.splitlines() if "m.first" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")] == ["m.first (up)", "0.125", "0.500", "0.875", "100"]
    for name in names[1:]:
        assert name in whole
        assert name not in short
    for out in (short, whole):
        assert f"not applicable: one, two: {reason}" in " ".join(out.split())
        assert "m: a note" in out


@pytest.mark.parametrize(
    ("untrained", "more", "cells"),
    [
        (0.25, {}, ["0.250", "0.500"]),
        (None, {}, ["missing", "0.500"]),
        (0.25, {"floor": "random-legal", "bounds_as_recorded": {"random-legal": {"first": 0.125}}}, ["0.125", "0.500"]),
        (0.25, {"direction": "none"}, ["0.500"]),
    ],
)
def test_the_floor_without_a_reference_is_the_untrained_network(
    untrained: float | None, more: dict, cells: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    measured = metric({"first": 0.5, "first_untrained": untrained}, **more)
    write(tmp_path / "result.json", result(scores={"m": measured}))
    (row,) = [line for line in shown(capsys, tmp_path / "result.json").splitlines() if "m.first" in line]
    assert [cell.strip() for cell in row.strip("│").split("│")][1 : 1 + len(cells)] == cells


def test_json_is_the_record(done: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = done
    assert json.loads(shown(capsys, folder, "--json")) == json.loads(tiny_runs.result(folder).read_text())


def test_a_run_without_a_result(done: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = Path(shutil.copytree(done[0], tmp_path / "run"))
    tiny_runs.result(folder).unlink()
    joined = " ".join(shown(capsys, folder).split())
    for fact in ("run: gpt in hmm, seed 0, preset small", "train.steps 4", "learning curve", "scores: none yet"):
        assert fact in joined


@pytest.mark.parametrize("record", every_kind(), ids=lambda record: record.kind)
def test_every_kind_of_record(record: Record, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / f"{record.kind}-0.json"
    write(path, record)
    assert json.loads(shown(capsys, path, "--json"))["kind"] == record.kind
    if record.kind in ("config", "manifest", "arithmetic", "trial", "measurement"):
        assert f"is a {record.kind} file, which has no table" in refused(capsys, path)
    else:
        assert len(shown(capsys, path).splitlines()) > 3


def test_the_records_of_studies_are_shown_by_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for record in every_kind():
        if record.kind in ("tuning", "check", "reconstruction", "bench"):
            folder = tmp_path / record.kind
            folder.mkdir()
            write(folder / f"{record.kind}.json", record)
            assert f"file: {folder / record.kind}.json" in shown(capsys, folder)


def test_other_records_of_a_run_are_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "result.json", result())
    write(tmp_path / "trace-0123456789.json", trace())
    assert "other records in this folder: trace-0123456789.json" in shown(capsys, tmp_path)


def test_refusals(done: tuple[Path, str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, _ = done
    assert "no file or folder" in refused(capsys, tmp_path / "none")
    assert "neither a result nor a config.json" in refused(capsys, tmp_path)
    several = refused(capsys, folder.parent)
    assert "it holds" in several
    assert "worldbench leaderboard" in several
    (tmp_path / "note.json").write_text("{}")
    assert "not a record of worldbench" in refused(capsys, tmp_path / "note.json")


def test_the_end_of_a_run(done: tuple[Path, str], capsys: pytest.CaptureFixture[str]) -> None:
    folder, said = done
    names = sorted(path.name for path in (folder / "figures").glob("*.png"))
    assert names
    assert f"figures: {folder / 'figures'} ({', '.join(names)})" in said
    assert f"result: {tiny_runs.result(folder)}" in said
    assert said.splitlines()[-1].startswith("every score")
    assert said.splitlines()[-1].endswith(f"worldbench show {folder}")


@pytest.mark.parametrize("path", ["results/bench", "results/calibration/hmm-rrxor", "results/decoding"])
def test_committed_records(path: str, capsys: pytest.CaptureFixture[str]) -> None:
    for file in sorted((ROOT / path).glob("*.json")):
        assert shown(capsys, file)


def test_more_than_one_name_is_refused(capsys: pytest.CaptureFixture[str], done: tuple[Path, str]) -> None:
    folder, _ = done
    assert f"unexpected {str(folder)!r}: worldbench show takes no further names" in refused(capsys, folder, folder)
