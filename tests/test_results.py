"""Published results load for ever, and the README's tables are what the leaderboard prints from them."""

from __future__ import annotations

import collections
import copy
import csv
import hashlib
import json
import math
import re
import shlex
from pathlib import Path

import msgspec
import numpy as np
import pytest

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.core.registry import metrics, models, worlds
from worldbench.records.board_building import build
from worldbench.records.claim_verdicts import judge
from worldbench.records.claims import load
from worldbench.records.finding import evidence_folder, own_result
from worldbench.records.lines import EvalLine, read_lines
from worldbench.records.reading import read
from worldbench.records.runs import Result, Trace

ROOT = Path(__file__).resolve().parent.parent
PUBLISHED = sorted(path for name in ("result.json", "result-*.json") for path in (ROOT / "results").rglob(name))
PAGES = [ROOT / "docs" / name for name in ("results.md", "findings.md", "speedrun.md", "decoding.md")]
TRACES = sorted((ROOT / "results").rglob("trace*.json"))


def test_there_are_published_results() -> None:
    assert len(PUBLISHED) >= 20


@pytest.mark.parametrize("path", PUBLISHED, ids=lambda p: p.parent.name)
def test_published_result_loads(path: Path) -> None:
    record = read(path, Result)
    assert record.world_name in worlds.names()
    assert record.model.name in models.names()
    assert set(record.scores) <= set(metrics.names())
    assert record.command.startswith(("worldbench run ", "worldbench eval "))
    assert "/" not in record.config["env"].get("map", "")
    assert not record.environment.dirty
    for name, metric in record.scores.items():
        evidence = evidence_folder(path) / f"{name}.npz"
        if metric.evidence_sha256 is not None and evidence.exists():
            assert hashlib.sha256(evidence.read_bytes()).hexdigest() == metric.evidence_sha256
            with np.load(evidence, allow_pickle=False) as arrays:
                assert arrays.files


@pytest.mark.parametrize("path", TRACES, ids=lambda p: p.parent.name)
def test_published_trace_loads(path: Path) -> None:
    """Beside the result of its run, of the same weights, with the evidence that is kept as it was written."""
    own = own_result(path.parent)
    assert own is not None
    record, result = read(path, Trace), read(own, Result)
    assert record.identity.training == result.identity.training
    assert record.trace[-1].step == record.config["train"]["steps"]
    assert record.trace_command.startswith(f"worldbench trace {path.parent.name}")
    assert not record.environment.dirty
    for point in record.trace:
        for name, metric in point.scores.items():
            assert name in metrics.names()
            evidence = evidence_folder(path) / f"{point.step:08d}" / f"{name}.npz"
            if evidence.exists():
                assert hashlib.sha256(evidence.read_bytes()).hexdigest() == metric.evidence_sha256


@pytest.mark.parametrize("path", sorted((ROOT / "results").rglob("metrics.jsonl")), ids=lambda p: p.parent.name)
def test_published_learning_curve_loads(path: Path) -> None:
    """A run of the last weights may have the log of a run that chose its weights (`choice`): they share a training."""
    for result in (other for other in PUBLISHED if other.parent == path.parent):
        record = read(result, Result)
        written = [line for line in read_lines(path) if isinstance(line, EvalLine)]
        if record.config.get("train", {}).get("scored_step", "last") == "last":
            written = [msgspec.structs.replace(line, choice=None) for line in written]
        assert record.training is None or record.training.curve == written


def test_checkpoints_above_the_tables_of_the_last_tokens() -> None:
    """The counts of docs/results.md: checkpoints of rrxor below .07 nats whose belief is read better than from a table
    of the last tokens at the same loss, which is interpolated in the logarithm of the loss."""
    text = (ROOT / "docs" / "results.md").read_text(encoding="utf-8")
    with (ROOT / "results" / "figures" / "rrxor-matched.csv").open(encoding="utf-8") as file:
        drawn = list(csv.DictReader(file))
    known = sorted((float(row["excess"]), float(row["r2"])) for row in drawn if row["kind"] == "lookup")
    at, best = np.log([kl for kl, _ in known]), [r2 for _, r2 in known]
    rows = [row for row in drawn if row["kind"] == "run" and float(row["excess"]) < 0.07]
    above = [float(row["r2"]) > np.interp(math.log(float(row["excess"])), at, best) for row in rows]
    by_model = collections.Counter(row["label"] for row, up in zip(rows, above) if up)
    counts = f"(GRU {by_model['gru']}, GPT {by_model['gpt']}, NextLat {by_model['nextlat']})"
    assert f"Of the {len(rows)} checkpoints below .07 nats, {sum(above)} lie above the tables {counts}" in text
    ends = {(row["label"], row["seed"]): up for row, up in zip(rows, above)}  # the last point of each run
    assert not any(ends.values())


BLOCK = re.compile(r"<!-- (worldbench leaderboard [^>]*?) -->\n((?:(?:\|.*|missing: .*|.*; evaluation .*|)\n)+)")
"""A table in a page: the command that prints it, the caption, the table, and why scores are missing."""


