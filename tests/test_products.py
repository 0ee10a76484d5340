"""The matrix products of linear layers: by torch, or by oneDNN."""

from __future__ import annotations

import copy
import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch
from some_cases import others_slow
from test_static_shapes import BATCHES, TRAINED, made
from tiny_jobs import BASE_TRAIN, job
from torch import Tensor, nn

from worldbench.baselines import products
from worldbench.baselines.products import Linear, product_of, use_products
from worldbench.baselines.static_shapes import check_static_shapes
from worldbench.baselines.trained import TrainedModel
from worldbench.core.errors import InputError
from worldbench.core.options import identity_fields, later_defaults
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.runs.config_file import load_job, write_config
from worldbench.runs.display import Display
from worldbench.runs.prepared import prepare, prepare_beside
from worldbench.settings.train import DataConfig, TrainConfig
from worldbench.training import arithmetic, environment
from worldbench.training.trainer import Trainer

needs_onednn = pytest.mark.skipif(not products.has_onednn(), reason="this build of torch has no oneDNN")
RULER = torch.nn.functional.linear


def far(a: Tensor, b: Tensor) -> float:
    """The relative distance of a from b."""
    return float((a.double() - b.double()).norm() / b.double().norm().clamp(min=1e-30))


def drawn(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


LAYOUTS = {
    "rows": (drawn(300, 64), drawn(96, 64)),
    "three dimensions": (drawn(7, 33, 48), drawn(20, 48)),
    "a slice of the inputs": (drawn(300, 128)[:, :64], drawn(96, 64)),
    "inputs in another order": (drawn(33, 7, 48).transpose(0, 1), drawn(20, 48)),
    "columns of the weight": (drawn(300, 64), drawn(96, 128)[:, 64:]),
    "rows of the weight": (drawn(300, 64), drawn(96, 64)[32:]),
    "a transposed weight": (drawn(300, 64), drawn(64, 96).t()),
    "one row": (drawn(1, 64), drawn(96, 64)),
    "no rows": (drawn(0, 64), drawn(96, 64)),
}


@needs_onednn
@pytest.mark.parametrize("layout", LAYOUTS)
def test_outputs_and_gradients_are_those_of_linear(layout: str) -> None:
    given, weight = LAYOUTS[layout]
    results = []
    for product in (RULER, product_of("onednn"), product_of("onednn")):
        x, w = given.detach().requires_grad_(), weight.detach().requires_grad_()
        y = product(x, w)
        # A gradient that is a slice, and one whose entries share their memory.
        g = drawn(*y.shape[:-1], 2 * y.shape[-1], seed=1)[..., ::2]
        shared = torch.autograd.grad(product(x, w).sum(), (x, w))
        results.append([y.detach(), *torch.autograd.grad(y, (x, w), g), *shared])
    torch_, first, second = results
    assert all(far(a, b) < 1e-6 for a, b in zip(first, torch_, strict=True))
    assert all(a.shape == b.shape for a, b in zip(first, torch_, strict=True))
    assert all(torch.equal(a, b) for a, b in zip(first, second, strict=True))


@needs_onednn
def test_only_what_is_asked_for_gets_a_gradient() -> None:
    x, w = drawn(5, 8), drawn(3, 8).requires_grad_()
    product_of("onednn")(x, w).sum().backward()
    assert w.grad is not None
    product_of("onednn")(x.requires_grad_(), w.detach()).sum().backward()
    assert x.grad is not None


@needs_onednn
@pytest.mark.parametrize(
    ("name", "batch"),
    others_slow([(name, batch) for name in TRAINED for batch in BATCHES], *((name, "packed") for name in TRAINED)),
)
def test_every_objective(name: str, batch: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All linear layers of a step go through oneDNN, with the gradients of torch, and without reading the device."""
    objective = made(name)
    assert all(isinstance(m, Linear) for m in objective.modules() if isinstance(m, nn.Linear))
    gradients = []
    for choice in ("torch", "onednn"):
        other = copy.deepcopy(objective)
        use_products(other, choice)
        with monkeypatch.context() as patch:
            if choice == "onednn":
                patch.setattr(products.F, "linear", None)
            other.backward(BATCHES[batch], other.counts(BATCHES[batch]))
        gradients.append({k: p.grad for k, p in other.named_parameters()})
    check_static_shapes(other, BATCHES[batch])
    for key, g in gradients[0].items():
        assert (g is None) == (gradients[1][key] is None)
        if g is not None:
            assert far(gradients[1][key], g) < 1e-5, key


@needs_onednn
def test_scores_are_made_by_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    """A model that is scored computes by torch, whatever trained it; training then goes on by its own products."""
    calls: list[Any] = []
    op = torch.ops.worldbench.product
    monkeypatch.setattr(products._OneDNN, "apply", lambda x, w: (calls.append(1), op(x, w))[1])
    objective = made("gpt")
    use_products(objective, "onednn")
    tokens = BATCHES["single"].tokens.numpy()
    TrainedModel(objective).logits(tokens)
    assert not calls
    assert not objective.training
    objective.train()
    objective.head(objective.encode(BATCHES["single"].tokens))
    assert calls


@needs_onednn
def test_a_trainer_goes_on_by_its_products_after_a_point_of_the_curve(tmp_path: Path) -> None:
    world = TaxiWorld(job("gpt").groups["env"])
    config = dataclasses.replace(BASE_TRAIN, products="onednn", steps=3)
    objective = made_for(world)
    trainer = Trainer(world, objective, DataConfig(), config, 0, tmp_path)
    assert {m.products for m in objective.modules() if isinstance(m, Linear)} == {"onednn"}
    trainer.evaluate(0)
    assert not objective.training
    trainer.step(0)
    assert objective.training


def made_for(world: TaxiWorld) -> Any:
    from worldbench.baselines.gpt import GPT
    from worldbench.core.registry import models

    config = job("gpt").groups["model"]
    assert models["gpt"].load() is GPT
    return GPT(config, len(world.vocabulary), world.context, 0, world.vocabulary.pad)


@needs_onednn
def test_two_models_of_one_process_may_differ() -> None:
    first, second = made("gpt"), made("gpt")
    use_products(first, "onednn")
    assert {m.products for m in second.modules() if isinstance(m, Linear)} == {"torch"}


@needs_onednn
@pytest.mark.slow
def test_the_compiler_takes_it() -> None:
    layer = Linear(16, 24)
    use_products(layer, "onednn")
    x = drawn(6, 5, 16).requires_grad_()
    compiled = torch.compile(lambda x: torch.relu(layer(x)).square(), fullgraph=True)
    results = [
        torch.autograd.grad(f(x).sum(), (x, layer.weight)) for f in (compiled, lambda x: layer(x).relu().square())
    ]
    assert all(far(a, b) < 1e-6 for a, b in zip(*results, strict=True))


# The choice


@pytest.mark.parametrize(
    ("amd", "device", "has", "chosen"),
    [
        (True, "cpu", True, "onednn"),
        (True, "cpu", False, "torch"),
        (True, "cuda", True, "torch"),
        (False, "cpu", True, "torch"),
    ],
)
def test_the_rule_of_auto(amd: bool, device: str, has: bool, chosen: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(arithmetic, "amd", lambda: amd)
    monkeypatch.setattr(arithmetic, "has_onednn", lambda: has)
    assert arithmetic.resolve_products("auto", device) == chosen
    assert arithmetic.resolve_products("torch", device) == "torch"


@pytest.mark.parametrize(
    ("cpuinfo", "name", "amd"),
    [
        ("vendor_id\t: AuthenticAMD\nmodel name\t: AMD EPYC 9R14\n", "", True),
        ("vendor_id\t: GenuineIntel\nmodel name\t: Intel(R) Xeon(R)\n", "", False),
        ("CPU implementer\t: 0x41\n", "aarch64", False),
        (None, "AMD64 Family 25 Model 1 Stepping 1, AuthenticAMD", True),
        (None, "arm", False),
    ],
)
def test_the_vendor(cpuinfo: str | None, name: str, amd: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    if cpuinfo is not None:
        path.write_text(cpuinfo)
    monkeypatch.setattr(environment, "Path", lambda _: path)
    monkeypatch.setattr(environment.platform, "processor", lambda: name)
    assert environment.amd() is amd
    assert environment.processor()


def test_what_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InputError, match=r"train\.products onednn is for the CPU, and train\.device is cuda"):
        TrainConfig(products="onednn", device="cuda")
    with pytest.raises(InputError, match=r"train\.products must be .*, not 'mkl'"):
        TrainConfig(products="mkl")  # type: ignore[arg-type]
    monkeypatch.setattr(products, "has_onednn", lambda: False)
    with pytest.raises(InputError, match="needs a torch that computes linear layers by oneDNN"):
        use_products(made("gpt"), "onednn")


def test_identity_and_config(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What `auto` chose is part of the identity; torch is left out, because it is what earlier runs used. A run is
    read with its own choice on every machine, and a run without the option with torch."""
    assert later_defaults(TrainConfig)["products"] == "torch"
    assert "products" not in identity_fields(TrainConfig(products="torch"))
    assert identity_fields(TrainConfig(products="onednn"))["products"] == "onednn"
    runs = {}
    for amd in (True, False):
        monkeypatch.setattr(arithmetic, "amd", lambda amd=amd: amd)
        monkeypatch.setattr(arithmetic, "has_onednn", lambda: True)
        runs[amd] = prepare(job("gpt"), Display(quiet=True))
    assert [runs[amd].job.groups["train"].products for amd in (True, False)] == ["onednn", "torch"]
    assert runs[True].training != runs[False].training
    assert (
        runs[False].training
        == prepare(job("gpt", changes={"train": {"products": "torch"}}), Display(quiet=True)).training
    )
    monkeypatch.setattr(arithmetic, "amd", lambda: True)
    for amd, run in runs.items():
        folder = tmp_path / str(amd)
        folder.mkdir()
        write_config(folder, run)
        again = prepare(load_job(folder, []), Display(quiet=True))
        assert again.training == run.training
    path = tmp_path / "False" / "config.json"
    text = path.read_text()
    assert '"products": "torch"' in text
    path.write_text("\n".join(line for line in text.splitlines() if '"products"' not in line))
    assert load_job(path.parent, []).groups["train"].products == "torch"


def test_the_second_model_of_a_tuning_is_settled_as_the_first(monkeypatch: pytest.MonkeyPatch) -> None:
    """What `auto` chooses does not depend on the order of the models."""
    monkeypatch.setattr(arithmetic, "amd", lambda: True)
    monkeypatch.setattr(arithmetic, "has_onednn", lambda: True)
    display = Display(quiet=True)
    alone = prepare(job("nextlat", changes={"train": {"device": "auto", "accumulate": 0}}), display)
    beside = prepare_beside(
        prepare(job("gpt"), display), job("nextlat", changes={"train": {"device": "auto", "accumulate": 0}}), display
    )
    assert beside.training == alone.training
    assert beside.job.groups["train"] == alone.job.groups["train"]
    assert beside.job.groups["train"].products == "onednn"
