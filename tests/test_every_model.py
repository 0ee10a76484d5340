"""Every model that is trained goes the whole way: trained, scored by every metric that applies, in a world of documents
with an end and in one without."""

from __future__ import annotations

from pathlib import Path

import pytest
from sample_records import result_of
from tiny_runs import SMALL_EVAL

from worldbench.cli.main import main
from worldbench.core.registry import metrics, models

TINY = [
    *("--train.steps", "4", "--train.batch", "6", "--train.checkpoints", "2", "--train.curve_documents", "8"),
    *("--model.layers", "2", "--model.width", "16", *SMALL_EVAL, "--eval.detours", "0.5"),
    *("--eval.detour_kinds", "random"),
]
WORLDS = {
    "taxi": [
        *("--env.map", "city:24", "--env.region", "all", "--env.min_moves", "2", "--env.max_moves", "9"),
        *("--train.row_tokens", "24"),
    ],
    "hmm": ["--env.process", "mess3", "--env.length", "6"],
}
NEW = ("bst", "mtp", "jtp", "gru", "lstm")
CASES = [("taxi", "bst"), ("taxi", "lstm"), ("hmm", "bst"), ("hmm", "mtp"), ("hmm", "jtp"), ("hmm", "gru")]


def test_no_trained_model_is_left_out() -> None:
    """gpt and nextlat go this way in test_cli and test_trace."""
    assert {e.name for e in models if e.trained} == {"gpt", "nextlat", *NEW}


@pytest.mark.parametrize(("world", "model"), CASES)
def test_a_run_from_end_to_end(world: str, model: str, tmp_path: Path) -> None:
    assert (
        main(
            [
                *("run", world, "--model", model, "--preset", "small", *WORLDS[world], *TINY),
                *("--out", str(tmp_path), "--quiet"),
            ]
        )
        == 0
    )
    record = result_of(next(tmp_path.glob(f"{world}-{model}-*")))
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
