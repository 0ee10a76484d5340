"""Floors and ceilings are the scores of reference runs, read while their folders are held."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from worldbench.cli.main import main
from worldbench.runs import run as module

SHORT = [
    *("--env.length", "5", "--train.steps", "2", "--train.batch", "4", "--train.curve_documents", "5"),
    *("--model.layers", "1"),
]
SHORT += [
    *("--model.width", "16", "--model.heads", "1", "--eval.documents", "20", "--eval.metrics", "next_token"),
    "--quiet",
]


def test_a_reference_that_is_scored_anew_meanwhile_changes_no_bound(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As soon as a reference's folder is let go, another process puts another result in its place."""
    real, replaced = module.lock, []

    @contextmanager
    def letting_go(folder: Path, **more: Any) -> Iterator[None]:
        with real(folder, **more):
            yield
        if "gpt" not in folder.name:
            for path in folder.glob("result*.json"):
                record = json.loads(path.read_text())
                for metric in record["scores"].values():
                    for score in metric["scores"].values():
                        score["value"] = -1.0
                path.write_text(json.dumps(record))
                replaced.append(path)

    monkeypatch.setattr(module, "lock", letting_go)
    assert main(["run", "hmm", *SHORT, "--out", str(tmp_path)]) == 0
    (folder,) = tmp_path.glob("hmm-gpt-*")
    metric = json.loads(next(folder.glob("result*.json")).read_text())["scores"]["next_token"]
    assert {path.parent.name.split("-quick")[0] for path in replaced} == {"hmm-oracle", "hmm-uniform"}
    assert "-1.0" not in json.dumps([metric["floor"], metric["ceiling"]])
