"""Compares two models after equal amounts of training: steps, tokens, or operations (compute).

The level of a seed is the largest amount that both runs have: the smaller of their two ends. The scores of a run are
taken at the level, by linear interpolation in the log of the amount between two kept checkpoints. The operations of a
step are those that `worldbench forecast` counted for the same model, world and preset.
"""

from __future__ import annotations

import itertools
import math
import shlex
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

from worldbench.core.errors import InputError, nearest
from worldbench.records import leaderboard
from worldbench.records.finding import PATTERNS
from worldbench.records.forecast import Forecast
from worldbench.records.matched import Matched, no_loss, scores_at
from worldbench.records.parts import Head
from worldbench.records.reading import read
from worldbench.records.runs import Result, Trace

AMOUNTS = ("steps", "tokens", "compute")
"""What `--matched` may name besides a loss. A comparison that is matched on tokens says "rows" where those count."""
OF_A_STEP = ("--config", "--train.batch", "--train.row_tokens")
PerStep = Callable[[Head], float]


def matched_name(matched: str, records: Sequence[Result | Trace], later: Collection[str] = ()) -> str:
    """The whole name of what two models are matched on: an amount, or the loss `metric.score`.

    later: metrics that no record needs to have yet, because a trace may measure them. Raises InputError for a name that
    is neither an amount nor a score of the records, and for a score that is no loss.
    """
    name = matched.partition(".")[0]
    having = [r.scores[name] for r in records if name in r.scores]
    if matched in AMOUNTS or (not having and name in later):
        return matched
    if not having:
        losses = {n for r in records for n, metric in r.scores.items() if metric.direction == "lower"}
        raise InputError(
            f"--matched {matched!r} is neither a loss of the results nor steps, tokens or compute"
            f"{nearest(matched if '.' not in matched else name, {*AMOUNTS, *losses})}"
        )
    if having[0].direction != "lower":
        raise no_loss(matched)
    return leaderboard.whole_name(records, matched)


def at_matched_amount(ours: dict[int, Trace], theirs: dict[int, Trace], what: str, per_step: PerStep) -> Matched:
    """Results by seed after the amount that both runs of a seed have; a seed that only one has stays as it is."""
    a_runs, b_runs = ({seed: r.at(r.scores) for seed, r in runs.items()} for runs in (ours, theirs))
    out = Matched(a_runs, b_runs, what)
    for seed in ours.keys() & theirs.keys():
        runs = (ours[seed], theirs[seed])
        amounts = [[point.step * per_step(run) for point in run.trace] for run in runs]
        level = min(mine[-1] for mine in amounts)
        places = [_reached(mine, level) for mine in amounts]
        both = None not in places
        out.ours[seed], first = scores_at(runs[0], places[0] if both else None)
        out.theirs[seed], second = scores_at(runs[1], places[1] if both else None)
        out.levels[seed], out.steps[seed] = level if both else None, (first, second)
    return out


def _reached(amounts: list[float], level: float) -> tuple[int, float] | None:
    """(i, w): the level lies between checkpoints i - 1 and i, at the share w of the way in the log. None if the first
    checkpoint is beyond it."""
    i = next(k for k, x in enumerate(amounts) if x >= level * (1 - 1e-12))
    if amounts[i] <= level * (1 + 1e-12):
        return i, 1.0
    if i == 0:
        return None
    low, high = amounts[i - 1], amounts[i]
    if low <= 0:
        return i, level / high
    return i, math.log(level / low) / math.log(high / low)


def whole(record: Head, name: str) -> int | None:
    """An option of training that is a whole number; None if the record does not have it."""
    value = record.config.get("train", {}).get(name)
    return value if type(value) is int else None


def steps(record: Head) -> float:
    return 1.0


def tokens(record: Head) -> float:
    """Tokens of a step. Rows of one document have no fixed number of tokens: then the rows are counted
    (`unit_of_rows`)."""
    return float((whole(record, "batch") or 1) * (whole(record, "row_tokens") or 1))


def unit_of_rows(a: Head, b: Head) -> str:
    """What `tokens` counts for two runs: "tokens" of packed rows; "rows" where each row has one document, whose tokens
    a record does not count. Raises InputError if one run packs its rows and the other does not."""
    packed = bool(whole(a, "row_tokens"))
    if packed != bool(whole(b, "row_tokens")):
        raise InputError(
            f"{a.model.name} and {b.model.name} cannot be matched on tokens: one packs documents into rows "
            "(train.row_tokens) and the other does not; match on steps or on a loss"
        )
    return "tokens" if packed else "rows"


def counted_operations(paths: list[Path]) -> PerStep:
    """Operations of a step by the forecasts below the folders among the paths. The function raises InputError for a run
    without one."""
    folders = [path for path in paths if path.is_dir()]
    forecasts = [read(file, Forecast) for folder in folders for file in sorted(folder.rglob(PATTERNS["forecast"]))]

    def per_step(record: Head) -> float:
        size = record.model.parameters.training if record.model.parameters else 0
        for f in forecasts:
            same = (f.world, f.model, f.preset, f.parameters) == (record.world, record.model.name, record.preset, size)
            if same and f.measured.operations and _options(f.command) == _options(record.command):
                return float(f.measured.operations)
        command = f"worldbench forecast {record.world_name} --model {record.model.name} --preset {record.preset}"
        raise InputError(
            f"there is no forecast of {record.model.name} in {record.world_name} ({record.preset}) to count its "
            f"operations: run `{command}` with the same options as the run, and with --out "
            f"FOLDER/forecast-{record.model.name}.json, where FOLDER is one of the folders of results"
        )

    return per_step


def _options(command: str) -> dict[str, str]:
    """The options of a command that the operations of a step depend on."""
    words = shlex.split(command)
    named = [(word, after) for word, after in itertools.pairwise([*words, ""]) if word.startswith("--")]
    return {word: after for word, after in named if word.startswith("--model.") or word in OF_A_STEP}
