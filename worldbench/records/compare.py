"""Compares two models, score by score, on the training seeds that both have.

Only results with the same world, data, evaluation and metric versions are paired. Both models see the same data in the
same order for a seed, so a paired test is used. The tests and verdicts are in `compare_verdicts.py`. With fewer than
five shared seeds there is no verdict. A model with infinite scores is worse (for a loss), in words and without a test.
Scores that do not depend on the trained weights are left out. Comparison at equal loss is in `matched.py`,
after equal training in `matched_amount.py`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from worldbench.core.errors import InputError
from worldbench.core.files import identity_hash
from worldbench.core.registry import metrics
from worldbench.core.text import counted
from worldbench.records import budget, leaderboard
from worldbench.records.compare_verdicts import Draft, judged
from worldbench.records.comparison import Comparison
from worldbench.records.directions import direction_of, is_outcome, same_for_all
from worldbench.records.extremes import verdict as in_words
from worldbench.records.finding import find
from worldbench.records.matched import Matched, at_matched_loss, load_traces
from worldbench.records.matched_amount import (
    AMOUNTS,
    at_matched_amount,
    counted_operations,
    matched_name,
    steps,
    tokens,
    unit_of_rows,
    whole,
)  # fmt: skip
from worldbench.records.missing import why
from worldbench.records.runs import Result, Trace
from worldbench.records.scores import value_of
from worldbench.records.variant import Variant, distinct_labels
from worldbench.records.world_words import places_in_words, world_key

FEWEST_SEEDS = 5
"""Smallest number of shared seeds for a verdict."""


def compare(
    a: str,
    b: str,
    paths: list[Path],
    columns: list[str] | None = None,
    margin: float | None = None,
    matched: str | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> list[Comparison]:
    """Compare model `a` with model `b` over result files: a row for each world, arm, evaluation and score.

    a, b: names of models, with options if the results have several variants (`Variant`). columns: `metric` or
    `metric.score`; None: the primary score of every metric. margin: also test whether the models are equivalent within
    this margin, in units of the score. matched: a loss, such as `excess_loss.kl`, at which the models are compared,
    from the traces of their runs; or "steps", "tokens" or "compute", after equal amounts of training. say: called with
    a line for each file below a folder that could not be read and was left out. Raises InputError if there is nothing
    to pair, or if it is not clear what to pair.
    """
    if a == b:
        raise InputError(f"a comparison needs two models, not {a!r} twice")
    if margin is not None and not margin > 0:
        raise InputError(f"--margin must be above 0, in units of the score, not {margin}")
    two = (Variant.parse(a), Variant.parse(b))
    if matched is None:
        found = find(paths, Result)
        for line in found.messages():
            say(line)
        records, traces = [record for _, record in found.records], None
        files = {id(record): path for path, record in found.records}
    else:
        known = partial(_require_names, matched, columns or [])
        traces = load_traces(paths, lambda results: [r for variant in two for r in variant.of(results)], known, say)
        records, files = [trace.at(trace.scores) for trace in traces], {}
    for record in (r for variant in two for r in variant.of(records)):
        budget.refuse_reporting(record, files.get(id(record)))
    both = [(_of(two[0], found), _of(two[1], found)) for found in _alike(two, records)]
    both = [(ours, theirs) for ours, theirs in both if ours and theirs]
    if not both:
        raise InputError(_nothing_to_pair(two, records))
    if any({id(r) for r in ours.values()} & {id(r) for r in theirs.values()} for ours, theirs in both):
        raise InputError(f"{a!r} and {b!r} name the same runs; name an option in which they differ")
    paired = [r for ours, theirs in both for r in (*ours.values(), *theirs.values())]
    wanted = [leaderboard.whole_name(paired, c) for c in columns] if columns else _shown(paired)
    left_out = {c: "it does not depend on the trained weights" for c in wanted if same_for_all(c)}
    pairs = [Matched(ours, theirs, "") for ours, theirs in both]
    if matched in AMOUNTS and traces is not None:
        of = {id(record): trace for record, trace in zip(records, traces)}
        pairs = [_at_amount(both_runs, of, matched, paths) for both_runs in both]
    elif matched is not None and traces is not None:
        loss = matched_name(matched, paired)
        of = {id(record): trace for record, trace in zip(records, traces)}
        pairs = []
        for both_runs in both:
            ours, theirs = ({seed: of[id(r)] for seed, r in mine.items()} for mine in both_runs)
            pairs.append(at_matched_loss(ours, theirs, loss))
        equal = f"models are compared at equal {loss}"
        left_out |= {c: equal for c in wanted if c == loss or _same_loss(c, loss, paired)}
    for column, reason in left_out.items():
        if columns:
            say(f"{column} is left out: {reason}")
    wanted = [c for c in wanted if c not in left_out]
    if not wanted:
        reasons = "; ".join(f"{column}: {reason}" for column, reason in left_out.items())
        raise InputError(f"no score is left to compare ({reasons}); name other scores with --columns")
    drafts = [
        draft
        for pair, world, arm in zip(pairs, places_in_words(_firsts(pairs)), _arms(pairs))
        for column in wanted
        if (draft := _draft(two, pair, world, arm, column)) is not None
    ]
    return sorted(judged(drafts, margin), key=lambda r: (r.world, r.arm))


def _require_names(matched: str, columns: list[str], records: list[Result | Trace]) -> None:
    """Raises InputError for a wrong name of what models are matched on, and of a column. A metric that no record has is
    accepted if it is registered, because a trace that is still to be made may measure it."""
    later = metrics.names()
    matched_name(matched, records, later)
    there = {name for record in records for name in record.scores}
    for column in columns:
        if column.partition(".")[0] in there or column.partition(".")[0] not in later:
            leaderboard.whole_name(records, column)


def _at_amount(
    both: tuple[dict[int, Result], dict[int, Result]], of: dict[int, Trace], what: str, paths: list[Path]
) -> Matched:
    """Both models after equal steps, tokens or operations."""
    ours, theirs = ({seed: of[id(r)] for seed, r in mine.items()} for mine in both)
    per_step = {"steps": steps, "tokens": tokens}.get(what) or counted_operations(paths)
    if what == "tokens":
        for seed in ours.keys() & theirs.keys():
            what = unit_of_rows(ours[seed], theirs[seed])
    return at_matched_amount(ours, theirs, what, per_step)


def _shown(records: list[Result]) -> list[str]:
    """The primary score of every metric, and the outcomes of whole runs."""
    out: dict[str, None] = {}
    for column in leaderboard.primary_scores(records):
        name = column.partition(".")[0]
        scores = {f"{name}.{score}" for r in records if name in r.scores for score in r.scores[name].scores}
        out |= dict.fromkeys((column, *sorted(filter(is_outcome, scores))))
    return list(out)


def _same_loss(column: str, loss: str, records: list[Result]) -> bool:
    """Whether the score is the matched loss in other units: a score of the same metric for which lower is better."""
    name = loss.partition(".")[0]
    holder = next((r.scores[name] for r in records if name in r.scores), None)
    same = column.partition(".")[0] == name
    return same and holder is not None and direction_of(column, holder) == "lower"


def _alike(two: tuple[Variant, Variant], records: list[Result]) -> list[list[Result]]:
    """Groups of results that may be compared: with equal world, data and evaluation, and with equal training options if
    a model has several settings there."""
    out = []
    for found in _grouped(records, lambda r: [r.world, r.config.get("data"), r.identity.evaluation]):
        settings = [{leaderboard.settings_key(r) for r in variant.of(found)} for variant in two]
        out += _grouped(found, lambda r: r.config.get("train")) if max(map(len, settings)) > 1 else [found]
    return out


def _grouped(records: list[Result], key: Callable[[Result], Any]) -> list[list[Result]]:
    groups: dict[str, list[Result]] = defaultdict(list)
    for record in records:
        groups[identity_hash(key(record))].append(record)
    return list(groups.values())


def _of(variant: Variant, records: list[Result]) -> dict[int, Result]:
    """Seed -> result of a variant. Raises InputError if the results differ in more than the seed."""
    mine = variant.of(records)
    if len({leaderboard.settings_key(r) for r in mine}) > 1:
        labels = sorted(set(distinct_labels(mine)))
        named = f"; name one, such as {labels[0]!r}" if len(labels) > 1 else "; name the result files of one"
        several = f"{variant.label} comes with more than one setting under the same training options"
        raise InputError(f"{several} ({', '.join(labels)}){named}")
    by_seed = {r.seed: r for r in mine if r.seed is not None}
    if len(by_seed) < len(mine):
        seed = leaderboard.twice([r.seed for r in mine if r.seed is not None])
        raise InputError(f"{mine[0].command}: seed {seed} comes more than once; name each result once")
    return by_seed


def _nothing_to_pair(two: tuple[Variant, Variant], records: list[Result]) -> str:
    for variant in two:
        if (reason := variant.missing(records)) is not None:
            return reason
    both = f"no results of {two[0].label!r} and {two[1].label!r} agree in world, data and evaluation"
    return f"{both}; score both under the same options first"


def _trained(record: Result) -> str:
    """The steps and the batch of a training; "" if the record does not say."""
    last, batch, row_tokens = (whole(record, name) for name in ("steps", "batch", "row_tokens"))
    if last is None:
        return ""
    of = f" of {counted(row_tokens, 'token')}" if row_tokens else ""
    rows = f" of {counted(batch, 'row')}{of}" if batch else ""
    return f"{counted(last, 'step')}{rows}"


def _firsts(pairs: list[Matched]) -> list[Result]:
    return [next(iter(pair.ours.values())) for pair in pairs]


def _arms(pairs: list[Matched]) -> list[str]:
    """The arm of each group, with the evaluation if a world and arm have several."""
    firsts = _firsts(pairs)
    places: dict[tuple[str, str], list[int]] = defaultdict(list)
    for i, first in enumerate(firsts):
        places[leaderboard.place(first)].append(i)
    out = [leaderboard.place(first)[1] for first in firsts]
    for alike in places.values():
        distinct = leaderboard.distinct_evaluations([firsts[i] for i in alike])
        for i, words in zip(alike, distinct):
            out[i] = " ".join(filter(None, (out[i], *words)))
    return out


def _draft(two: tuple[Variant, Variant], pair: Matched, world: str, arm: str, column: str) -> Draft | None:
    """The values of one score on the shared seeds; None if neither model has the metric. world: in words."""
    ours, theirs, name = pair.ours, pair.theirs, column.partition(".")[0]
    holders = [r.scores[name] for r in (*ours.values(), *theirs.values()) if name in r.scores]
    if not holders:
        return None
    seeds = tuple(sorted(ours.keys() & theirs.keys()))
    first, second = next(iter(ours.values())), next(iter(theirs.values()))
    fields: dict[str, Any] = {
        "world": world, "world_key": world_key(first), "preset": first.preset, "arm": arm, "score": column,
        "better": direction_of(column, holders[0]),
        "a": two[0].label, "b": two[1].label, "seeds": seeds, "unpaired": tuple(sorted(ours.keys() ^ theirs.keys())),
        "tuned_a": budget.cell(first), "tuned_b": budget.cell(second),
        "trained_a": _trained(first), "trained_b": _trained(second),
    }  # fmt: skip
    if seeds and pair.column:
        fields |= {"matched": pair.column, "levels": tuple(pair.levels[s] for s in seeds)}
        fields |= {"steps_a": tuple(pair.steps[s][0] for s in seeds), "steps_b": tuple(pair.steps[s][1] for s in seeds)}
    both = [(value_of(ours[s].scores, column), value_of(theirs[s].scores, column)) for s in seeds]
    values = [(x, y) for x, y in both if x is not None and y is not None]
    fields["version"] = holders[0].version
    if len({m.version for m in holders}) > 1:
        fields["version"] = None
        fields["verdict"], values = f"not paired: different versions of the metric {name}", []
    elif len(values) < len(seeds):
        of = pair.column if "." not in pair.column else "loss"
        unmatched = f" at the matched {of}" if None in fields.get("levels", ()) else ""
        if not unmatched:
            sides = ((two[0], ours), (two[1], theirs))
            reasons = {variant.label: why([mine[s] for s in seeds], column) for variant, mine in sides}
            fields["missing"] = {label: reason for label, reason in reasons.items() if reason}
        fields["verdict"] = f"missing: {len(values)} of {counted(len(seeds), 'shared seed')} have it{unmatched}"
        values = []
    elif len(seeds) < FEWEST_SEEDS:
        fields["verdict"] = f"no power ({counted(len(seeds), 'shared seed')}, and at least {FEWEST_SEEDS} are needed)"
    else:
        names, sides = (two[0].label, two[1].label), ([x for x, _ in values], [y for _, y in values])
        if (words := in_words(names, sides, fields["better"], "shared seed")) is not None:
            fields["verdict"] = words
    outcome = is_outcome(column) and all(v in (0, 1) for both in values for v in both)
    return Draft(fields, [x for x, _ in values], [y for _, y in values], outcome)
