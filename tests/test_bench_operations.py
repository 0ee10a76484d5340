"""The operations that `worldbench bench` counts, against formulas written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from test_bench import LAYERS, TINY, B, D, T, V

from worldbench.baselines import bst, jtp
from worldbench.baselines.backbone import swiglu_width
from worldbench.baselines.batch import Batch
from worldbench.baselines.products import ONEDNN, has_onednn, use_products
from worldbench.studies.bench.operations import CountedOperators, Operations, count_operations
from worldbench.studies.bench.plan import BenchPlan
from worldbench.studies.bench.timing import build, rows_of


def counted(label: str, **changes: int) -> tuple[Operations, Batch, Any]:
    """(operations, batch, the model's options)."""
    plan = BenchPlan(labels=(label,), shape="small", changes=TINY | changes)
    rows = rows_of(plan)
    return count_operations(build(plan, label, rows), rows.batch), rows.batch, plan.config(label)[1]


# Operations, 6 a weight and position: 2 forward, 2 for either gradient. Attention: 2 products forward and 5 backward of
# T by T by C, in every head.

ATTENTION = 7 * 2 * B * T * T * D


def block() -> int:
    return 6 * B * T * (4 * D * D + 3 * D * swiglu_width(D)) + ATTENTION


def ahead(batch: Batch, i: int) -> int:
    """Positions t whose t + i is an input of the same document with a scored target."""
    d = batch.document
    return int(((d[:, : T - i] == d[:, i:]) & batch.scored[:, i:]).sum())


def test_operations_of_gpt_by_formula() -> None:
    got, batch, _ = counted("gpt")
    assert 0 < int(batch.scored.sum()) < B * T
    assert got.total == LAYERS * block() + 6 * D * V * int(batch.scored.sum())


@pytest.mark.skipif(not has_onednn(), reason="this torch does not compute products by oneDNN")
@pytest.mark.parametrize("label", ["gpt", "nextlat[horizon=5]", "bst[pairs=1]", "mtp[horizon=3]", "gru"])
def test_products_of_onednn_are_counted(label: str) -> None:
    plan = BenchPlan(labels=(label,), shape="small", changes=TINY)
    rows = rows_of(plan)
    objective = build(plan, label, rows).train()
    use_products(objective, ONEDNN)
    assert count_operations(objective, rows.batch).total == counted(label)[0].total


@pytest.mark.parametrize("label", ["nextlat[horizon=1]", "nextlat[horizon=5]", "nextlat[horizon=5,lambda_kl=0]"])
def test_operations_of_nextlat_by_formula(label: str) -> None:
    """GPT's; the dynamics (2D H + H H + H D) on every shifted row; the teacher's logits once, the student's with no
    gradient of the head."""
    got, batch, config = counted(label)
    h = config.dynamics_width
    extra = sum(6 * B * (T - i) * (2 * D * h + h * h + h * D) for i in range(1, config.horizon + 1))
    if config.lambda_kl:
        extra += 2 * D * V * B * T + sum(4 * D * V * ahead(batch, i) for i in range(1, config.horizon + 1))
    assert got.total == counted("gpt")[0].total + extra


def test_operations_of_mtp_by_formula() -> None:
    """One block and one head more for each token ahead."""
    got, batch, _ = counted("mtp[horizon=3]")
    assert got.total == counted("gpt")[0].total + sum(block() + 6 * D * V * ahead(batch, i) for i in (1, 2, 3))


def test_operations_of_lstm_by_formula() -> None:
    """Four gates of [x ; h] a layer, in rows of their own for documents, as long as the longest. oneDNN's layer is
    counted where torch uses it."""
    got, batch, _ = counted("lstm")
    documents, longest = int((batch.position == 0)[batch.valid].sum()), int(batch.position.max()) + 1
    expected = LAYERS * 6 * documents * longest * 4 * D * 2 * D + 6 * D * V * int(batch.scored.sum())
    assert got.total == pytest.approx(expected, rel=0.01)  # the first state, 0, may be left out


def test_operations_of_the_layers_of_cudnn_by_formula() -> None:
    """GRU with two layers on CUDA: one operator for all layers, here with tensors without numbers."""
    tokens, documents, inputs, width = 7, 3, 5, 4
    layers = torch.nn.GRU(inputs, width, 2, batch_first=True, device="meta")
    weights = [w.detach() for w in layers.parameters()]
    x = torch.empty(documents, tokens, inputs, device="meta")
    state = torch.empty(2, documents, width, device="meta")
    gru = 3  # cuDNN's number of this kind of layer
    with CountedOperators() as counter:
        torch.ops.aten._cudnn_rnn(x, weights, 4, None, state, None, gru, width, 0, 2, True, 0.0, True, False, [], None)
    expected = 2 * tokens * documents * 3 * (width * inputs + 3 * width * width)
    assert counter.total == expected
    back = counter._of[torch.ops.aten._cudnn_rnn_backward]
    assert back(x, weights, 4, out_val=None) == 2 * expected


def test_a_wider_horizon_and_more_pairs_cost_more() -> None:
    for cheap, dear in (("jtp[horizon=1]", "jtp[horizon=4]"), ("bst[pairs=0.1]", "bst[pairs=1]")):
        assert counted(cheap)[0].total < counted(dear)[0].total


def test_counting_leaves_no_gradient() -> None:
    plan = BenchPlan(labels=("gpt",), shape="small", changes=TINY)
    objective = build(plan, "gpt", rows_of(plan))
    count_operations(objective, rows_of(plan).batch)
    assert all(p.grad is None for p in objective.parameters())


@pytest.mark.parametrize("label", ["gpt", "nextlat[horizon=8]", "mtp[horizon=8]", "jtp[horizon=8]", "bst[pairs=1]"])
def test_no_loss_holds_the_logits_of_all_its_terms(label: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """[B, T, V] at most, never times the horizon or the pairs."""
    vocabulary = 700
    for module in (bst, jtp):
        monkeypatch.setattr(module, "FLOATS_AT_ONCE", B * T * vocabulary)
    got, batch, _ = counted(label, vocabulary=vocabulary)
    terms = int(batch.scored.sum()) + sum(ahead(batch, i) for i in range(1, 9))
    assert terms * vocabulary > 1.5 * B * T * vocabulary
    assert got.largest <= B * T * vocabulary
