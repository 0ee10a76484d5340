"""Files of a run: recipes, records, arrays, checkpoints, curves and saved runs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from fuzz_reader import Reader, encoded
from sample_records import config as folder_config
from sample_records import every_kind
from small_maps import small_map

from worldbench.core.arrays import Array, names_in, npz, read_npz
from worldbench.records.parts import Record
from worldbench.records.reading import read, read_any, text

if TYPE_CHECKING:
    import torch

# Settings

RECIPE = """world = "hmm"
preset = "quick"
seed = 3
[env]
process = "mess3(x=0.15, a=0.6)"
length = 8
[model]
name = "nextlat"
horizon = 4
[train]
steps = 20
learning_rate = 0.001
[eval]
metrics = ["next_token", "excess_loss"]
trials = 20
"""
TUNED = """world = "taxi"
tuned = "16x2,excess_loss.kl,0123456789abcdef"
[env]
map = "city:40"
[data]
documents = 800
[model]
name = "gpt"
"""


def recipes() -> dict[str, Reader]:
    """Read, resolved, and written again."""
    from worldbench.core.registry import models
    from worldbench.core.registry import worlds as known
    from worldbench.settings.recipe import load_recipe, to_toml
    from worldbench.settings.resolve import resolve

    def resolved(path: Path) -> None:
        recipe = load_recipe(path)
        world, model = recipe.get("world", "hmm"), recipe.get("model", {}).get("name", "gpt")
        _ = known[world], models[model]
        job = resolve(world, model, preset=recipe.get("preset", "quick"), seed=recipe.get("seed", 0), recipe=recipe)
        path.write_text(to_toml(job), encoding="utf-8")
        again = load_recipe(path)
        assert resolve(world, model, preset=job.preset, seed=job.seed, recipe=again).groups == job.groups

    return {"recipe": Reader(encoded({"recipe.toml": RECIPE, "tuned.toml": TUNED}), resolved, 900, "toml")}


# What a run folder holds


def records() -> dict[str, Reader]:
    """Every kind; what is read can be written again."""

    def reader(record: Record) -> Reader:
        def again(path: Path) -> None:
            text(read(path, type(record)))
            text(read_any(path))

        return Reader({f"{record.kind}.json": text(record).encode()}, again, 500, "json")

    return {f"{record.kind} record": reader(record) for record in every_kind()}


ARRAYS = {
    "places": Array("text", ("P+",)),
    "metres": Array("float", ("P", 2), least=-1e6, most=1e6),
    "edges": Array("int", ("E", 3), index="P"),
    "legal": Array("bool", ("P", "A")),
    "rows": Array("int", (), least=1),
}


def arrays() -> dict[str, Reader]:
    graph = small_map(9, 0)
    whole = npz(
        {
            "places": np.array(graph.places),
            "metres": graph.metres,
            "edges": np.asarray(graph.edges),
            "legal": graph.successor >= 0,
            "rows": np.array(3),
        }
    )

    def taken(path: Path) -> None:
        names_in(path, again="run it again")
        read = read_npz(path, ARRAYS, again="run it again")
        assert read["edges"].max(initial=0) < len(read["places"]) == len(read["metres"])

    return {
        "arrays": Reader({"evidence.npz": whole}, taken, 400, "npz"),
        "bytes of arrays": Reader({"evidence.npz": whole}, taken, 300, "bytes"),
    }


def checkpoints() -> dict[str, Reader]:
    """What is used is what was saved, to the bit: a digest goes over all of it."""
    import tempfile

    import torch

    from worldbench.training import checkpoint
    from worldbench.training.training_log import Prefix

    module, optimizer = _trained()
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        (place / "checkpoint").mkdir()
        checkpoint.save_weights(place, checkpoint.About(7, curve="c"), module)
        checkpoint.save_state(place, checkpoint.About(7, log=Prefix.of(b"")), module, optimizer)
        weights = {"checkpoint/step-00000007.safetensors": checkpoint.weights_path(place, 7).read_bytes()}
        state = {"checkpoint/state.safetensors": checkpoint.state_path(place).read_bytes()}
        about, said = (
            checkpoint.load_weights(checkpoint.weights_path(place, 7), module),
            checkpoint.load_state(place, module, optimizer),
        )

    def same(other: torch.nn.Module) -> None:
        assert all(
            torch.equal(a, b) for a, b in zip(module.state_dict().values(), other.state_dict().values(), strict=True)
        )

    def load_weights(path: Path) -> None:
        loaded, _ = _trained(steps=0)
        assert checkpoint.load_weights(path, loaded) == about
        same(loaded)

    def load_state(path: Path) -> None:
        loaded, moments = _trained(steps=0)
        assert checkpoint.load_state(path.parent.parent, loaded, moments) == said
        same(loaded)
        for old, new in zip(
            optimizer.state_dict()["state"].values(), moments.state_dict()["state"].values(), strict=True
        ):
            assert all(torch.equal(old[name], new[name]) for name in old)

    return {
        "weights": Reader(weights, load_weights, 300, "safetensors"),
        "state": Reader(state, load_state, 300, "safetensors"),
        "what weights say of themselves": Reader(weights, checkpoint.read_about, 200, "safetensors"),
    }


def _trained(steps: int = 1) -> tuple[torch.nn.Module, torch.optim.Optimizer]:
    """A matrix after some steps, and a vector that never has a gradient."""
    import torch

    module = torch.nn.Module()
    module.matrix = torch.nn.Parameter(torch.arange(6.0).reshape(2, 3))
    module.still = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.AdamW(module.parameters(), lr=0.1, fused=True)
    for _ in range(steps):
        module.matrix.sum().backward()
        optimizer.step()
    return module, optimizer


CURVE = "".join(
    f'{{"kind": "train", "step": {i}, "loss": {{"next": {2 / i}}}, "learning_rate": 0.001}}\n'
    f'{{"kind": "eval", "step": {i}, "loss": 1.5, "bayes": 1.0, "excess": 0.5}}\n'
    for i in range(1, 5)
)


def curves() -> dict[str, Reader]:
    """The lines of metrics.jsonl, as figures read them and as a run that goes on does."""
    from worldbench.records.lines import read_lines
    from worldbench.training.training_log import lines

    def taken(path: Path) -> None:
        kept = [line for line, _ in lines(path.read_bytes())]
        assert path.read_bytes().startswith(b"".join(kept))
        assert len(read_lines(path)) >= len(kept)

    return {"curve": Reader({"metrics.jsonl": CURVE.encode()}, taken, 500)}


def saved_runs() -> dict[str, Reader]:
    """The job of a run folder, read again from its config.json to be scored again."""
    import dataclasses

    import msgspec

    from worldbench.runs.config_file import load_job
    from worldbench.settings.resolve import resolve

    job = resolve(
        "hmm", "nextlat", preset="quick", seed=1, options=["--train.steps", "20", "--eval.metrics", "next_token"]
    )
    groups = {name: dataclasses.asdict(values) for name, values in job.groups.items()}
    config = msgspec.structs.replace(folder_config(), world="hmm", model="nextlat", groups=groups, plugins=[])

    def loaded(path: Path) -> None:
        job = load_job(path.parent, ["--eval.trials", "6"])
        assert job.groups["eval"].trials == 6

    return {"saved run": Reader({"run/config.json": text(config).encode()}, loaded, 500, "json")}
