"""Muon: the updates of torch's class, matrices stacked by shape, the matrices that each objective names, resumed
bits."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path

import pytest
import torch
from some_cases import others_slow
from test_resume import stop_and_go_on, trainer
from tiny_jobs import job
from tiny_runs import tiny_model
from torch import Tensor, nn

from worldbench.baselines.objective import NextToken, Objective
from worldbench.core.errors import InputError, RunError
from worldbench.core.registry import models
from worldbench.settings.resolve import resolve
from worldbench.settings.train import TrainConfig
from worldbench.training import muon
from worldbench.training.muon import Muon, orthogonalized
from worldbench.training.optimizer import make_optimizer, set_rates

SHAPES = ((16, 16), (48, 16), (16, 24), (16, 48), (16, 16), (48, 16), (1, 5), (5, 1))
MUON = {"optimizer": "muon", "muon_rate": 0.03}
TRAINED = [e.name for e in models if e.trained]


def drawn(shapes: tuple[tuple[int, int], ...] = SHAPES, seed: int = 0) -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [nn.Parameter(torch.randn(shape, generator=generator)) for shape in shapes]


def steps(optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter], count: int = 6) -> None:
    generator = torch.Generator().manual_seed(5)
    for _ in range(count):
        for p in parameters:
            p.grad = torch.randn(p.shape, generator=generator)
        optimizer.step()


def objective_of(model: str, **options: object) -> Objective:
    return models[model].load()(dataclasses.replace(tiny_model(model), **options), 11, 9, 0, 0)


# The formulas


@pytest.mark.parametrize("exact", [True, False], ids=["fp32", "bf16"])
def test_updates_are_those_of_torch(exact: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """With torch's products in fp32 to rounding; as torch computes them, to the rounding of bf16."""
    if exact:
        monkeypatch.setattr(Tensor, "bfloat16", Tensor.float)
    ours, theirs, start = drawn(), drawn(), drawn()
    steps(Muon(ours, [], 0.02, 1.0, 0.1), ours)
    steps(torch.optim.Muon(theirs, lr=0.02, weight_decay=0.1, momentum=0.95, nesterov=True), theirs)
    for a, b, c in zip(ours, theirs, start):
        error = float(((a - b).norm() / (b - c).norm()).detach())
        assert error < (2e-4 if exact else 5e-2), a.shape
        assert (error > 1e-3) != exact or min(a.shape) == 1


@pytest.mark.parametrize("shape", [(24, 24), (24, 32), (24, 36), (24, 96), (1, 7), (1, 1)])
@pytest.mark.parametrize("smallest", [1.0, 1e-3, 1e-9])
def test_singular_values_become_one(shape: tuple[int, int], smallest: float) -> None:
    """To the polynomial's accuracy where they are not tiny, and in the directions that they had. Both ways of computing
    agree with the formula in double precision."""
    rows, columns = shape
    generator = torch.Generator().manual_seed(1)
    u = torch.linalg.qr(torch.randn(rows, rows, generator=generator).double())[0]
    v = torch.linalg.qr(torch.randn(columns, rows, generator=generator).double())[0]
    x = (u * torch.logspace(0, torch.tensor(smallest).log10().item(), rows).double()) @ v.T
    exact = muon._iterated((x / x.norm())[None])[0]
    for found in (orthogonalized(x.float()[None])[0], muon._through_gram((x / x.norm()).float()[None])[0]):
        assert float((found - exact).norm() / exact.norm()) < 2e-3
    if smallest == 1.0:
        values = torch.linalg.svdvals(exact)
        assert 0.6 < float(values.min()) <= float(values.max()) < 1.3
        assert float((u.T @ exact @ v).diagonal().min()) > 0.6


