"""Models on a graphics card: attention, decoding and every metric give what they give on the processor; compiled
training. The compiler takes the longest, so it comes last."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_cuda import NEAR, STEPS, no_waiting
from test_resume import stop_and_go_on, trainer
from tiny_runs import SIZES

from worldbench.baselines.acceptance import uniforms
from worldbench.baselines.attention import attend, document_mask, pieces, takes_pieces
from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.drafters import drafter_of
from worldbench.baselines.speculative import PLAIN, Drafting, generate
from worldbench.baselines.trained import TrainedModel
from worldbench.core.eval_config import eval_config
from worldbench.core.registry import metrics
from worldbench.core.world import Documents
from worldbench.training.arithmetic import set_up
from worldbench.training.trainer import Trainer

pytestmark = pytest.mark.gpu
DRAFTERS = ("nextlat", "mtp", "jtp")


def packed() -> Batch:
    """3 rows of 20 tokens with 4 documents each."""
    rng = np.random.default_rng(0)
    length = rng.integers(2, 10, 12).astype(np.int32)
    tokens = rng.integers(0, 18, (12, 9)).astype(np.int32)
    return pack(Documents(tokens, length, np.ones(12, np.int32)), 3, 20)


def test_attention_in_pieces_is_attention_with_a_mask() -> None:
    """Outputs and gradients, to the rounding of bf16; and the same bits a second time."""
    if torch.cuda.get_device_capability() < (8, 0):
        pytest.skip("the kernel needs compute capability 8.0")
    set_up()
    batch, generator = packed(), torch.Generator().manual_seed(0)
    drawn = [torch.randn(3, 20, 2, 16, generator=generator).cuda().bfloat16() for _ in range(4)]
    with torch.autocast("cuda", torch.bfloat16):
        assert takes_pieces(torch.device("cuda"), 16)
    cut = pieces(batch)
    ways = {
        "mask": document_mask(batch.document.cuda()),
        "pieces": cut._replace(starts=cut.starts.cuda()),
        "again": cut._replace(starts=cut.starts.cuda()),
    }
    found: dict[str, list[torch.Tensor]] = {}
    for name, mask in ways.items():
        inputs = [x.clone().requires_grad_() for x in drawn[:3]]
        with torch.autocast("cuda", torch.bfloat16):
            out = attend(*inputs, mask)
        out.backward(drawn[3].flatten(2))
        found[name] = [out.detach(), *(x.grad for x in inputs if x.grad is not None)]
        assert len(found[name]) == 4
    for exact, got, again in zip(found["mask"], found["pieces"], found["again"]):
        torch.testing.assert_close(got.float(), exact.float(), rtol=3e-2, atol=3e-2)
        assert torch.equal(got, again)


def small(tmp_path: Path, model: str) -> tuple[Trainer, Any, Any]:
    """A trainer after 12 steps on the card, and its objective in evaluation mode on the processor and on the card."""
    t = trainer(tmp_path, model, device="cuda", row_tokens=25, steps=12)
    for step in range(12):
        t.step(step)
    return t, copy.deepcopy(t.objective).cpu().eval(), t.objective.eval()


@pytest.mark.parametrize("choice", ["greedy", "sampled"])
@pytest.mark.parametrize("model", DRAFTERS)
def test_drafted_continuations_on_the_card(tmp_path: Path, model: str, choice: str) -> None:
    """Greedy: the tokens of plain decoding, on the card and on the processor, except in rows with a tie. Sampled: plain
    decoding draws the same tokens on both, and drafting draws valid tokens."""
    t, here, there = small(tmp_path, model)
    prompts, lengths = t.world.prompts(0, 16)
    end, limit = t.world.vocabulary.end, t.world.longest
    u = uniforms(0, len(prompts), limit, 0) if choice == "sampled" else None

    def tokens(objective: Any, plan: Drafting) -> np.ndarray:
        d = drafter_of(objective)
        return generate(d.reader, prompts, lengths, limit=limit, end=end, drafter=d, plan=plan, u=u)[0]

    plain = tokens(here, PLAIN)
    assert (tokens(there, PLAIN) == plain).all(1).mean() > 0.8
    drafted = tokens(there, Drafting(min(3, getattr(there.config, "horizon", 3))))
    assert drafted.shape == plain.shape
    assert drafted.min() >= -1
    assert drafted.max() < len(t.world.vocabulary)
    if choice == "greedy":
        assert (drafted == plain).all(1).mean() > 0.8


@pytest.mark.parametrize("model", ["gpt", "nextlat", "gru"])
def test_every_metric_on_the_card_is_near_that_on_the_processor(tmp_path: Path, model: str) -> None:
    """Logits to 1e-3; every metric gives a score on the card where it gives one on the processor; the excess loss to
    1e-3."""
    from worldbench.runs.scoring import score

    t, here, there = small(tmp_path, model)
    models = {"cpu": TrainedModel(here, "cpu"), "cuda": TrainedModel(there, "cuda")}
    documents = t.world.sample(0, "test", 0, 8)
    logits = [m.logits(documents.inputs) for m in models.values()]
    valid = np.arange(logits[0].shape[1]) < documents.length[:, None] - 1
    np.testing.assert_allclose(logits[1][valid], logits[0][valid], rtol=1e-3, atol=1e-3)
    settings = eval_config(metrics=tuple(metrics.names()), **SIZES)
    found = {device: score(t.world, m, settings, None) for device, m in models.items()}
    missing: dict[str, set[str]] = {device: set() for device in found}
    for device, scored in found.items():
        for name, metric in scored.scores.items():
            missing[device] |= {f"{name}.{part}" for part, s in metric.scores.items() if s.value is None}
    assert found["cuda"].scores.keys() == found["cpu"].scores.keys()
    assert missing["cuda"] == missing["cpu"]
    kl = [found[device].scores["excess_loss"].value("kl") for device in models]
    assert kl[1] == pytest.approx(kl[0], rel=1e-3)


@pytest.mark.parametrize(("model", "precision"), [("gpt", "fp32"), ("nextlat", "bf16")])
def test_compiled_training_repeats_its_bits_and_is_near_the_same_training(
    tmp_path: Path, model: str, precision: str
) -> None:
    """The same bits after a stop; near training without the compiler; and no compiled step waits for the card."""
    stop_and_go_on(tmp_path, model, 5, {}, compile=True, precision=precision, device="cuda")
    losses = []
    for compiled in (False, True):
        t = trainer(
            tmp_path / str(compiled), model, device="cuda", row_tokens=25, steps=STEPS, compile=compiled,
            precision=precision,
        )  # fmt: skip
        losses.append([{term: float(x) for term, x in t.step(step).items()} for step in range(STEPS - 2)])
        with no_waiting():
            t.step(STEPS - 2)
    for exact, found in zip(*losses):
        assert found == pytest.approx(exact, rel=NEAR.get(precision, 1e-3))
