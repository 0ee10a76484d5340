"""Every board and table over records whose every name somebody else wrote: nothing acts, rows and columns stay whole.

The records are published ones with a hostile string in each place that holds text. A verb prints them, or refuses them
in one sentence that is as harmless.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sample_records
from hostile import STRINGS, check_csv, check_json, check_markdown, check_table

from worldbench.cli.main import main
from worldbench.core.text import encodable
from worldbench.records import reading
from worldbench.records.bench import Bench
from worldbench.records.bounds import bounds
from worldbench.records.check import Check
from worldbench.records.reading import read
from worldbench.records.reconstruction import Reconstruction
from worldbench.records.runs import Result

RESULTS = Path(__file__).resolve().parent.parent / "results"
RUN = next(iter(sorted((RESULTS / "village-plan").glob("taxi-gpt-small-s0-*/result-*.json"))))
OLD = Path(__file__).resolve().parent / "schema_1" / "result.json"
TRACE = OLD.parent / "trace.json"
DECODED = RESULTS / "decoding" / "decode-village-mtp-greedy.json"
CHECKED = RESULTS / "calibration" / "hmm-rrxor" / "check.json"
BENCH = RESULTS / "bench" / "256.json"
Record = dict[str, Any]


def metric(record: Record, text: str) -> Record:
    """A metric of a result whose scores, references and notes have hostile names."""
    found = copy.deepcopy(record["scores"]["valid_trajectories"])
    scores = {text: found["scores"]["arrives_sampled"], "legal_sampled": found["scores"]["legal_sampled"]}
    found |= hostile_parts(text, scores) | {"floor": text, "ceiling": text, "bounds_as_recorded": {text: {text: 0.5}}}
    return found


def hostile_parts(text: str, scores: Record) -> Record:
    """What metrics of every schema have."""
    notes = [text, f"a note, {text}"]
    return {"scores": scores, "primary": text, "notes": notes, "series": {}, "evidence_sha256": "0" * 64}


def result(text: str, model: str, seed: int = 0) -> Record:
    """A result with `text` in each place that holds text."""
    record = json.loads(RUN.read_text(encoding="utf-8"))
    kept = record["scores"]["next_token"]
    record["scores"] = {"next_token": kept, text or "empty": metric(record, text or "empty")}
    record |= {"preset": text, "command": text, "seed": seed, "not_applicable": {text: text}}
    record["tuning"] = {"trials": 4, "seeds": 1, "criterion": text, "record": "0" * 16}
    return with_names(record, text, model)


def old_metric(kept: Record, text: str) -> Record:
    """An excess loss of schema 1 whose scores, references and notes have hostile names."""
    bounds_of_1 = {which: {"model": text, text: 0.5} for which in ("floor", "ceiling")}
    return kept | hostile_parts(text, {text: kept["scores"]["kl"]}) | bounds_of_1


def old_result(text: str, model: str) -> Record:
    """The same in a result of schema 1, where the scores of the references are in the metric."""
    record = json.loads(OLD.read_text(encoding="utf-8"))
    kept = record["scores"]["excess_loss"]
    record["scores"] = {"excess_loss": kept, text or "empty": old_metric(kept, text or "empty")}
    record |= {"preset": text, "command": text, "not_applicable": {text: text}}
    return with_names(record, text, model)


def with_names(record: Record, text: str, model: str) -> Record:
    record["world"] |= {"world": text, "map_digest": text}
    record["model"] |= {"name": model, "hidden": text}
    record["config"]["model"]["state"] = text
    record["config"]["env"]["map"] = text
    return record


def put(path: Path, record: Record) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record), encoding="utf-8")
    return path


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """By the name of the string: a folder with hostile results of hostile models, and one of two that are compared."""
    out = {}
    for number, (name, text) in enumerate(STRINGS.items()):
        out[name] = folder = tmp_path_factory.mktemp(f"runs{number}")
        put(folder / "board" / "result.json", result(text, model=text))
        put(folder / "board" / "result-1.json", result("plain", model="gpt"))
        put(folder / "board" / "result-2.json", old_result(text, model=text))
        for seed in range(3):
            for model in ("gpt", "nextlat"):
                put(folder / "pair" / f"result-{model}-{seed}.json", result(text, model, seed))
    return out


Verb = Callable[[Path, str, str], list[str]]
VERBS: dict[str, Verb] = {
    "leaderboard": lambda folder, text, form: ["leaderboard", str(folder / "board"), "--format", form],
    "columns": lambda folder, text, form: [
        "leaderboard",
        str(folder / "board"),
        "--format",
        form,
        "--columns",
        "next_token",
    ],
    "compare": lambda folder, text, form: ["compare", "gpt", "nextlat", str(folder / "pair"), "--format", form],
}


FORMS = ("table", "markdown", "csv", "json")


@pytest.mark.parametrize("every", [3, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("verb", VERBS)
def test_boards(verb: str, form: str, every: int, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    """Each text in a third of the places, by turns; in every place in slow tests."""
    shown = 0
    turn = (list(VERBS).index(verb) + FORMS.index(form)) % every
    strings = dict(list(STRINGS.items())[turn::every])
    for name, text in strings.items():
        code = main(VERBS[verb](runs[name], text, form))
        out, message = capsys.readouterr()
        assert code in (0, 2), (name, message)
        harmless_sentence(message, code)
        if code:
            continue
        shown += 1
        if form == "markdown":
            check_markdown_tables(out)
        else:
            {"table": check_table, "csv": check_csv, "json": check_json}[form](out)
        assert out.strip()
    assert shown >= 0.9 * len(strings)


def check_markdown_tables(text: str) -> None:
    """Each table is whole, and has as many columns as the rule below its head."""
    check_table(text)
    blocks = [block for block in text.split("\n\n") if block.startswith("|")]
    assert blocks
    for block in blocks:
        check_markdown(block, columns=block.splitlines()[1].count("|") - 1)


def harmless_sentence(message: str, code: int) -> None:
    check_table(message)
    lines = [line for line in message.splitlines() if not line.startswith("left out: ")]
    assert len(lines) == (1 if code else 0), message[:500]
    assert len(message) < 5000
    if code:
        assert message.startswith("worldbench: ")


WIDTHS = (None, 40, 80)


@pytest.mark.slow
@pytest.mark.parametrize("width", WIDTHS)
def test_a_result_a_trace_and_a_list(
    width: int | None,
    runs: dict[str, Path],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> None:
    """Each text at each width of the terminal."""
    from worldbench.core.errors import InputError
    from worldbench.runs.printing import print_result
    from worldbench.runs.trace import show

    trace = json.loads(TRACE.read_text(encoding="utf-8"))
    kept = json.loads(OLD.read_text(encoding="utf-8"))["scores"]["excess_loss"]
    shown = 0
    if width is None:
        monkeypatch.delenv("COLUMNS", raising=False)
    else:
        monkeypatch.setenv("COLUMNS", str(width))
    for name, text in STRINGS.items():
        changed = {**trace, "model": {**trace["model"], "name": text}, "preset": text, "trace_command": text}
        changed["trace"] = [
            {
                "step": p["step"],
                "scores": {text or "empty": old_metric(kept, text or "empty")},
                "not_applicable": {},
            }
            for p in trace["trace"]
        ]
        put(tmp_path / "trace.json", changed)
        code = main(["validate", str(runs[name]), str(tmp_path / "trace.json")])
        out, message = capsys.readouterr()
        harmless_sentence(message, code)
        check_table(out)
        assert code == 2 or len(out.splitlines()) == 10

        def show_result(path: Path) -> None:
            record = read(path, Result)
            print_result(record, bounds(record), every=True)

        shows: list[tuple[Callable[[Path], Any], Path]] = [
            (show_result, runs[name] / "board" / "result.json"),
            (show_result, runs[name] / "board" / "result-2.json"),
            (show, tmp_path / "trace.json"),
        ]
        for show_it, path in shows:
            try:
                show_it(path)
            except InputError:
                continue
            shown += 1
            out = capsys.readouterr().out
            check_table(out)
            if width is not None:
                from rich.cells import cell_len

                assert max(cell_len(line) for line in out.splitlines()) <= width
    assert shown >= 2.7 * len(STRINGS)


def infected(value: Any, text: str, keep: tuple[str, ...]) -> Any:
    """`value` with `text` for every string in it, but for those under the keys in `keep`."""
    if isinstance(value, dict):
        return {k: v if k in keep else infected(v, text, keep) for k, v in value.items()}
    if isinstance(value, list):
        return [infected(v, text, keep) for v in value]
    return text if isinstance(value, str) else value


@pytest.mark.slow
def test_other_tables(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What decode, check, bench, tune and reconstruct print of their records."""
    from worldbench.cli import reconstruct
    from worldbench.studies import decode
    from worldbench.studies.bench import report as bench
    from worldbench.studies.check import report as check
    from worldbench.studies.tune import report as tune

    checked = json.loads(CHECKED.read_text(encoding="utf-8"))
    for text in map(encodable, STRINGS.values()):  # no record holds a lone surrogate
        kept = ("choice", "device", "training", "evaluation")
        put(tmp_path / "decode.json", infected(json.loads(DECODED.read_text(encoding="utf-8")), text, kept))
        decode.show(tmp_path / "decode.json")
        record = infected(checked, text, ("kind", "direction", "primary", "metric"))
        record["references"] = {
            name: dict(zip((text, "oracle"), by.values())) for name, by in record["references"].items()
        }
        check.show(read(put(tmp_path / "check.json", record), Check))
        tuned = json.loads(reading.text(sample_records.tuned(model=text)))
        tuned["criterion"]["score"] = text
        tuned["best"]["settings"] = {text: 0.1}
        tune.show([put(tmp_path / "tuning.json", tuned)])
        drawn = json.loads(reading.text(sample_records.reconstructed()))
        drawn |= {"notes": [text], "scores": {text: drawn["scores"]["edge_precision"]}}
        drawn["map"]["name"] = text
        reconstruct.show(read(put(tmp_path / "reconstruction.json", drawn), Reconstruction))
        check_table(capsys.readouterr().out)
        infected_bench = infected(json.loads(BENCH.read_text(encoding="utf-8")), text, ("clock", "device"))
        record = read(put(tmp_path / "bench.json", infected_bench), Bench)
        check_table(bench.render(record, "table"))
        check_json(bench.render(record, "json"))
        check_markdown(bench.render(record, "markdown"), columns=len(bench.HEAD))


@pytest.mark.slow
def test_words_on_the_command_line(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A hostile word as a verb, a world, an option, a file, a model: one harmless sentence.

    Each word in a third of the places, by turns.
    """
    monkeypatch.chdir(tmp_path)
    for turn, text in enumerate(STRINGS.values()):
        commands = [
            [text],
            ["run", text],
            ["run", "taxi", f"--{text}"],
            ["run", "taxi", "--model", text],
            ["leaderboard", text],
            ["run", "taxi", "--env.map", text or "none"],
            ["run", "--config", text],
            ["figures", text],
            ["validate", text],
            ["compare", text, "gpt", "."],
            ["decode", text],
            ["eval", text],
            ["score", "taxi", "--callable", text],
        ]
        for argv in commands[turn % 3 :: 3]:
            if (
                not text and argv != ["run", "taxi", "--model", ""]
            ) or "\x00" in text:  # no process is started with a NUL
                continue
            code = main(argv)
            out, message = capsys.readouterr()
            assert code in (1, 2), (argv[:3], out[:300], message[-600:])
            check_table(message)
            lines = [line for line in message.splitlines() if line.startswith("worldbench: ")]
            assert lines == message.splitlines()[-1:], (argv, message[:1000])
