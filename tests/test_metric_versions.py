"""Scores of different versions of a metric: no table mixes them in one column without saying so."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import msgspec
import pytest
from sample_records import checked, metric, reconstructed, result

from worldbench.cli.main import main
from worldbench.core.registry import metrics
from worldbench.records import reading, versions
from worldbench.records.board_building import build
from worldbench.records.board_text import render
from worldbench.records.check import CheckedMetric
from worldbench.records.compare import compare
from worldbench.records.comparison import render as render_comparison

NOW = metrics["excess_loss"].load().version


def write(folder: Path, model: str, version: int, seeds: int = 3) -> None:
    """Results of a model whose excess loss was scored under a version, and a metric of a plugin."""
    for seed in range(seeds):
        scores = {
            "excess_loss": metric({"kl": 0.1 + seed / 100}, version=version, direction="lower"),
            "mine": metric({"x": 0.5}, version=7),
        }
        reading.write(folder / f"result-{model}-{version}-{seed}.json", result(model, seed, scores))


def test_versions_of_a_metric_are_in_different_groups(tmp_path: Path) -> None:
    write(tmp_path, "gpt", NOW)
    write(tmp_path, "nextlat", NOW + 1)
    board = build([tmp_path])
    of = {group.rows[0].label: group for group in board.groups}
    for model, version in (("gpt", NOW), ("nextlat", NOW + 1)):
        assert len(of[model].rows) == 1
        assert of[model].protocol == (f"excess_loss.version={version}",)
        assert {column.name: column.version for column in of[model].columns} == {"excess_loss.kl": version, "mine.x": 7}
    for form in ("table", "markdown"):
        text = " ".join(render(board, form).split())
        assert text.count("0.110 ±0.025") == 2
        assert f"other versions of metrics than this worldbench has: excess_loss {NOW + 1} (now {NOW})" in text
        assert "mine" not in text.partition("scored under")[2]  # the plugin is not loaded: its version is not known
    table = {r["model"]: r for r in csv.DictReader(io.StringIO(render(board, "csv")))}
    assert [table[m]["kl version"] for m in ("gpt", "nextlat")] == [str(NOW), str(NOW + 1)]


def test_one_version_is_said_where_it_is_not_the_present_one(tmp_path: Path) -> None:
    write(tmp_path, "gpt", NOW)
    assert "versions" not in render(build([tmp_path]), "markdown")
    (tmp_path / "old").mkdir()
    write(tmp_path / "old", "gpt", NOW + 1)
    text = render(build([tmp_path / "old"]), "markdown")
    assert text.endswith(f"than this worldbench has: excess_loss {NOW + 1} (now {NOW})")
    write(tmp_path / "old", "nextlat", NOW + 1)
    compared = compare("gpt", "nextlat", [tmp_path / "old"], ["excess_loss"])
    assert compared[0].version == NOW + 1
    assert render_comparison(compared, "markdown").endswith(f"excess_loss {NOW + 1} (now {NOW})")


def test_show_and_validate_say_which_versions_are_not_the_present_ones(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write(tmp_path, "gpt", NOW + 1, seeds=1)
    (path,) = tmp_path.glob("*.json")
    assert main(["show", str(path)]) == 0
    assert f"excess_loss {NOW + 1} (now {NOW})" in capsys.readouterr().out
    assert main(["validate", str(path)]) == 0
    assert capsys.readouterr().out.endswith(
        f"2 metrics; metrics in other versions: excess_loss {NOW + 1} (now {NOW})\n"
    )


def test_checks_and_reconstructions_say_so_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    m = CheckedMetric(version=NOW + 1, primary="kl", direction="lower", claims=[])
    reading.write(tmp_path / "check.json", msgspec.structs.replace(checked(), metrics={"excess_loss": m}, verdicts=[]))
    reading.write(tmp_path / "reconstruction.json", msgspec.structs.replace(reconstructed(), version=9))
    for name, said in (
        ("check", f"excess_loss {NOW + 1} (now {NOW})"),
        ("reconstruction", "map_reconstruction 9 (now"),
    ):
        for verb in ("show", "validate"):
            assert main([verb, str(tmp_path / f"{name}.json")]) == 0
            assert said in " ".join(capsys.readouterr().out.split())


def test_versions_that_agree_are_not_mixed() -> None:
    assert versions.mixed([{"a": 1, "b": 2}, {"a": 1}]) == {}
    assert versions.mixed([{"a": 1}, {"a": 3, "b": 1}, {"a": 2}]) == {"a": [1, 2, 3]}
