"""A comparison of two models by one score, and tables of comparisons."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from worldbench.core import cells, tables
from worldbench.core.errors import InputError
from worldbench.core.text import counted
from worldbench.records import versions
from worldbench.records.parts import marked

NO_POWER = "no power below x: these seeds reveal a true difference of x with probability 80%"
K_OF_N = "k of n: k of n seeds have this outcome, with Wilson's interval"


@dataclass(frozen=True)
class Solved:
    """In how many of n seeds an outcome was 1, with Wilson's interval of the share."""

    hits: int
    n: int
    low: float
    high: float


@dataclass(frozen=True)
class Comparison:
    """One score of models a and b on their shared seeds.

    world: world and preset, in words. world_key: eight hex digits that identify the world. better: "higher", "lower" or
    "none". mean_a, mean_b, difference (a - b), interval (95%), p, p_holm: None without a verdict. test: "paired t", or
    "Fisher" for outcomes that are 0 or 1; then solved_a, solved_b have the seeds. detectable: the smallest true
    difference that these seeds show with probability 80%; None if they show none, and without a verdict. p_equivalent:
    p value of the hypothesis that the models differ by `margin` or more, Holm-adjusted. unpaired: seeds that only one
    model has. matched: the loss at which the models are compared, or "steps", "tokens", "rows" (asked for as tokens,
    where each row has one document) or "compute". levels: its value for each shared seed. steps_a, steps_b: training
    steps at which the runs reach it. tuned_a, tuned_b: trials x seeds of tuning, "-" for none. trained_a, trained_b:
    steps and batch of training. version: of the metric; None if the models have different ones. missing: model -> why
    it lacks the score.
    """

    world: str
    arm: str
    score: str
    better: str
    a: str
    b: str
    seeds: tuple[int, ...]
    unpaired: tuple[int, ...]
    mean_a: float | None
    mean_b: float | None
    difference: float | None
    interval: tuple[float, float] | None
    p: float | None
    p_holm: float | None
    margin: float | None
    p_equivalent: float | None
    verdict: str
    matched: str = ""
    levels: tuple[float | None, ...] = ()
    steps_a: tuple[float | None, ...] = ()
    steps_b: tuple[float | None, ...] = ()
    tuned_a: str = "-"
    tuned_b: str = "-"
    version: int | None = None
    missing: dict[str, str] = field(default_factory=dict)
    test: str = "paired t"
    detectable: float | None = None
    solved_a: Solved | None = None
    solved_b: Solved | None = None
    trained_a: str = ""
    trained_b: str = ""
    world_key: str = ""
    preset: str = ""

    @property
    def words(self) -> str:
        """The verdict, and beside "not separable" what these seeds could have seen."""
        if self.verdict != "not separable" or self.detectable is None:
            return self.verdict
        return f"{self.verdict} (no power below {number(self.detectable)})"


def number(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}"


def _mean(value: float | None, solved: Solved | None) -> str:
    """A mean; for an outcome the seeds in which it is 1, with the interval of their share."""
    if solved is None:
        return number(value)
    return f"{solved.hits} of {solved.n} ({number(solved.low)} .. {number(solved.high)})"


def p_value(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}" if value >= 0.001 else f"{value:.0e}"


def render(rows: list[Comparison], form: str) -> str:
    """The comparisons as a terminal table, Markdown, CSV or JSON (the last two with every field, unrounded)."""
    if not rows:
        raise InputError("there is nothing to compare: no result has a score")
    if form == "json":
        return cells.json(marked([asdict(r) for r in rows]))
    if form == "csv":
        flat = [_flat(r) for r in rows]
        return tables.csv(list(flat[0]), [list(r.values()) for r in flat])
    a, b = rows[0].a, rows[0].b
    asked = rows[0].margin is not None
    head = ["score", "better", "seeds", a, b, f"{a} - {b}", "95% over seeds", "p", "p (Holm)"]
    head += [*(["p equivalent"] if asked else []), "verdict"]
    places: dict[str, list[list[str]]] = {}
    for r in rows:
        places.setdefault(_where(r), []).append(_cells(r, asked))
    notes = [*_levels(rows), *_power(rows), *_budgets(rows), *_training(rows), *_versions(rows), *_missing(rows)]
    if form == "markdown":
        parts = [f"{cells.markdown_line(where)}\n\n{tables.markdown(head, body)}" for where, body in places.items()]
        return "\n\n".join([*parts, *(cells.markdown_line(line) for line in notes)])
    shown = [tables.terminal(head, body, 1, title=where) for where, body in places.items()]
    return "\n".join([*shown, *map(tables.note, notes)])


