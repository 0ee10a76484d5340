"""Tables of claims: with their verdicts, or (`listed`) with the commands that make their records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any

from worldbench.core import cells, tables
from worldbench.core.proportions import wilson
from worldbench.core.text import counted
from worldbench.records.board import MISSING
from worldbench.records.claim_decisions import NO_POWER_BELOW, VERDICTS, Decision
from worldbench.records.claim_verdicts import Judged
from worldbench.records.claims import Claim
from worldbench.records.comparison import K_OF_N, NO_POWER, number, p_value
from worldbench.records.parts import marked

HEAD = (
    "claim", "verdict", "score", "where", "seeds", "a", "b", "a - b", "95% over seeds", "p (Holm)", "p equivalent",
    "margin", "published", "room",
)  # fmt: skip


def render(rows: list[Judged], form: str, every: bool = False) -> str:
    """The claims with their verdicts as terminal tables, one for each world and arm of the data, or as Markdown, LaTeX,
    CSV or JSON (the last two unrounded).

    every: give each claim that is not run its own reason. Otherwise one line counts the claims about worlds of which
    there is no record.
    """
    if form == "json":
        return cells.json(marked([_as_json(row) for row in rows]))
    if form == "csv":
        flat = [_flat(row) for row in rows]
        return tables.csv(list(flat[0]), [list(row.values()) for row in flat])
    body = [_cells(row) for row in rows]
    if form == "latex":
        return "\n".join([tables.latex(HEAD, body, 4), *(f"% {cells.latex(line)}" for line in _notes(rows, every))])
    if form == "markdown":
        sentences = [[row[0], r.claim.claim, r.claim.source, *row[1:]] for row, r in zip(body, rows)]
        head = [HEAD[0], "sentence", "source", *HEAD[1:]]
        notes = [f"\n{cells.markdown_line(line)}" for line in _notes(rows, every)]
        return "\n".join([tables.markdown(head, sentences), *notes])
    return "\n".join(_by_place(rows, body) + list(map(tables.note, _notes(rows, every, placed=False))))


def _by_place(rows: list[Judged], body: list[list[str]]) -> list[str]:
    """A terminal table for each world and arm of the data, with the reasons of its rows below it. Columns that are
    empty there are left out. Claims that are not run have no place: the notes below all tables name them."""
    places: dict[str, list[int]] = {}
    for i, r in enumerate(rows):
        if r.verdict != "not run":
            places.setdefault(r.place, []).append(i)
    out = []
    for place, mine in places.items():
        kept = [k for k, name in enumerate(HEAD) if name != "where" and any(body[i][k] for i in mine)]
        cut = [[body[i][k] for k in kept] for i in mine]
        out.append(tables.terminal([HEAD[k] for k in kept], cut, 2, title=place))
        out += [*map(tables.note, _reasons([rows[i] for i in mine])), ""]
    return out


def listed(claims: list[Claim], form: str) -> str:
    """The claims, where they were published, and the command that makes the records of each."""
    if form == "json":
        return cells.json(marked([_claim(claim) for claim in claims]))
    head = ("claim", "sentence", "source", "score", "world", "a", "b", "expects", "margin", "published", "command")
    body = [
        [
            *(c.name, c.claim, c.source, c.score, c.world, c.a.name, c.b.name),
            *(c.expects, f"{c.margin:g}", _published(c), c.command),
        ]
        for c in claims
    ]
    if form == "csv":
        return tables.csv(head, body)
    if form == "markdown":
        return tables.markdown(head, body)
    if form == "latex":
        return tables.latex(head, body, len(head))
    lines = []
    for c in claims:
        published = f" Published: {_published(c)}." if c.published else ""
        how = f"{c.score} in {c.world}: a = {c.a.name}, b = {c.b.name}; expected: {c.expects} (margin {c.margin:g})."
        lines += [f"{c.name}: {c.claim}", f"  {c.source}.{published}", f"  {how}", f"  {c.command}"]
    return "\n".join(map(tables.note, lines))


def summary(claims: list[Claim]) -> str:
    """The claims as a short Markdown table, for docs/claims.md."""
    head = ("name", "claim", "source", "published", "sweep")
    return tables.markdown(head, [[c.name, c.claim, c.source, _published(c), c.sweep] for c in claims])


def _cells(row: Judged) -> list[str]:
    """The cells of a row for people. The names of the arms stand beside their scores."""
    c = row.claim
    if row.verdict == "not run":
        return [c.name, row.verdict, c.score, *[""] * 8, f"{c.margin:g}", _published(c), ""]
    d = row.decision
    return [
        *(c.name, row.verdict, c.score, row.place, str(len(row.seeds))),
        *(f"{c.a.name} {_mean(row, row.a)}", f"{c.b.name} {_mean(row, row.b)}", number(row.difference)),
        "" if d.interval is None else f"{number(d.interval[0])} .. {number(d.interval[1])}",
        *(p_value(d.p_holm), p_value(d.p_equivalent), f"{c.margin:g}", _published(c)),
        "" if row.room_a is None or row.room_b is None else f"{row.room_a:.0%} and {row.room_b:.0%}",
    ]


def _mean(row: Judged, value: float | None) -> str:
    """A mean; for an outcome the seeds that have it, with the interval of their share."""
    if not _is_share(row) or value is None:
        return number(value) or MISSING
    n = len(row.seeds)
    low, high = wilson(round(value * n), n)
    return f"{round(value * n)} of {n} ({number(low)} .. {number(high)})"


def _is_share(row: Judged) -> bool:
    """Whether the row has shares of seeds instead of means."""
    return row.decision.test == "Fisher"


MEANINGS: tuple[tuple[str, Callable[[Judged], bool]], ...] = (
    ("p (Holm): the p value of no difference, corrected for all tests", lambda row: row.decision.p_holm is not None),
    (
        "p equivalent: the p value of a difference of at least the margin, corrected for all tests of equivalence",
        lambda row: row.decision.p_equivalent is not None,
    ),
    (
        "room: where a and b lie between the floor (0%) and the ceiling (100%)",
        lambda row: row.room_a is not None and row.room_b is not None,
    ),
    (f"{K_OF_N}; their p value is that of Fisher's exact test", _is_share),
    (NO_POWER, lambda row: NO_POWER_BELOW in row.reason),
)
"""What columns and words mean, each with the rows that have something in this column, or this word."""


def _published(c: Claim) -> str:
    return " and ".join(f"{c.published[side]:g}" for side in ("a", "b") if side in c.published)


def _notes(rows: list[Judged], every: bool, placed: bool = True) -> list[str]:
    """How many claims have which verdict, what columns mean, and the reasons of rows. placed: also those of rows that
    have a place."""
    counts = {v: sum(r.verdict == v for r in rows) for v in VERDICTS}
    found = ", ".join(f"{n} {verdict}" for verdict, n in counts.items() if n)
    out = [
        f"{counted(len(rows), 'row')}: {found}",
        *(sentence for sentence, shown in MEANINGS if any(map(shown, rows))),
    ]
    elsewhere = [] if every else [r for r in rows if r.elsewhere]
    if elsewhere:
        worlds = ", ".join(f"{world} ({n})" for world, n in Counter(r.claim.world for r in elsewhere).items())
        out.append(
            f"not run: {counted(len(elsewhere), 'claim')} about worlds without a record here: {worlds}; "
            "'worldbench claims --list' prints the commands that make the records"
        )
    return out + _reasons([r for r in rows if r not in elsewhere and (placed or r.verdict == "not run")])


def _reasons(rows: list[Judged]) -> list[str]:
    """The reasons of rows, each with the names of its claims. The place of a row is in parentheses where its claim has
    several rows."""
    reasons: dict[str, list[str]] = {}
    times = Counter(r.claim.name for r in rows)
    for r in rows:
        if r.reason:
            where = f" ({r.place})" if r.place and times[r.claim.name] > 1 else ""
            before = "not run: " if r.verdict == "not run" else ""
            reasons.setdefault(before + r.reason, []).append(r.claim.name + where)
    return [f"{', '.join(names)}: {reason}" for reason, names in reasons.items()]


def _claim(c: Claim) -> dict[str, Any]:
    return {
        "name": c.name, "claim": c.claim, "source": c.source, "setting": c.setting, "published": dict(c.published),
        "score": c.score, "world": c.world, "arm_a": c.a.name, "arm_b": c.b.name, "expects": c.expects,
        "margin": c.margin, "command": c.command,
    }  # fmt: skip


def _as_json(row: Judged) -> dict[str, Any]:
    decided = {name: getattr(row.decision, name) for name in Decision.__dataclass_fields__ if name != "reason"}
    own = [name for name in Judged.__dataclass_fields__ if name not in ("claim", "decision", "world", "elsewhere")]
    fields = {name: getattr(row, name) for name in own} | {"world_in_words": row.world}
    return _claim(row.claim) | fields | decided


def _flat(row: Judged) -> dict[str, Any]:
    """One CSV row: the interval and the published numbers in two columns each, seeds in one."""
    out = _as_json(row)
    out["seeds"] = " ".join(map(str, row.seeds))
    published, interval = out.pop("published"), out.pop("interval")
    out |= {f"published_{side}": published.get(side) for side in ("a", "b")}
    out["low"], out["high"] = interval or (None, None)
    return out
