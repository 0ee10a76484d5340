"""Scores without which the primary score misleads are printed next to it: in boards, records and traces."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sample_records import metric, result, trace

from worldbench.cli.main import main
from worldbench.core.registry import metrics
from worldbench.records.board_building import build
from worldbench.records.leaderboard import shown_scores
from worldbench.records.parts import Record
from worldbench.records.reading import read, write
from worldbench.records.runs import Result, Trace

MAP = metric({"precision": 0.9, "recall": 0.5, "failed": 0.97}, beside=("failed",))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    write(tmp_path / "result-0.json", result(scores={"map": MAP, "loss": metric({"kl": 0.1})}))
    write(tmp_path / "trace-0.json", trace(points={1: {"map": MAP}}))
    return tmp_path


def columns_of(folder: Path, *asked: str) -> list[str]:
    (group,) = build([folder], list(asked) or None).groups
    assert list(group.rows[0].cells) == [column.name for column in group.columns]
    return [column.name for column in group.columns]


def test_boards_have_a_column_for_it(folder: Path) -> None:
    assert columns_of(folder) == ["map.precision", "map.failed", "loss.kl"]
    assert columns_of(folder, "loss", "map") == ["loss.kl", "map.precision", "map.failed"]
    assert columns_of(folder, "map.precision", "map.precision") == ["map.precision"]
    older = result(seed=1, scores={"map": metric({"old": 0.5, "precision": 0.5})})
    assert shown_scores([older, result(scores={"map": MAP})]) == ["map.old", "map.precision", "map.failed"]


def test_records_and_traces_print_it(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("result-0.json", "trace-0.json"):
        assert main(["show", str(folder / name)]) == 0
        printed = capsys.readouterr().out
        assert "failed" in printed
        assert "0.970" in printed
        assert "recall" not in printed


def test_it_must_be_a_score_of_the_metric() -> None:
    with pytest.raises(ValueError, match="'x' beside the primary score"):
        metric({"precision": 0.9}, beside=("x",))
    for entry in metrics:
        loaded = entry.load()
        assert loaded.primary not in loaded.beside


@pytest.mark.parametrize("kind", [Result, Trace])
def test_files_before_schema_4_get_the_routes_that_fail_beside_the_precision(
    tmp_path: Path, kind: type[Record]
) -> None:
    old = metric({"edge_precision": 0.9, "failed_routes": 0.97})
    record = (
        result(scores={"map_reconstruction": old}) if kind is Result else trace(points={1: {"map_reconstruction": old}})
    )
    write(tmp_path / "file.json", record)
    content = json.loads((tmp_path / "file.json").read_text()) | {"schema_version": 3}
    (tmp_path / "file.json").write_text(json.dumps(content))
    upgraded = read(tmp_path / "file.json", kind)
    scores = upgraded.scores if isinstance(upgraded, Result) else upgraded.trace[0].scores  # pyright: ignore
    assert scores["map_reconstruction"].beside == ("failed_routes",)
