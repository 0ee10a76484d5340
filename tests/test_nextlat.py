"""NextLat and GPT against their losses written out position by position, and the cheap backward pass against one plain
graph.

Shape letters: B rows, T tokens, D width, V vocabulary.
"""

from __future__ import annotations

import dataclasses
import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch
from torch import Tensor

from worldbench.baselines.batch import Batch, pack
from worldbench.baselines.gpt import GPT, GPTConfig
from worldbench.baselines.nextlat import Dynamics, NextLat, NextLatConfig
from worldbench.baselines.objective import Objective
from worldbench.baselines.rollout import other_places
from worldbench.core.errors import InputError
from worldbench.core.world import Documents

V, CONTEXT = 19, 30
CONFIG = NextLatConfig(layers=2, heads=2, width=16, horizon=3, lambda_h=0.7, lambda_kl=0.4)


def make(config: GPTConfig = CONFIG) -> GPT | NextLat:
    """In double precision, with weights that make latents differ."""
    objective = (NextLat if isinstance(config, NextLatConfig) else GPT)(config, V, CONTEXT, 0).double()  # type: ignore[arg-type]
    with torch.no_grad():
        for p in objective.parameters():
            if p.ndim >= 2:
                p.mul_(10)
    return objective


def packed(rows: int = 4, share: int = 3, width: int = 14, seed: int = 0) -> Batch:
    """Documents of 2 to 8 tokens, prompts of 1 to 3; some rows cut, some padded."""
    rng = np.random.default_rng(seed)
    length = rng.integers(2, 9, rows * share).astype(np.int32)
    return pack(
        Documents(
            rng.integers(0, V, (rows * share, 8)).astype(np.int32),
            length,
            rng.integers(1, 4, rows * share).astype(np.int32),
        ),
        rows,
        width,
    )


def gradients(objective: Objective) -> dict[str, Tensor]:
    out = {name: torch.zeros_like(p) if p.grad is None else p.grad.clone() for name, p in objective.named_parameters()}
    objective.zero_grad(set_to_none=True)
    return out


