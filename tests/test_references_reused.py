"""What is scored once: the references of a job, for every model, seed and command of the same world and evaluation."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_jobs import job
from tiny_runs import small_eval

from worldbench.cli.main import main
from worldbench.runs import one_run
from worldbench.runs.display import Display
from worldbench.runs.prepared import prepare
from worldbench.runs.references import references

WORLD = ["--env.map", "city:24", "--env.region", "all", "--env.min_moves", "2", "--env.max_moves", "9"]
CELL = [*WORLD, *small_eval("arrival_calibration")]


def test_metrics_of_worlds_with_labels_add_no_reference_to_other_worlds() -> None:
    planned = references(prepare(job("gpt"), Display(quiet=True)))
    assert sorted(planned.runs) == ["oracle", "random-legal", "uniform"]
    assert not set(planned.by_metric) & {"label_accuracy", "label_structure"}


def test_a_second_seed_and_a_second_model_score_no_reference_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scored: list[str] = []
    drawn: list[str] = []
    score, draw = one_run.score_and_write, one_run.draw

    def scoring(prepared: one_run.Prepared, *of: object) -> None:
        scored.append(prepared.job.model)
        score(prepared, *of)  # type: ignore[arg-type]

    def drawing(folder: Path, display: Display, result: Path | None = None) -> list[Path]:
        drawn.append(folder.name.split("-small-")[0].removeprefix("taxi-"))
        return draw(folder, display, result)

    monkeypatch.setattr(one_run, "score_and_write", scoring)
    monkeypatch.setattr(one_run, "draw", drawing)

    def run(model: str, seed: int) -> tuple[list[str], list[str]]:
        scored.clear()
        drawn.clear()
        words = ["run", "taxi", "--model", model, "--preset", "small", "--seed", str(seed), *CELL]
        assert main([*words, "--out", str(tmp_path), "--quiet"]) == 0
        return list(scored), list(drawn)

    everything = ["oracle", "random-legal", "corrupted"]
    assert run("corrupted", 0) == (everything, everything)
    assert run("corrupted", 1) == (["corrupted"], ["corrupted"])
    assert run("ngram", 0) == (["ngram"], ["ngram"])
    assert run("ngram", 0) == ([], ["ngram"])
    reference = next(tmp_path.glob("taxi-oracle-*"))
    manifest = reference / "manifest.json"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace('"outcome": "done"', '"outcome": "killed"'))
    assert run("ngram", 0) == ([], ["oracle", "ngram"])
