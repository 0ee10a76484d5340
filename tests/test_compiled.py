"""`train.compile`: losses and weights of compiled training, exact resume, what stays eager, and what is refused.

Code is generated in one slow test: the first compiled function of a machine takes 20 s. In the other slow tests, the
compiler reads the parts of every objective and then runs them as they are.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from test_resume import stop_and_go_on, trainer
from tiny_jobs import job
from torch import Tensor

from worldbench.baselines import attention, objective
from worldbench.core.errors import InputError, RunError
from worldbench.core.options import identity_fields
from worldbench.core.registry import models
from worldbench.training import arithmetic, compiled
from worldbench.training.trainer import Trainer

TRAINED = [e.name for e in models if e.trained]
NOTHING = ("gru", "lstm")
"""Objectives whose layers are single operators already."""
MORE = {"bst": {"model": {"pairs": 0.5}}}
STEPS = 6


def graphs() -> int:
    """Number of graphs compiled in this process."""
    from torch._dynamo.utils import counters

    return counters["stats"]["unique_graphs"]


def compiled_and_eager(folder: Path, model: str, **options: object) -> tuple[Trainer, Trainer]:
    """Trainers after some steps each. Every loss is equal to 1e-5, and nothing is compiled after the first step."""
    eager = trainer(folder / "eager", model, MORE.get(model), **options)
    fast = trainer(folder / "compiled", model, MORE.get(model), compile=True, **options)
    before = graphs()
    fast._compile()
    made = graphs()
    assert made > before
    for step in range(STEPS):
        expected, found = eager.step(step), fast.step(step)
        assert {k: float(v) for k, v in found.items()} == pytest.approx(
            {k: float(v) for k, v in expected.items()}, abs=1e-5, rel=1e-5
        )
    assert graphs() == made
    return fast, eager


READ = [(model, precision) for model in TRAINED if model not in NOTHING for precision in ("fp32", "bf16")]


@pytest.mark.slow
@pytest.mark.parametrize(("model", "precision"), READ)
def test_the_compiler_can_read_every_part(
    model: str, precision: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All of each part in one graph, with its gradients; without a C++ compiler."""
    real = torch.compile

    def reads(function: Any, **options: Any) -> Any:
        return real(function, backend="aot_eager", **{k: v for k, v in options.items() if k != "options"})

    monkeypatch.setattr(torch, "compile", reads)
    before = graphs()
    losses = []
    for compile_ in (False, True):
        t = trainer(tmp_path / str(compile_), model, MORE.get(model), compile=compile_, precision=precision)
        losses.append({k: float(v) for k, v in t.step(0).items()})
    assert graphs() > before
    assert losses[1] == pytest.approx(losses[0], rel=1e-5 if precision == "fp32" else 1e-3)


@pytest.mark.slow
def test_a_compiled_gpt(tmp_path: Path) -> None:
    fast, eager = compiled_and_eager(tmp_path, "gpt", accumulate=2)
    assert_same_weights(fast, eager)
    # Outside of a step, the modules are as they were.
    block = fast.objective.trunk.blocks[0]
    assert "forward" not in vars(block)
    before = graphs()
    eager.objective.load_state_dict(fast.objective.state_dict())
    assert fast.evaluate(1) == eager.evaluate(1)
    assert graphs() == before


def assert_same_weights(fast: Trainer, eager: Trainer) -> None:
    """Equal names, and values as far apart as the last digits of the gradients let AdamW take them."""
    assert list(fast.objective.state_dict()) == list(eager.objective.state_dict())
    for (name, p), q in zip(fast.objective.named_parameters(), eager.objective.parameters()):
        assert float((p - q).detach().norm()) <= 1e-3 * float(q.detach().norm()), name


@pytest.mark.long
@pytest.mark.parametrize("row_tokens", [30, 0], ids=["packed", "single"])
@pytest.mark.parametrize("model", [m for m in TRAINED if m not in NOTHING])
def test_every_compiled_objective(model: str, row_tokens: int, tmp_path: Path) -> None:
    fast, eager = compiled_and_eager(tmp_path, model, row_tokens=row_tokens)
    assert_same_weights(fast, eager)