def assert_same_gradients(got: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert max(float(g.abs().max()) for g in expected.values()) > 1e-3
    for name, g in expected.items():
        torch.testing.assert_close(got[name], g, atol=1e-9, rtol=1e-6, msg=name)


# Equations 3-5, one position and one step at a time


def literal_terms(objective: GPT | NextLat, batch: Batch) -> dict[str, Tensor]:
    """Everything in one graph: rows, positions and steps in plain loops. No mask: a rollout stops where its document
    does, or goes on through its end."""
    h = objective.encode_batch(batch)
    head = dict(objective.trunk.head.named_parameters())

    def log_law(x: Tensor, frozen: bool = False) -> Tensor:
        weights = {name: p.detach() if frozen else p for name, p in head.items()}
        if "norm.weight" in weights:
            x = x / torch.sqrt((x * x).mean() + 1e-5) * weights.pop("norm.weight")
        (weight,) = weights.values()
        z = weight @ x
        return z - torch.log(torch.exp(z).sum())

    rows, width = batch.tokens.shape
    next_token = [
        -log_law(h[r, t])[int(batch.targets[r, t])]
        for r in range(rows)
        for t in range(width)
        if batch.targets[r, t] != -1
    ]
    terms = {"next_token": torch.stack(next_token).mean()}
    if not isinstance(objective, NextLat):
        return terms
    c, p = objective.config, dict(objective.dynamics.named_parameters())
    places = (
        other_places(batch, "control", objective.seed)
        if c.control == "shuffled"
        else torch.arange(width).expand(rows, width)
    )
    smooth: list[list[Tensor]] = [[] for _ in range(c.horizon)]
    kl: list[list[Tensor]] = [[] for _ in range(c.horizon)]
    for r in range(rows):
        track: list[tuple[int | None, int]] = []
        for t in range(width):
            if batch.document[r, t] >= 0:
                track.append((t, int(batch.tokens[r, t])))
                if batch.closed[r, t]:
                    track.append((None, int(batch.following[r, t])))
        for s, (t, _) in enumerate(track):
            if t is None:
                continue
            state = h[r, t]
            for i in range(1, min(c.horizon, width - 1) + 1):
                if s + i >= len(track):
                    break
                at, token = track[s + i]
                if c.mask == "cumulative" and (at is None or batch.document[r, at] != batch.document[r, t]):
                    break
                x = torch.cat([objective.trunk.embedding.weight[token], state])
                x = x / torch.sqrt((x * x).mean() + 1e-5) * p["norm.weight"]
                for name in ("mlp.0.weight", "mlp.2.weight"):
                    x = p[name] @ x
                    x = 0.5 * x * (1 + torch.erf(x / 2**0.5))
                state = p["mlp.4.weight"] @ x + (state if c.residual else 0)
                if at is None:
                    continue
                true, scored = h[r, places[r, at]], batch.targets[r, at] != -1
                gap = (true.detach() if c.stop_target else true) - state
                if scored or not c.mask_prompts:
                    smooth[i - 1].append(torch.where(gap.abs() < 1, gap * gap / 2, gap.abs() - 0.5).mean())
                if scored:
                    teacher = log_law(true).detach()
                    student = log_law(state, c.stop_head)
                    kl[i - 1].append((teacher.exp() * (teacher - student)).sum())
    for name, steps in (("next_h", smooth), ("kl", kl)):
        terms[name] = sum((torch.stack(s).mean() for s in steps if s), torch.zeros(())) / c.horizon
    return terms


ONE_BY_ONE = {
    "gpt": GPTConfig(layers=2, heads=2, width=16),
    "nextlat": CONFIG,
    "no-kl": dataclasses.replace(CONFIG, lambda_kl=0.0),
    "no-regression": dataclasses.replace(CONFIG, lambda_h=0.0),
    "no-latents": dataclasses.replace(CONFIG, lambda_h=0.0, lambda_kl=0.0),
    "one-step": dataclasses.replace(CONFIG, horizon=1),
    "past-every-document": dataclasses.replace(CONFIG, horizon=10),
    "past-every-document-and-on": dataclasses.replace(CONFIG, horizon=15, mask="landing"),
}
CHANGES = {
    "plain": {},
    "landing": {"mask": "landing"},
    "prompts": {"mask_prompts": True},
    "no-residual": {"residual": False},
    "before-the-norm": {"state": "residual"},
    "shuffled": {"control": "shuffled"},
    "all-but-shuffled": {"mask": "landing", "mask_prompts": True, "residual": False, "state": "residual"},
    "all": {"mask": "landing", "mask_prompts": True, "residual": False, "state": "residual", "control": "shuffled"},
}
STOPS = {
    "": {},
    "-moving-target": {"stop_target": False},
    "-moving-head": {"stop_head": False},
    "-both-moving": {"stop_target": False, "stop_head": False},
}
EVERY = ONE_BY_ONE | {
    name + stop: dataclasses.replace(CONFIG, **changes, **stops)
    for name, changes in CHANGES.items()
    for stop, stops in STOPS.items()
}


@pytest.mark.parametrize(
    "batch",
    [
        packed(),
        pack(
            Documents(
                packed(2, 4, 8).tokens[:, :7].numpy().astype(np.int32),
                np.array([7, 3], np.int32),
                np.array([2, 1], np.int32),
            ),
            2,
            6,
        ),
    ],
    ids=["packed", "single"],
)
@pytest.mark.parametrize("config", EVERY.values(), ids=EVERY.keys())
def test_loss_and_gradient_as_written_out(config: GPTConfig, batch: Batch) -> None:
    objective = make(config)
    got = objective.backward(batch, objective.counts(batch))
    cheap = gradients(objective)
    expected = literal_terms(objective, batch)
    weights = {"next_token": 1.0, "next_h": getattr(config, "lambda_h", 0.0), "kl": getattr(config, "lambda_kl", 0.0)}
    assert list(got) == [name for name, weight in weights.items() if weight]
    for name, value in got.items():
        assert not value.requires_grad
        assert float(value) == pytest.approx(float(expected[name].detach()), rel=1e-6, abs=1e-12)
    sum((weights[name] * value for name, value in expected.items()), torch.zeros(())).backward()
    assert_same_gradients(cheap, gradients(objective))


def test_every_change_matters() -> None:
    """Each option changes what is trained, so the comparison above can see it."""
    batch, plain = packed(), make()
    plain.backward(batch, plain.counts(batch))
    before = gradients(plain)
    for name, config in EVERY.items():
        if name not in ("gpt", "nextlat", "plain"):
            objective = make(config)
            objective.backward(batch, objective.counts(batch))
            same = {
                name.replace("head.linear", "head").replace("head.norm", "norm"): g
                for name, g in gradients(objective).items()
            }
            assert max(float((g - before[n]).abs().max()) for n, g in same.items()) > 1e-5, name


def test_the_stops_matter() -> None:
    batch, seen = packed(), []
    for change in ({}, {"stop_target": False}, {"stop_head": False}):
        objective = make(dataclasses.replace(CONFIG, **change))
        objective.backward(batch, objective.counts(batch))
        seen.append(gradients(objective))
    plain, target, head = seen
    assert (plain["trunk.blocks.0.qkv.weight"] - target["trunk.blocks.0.qkv.weight"]).abs().max() > 1e-5
    assert (plain["trunk.head.weight"] - head["trunk.head.weight"]).abs().max() > 1e-5


# Masks


def test_terms_of_a_row_by_hand() -> None:
    """Documents a b c d | e f | g h i: prompts of 2 tokens, the last input of each cut off as a target only."""
    documents = Documents(
        np.array([[1, 2, 3, 4, 9], [5, 6, 9, 0, 0], [7, 8, 1, 9, 0]], np.int32),
        np.array([5, 3, 4], np.int32),
        np.array([2, 2, 2], np.int32),
    )
    batch = pack(documents, 1, 11)
    assert batch.document.tolist() == [[0, 0, 0, 0, 1, 1, 2, 2, 2, -1, -1]]
    objective = make()
    counts = {name: int(n) for name, n in objective.counts(batch).items()}
    # Inputs one step apart in one document: 3 + 1 + 2; two apart: 2 + 0 + 1; three apart: 1. Only first inputs are
    # unscored, and none is landed on.
    assert counts == {"next_token": 6, "next_h_1": 6, "kl_1": 6, "next_h_2": 3, "kl_2": 3, "next_h_3": 1, "kl_3": 1}
    longer = make(dataclasses.replace(CONFIG, horizon=2)).counts(
        pack(dataclasses.replace(documents, prompt_length=np.array([4, 2, 3], np.int32)), 1, 11)
    )
    # Longer prompts leave d, f and i scored. They take landings on b, c and h from the divergence, and nothing from the
    # regression.
    assert {name: int(n) for name, n in longer.items()} == {
        "next_token": 3,
        "next_h_1": 6,
        "kl_1": 3,
        "next_h_2": 3,
        "kl_2": 2,
    }


def test_the_end_token_and_other_documents_do_not_enter_the_latent_terms() -> None:
    """Another end token moves the next-token loss alone; another neighbour moves nothing of a document's own terms."""
    tokens = np.array([[1, 2, 3, 4, 9], [5, 6, 7, 8, 9]], np.int32)
    length, prompt = np.array([5, 5], np.int32), np.array([1, 1], np.int32)
    objective = make()

    def latent(changed: np.ndarray) -> list[float]:
        batch = pack(Documents(changed, length, prompt), 1, 8)
        terms = objective.backward(batch, objective.counts(batch))
        return [float(terms[name]) for name in ("next_token", "next_h", "kl")]

    other = tokens.copy()
    other[:, -1] = 11
    before, after = latent(tokens), latent(other)
    assert before[0] != pytest.approx(after[0], rel=1e-3)
    assert before[1:] == pytest.approx(after[1:], rel=1e-12)
    alone = []
    for row in range(2):
        batch = pack(Documents(tokens[row : row + 1], length[:1], prompt[:1]), 1, 8)
        alone.append(objective.backward(batch, objective.counts(batch)))
    assert before[1] == pytest.approx(np.mean([float(a["next_h"]) for a in alone]), rel=1e-9)
    assert before[2] == pytest.approx(np.mean([float(a["kl"]) for a in alone]), rel=1e-9)


def test_rows_without_a_term() -> None:
    """Documents of one input have nothing to roll out, and wholly given ones nothing to score: 0, and no gradient that
    is not a number."""
    tokens = np.array([[1, 9, 0], [2, 3, 9]], np.int32)
    for length, prompt in (([2, 2], [1, 1]), ([3, 3], [3, 3])):
        batch = pack(Documents(tokens, np.array(length, np.int32), np.array(prompt, np.int32)), 2, 4)
        objective = make()
        terms = objective.backward(batch, objective.counts(batch))
        assert float(terms["kl"]) == 0
        assert all(torch.isfinite(v) for v in terms.values())
        assert all(torch.isfinite(g).all() for g in gradients(objective).values())


# Accumulation and memory


@pytest.mark.parametrize(
    "config",
    [EVERY[name] for name in ("gpt", "nextlat", "plain-both-moving", "all-both-moving", "past-every-document-and-on")],
)
def test_accumulated_parts_have_the_gradient_of_the_whole(config: GPTConfig) -> None:
    objective, batch = make(config), packed(rows=6)
    totals = objective.counts(batch)
    whole_terms = objective.backward(batch, totals)
    whole = gradients(objective)
    parts = [batch.rows(0, 1), batch.rows(1, 4), batch.rows(4, 6)]
    for name, total in totals.items():
        assert sum(int(objective.counts(part)[name]) for part in parts) == int(total)
    summed = [objective.backward(part, totals) for part in parts]
    assert_same_gradients(gradients(objective), whole)
    for name, value in whole_terms.items():
        assert float(sum(s[name] for s in summed)) == pytest.approx(float(value), rel=1e-9)


def test_logits_of_one_step_at_a_time() -> None:
    """What autograd keeps of the vocabulary's size does not grow with the horizon."""

    class Kept:
        def __init__(self, tensor: Tensor) -> None:
            self.tensor = tensor

    def most_kept(horizon: int) -> int:
        objective, batch = make(dataclasses.replace(CONFIG, horizon=horizon)), packed(rows=6, share=1, width=8)
        alive: weakref.WeakSet[Kept] = weakref.WeakSet()
        most = 0

        def keep(tensor: Tensor) -> Kept:
            nonlocal most
            kept = Kept(tensor)
            if tensor.ndim == 2 and tensor.shape[-1] == V:
                alive.add(kept)
                most = max(most, len(alive))
            return kept

        with torch.autograd.graph.saved_tensors_hooks(keep, lambda kept: kept.tensor):
            objective.backward(batch, objective.counts(batch))
        return most

    assert 0 < most_kept(6) <= most_kept(2)


def test_a_term_of_weight_0_costs_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is called: the dynamics, the regression, the head (for next tokens, and for teachers and students)."""
    batch, calls = packed(), {"dynamics": 0, "regression": 0, "head": 0}

    def counted(name: str, function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def call(*args: object, **kwargs: object) -> Tensor:
            calls[name] += 1
            return function(*args, **kwargs)

        return call

    monkeypatch.setattr(Dynamics, "forward", counted("dynamics", Dynamics.forward))
    monkeypatch.setattr(
        torch.nn.functional, "smooth_l1_loss", counted("regression", torch.nn.functional.smooth_l1_loss)
    )
    seen = {}
    for name in ("nextlat", "no-kl", "no-regression", "no-latents"):
        objective = make(EVERY[name])
        objective.trunk.head.register_forward_hook(lambda *_: calls.__setitem__("head", calls["head"] + 1))
        calls.update(dynamics=0, regression=0, head=0)
        objective.backward(batch, objective.counts(batch))
        seen[name] = tuple(calls.values())
    assert seen == {"nextlat": (3, 3, 5), "no-kl": (3, 3, 1), "no-regression": (3, 0, 5), "no-latents": (0, 0, 1)}


# The rest of the interface


def test_prediction_is_the_trunk_alone() -> None:
    nextlat, gpt = NextLat(CONFIG, V, CONTEXT, 0), GPT(GPTConfig(layers=2, heads=2, width=16), V, CONTEXT, 0)
    assert nextlat.inference_parameters() == gpt.inference_parameters() == gpt.parameter_count()
    assert nextlat.parameter_count() - gpt.parameter_count() == 2 * 16 + 32 * 128 + 128 * 128 + 128 * 16
    for name, p in gpt.trunk.named_parameters():
        assert torch.equal(p, dict(nextlat.trunk.named_parameters())[name]), (
            "the same seed starts both from the same trunk"
        )


@pytest.mark.parametrize(
    ("factor", "width", "hidden"), [(1.0, 64, 128), (1.0, 384, 768), (0.5, 384, 384), (2.0, 384, 1536), (0.01, 64, 128)]
)
def test_dynamics_width(factor: float, width: int, hidden: int) -> None:
    assert NextLatConfig(width=width, heads=2, dynamics_factor=factor).dynamics_width == hidden


@pytest.mark.parametrize(
    ("values", "field"),
    [
        ({"horizon": 0}, "model.horizon"),
        ({"lambda_h": -1.0}, "model.lambda_h"),
        ({"lambda_kl": -0.1}, "model.lambda_kl"),
        ({"dynamics_factor": 0.0}, "model.dynamics_factor"),
        ({"width": 31}, "model.width"),
        ({"mask": "landed"}, "model.mask .* did you mean 'landing'"),
        ({"state": "norm"}, "model.state .* did you mean 'normed'"),
        ({"control": "cutt"}, "model.control .* did you mean 'cut'"),
        ({"control": "cut", "stop_target": False}, "model.stop_target"),
        ({"control": "cut", "stop_head": False}, "model.stop_head"),
    ],
)
def test_options_that_cannot_be(values: dict[str, object], field: str) -> None:
    with pytest.raises(InputError, match=field):
        NextLatConfig(**values)  # type: ignore[arg-type]
