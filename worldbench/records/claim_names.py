"""Which names a file of claims may use: metrics, scores, models, and options of models. A wrong name would fit no
record, and its claim would be called "not run"."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import Any

from worldbench.core.errors import InputError, nearest
from worldbench.core.registry import Registry, metrics, models
from worldbench.records.claims import Arm, Claim
from worldbench.records.runs import Result
from worldbench.records.variant import Variant, training_options
from worldbench.settings.renamed import hint
from worldbench.settings.train import DataConfig, TrainConfig


def refuse_unknown(claims: Sequence[Claim], records: Sequence[Result]) -> None:
    """Raises InputError for a metric, a model or an option of one that neither worldbench nor a loaded plugin nor a
    record has; and for a score that no record of the claim's world has, if one has the metric."""
    for claim in claims:
        for side, arm in (("a", claim.a), ("b", claim.b)):
            where = f"the claim {claim.name!r}, arm {side}"
            if arm.value is None:
                _refuse_score(arm, claim, records, where)
                _refuse_model(Variant.parse(arm.model), records, where)


def _refuse_score(arm: Arm, claim: Claim, records: Sequence[Result], where: str) -> None:
    column = arm.score or claim.score
    name, _, score = column.partition(".")
    _refuse_name(metrics, name, {metric for r in records for metric in r.scores}, where)
    inside = [r.scores[name] for r in records if name in r.scores and r.world_name == claim.world]
    known = {known for metric in inside for known in metric.scores}
    if inside and score not in known and not arm.lookup:
        raise InputError(f"{where}: no result in {claim.world} has the score {column!r}{hint(score, known)}")


def _refuse_model(variant: Variant, records: Sequence[Result], where: str) -> None:
    _refuse_name(models, variant.model, {r.model.name for r in records}, where)
    known = _options(variant.model) | {o for r in records if r.model.name == variant.model for o in training_options(r)}
    for option, _ in variant.options:
        names = known if "." in option else {name.partition(".")[2] for name in known}
        if option not in names:
            close = hint(option, names)
            raise InputError(f"{where}: {variant.model} has no training option {option!r}{close}")


def _refuse_name(registry: Registry, name: str, recorded: set[str], where: str) -> None:
    if name in recorded or registry.find(name) is not None:
        return
    close = nearest(name, {*registry.names(), *recorded})
    raise InputError(
        f"{where}: unknown {registry.kind} {name!r}{close} (a {registry.kind} of a plugin needs --plugin FILE.py)"
    )


def _options(model: str) -> set[str]:
    """`group.option` for the options that training of a registered model depends on, and for its budget of tuning."""
    entry = models.find(model)
    if entry is None:
        return set()
    lender = models[entry.reads] if entry.reads else entry
    kinds: dict[str, Any] = {"data": DataConfig, "train": TrainConfig} if lender.trained else {}
    if lender.config is not None:
        kinds["model"] = lender.load_config()
    named = {f"{group}.{f.name}" for group, kind in kinds.items() for f in dataclasses.fields(kind)}
    return named | ({"tuning.tuned"} if lender.trained else set())
