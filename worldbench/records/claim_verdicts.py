"""Claims with their verdicts, from records alone: finds the records, pairs them, decides (`claim_decisions.py`), and
says how much room the score leaves between floor and ceiling.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from worldbench.records import budget, leaderboard
from worldbench.records.bounds import bounds, untrained
from worldbench.records.claim_decisions import Decision, Sample, decide
from worldbench.records.claim_names import refuse_unknown
from worldbench.records.claim_pairs import Pair, paired, value
from worldbench.records.claims import Claim
from worldbench.records.compare_verdicts import mean
from worldbench.records.directions import direction_of, is_outcome
from worldbench.records.finding import find
from worldbench.records.runs import Result
from worldbench.records.scores import finite
from worldbench.records.world_words import in_words, places_in_words


@dataclass(frozen=True)
class Judged:
    """A claim with its verdict in one world, arm of the data and evaluation.

    place: world, preset and arm of the data. world: the world in words. a, b: means over the shared seeds, None if it
    is not run. floor, ceiling: scores of the references. room_a, room_b: where the arms lie between them (0: floor, 1:
    ceiling). tuned_a, tuned_b: trials x seeds of tuning, "-" for none. reason: why there is no more to say, or what to
    keep in mind. elsewhere: no record is about the world of the claim.
    """

    claim: Claim
    decision: Decision
    place: str = ""
    seeds: tuple[int, ...] = ()
    a: float | None = None
    b: float | None = None
    difference: float | None = None
    floor: float | None = None
    ceiling: float | None = None
    room_a: float | None = None
    room_b: float | None = None
    tuned_a: str = "-"
    tuned_b: str = "-"
    reason: str = ""
    world: str = ""
    elsewhere: bool = False

    @property
    def verdict(self) -> str:
        return self.decision.verdict


@dataclass(frozen=True)
class _Found:
    """A comparison before the verdict."""

    pair: Pair
    seeds: tuple[int, ...]
    sample: Sample


def judge(
    claims: list[Claim], paths: list[Path], say: Callable[[str], None] = lambda line: None, *, own: bool = False
) -> list[Judged]:
    """Every claim with its verdicts, in the order of the claims: one for each world, arm and evaluation with records,
    or one "not run". say: called with a line for each file below a folder that could not be read and was left out.
    own: the claims are of the user's own file, so their names are checked. Raises InputError for a wrong name there,
    where no result can be read, and for results on seeds of tuning.
    """
    found = find(paths, Result)
    for line in found.messages():
        say(line)
    for path, record in found.records:
        budget.refuse_reporting(record, path)
    records = [record for _, record in found.records]
    if own:
        refuse_unknown(claims, records)
    return judge_records(claims, records)


def judge_records(claims: list[Claim], records: list[Result]) -> list[Judged]:
    """`judge` on records."""
    by_claim = [(claim, paired(claim, records)) for claim in claims]
    found = [_distinct([_found(claim, pair) for pair in both.pairs]) for claim, both in by_claim]
    decisions = iter(decide([f.sample for mine in found for f in mine]))
    present = {record.world_name for record in records}
    out = []
    for (claim, both), mine in zip(by_claim, found):
        for f, place in zip(mine, _places(mine)):
            out.append(_judged(f, place, next(decisions), records))
        for reason in dict.fromkeys(both.reasons):
            out.append(Judged(claim, Decision("not run"), reason=reason, elsewhere=claim.world not in present))
    return out


def _found(claim: Claim, pair: Pair) -> _Found:
    constant = claim.b.value is not None
    seeds = tuple(sorted(pair.ours if constant else pair.ours.keys() & pair.theirs.keys()))
    theirs = pair.ours if constant else pair.theirs
    both = [(value(claim, claim.a, pair.ours[s]), value(claim, claim.b, theirs[s])) for s in seeds]
    known = [(x, y) for x, y in both if x is not None and y is not None]
    columns = [arm.score or claim.score for arm in (claim.a, claim.b)]
    outcome = not constant and all(map(is_outcome, columns)) and all(v in (0, 1) for xy in known for v in xy)
    return _Found(pair, seeds, Sample(claim, tuple(x for x, _ in known), tuple(y for _, y in known), outcome))


def _distinct(found: list[_Found]) -> list[_Found]:
    """In the order of their places, without repetitions: the same runs with the same values in another evaluation."""
    found.sort(key=lambda f: (leaderboard.place(f.pair.first), f.pair.first.identity.evaluation, f.seeds))
    out: dict[tuple[object, ...], _Found] = {}
    for f in found:
        runs = [tuple(mine[s].identity.training for s in sorted(mine)) for mine in (f.pair.ours, f.pair.theirs)]
        values = tuple(f"{v:.9g}" for v in (*f.sample.a, *f.sample.b))  # last digits differ between processors
        out.setdefault((*runs, f.seeds, values), f)
    return list(out.values())


def _places(found: list[_Found]) -> list[str]:
    """World, preset and arm of the data of each comparison. Where several would have one name, what distinguishes
    them: the evaluation; the tuning budget and the settings of training."""
    firsts = [f.pair.first for f in found]
    arms = [leaderboard.place(first)[1] for first in firsts]
    names = [", ".join(filter(None, both)) for both in zip(places_in_words(firsts), arms)]
    words = leaderboard.distinct_evaluations(firsts)
    names = [", ".join([name, *(mine if names.count(name) > 1 else [])]) for name, mine in zip(names, words)]
    out = list(names)
    for name, times in Counter(names).items():
        same = [i for i, other in enumerate(names) if other == name] if times > 1 else []
        runs = [firsts[i] for i in same]
        budgets = [budget.cell(run) for run in runs]
        for i, spent, settings in zip(same, budgets, leaderboard.distinct_settings(runs)):
            tuned = [f"tuned {spent}" if spent != "-" else "not tuned"] if len(set(budgets)) > 1 else []
            out[i] = ", ".join([name, *tuned, *settings])
    return out


def _judged(found: _Found, place: str, decision: Decision, records: list[Result]) -> Judged:
    claim, sample, first = found.sample.claim, found.sample, found.pair.first
    other = next(iter(found.pair.theirs.values()), first)
    a, b = mean(sample.a), mean(sample.b)
    floor, ceiling = _bounds(claim, found.pair, records)
    room_a, room_b = (_room(x, floor, ceiling) for x in (a, b))
    reasons = [decision.reason] if decision.reason else []
    if (end := _without_room(found, a, b, floor, ceiling)) is not None:
        why = "there is no room for a difference" if end == "ceiling" else "neither has learned what the score measures"
        reasons.append(f"both arms are at the {end}: {why}")
        equal = decision.verdict == "reproduced" and claim.expects == "equal"
        # They are alike for a reason that says nothing about them. At the ceiling, a claim of equality holds.
        if decision.verdict == "equivalent" or (equal and end == "floor"):
            decision = replace(decision, verdict="no power")
    if budget.spent(first) != budget.spent(other):
        reasons.append("the tuning budgets are not equal, so a difference may come from tuning")
    return Judged(
        claim, decision, place, found.seeds, a, b, mean([x - y for x, y in zip(sample.a, sample.b)]), floor, ceiling,
        room_a, room_b, budget.cell(first), budget.cell(other), "; ".join(reasons), in_words(first),
    )  # fmt: skip


def _without_room(
    found: _Found, a: float | None, b: float | None, floor: float | None, ceiling: float | None
) -> str | None:
    """ "ceiling" if both arms are within the margin of the ceiling or beyond it, "floor" likewise; else None. A floor
    within the margin of the ceiling is no floor: random legal tokens then score like the exact law."""
    claim = found.sample.claim
    column = claim.a.score or claim.score
    direction = direction_of(column, found.pair.first.scores[column.partition(".")[0]])
    if direction == "none" or a is None or b is None:
        return None
    sign = 1 if direction == "higher" else -1
    if ceiling is not None and min(sign * a, sign * b) >= sign * ceiling - claim.margin:
        return "ceiling"
    if floor is None or (ceiling is not None and sign * floor >= sign * ceiling - claim.margin):
        return None
    return "floor" if max(sign * a, sign * b) <= sign * floor + claim.margin else None


def _bounds(claim: Claim, pair: Pair, records: list[Result]) -> tuple[float | None, float | None]:
    """The mean floor and ceiling of the score over the runs of arm a."""
    name, _, score = (claim.a.score or claim.score).partition(".")
    floors, ceilings = list[float](), list[float]()
    for run in pair.ours.values():
        found, metric = bounds(run, records), run.scores[name]
        floor, plain = found.value(name, metric, "floor", score), untrained(metric, score)
        floors += [x for x in [finite(plain.value if floor is None and plain is not None else floor)] if x is not None]
        ceilings += [x for x in [finite(found.value(name, metric, "ceiling", score))] if x is not None]
    return mean(floors), mean(ceilings)


def _room(x: float | None, floor: float | None, ceiling: float | None) -> float | None:
    known = finite(x)
    if known is None or floor is None or ceiling is None or abs(ceiling - floor) < 1e-9:
        return None
    return (known - floor) / (ceiling - floor)
