"""Tunings and runs of tuned recipes in the smallest world, and what is in their folders."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import worldbench.studies.tune.tuning
from worldbench.cli.main import main

TINY = [
    *("--env.length", "6", "--train.steps", "6", "--train.batch", "8", "--train.warmup", "2"),
    *("--train.curve_documents", "20"),
]
TINY += ["--model.layers", "1", "--model.width", "16", "--model.heads", "2", "--eval.documents", "40"]
TYPED = [*TINY, "--eval.metrics", "excess_loss"]


def tune(out: Path, *more: str, code: int = 0) -> None:
    assert main(["tune", "hmm", *more, *TINY, "--out", str(out), "--quiet"]) == code


def tunings(out: Path) -> dict[str, dict[str, Any]]:
    """By model; one tuning of each."""
    records = [json.loads(path.read_text()) for path in out.glob("tune-*/tuning.json")]
    assert len({r["model"]["name"] for r in records}) == len(records)
    return {r["model"]["name"]: r for r in records}


def recipe(out: Path, model: str) -> Path:
    return next(out.glob(f"tune-hmm-{model}-*/best.toml"))


def results(out: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(out.glob("hmm-*/result-*.json"))]


def count_training(monkeypatch: pytest.MonkeyPatch, stop_at: int | None = None) -> list[str]:
    """The models that are trained from here on; the training numbered `stop_at` is interrupted."""
    calls: list[str] = []
    train = worldbench.studies.tune.tuning.train

    def counted(prepared: Any, *rest: Any) -> Any:
        if len(calls) == stop_at:
            raise KeyboardInterrupt
        calls.append(prepared.job.model)
        return train(prepared, *rest)

    monkeypatch.setattr(worldbench.studies.tune.tuning, "train", counted)
    return calls


def tune_both(out: Path) -> Path:
    """gpt and nextlat, three trials of two seeds each."""
    tune(out, "--models", "gpt", "nextlat", "--trials", "3", "--seeds", "2", "--model.horizon", "2")
    return out


def run_recipes(tuned: Path, out: Path) -> Path:
    """Runs of both recipes on two seeds, and one of gpt that was not tuned."""
    shared = ["--eval.metrics", "excess_loss", "--out", str(out), "--quiet"]
    for model in ("gpt", "nextlat"):
        for seed in "01":
            assert main(["run", "--config", str(recipe(tuned, model)), "--seed", seed, *shared]) == 0
    assert main(["run", "hmm", "--model", "gpt", *TYPED, "--out", str(out), "--quiet"]) == 0
    return out