def _cells(r: Comparison, asked: bool) -> list[str]:
    """The cells of a row for people. asked: whether equivalence was asked for."""
    return [
        *(r.score, r.better, str(len(r.seeds))),
        *(_mean(r.mean_a, r.solved_a), _mean(r.mean_b, r.solved_b), number(r.difference)),
        "" if r.interval is None else f"{number(r.interval[0])} .. {number(r.interval[1])}",
        *(p_value(r.p), p_value(r.p_holm)),
        *([p_value(r.p_equivalent)] if asked else []),
        r.words,
    ]


def _levels(rows: list[Comparison]) -> list[str]:
    """A sentence for each world and arm that was matched: the level of each seed, the steps at which the models reach
    it, and the mean level."""
    out: dict[str, None] = {}
    for r in rows:
        if not r.matched:
            continue
        amount = "." not in r.matched
        lost = "one of them is below the other's least loss from its first checkpoint, or has no finite loss"
        lost = "the first checkpoint of one of them is beyond the end of the other" if amount else lost
        seeds = [
            f"seed {seed} not matched ({lost})"
            if level is None or at is None or bt is None
            else f"seed {seed} {_level(level, amount)} (steps {at:.0f} and {bt:.0f})"
            for seed, level, at, bt in zip(r.seeds, r.levels, r.steps_a, r.steps_b)
        ]
        known = [level for level in r.levels if level is not None]
        mean = f"; mean {sum(known) / len(known):.3g}" if known and not amount else ""
        named = {"compute": "operations of training", "rows": "rows (of one document each)"}.get(r.matched, r.matched)
        least = f"matched at the least {r.matched} that both reach"
        least = f"matched at the most {named} that both have" if amount else least
        out.setdefault(f"{_where(r)}: {least}: {', '.join(seeds)}{mean}")
    return list(out)


def _level(level: float, amount: bool) -> str:
    return f"{level:,.0f}" if amount and level < 1e9 else f"{level:.3g}"


def _power(rows: list[Comparison]) -> list[str]:
    """What the words beside the verdicts mean, and the cells of outcomes, where the table has such."""
    tests, out = sum(r.p is not None for r in rows), []
    if any(r.words != r.verdict for r in rows):
        level = f"at level .05 / {counted(tests, 'test')}" if tests > 1 else "at level .05"
        out.append(f"{NO_POWER} ({level})")
    outcomes = [r for r in rows if r.solved_a is not None]
    if outcomes:
        test = "; their p value is that of Fisher's exact test" if any(r.p is not None for r in outcomes) else ""
        out.append(f"{K_OF_N}{test}")
    return out


def _where(row: Comparison) -> str:
    return ", ".join(filter(None, (row.world, row.arm)))


def _budgets(rows: list[Comparison]) -> list[str]:
    """A sentence for each world and arm where a model was tuned: trials x seeds, and whether they are equal."""
    out: dict[str, None] = {}
    for r in rows:
        if (r.tuned_a, r.tuned_b) != ("-", "-"):
            unfair = "; the budgets are not equal, so a difference may be that of tuning"
            both = f"{r.a} {r.tuned_a}, {r.b} {r.tuned_b}"
            out.setdefault(f"{_where(r)}: tuned (trials x seeds): {both}{'' if r.tuned_a == r.tuned_b else unfair}")
    return list(out)


def _training(rows: list[Comparison]) -> list[str]:
    """A sentence for each world and arm where the models had unequal amounts of training, if they are not matched."""
    unequal = [r for r in rows if r.trained_a != r.trained_b and not r.matched]
    advice = "a difference may be that of training (--matched compares after equal amounts)"
    return list(dict.fromkeys(f"{_where(r)}: {r.a} {r.trained_a}, {r.b} {r.trained_b}; {advice}" for r in unequal))


def _versions(rows: list[Comparison]) -> list[str]:
    return versions.sentence({r.score.partition(".")[0]: r.version} for r in rows if r.version is not None)


def _missing(rows: list[Comparison]) -> list[str]:
    """A sentence for each model and reason why scores are missing."""
    out: dict[tuple[str, str], dict[str, None]] = {}
    for r in rows:
        for label, reason in r.missing.items():
            out.setdefault((label, reason), {})[r.score] = None
    return [f"missing: {', '.join(scores)} of {label}: {reason}" for (label, reason), scores in out.items()]


def _flat(row: Comparison) -> dict[str, Any]:
    """One CSV row: the interval in two columns, seeds in one."""
    out: dict[str, Any] = {}
    for key, value in asdict(row).items():
        if key == "interval":
            out["low"], out["high"] = value or ("", "")
        elif key in ("seeds", "unpaired", "levels", "steps_a", "steps_b"):
            out[key] = " ".join("-" if v is None else str(v) for v in value)
        elif key in ("solved_a", "solved_b"):
            out[key] = "" if value is None else f"{value['hits']} of {value['n']}"
        elif key == "missing":
            out[key] = "; ".join(f"{label}: {reason}" for label, reason in value.items())
        else:
            out[key] = "" if value is None else value
    return out
