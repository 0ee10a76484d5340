"""Which records decide a claim: the runs of both arms, paired by training seed.

The two arms agree in the data, the preset, the evaluation, and all parts of the world that the claim does not vary. If
an arm then still has several settings, runs are paired within equal tuning budgets, then within equal training options,
then within equal sizes of the network.
"""

from __future__ import annotations

import itertools
import math
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from worldbench.core.errors import nearest
from worldbench.core.files import identity_hash
from worldbench.core.registry import models, worlds
from worldbench.records import budget
from worldbench.records.claims import Arm, Claim
from worldbench.records.leaderboard import settings_key
from worldbench.records.lookup import tables
from worldbench.records.missing import why
from worldbench.records.runs import Result
from worldbench.records.scores import value_of
from worldbench.records.variant import Variant, distinct_labels

SHAPE = ("layers", "heads", "width")
"""Options of the network that two arms share, unless an arm names them."""


@dataclass(frozen=True)
class Pair:
    """The runs of one comparison. ours, theirs: seed -> record; `theirs` is empty for an arm that is a number."""

    ours: dict[int, Result]
    theirs: dict[int, Result]

    @property
    def first(self) -> Result:
        return self.ours[min(self.ours)]


@dataclass
class Paired:
    """The comparisons of a claim, and the reasons why others could not be made."""

    pairs: list[Pair] = field(default_factory=list)
    reasons: list[str] = field(default_factory=list)


def paired(claim: Claim, records: list[Result]) -> Paired:
    """The comparisons that decide a claim. `reasons` says why there is none, or why some are missing."""
    out, a, b = Paired(), claim.a, claim.b
    inside = [r for r in records if r.world_name == claim.world and _has(r, claim.where)]
    for arm in (a, b):
        if arm.value is None and not of_arm(arm, inside):
            where = f"{claim.world}{_named({**claim.where, **arm.world})}"
            hint = _misspelled(claim.world, worlds.names()) or _misspelled(
                Variant.parse(arm.model).model, models.names()
            )
            out.reasons.append(f"there is no run of {arm.model} in {where}{hint}; make it with {claim.command!r}")
            return out
    scored = {id(arm): [r for r in of_arm(arm, inside) if value(claim, arm, r) is not None] for arm in (a, b)}
    for arm in (a, b):
        if arm.value is None and not scored[id(arm)]:
            reason = why(of_arm(arm, inside), arm.score or claim.score) or "it has no table of the last tokens"
            column = arm.score or claim.score
            older = all(column.partition(".")[0] in r.scores for r in of_arm(arm, inside))
            again = f"; score the runs again, or make new ones with {claim.command!r}" if older else ""
            out.reasons.append(f"no run of {arm.name} has {column}: {reason}{again}")
            return out
    shared = _shared(claim, [scored[id(arm)] for arm in (a, b)])
    groups: dict[str, list[Result]] = defaultdict(list)
    for record in {id(r): r for arm in (a, b) for r in scored[id(arm)]}.values():
        world = record.world if shared is None else {k: record.world.get(k) for k in shared}
        groups[_key([world, record.config.get("data"), record.preset, record.identity.evaluation])].append(record)
    for group in groups.values():
        _split(claim, group, [budget.spent, lambda r: r.config.get("train"), _shape(claim)], out)
    if not out.pairs and not out.reasons:
        out.reasons.append(f"no runs of {a.name} and {b.name} agree in world, data, preset and evaluation")
    return out


def _misspelled(name: str, known: Sequence[str]) -> str:
    """ "; did you mean 'gpt'?" for a name that is not known and near to one that is; else empty."""
    close = nearest(name, known) if name not in known else ""
    return close if "did you mean" in close else ""


def _shared(claim: Claim, arms: list[list[Result]]) -> list[str] | None:
    """The parts of the world's identity in which both arms agree: all (None), or, where the claim varies the world, the
    parts that occur in both arms, without the varied ones. A part that occurs in one arm only belongs to its world:
    only noisy rides have a number of weightings."""
    varied = claim.a.world.keys() | claim.b.world.keys()
    if not varied:
        return None
    ours, theirs = ({k for r in mine for k in r.world} for mine in arms)
    return sorted((ours & theirs) - varied)