@pytest.mark.long
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("model", [m for m in TRAINED if m not in NOTHING])
def test_a_resumed_run_has_the_same_bits(model: str, precision: str, tmp_path: Path) -> None:
    """Although the step after the stop has other rows than the first one, on which every process compiles."""
    stop_and_go_on(tmp_path, model, 5, MORE.get(model, {}), compile=True, precision=precision, accumulate=2)


@pytest.mark.long
@pytest.mark.parametrize("model", [m for m in TRAINED if m not in NOTHING])
def test_compiled_bf16_is_near_fp32(model: str, tmp_path: Path) -> None:
    losses = []
    for options in ({}, {"compile": True, "precision": "bf16"}):
        t = trainer(tmp_path / str(len(losses)), model, MORE.get(model), **options)  # type: ignore[arg-type]
        losses.append([{k: float(v) for k, v in t.step(step).items()} for step in range(STEPS)])
    for exact, found in zip(*losses):
        assert found == pytest.approx(exact, rel=1e-2)
    assert losses[0] != losses[1]


@pytest.mark.slow
def test_documents_without_a_mask_are_compiled_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on a graphics card in bf16. The kernel, which the CPU lacks, is replaced by a mask of the pieces."""

    def attend(q_BTHC: Tensor, k_BTHC: Tensor, v_BTHC: Tensor, pieces: attention.Pieces) -> Tensor:
        place = torch.arange(q_BTHC.shape[0] * q_BTHC.shape[1]).view(q_BTHC.shape[:2])
        document = torch.bucketize(place, pieces.starts, right=True)
        q, k, v = (x.transpose(1, 2) for x in (q_BTHC, k_BTHC, v_BTHC))
        mask = attention.document_mask(document)
        return torch.nn.functional.scaled_dot_product_attention(q, k, v, mask).transpose(1, 2).flatten(0, 1)

    monkeypatch.setattr(attention, "_attend_in_pieces", attend)
    for module in (attention, objective):
        for name in ("takes_pieces", "card_takes_pieces"):
            monkeypatch.setattr(module, name, lambda *_: True)
    fast, _ = compiled_and_eager(tmp_path, "gpt")
    counts = {len(part.derived(attention.pieces).starts) for step in range(STEPS) for part in fast.batches(step)}
    assert len(counts) > 1


# What cannot be compiled


@pytest.mark.parametrize("model", NOTHING)
def test_an_objective_without_parts_is_refused(model: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=rf"'{model}' names no module .*use --train\.compile False"):
        trainer(tmp_path, model, compile=True)


def test_a_missing_compiler_is_said_before_training(tmp_path: Path) -> None:
    from torch._inductor import config

    wanted = r"needs a C\+\+ compiler, and found none; install g\+\+"
    with config.patch({"cpp.cxx": ("no-such-compiler",)}), pytest.raises(InputError, match=wanted) as raised:
        trainer(tmp_path, "gpt", compile=True)
    assert "\n" not in str(raised.value)


def test_a_part_that_cannot_be_compiled_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from worldbench.baselines.backbone import Block

    real = Block.forward

    def reads_a_number(self: Block, x_BTD: Tensor, *rest: Any) -> Tensor:
        return real(self, x_BTD, *rest) if float(x_BTD.sum()) > 0 else x_BTD

    monkeypatch.setattr(Block, "forward", reads_a_number)
    t = trainer(tmp_path, "gpt", compile=True)
    with pytest.raises(RunError, match=r"torch\.compile failed \(.+\); use --train\.compile False") as raised:
        t.train()
    assert "\n" not in str(raised.value)
    assert "forward" not in vars(t.objective.trunk.blocks[0])


def test_the_compiler_is_part_of_the_identity_and_of_the_arithmetic() -> None:
    base = job("gpt").groups["train"]
    assert "compile" not in identity_fields(base)
    assert identity_fields(dataclasses.replace(base, compile=True))["compile"] is True
    name = compiled.toolchain("cpu")
    assert name.strip()
    assert arithmetic.fingerprint("cpu", compiler=name) != arithmetic.fingerprint("cpu")


def test_parts_are_modules_of_the_objective() -> None:
    from test_static_shapes import made

    for model in TRAINED:
        network = made(model)
        parts = network.compiled_parts()
        assert bool(parts) == (model not in NOTHING)
        own = set(network.modules())
        assert all(module in own for module, _ in parts)
        assert len({id(module) for module, _ in parts}) == len(parts)
