"""Every model that is trained goes the whole way: trained, scored by every metric that applies, in a world of documents
with an end and in one without."""

from __future__ import annotations

from pathlib import Path

import pytest
import tiny_runs
from sample_records import result_of
from some_cases import others_slow
from tiny_runs import SMALL_EVAL, tiny_words

from worldbench.cli.main import main
from worldbench.core.registry import metrics, models

TINY = [
    *("--train.steps", "4", "--train.batch", "6", "--train.checkpoints", "2", "--train.curve_documents", "8"),
    *("--model.layers", "2", "--model.width", "16", *SMALL_EVAL, "--eval.detours", "0.5"),
    *("--eval.detour_kinds", "random"),
]
WORLDS = {"taxi": [*tiny_words("taxi"), "--train.row_tokens", "24"], "hmm": tiny_words("hmm")}
ELSEWHERE = ("gpt", "nextlat")
"""Models that go this way in test_cli_runs and test_trace."""
CASES = others_slow(
    [*(("hmm", e.name) for e in models if e.trained and e.name not in ELSEWHERE), ("taxi", "bst"), ("taxi", "lstm")],
    *(("hmm", "mtp"), ("hmm", "gru")),
)


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One folder for all runs, so that each reference is scored once."""
    return tmp_path_factory.mktemp("runs")


@pytest.mark.parametrize(("world", "model"), CASES)
def test_a_run_from_end_to_end(world: str, model: str, out: Path) -> None:
    words = ["run", world, "--model", model, "--preset", "small", *WORLDS[world], *TINY]
    assert main([*words, "--out", str(out), "--quiet"]) == 0
    record = result_of(next(out.glob(f"{world}-{model}-*")))
    assert record.scores.keys() | record.not_applicable.keys() == set(metrics.names())
    hidden = {"state_probe", "transition_consistency", "effective_rank", "belief_probe", "state_swap"}
    absent = {name: reason for name, reason in record.not_applicable.items() if name in hidden}
    assert all("hidden states" not in reason for reason in absent.values()), absent
    assert {
        "transition_consistency",
        "effective_rank",
        "state_swap" if world == "taxi" else "belief_probe",
    } <= record.scores.keys()
    parameters = record.model.parameters
    assert parameters is not None
    assert parameters.inference <= parameters.training


def test_rows_that_cut_documents_are_said(tmp_path: Path) -> None:
    code, said = tiny_runs.run(tmp_path, "--train.row_tokens", "3")
    assert code == 0, said
    assert "train.row_tokens is 3, and the longest document has " in said
    assert "row_tokens" not in tiny_runs.run(tmp_path / "whole")[1]