def test_tables_of_pages_are_the_leaderboards(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each table stands under a comment with the command that prints it. The sentence on versions of metrics is left
    out, because it changes with every version of a metric."""
    monkeypatch.chdir(ROOT)
    pages = [ROOT / "README.md", *PAGES]
    blocks = [b for page in pages for b in BLOCK.findall(page.read_text(encoding="utf-8"))]
    assert len(blocks) >= 4
    for command, table in blocks:
        assert main(shlex.split(command)[1:]) == 0
        lines = [x for x in capsys.readouterr().out.splitlines() if not x.startswith("scored under other versions")]
        assert "\n".join(lines).replace("\n\n\n", "\n\n").strip() == table.strip()


CLAIMS = re.compile(r"<!-- (worldbench claims [^>]*?) -->\n\n?((?:\|.*\n)+)")
"""A table of claims in a page: the command, and some columns of what it prints, without the claims that are not run."""


def cells(line: str) -> list[str]:
    """The cells of a line of a Markdown table."""
    return [cell.strip() for cell in line.strip().strip("|").split("|")]


HEADROOM = re.compile(r"<!-- (worldbench headroom [^>]*?) -->\n\n?((?:\|.*\n)+)")
"""A table of headroom in a page: the command, and some columns of what it prints."""

SPEEDRUNS = re.compile(r"<!-- (worldbench speedrun --board [^>]*?) -->\n\n?((?:\|.*\n)+)")
"""The board of speedruns in a page: the command, and some columns of what it prints."""

DECODINGS = re.compile(r"<!-- (worldbench decode --board [^>]*?) -->\n\n?((?:\|.*\n)+)")
"""The board of speculative decoding in a page: the command, and some columns of what it prints."""
OTHERS = {"claims": CLAIMS, "headroom": HEADROOM, "speedruns": SPEEDRUNS, "decodings": DECODINGS}


@pytest.mark.parametrize("pattern", OTHERS.values(), ids=OTHERS)
def test_other_tables_of_pages_are_what_their_commands_print(
    pattern: re.Pattern[str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the columns that the page shows."""
    monkeypatch.chdir(ROOT)
    blocks = [b for page in PAGES for b in pattern.findall(page.read_text(encoding="utf-8"))]
    assert blocks
    for command, table in blocks:
        assert main(shlex.split(command)[1:]) == 0
        printed = [cells(line) for line in capsys.readouterr().out.splitlines() if line.startswith("|")]
        columns = [printed[0].index(name) for name in cells(table.splitlines()[0])]
        wanted = [[row[i] for i in columns] for row in printed if "not run" not in row]
        assert [cells(line) for line in table.splitlines()] == wanted


@pytest.mark.parametrize("page", ["README.md", "docs/results.md"])
def test_pages_say_that_their_scores_are_of_older_versions(page: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as one of their tables is: and no longer."""
    monkeypatch.chdir(ROOT)
    text = Path(page).read_text(encoding="utf-8")
    folders = [Path(word) for command, _ in BLOCK.findall(text) for word in command.split() if "results/" in word]
    old = any("scored under other versions" in note for folder in folders for note in build([folder]).notes())
    assert old == ("under older versions of the metrics" in text)


def test_a_score_that_some_results_lack_is_missing_there() -> None:
    """The oracle has no untrained twin; a score that nobody has is refused."""
    folder = [ROOT / "results" / "village-plan"]
    column = "state_probe.node_untrained"
    cells = {row.label: row.cells[column].value for row in build(folder, [column])}
    assert cells["oracle"] is None
    assert cells["gpt"] is not None
    with pytest.raises(InputError, match=r"no score 'node_untrian'.*node_untrained"):
        build(folder, ["state_probe.node_untrian"])


def test_results_from_before_an_option_share_a_row_with_those_at_its_default(tmp_path: Path) -> None:
    """A result of schema 1 has no option `control`. A result with `none` belongs to its row, and one with `cut` to a
    row of its own."""
    old = json.loads((ROOT / "tests" / "schema_1" / "result.json").read_text(encoding="utf-8"))
    assert old["model"]["name"] == "nextlat"
    assert "control" not in old["config"]["model"]
    for seed, control in enumerate((None, "none", "none", "cut", None)):
        record = copy.deepcopy(old) | {"seed": seed}
        record["config"]["model"] |= {"control": control} if control else {}
        (tmp_path / f"result-{seed}.json").write_text(json.dumps(record))
    assert sorted(len(row.seeds) for row in build([tmp_path], ["excess_loss"])) == [1, 4]


def test_no_two_verdicts_on_a_claim_have_one_place() -> None:
    """Two runs of one world and arm differ in their tuning, their training or their evaluation, and the row says so."""
    judged = judge(load(), [ROOT / "results"])
    rows = [(row.claim.name, row.place) for row in judged if row.place]
    assert len(rows) > 60
    assert [row for row, times in collections.Counter(rows).items() if times > 1] == []
    places = [place for name, place in rows if name == "nextlat-detours"]
    assert sum("tuned 24/6x2" in place for place in places) == sum("not tuned" in place for place in places) == 1
    assert sum("train.scored_step=last" in place for place in places) == 1
