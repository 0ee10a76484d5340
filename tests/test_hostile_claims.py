"""Tables of claims over claims and records whose every text somebody else wrote: nothing acts, columns stay whole."""

from __future__ import annotations

import pytest
from hostile import STRINGS, check_csv, check_json, check_markdown, check_table
from sample_records import metric, result

from worldbench.records.claim_table import listed, render
from worldbench.records.claim_verdicts import Judged, judge_records
from worldbench.records.claims import Arm, Claim


def judged(text: str) -> list[Judged]:
    """A claim that is decided and one that is not run, with `text` in each place that holds text."""
    words = {"name": text, "claim": text, "source": text, "setting": text, "sweep": text, "then": text}
    arms = {"a": Arm(model="nextlat", label=text), "b": Arm(model="gpt", label=text)}
    shared = {**words, **arms, "score": "next_token.top1_legal", "expects": "equal", "margin": 0.1}
    claims = [Claim(world="taxi", **shared), Claim(world=text or "none", where={text: text}, **shared)]
    runs = [
        result(model, seed, {"next_token": metric({"top1_legal": 0.9 + 0.01 * seed})}, preset=text)
        for model in ("gpt", "nextlat")
        for seed in range(5)
    ]
    return judge_records(claims, runs)


@pytest.mark.parametrize("text", STRINGS.values(), ids=STRINGS)
def test_tables_of_claims(text: str) -> None:
    rows = judged(text)
    assert [row.verdict for row in rows] == ["reproduced", "not run"]
    claims = [row.claim for row in rows]
    for table in (render(rows, "table"), listed(claims, "table"), render(rows, "latex"), listed(claims, "latex")):
        check_table(table)
    check_markdown(render(rows, "markdown").partition("\n\n")[0], columns=16)
    check_markdown(listed(claims, "markdown"), columns=11)
    assert len(check_csv(render(rows, "csv"))) == 3
    assert len(check_csv(listed(claims, "csv"))) == 3
    check_json(render(rows, "json"))
    check_json(listed(claims, "json"))
