"""Made-up records of every kind, whole and small, for tests that change one thing about them; and those of runs."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sample_machines import ENVIRONMENT, benched, counted, examined, foreseen, raced

from worldbench.core.budget import Budget
from worldbench.core.files import identity_hash
from worldbench.records import check, decoding, faults, folder, reconstruction, runs, tuning
from worldbench.records.bounds import bounds_beside
from worldbench.records.finding import own_result
from worldbench.records.lines import EvalLine
from worldbench.records.parts import Identity, Model, Parameters, Record
from worldbench.records.reading import read
from worldbench.records.scores import Metric, Score

WORLD = {"world": "taxi", "version": 1, "map_digest": "0123456789", "min_moves": 5}
CONFIG: dict[str, dict[str, Any]] = {
    "env": {"min_moves": 5},
    "data": {"documents": 8000},
    "model": {"layers": 2},
    "train": {"steps": 10, "learning_rate": 0.001},
    "eval": {"metrics": [], "trials": 50, "seed": 0},
}
DIGEST = hashlib.sha256(b"arrays").hexdigest()


def identity(training: str = "t", evaluation: str = "e") -> Identity:
    return Identity(training=identity_hash(training), evaluation=identity_hash(evaluation))


def metric(values: Mapping[str, float | None], *, version: int = 1, direction: Any = "higher", **more: Any) -> Metric:
    """A metric whose first score is its primary one."""
    scores = {name: Score(value=value, n=100, interval=None) for name, value in values.items()}
    own: dict[str, Any] = {"series": {}, "notes": [], **more}
    return Metric(version=version, direction=direction, primary=next(iter(values)), scores=scores, **own)


def head(model: str = "gpt", seed: int | None = 0, **changes: Any) -> dict[str, Any]:
    """The fields of `Head`. config, world: merged into those above, group by group."""
    merged = changes.get("config", {})
    config = {group: {**values, **merged.get(group, {})} for group, values in CONFIG.items()}
    return {
        "world": {**WORLD, **changes.get("world", {})},
        "model": Model(name=model, hidden="final norm", parameters=Parameters(training=10, inference=10)),
        "preset": changes.get("preset", "quick"),
        "seed": seed,
        "command": f"worldbench run taxi --model {model} --seed {seed}",
        "config": config,
        "identity": identity(f"{model} {seed} {config}", changes.get("evaluation", "e")),
        "environment": ENVIRONMENT,
        "tuning": changes.get("tuning"),
    }


def result(
    model: str = "gpt", seed: int | None = 0, scores: dict[str, Metric] | None = None, **changes: Any
) -> runs.Result:
    return runs.Result(
        **head(model, seed, **changes),
        training=runs.Training(curve=[EvalLine(step=1, loss=2.0, bayes=1.0, excess=1.0), EvalLine(step=10, loss=1.5)]),
        card={"map": "a map", "ride_moves": [5, 28], "out_degree": {"2": 7}},
        scores={"m": full_metric()} if scores is None else scores,
        not_applicable={"detours": "no budget"},
    )


def full_metric() -> Metric:
    values = {"x": 0.5, "y": None, "z": float("inf")}
    return metric(
        values,
        series={"by_layer": {"layer": ["first", "last"], "r2": [0.5, None]}},
        notes=["a note"],
        evidence_sha256=DIGEST,
        floor="random-legal",
        ceiling="oracle",
        bounds_as_recorded={"random-legal": {"x": 0.1}, "oracle": {"x": 1.0, "z": None}},
    )


def trace(
    model: str = "gpt", seed: int = 0, points: dict[int, dict[str, Metric]] | None = None, **changes: Any
) -> runs.Trace:
    """points: the scores by step."""
    by_step = {1: {"m": full_metric()}, 4: {"m": full_metric()}} if points is None else points
    return runs.Trace(
        **head(model, seed, **changes),
        trace_command="worldbench trace a-run",
        trace=[runs.Point(step=step, scores=scores, not_applicable={}) for step, scores in by_step.items()],
    )


def config() -> folder.Config:
    return folder.Config(
        world="taxi",
        model="gpt",
        preset="quick",
        seed=0,
        given={"train.steps": 10},
        plugins=[folder.PluginFile(path="mine.py", sha256=DIGEST, registers=[("model", "mine")])],
        training={"run_version": 1, "world": WORLD},
        groups=CONFIG,
        identity=identity(),
        tuning=Budget(16, 2, "excess_loss.kl", "0123456789abcdef"),
    )


def manifest() -> folder.Manifest:
    session = folder.Session(
        argv=["worldbench", "run"],
        pid=7,
        started="2026-01-01T00:00:00Z",
        environment=ENVIRONMENT,
        outcome="done",
        seconds=1.5,
    )
    return folder.Manifest(sessions=[session])


def arithmetic() -> folder.Arithmetic:
    return folder.Arithmetic(device="a processor", instructions="AVX2", fingerprint=identity().training)


def trial(seed: int = 1_000_000) -> tuning.TrialRun:
    return tuning.TrialRun(
        seed=seed, folder="a-run", training=identity().training, scores={"kl": 0.5, "loss": None}, failed=None
    )


def tuned(model: str = "gpt", values: tuple[float | None, ...] = (0.5, 0.25)) -> tuning.Tuning:
    settings = {"train.learning_rate": 0.001}
    known = [value for value in values if value is not None]
    best = values.index(min(known)) if known else None
    return tuning.Tuning(
        world=WORLD,
        model=tuning.TunedModel(name=model),
        preset="quick",
        command="worldbench tune taxi",
        config=CONFIG,
        environment=ENVIRONMENT,
        budget=tuning.Amount(trials=len(values), seeds=1),
        space={"train.learning_rate": tuning.Bounds(start=0.001, low=0.0001, high=0.01)},
        criterion=tuning.JudgedBy(score="excess_loss.kl", direction="lower", evaluation=identity().evaluation),
        seeds=tuning.Seeds(training=[1_000_000], evaluation=1_000_000, shared_documents=0.0),
        best=None if best is None else tuning.Best(trial=best, value=min(known), settings=settings),
        trials=[
            tuning.Trial(trial=i, settings=settings, value=value, runs=[trial()]) for i, value in enumerate(values)
        ],
    )


def decode() -> decoding.Decoding:
    spread = decoding.Spread(median=1.5, low=1.0, high=2.0, repeats=[1.0, 1.5, 2.0])
    common: dict[str, Any] = {
        "tokens": 9,
        "seconds": [1.0],
        "processor_seconds": [1.0],
        "tokens_per_second": 9.0,
        "round_ms": 1.0,
        "prompt_ms": 1.0,
    }
    arm = decoding.Arm(
        **common,
        length=2,
        threshold=0.0,
        drafted_per_round=2.0,
        accepted_per_round=1.0,
        tokens_per_round=2.0,
        forwards_per_token=0.5,
        tested=[4, 2],
        accepted=[2, 1],
        draft_ms=1.0,
        verify_ms=1.0,
        speed_up=spread,
        processor_speed_up=spread,
    )
    return decoding.Decoding(
        **head(),
        decode_command="worldbench decode a-run",
        device="cpu",
        plain=decoding.Plain(**common, forwards_per_token=1.0),
        arms=[arm],
        decode=decoding.Asked(
            prompts=8, batch=1, lengths=[2], adaptive=None, choice="greedy", tokens=9, repeats=3, threads=1
        ),
        costs_ms=decoding.Costs(round_without_drafts=1.0, each_draft=0.5),
        acceptance_by_position=[0.5, 0.5],
        best=decoding.BestLength(length=2, predicted_length=1, predicted_speed_up=1.25, suggested_threshold=None),
        identical=decoding.Identical(rows=8, different=0, all=True),
    )


def checked() -> check.Check:
    severities = [check.Severity(size=size, values={"m": {"x": [1.0 - size, None]}}) for size in (0.0, 0.5)]
    return check.Check(
        world=WORLD,
        card={},
        settings={"trials": 50},
        corruptions=2,
        severities=1,
        not_applicable={"n": {"oracle": "no hidden states"}},
        metrics={"m": check.CheckedMetric(version=1, primary="x", direction="higher", claims=["noise"])},
        references={"m": {"oracle": {"x": 1.0}, "uniform": {"x": float("-inf")}}},
        ladders={"noise": severities},
        verdicts=[check.Verdict(metric="m", statement="oracle scores x = 1", measured="1", holds=True)],
    )


def faulty() -> faults.Faults:
    return faults.Faults(
        world=WORLD,
        settings={"trials": 50},
        seeds=[0, 1],
        metrics={"m": faults.TriedMetric(version=1, primary="x", direction="higher")},
        faults={"late": "one token late"},
        left_out={"blind": "no goal"},
        scores={"oracle": {"m": [1.0, 1.0]}, "late": {"m": [float("-inf"), None]}},
        not_applicable={"n": {"late": "no hidden states"}},
    )


def reconstructed() -> reconstruction.Reconstruction:
    return reconstruction.Reconstruction(
        version=1,
        worldbench="0.1.0",
        identity=identity().training,
        settings=reconstruction.Explained(
            degree=4, distance=800.0, orders=2, roll_back=True, seed=0, directions=["up"]
        ),
        series={},
        notes=["a note"],
        evidence_sha256=DIGEST,
        map=reconstruction.MapFacts(name="a map", digest="01", places=3, moves=4, report={"kept": 3}),
        routes=reconstruction.RouteFacts(
            name="routes.txt", sha256=DIGEST, count=3, without_end=0, past_end=0, naming_places=1, skipped=2
        ),
        scores={"edge_precision": Score(value=0.5, n=4, interval=(0.25, 0.75))},
    )


def measured() -> check.Measurement:
    return check.Measurement(
        question="0123456789abcdef",
        subject="noise 0.5, corruption 1",
        scores={"m": {"x": 0.5, "y": None, "z": float("-inf")}},
        not_applicable={"detours": "no budget"},
    )


def every_kind() -> list[Record]:
    """One record of each kind."""
    more = [reconstructed(), benched(), measured(), faulty(), examined(), foreseen(), counted(), raced()]
    return [result(), trace(), config(), manifest(), arithmetic(), tuned(), trial(), decode(), checked(), *more]


def ceiling_of(run: Path, metric: str, score: str) -> float:
    """What the ceiling of a metric scored, read from the runs beside."""
    path = own_result(run)
    assert path is not None
    record = read(path, runs.Result)
    value = bounds_beside(path, record).value(metric, record.scores[metric], "ceiling", score)
    assert value is not None
    return value


def result_of(run: Path) -> runs.Result:
    """The result of a run's own evaluation."""
    path = own_result(run)
    assert path is not None
    return read(path, runs.Result)