def test_a_stack_is_its_matrices_one_by_one() -> None:
    for shape in ((16, 16), (16, 48)):
        x = torch.randn(5, *shape, generator=torch.Generator().manual_seed(2))
        torch.testing.assert_close(orthogonalized(x), torch.cat([orthogonalized(one[None]) for one in x]))
    together, apart = drawn(), drawn()
    steps(Muon(together, [], 0.02, 1.0, 0.1), together)
    for i, p in enumerate(apart):
        generator, one = torch.Generator().manual_seed(5), Muon([p], [], 0.02, 1.0, 0.1)
        for _ in range(6):
            p.grad = [torch.randn(shape, generator=generator) for shape in SHAPES][i]
            one.step()
        torch.testing.assert_close(p, together[i])


def test_a_matrix_without_gradient_stays_and_a_zero_gradient_decays() -> None:
    parameters = drawn(((4, 4), (4, 4)))
    before = [p.detach().clone() for p in parameters]
    optimizer = Muon(parameters, [], 0.1, 1.0, 0.5)
    parameters[1].grad = torch.zeros(4, 4)
    optimizer.step()
    assert torch.equal(parameters[0], before[0])
    assert torch.equal(parameters[1], before[1] * 0.95)
    assert list(optimizer.state) == [parameters[1]]


# The matrices inside

INSIDE = {
    "gpt": 4 * 2,
    "nextlat": 4 * 2 + 3,
    "bst": 4 * 2 * 2 + 2,
    "mtp": 4 * 2 + 4 * 3,
    "jtp": 4 * 2 + 2,
    "gru": 2 * 2,
    "lstm": 2 * 2,
}
"""Number of matrices with two layers, and three tokens ahead for mtp."""


@pytest.mark.parametrize("model", TRAINED)
def test_the_matrices_that_an_objective_names(model: str) -> None:
    more = {"horizon": 3} if model in ("mtp", "jtp") else {}
    objective = objective_of(model, layers=2, **more)
    inside = objective.inner_matrices()
    assert len({id(p) for p in inside}) == len(inside) == INSIDE[model]
    matrices = {name for name, p in objective.named_parameters() if p.ndim == 2}
    outside = matrices - {name for name, p in objective.named_parameters() if any(p is q for q in inside)}
    recurrent = model in ("gru", "lstm")
    ends = {"embedding.weight", "out.weight"} if recurrent else {"trunk.embedding.weight", "trunk.head.weight"}
    assert outside == ends | ({"planning.bias"} if model == "jtp" else set())


def test_a_latent_before_the_norm_leaves_the_head_outside() -> None:
    objective = objective_of("nextlat", state="residual")
    assert {id(p) for p in objective.trunk.head.parameters()}.isdisjoint(map(id, objective.inner_matrices()))


class Silent(NextToken):
    """An objective of another person: its own network, and no word on Muon."""

    name = "silent"

    def add_trunk(self) -> None:
        self.embedding, self.out = nn.Embedding(self.vocabulary, 8), nn.Linear(8, self.vocabulary)


class Wrong(Silent):
    named: list[nn.Parameter]

    def inner_matrices(self) -> list[nn.Parameter]:
        return self.named


def test_objectives_that_name_nothing_or_the_wrong_tensors() -> None:
    config = TrainConfig(**MUON)  # type: ignore[arg-type]
    with pytest.raises(InputError, match=r"'silent' names no matrix .* use --train.optimizer adamw"):
        make_optimizer(Silent(tiny_model("gpt"), 11, 9, 0), config)
    wrong = Wrong(tiny_model("gpt"), 11, 9, 0)
    for named, words in (
        ([wrong.out.weight] * 2, "names a matrix twice"),
        ([wrong.out.bias], r"names a tensor of shape \[11\]"),
        ([nn.Parameter(torch.zeros(2, 2))], "a matrix that is not its parameter"),
    ):
        wrong.named = named
        with pytest.raises(RunError, match=words):
            make_optimizer(wrong, config)


# Options


def test_both_rates_follow_one_schedule() -> None:
    config = TrainConfig(steps=100, warmup=10, learning_rate=0.004, **MUON)  # type: ignore[arg-type]
    optimizer = make_optimizer(objective_of("gpt"), config)
    for step, share in ((0, 0.1), (10, 1.0), (99, 0.0103)):
        set_rates(optimizer, config, step)
        rates = [group["lr"] for group in optimizer.param_groups]
        assert rates == [pytest.approx(0.03 * share, rel=1e-2), *[pytest.approx(0.004 * share, rel=1e-2)] * 2]
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01, 0.01, 0.0]