def _split(claim: Claim, group: list[Result], keys: list[Callable[[Result], Any]], out: Paired) -> None:
    """Adds the pair of a group, whose arms have one setting each, or of its parts that agree in the next key."""
    ours, theirs = of_arm(claim.a, group), of_arm(claim.b, group)
    if not ours or (claim.b.value is None and not theirs):
        return
    several = [mine for mine in (ours, theirs) if len({settings_key(r) for r in mine}) > 1]
    if not several:
        by_seed = [{r.seed: r for r in mine if r.seed is not None} for mine in (ours, theirs)]
        twice = [mine for mine, found in zip((ours, theirs), by_seed) if len(found) < len(mine)]
        if twice:
            out.reasons.append(f"a seed of {twice[0][0].model.name} comes more than once; name each result once")
        elif by_seed[0] if claim.b.value is not None else by_seed[0].keys() & by_seed[1].keys():
            out.pairs.append(Pair(by_seed[0], by_seed[1]))
        return
    if not keys:
        labels = ", ".join(sorted(set(distinct_labels(several[0]))))
        out.reasons.append(
            f"{several[0][0].model.name} comes with several settings ({labels}); name a folder with one of them alone"
        )
        return
    parts: dict[str, list[Result]] = defaultdict(list)
    for record in group:
        parts[_key(keys[0](record))].append(record)
    for part in parts.values():
        _split(claim, part, keys[1:], out)


def _shape(claim: Claim) -> Callable[[Result], Any]:
    models = [arm.model for arm in (claim.a, claim.b) if arm.model]
    named = {name.rpartition(".")[2] for model in models for name, _ in Variant.parse(model).options}
    return lambda r: {k: v for k, v in r.config.get("model", {}).items() if k in SHAPE and k not in named}


def _key(value: Any) -> str:
    return identity_hash(value)


def of_arm(arm: Arm, records: list[Result]) -> list[Result]:
    """The trained runs of an arm among records."""
    if arm.value is not None:
        return []
    variant = Variant.parse(arm.model)
    inside = [r for r in records if _has(r, arm.world)]
    known = [r for r in inside if r.model.name == variant.model and _knows(r, variant)]
    return variant.of(known)


def _knows(record: Result, variant: Variant) -> bool:
    """Whether the record has every option that the variant names."""
    options = {name for group in record.training_settings().values() for name in group}
    return all(name.rpartition(".")[2] in options for name, _ in variant.options)


def _has(record: Result, parts: Mapping[str, Any]) -> bool:
    """Whether the identity of the world has these parts. Text fits also without the parameters that follow in brackets
    (`process = "rrxor"`). A list names several values; "absent" fits a world whose identity lacks the part."""
    return all(
        any(_fits(record.world.get(k, "absent"), x) for x in (v if isinstance(v, list) else [v]))
        for k, v in parts.items()
    )


def _fits(value: Any, wanted: Any) -> bool:
    if isinstance(wanted, str) and isinstance(value, str):
        return wanted in (value, value.partition("(")[0])
    return isinstance(value, bool) == isinstance(wanted, bool) and value == wanted


def _named(parts: Mapping[str, Any]) -> str:
    def words(value: Any) -> str:
        values = value if isinstance(value, list) else [value]
        return " or ".join(str(v) for v in values if v != "absent") or "absent"

    return f" ({', '.join(f'{k} {words(v)}' for k, v in parts.items())})" if parts else ""


def value(claim: Claim, arm: Arm, record: Result) -> float | None:
    """The value of an arm in one of its runs; None where the record lacks it."""
    if arm.value is not None:
        return arm.value
    score = arm.score or claim.score
    return lookup_value(record, score) if arm.lookup else value_of(record.scores, score)


def lookup_value(record: Result, column: str) -> float | None:
    """What a table of the last k tokens has in a score of `belief_probe` at the excess loss of the run: between two
    tables, interpolated in the log of the excess loss. At a loss below that of every table, the value of the best one.
    """
    name, _, score = column.partition(".")
    loss = value_of(record.scores, "excess_loss.kl")
    if name not in record.scores or loss is None:
        return None
    points = sorted((e, r) for _, e, r in tables(record.scores[name], record.world, score) if e > 0)
    if not points or not loss > 0:
        return None
    if loss <= points[0][0]:
        return max(r for _, r in points)
    for (low, worse), (high, better) in itertools.pairwise(points):
        if loss <= high:
            share = math.log(loss / low) / math.log(high / low) if high > low else 0.0
            return (1 - share) * worse + share * better
    return points[-1][1]
