"""Made-up records of two models and the oracle in one world, with evidence and traces, as runs write them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import sample_records
from sample_records import metric
from small_maps import small_map

from worldbench.core import streams
from worldbench.core.arrays import npz
from worldbench.core.files import write_atomic
from worldbench.records.finding import evidence_folder
from worldbench.records.lines import EvalLine
from worldbench.records.reading import write
from worldbench.records.runs import Result, Training
from worldbench.records.scores import Metric

MODELS = {"gpt": 0.3, "nextlat": 0.1}
"""Name -> how wrong the model is."""
STEPS = (1, 10, 100)


def arrays_of(name: str, wrong: float, seed: int) -> dict[str, np.ndarray]:
    """Small evidence of one metric, as the figures read it."""
    rng = streams.generator("paper", name, str(wrong), seed)
    if name == "effective_rank":
        values = np.sort(rng.random(12) ** (1 + 1 / (0.1 + wrong)))[::-1]
        return {"singular_values": values, "singular_values_untrained": values[::-1].copy() + 0.1}
    if name == "belief_probe":
        belief = rng.dirichlet(np.ones(3), 40)
        return {"belief": belief, "predicted": belief + wrong * rng.normal(size=(40, 3)), "weight": np.ones(40)}
    graph = small_map(12, 0, 12)
    wrongs = round(20 * wrong)
    red = np.column_stack([rng.integers(graph.n_places, size=(wrongs, 2)), rng.integers(8, size=wrongs)])
    n = len(graph.edges)
    return {
        "places": np.array(graph.places), "directions": np.array(graph.directions), "metres": graph.metres,
        "edges": graph.edges, "uses": np.ones(n, int), "black": np.ones(n, bool), "red": red.reshape(-1, 3),
        "red_uses": np.ones(wrongs, int), "status": np.array([0, 1, 2, 0, 0]), "wrong_ends": np.arange(wrongs),
        "moves": np.array([[0, -3], [0, -1], [1, -1], [1, 0], [0, 0]]),
    }  # fmt: skip


def scores_of(wrong: float, seed: int) -> tuple[dict[str, Metric], dict[str, bytes]]:
    """The metrics of a result, and the evidence of those that have some."""
    right = 1 - wrong + 0.01 * seed if wrong else 1.0
    kinds = [f"arrives_{kind}p{p}" for kind in ("", "adversarial_", "second_") for p in (0.1, 0.5)]
    values: dict[str, dict[str, float | None]] = {
        "detours": {name: right * (1 - 0.1 * i) for i, name in enumerate(kinds)},
        "sequence_compression": {"compression": right},
        "sequence_distinction": {"recall_map": right - 0.1, "precision_map": right},
        "excess_loss": {"kl": wrong},
        "effective_rank": {"rank": 5 * right},
        "map_reconstruction": {"street_precision": right},
        "belief_probe": {"r2": right},
    }
    lower = {"excess_loss": "lower", "effective_rank": "none"}
    files = {
        name: npz(arrays_of(name, wrong, seed)) for name in ("effective_rank", "map_reconstruction", "belief_probe")
    }
    digests = {name: hashlib.sha256(raw).hexdigest() for name, raw in files.items()}
    made = {
        name: metric(mine, direction=lower.get(name, "higher"), evidence_sha256=digests.get(name))
        for name, mine in values.items()
    }
    return made, files


def write_run(folder: Path, model: str, seed: int | None, wrong: float, **changes: Any) -> Path:
    """A result with evidence, in a folder of its own. Returns the file."""
    scores, files = scores_of(wrong, seed or 0)
    record = sample_records.result(model, seed, scores, **changes)
    fields = {name: getattr(record, name) for name in Result.__struct_fields__}
    curve = [EvalLine(step=s, loss=1 + 2 / s, bayes=1.0, excess=(1 + wrong + 0.01 * (seed or 0)) / s) for s in STEPS]
    fields["training"] = None if seed is None else Training(curve=curve)
    fields["card"] = {**record.card, "rides_per_pair": (record.number("data", "documents") or 64000) / 1000}
    if seed is None:
        fields["config"] = {group: values for group, values in record.config.items() if group in ("env", "eval")}
    documents = changes.get("config", {}).get("data", {}).get("documents", "")
    path = folder / f"{model}{documents}-{seed}" / "result-0123456789.json"
    path.parent.mkdir(parents=True)
    write(path, Result(**fields))
    for name, raw in files.items():
        (evidence_folder(path)).mkdir(exist_ok=True)
        write_atomic(evidence_folder(path) / f"{name}.npz", raw)
    return path


def write_trace(folder: Path, model: str, seed: int, wrong: float) -> None:
    """A trace beside the result of the run."""
    points = {
        step: {
            "excess_loss": metric({"kl": (1 + wrong) / step}, direction="lower"),
            "belief_probe": metric({"r2": 1 - (1 + wrong) / step}),
        }
        for step in STEPS
    }
    write(folder / f"{model}-{seed}" / "trace-0123456789.json", sample_records.trace(model, seed, points))


def write_all(folder: Path) -> Path:
    """Two seeds of each model, their traces, and the oracle."""
    for model, wrong in MODELS.items():
        for seed in (0, 1):
            write_run(folder, model, seed, wrong)
            write_trace(folder, model, seed, wrong)
    write_run(folder, "oracle", None, 0.0)
    return folder