def test_a_rate_that_nothing_uses_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def rate(*words: str) -> tuple[str, float]:
        train = resolve("hmm", "gpt", preset="small", seed=0, options=list(words)).groups["train"]
        return train.optimizer, train.muon_rate

    assert rate("--train.optimizer", "muon", "--train.muon_rate", "0.03") == ("muon", 0.03)
    for other in ("adamw", "sgd"):
        with pytest.raises(InputError, match=r"train\.muon_rate 0\.03 has no effect with train\.optimizer"):
            rate("--train.optimizer", other, "--train.muon_rate", "0.03")
    with pytest.raises(InputError, match=r"train\.muon_rate must be above 0"):
        rate("--train.optimizer", "muon", "--train.muon_rate", "0")
    # A preset may set the rate for its own optimizer; another optimizer then leaves no trace of it.
    from worldbench.settings import resolve as module

    real = module.preset_groups

    def with_muon(*arguments: object) -> dict[str, object]:
        groups = real(*arguments)  # type: ignore[arg-type]
        return {**groups, "train": dataclasses.replace(groups["train"], optimizer="muon", muon_rate=0.015)}

    monkeypatch.setattr(module, "preset_groups", with_muon)
    assert rate() == ("muon", 0.015)
    assert rate("--train.optimizer", "adamw") == ("adamw", 0.02)


# Training


@pytest.mark.parametrize("model", others_slow(TRAINED, "nextlat", "gru"))
def test_a_resumed_run_has_the_same_bits(model: str, tmp_path: Path) -> None:
    more = {"model": {"pairs": 0.5}} if model == "bst" else {}
    stop_and_go_on(tmp_path, model, 3, more, accumulate=2, steps=6, **MUON)


def test_accumulated_parts_give_the_same_step(tmp_path: Path) -> None:
    ends = []
    for parts in (1, 3):
        t = trainer(tmp_path / str(parts), "nextlat", accumulate=parts, **MUON)
        for step in range(3):
            t.step(step)
        ends.append([p.detach().clone() for p in t.objective.parameters()])
    for a, b in zip(*ends):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-4)


def test_gradients_are_clipped_before_the_momentum(tmp_path: Path) -> None:
    norms = []
    for clip in (0.0, 0.01):
        t = trainer(tmp_path / str(clip), "gpt", clip=clip, **MUON)
        t.step(0)
        buffers = [value["momentum_buffer"] for value in t.optimizer.state.values() if "momentum_buffer" in value]
        assert len(buffers) == len(t.objective.inner_matrices())
        norms.append(float(torch.stack([b.norm() for b in buffers]).norm()))
    assert 0 < norms[1] <= 0.05 * 0.01 * 1.0001 < norms[0]


@pytest.mark.parametrize("optimizer", ["muon", "adamw"])
def test_adamw_trains_what_is_outside_as_before(optimizer: str) -> None:
    """One step from equal gradients: embeddings, head and norms move as AdamW alone moves them."""
    config = TrainConfig(optimizer=optimizer)  # type: ignore[arg-type]
    objective = objective_of("gpt")
    other = copy.deepcopy(objective)
    for o, c in ((objective, config), (other, TrainConfig())):
        made = make_optimizer(o, c)
        for p in o.parameters():
            p.grad = torch.ones_like(p)
        made.step()
    inside = {id(p) for p in objective.inner_matrices()}
    for p, q in zip(objective.parameters(), other.parameters()):
        assert torch.equal(p, q) == (optimizer == "adamw" or id(p) not in inside)


def test_the_optimizer_is_part_of_the_identity() -> None:
    from worldbench.core.options import identity_fields

    base = job("gpt").groups["train"]
    assert "muon_rate" not in identity_fields(base)
    found = identity_fields(dataclasses.replace(base, **MUON))
    assert (found["optimizer"], found["muon_rate"]) == ("muon", 0.03)
