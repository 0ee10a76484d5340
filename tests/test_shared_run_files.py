"""Files of run folders that once ended in a traceback: every verb that reads one refuses it in one sentence, or goes
on."""

from __future__ import annotations

import re
import shutil
import time
from pathlib import Path

import pytest
import tiny_runs
from shared_cases import each

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.records.bounds import bounds
from worldbench.records.reading import read
from worldbench.records.runs import Result
from worldbench.runs import printing
from worldbench.studies import decode

TRACE = ("trace", "--eval.metrics", "excess_loss")
TUNE = [
    *("tune", "hmm", "--models", "gpt", "--preset", "small", "--trials", "2", "--criterion", "loss"),
    *("--train.steps", "2", "--train.batch", "4", "--train.curve_documents", "8", "--model.layers", "1"),
    *("--model.width", "8", "--model.heads", "1", "--eval.documents", "12"),
]


LONGEST = 1500
"""Characters of a sentence."""


def refuse(words: list[str | Path], *said: str) -> None:
    """A command ends in one sentence, the last line, in which something is said."""
    started = time.process_time()
    code, message = tiny_runs.call(*words)
    assert code == 2, (words, message)
    line = message.splitlines()[-1]
    assert line.startswith("worldbench: ")
    assert sum(other.startswith("worldbench: ") for other in message.splitlines()) == 1
    assert len(line) < LONGEST
    for part in said:
        assert part in line
    assert time.process_time() - started < 10


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a finished and traced run, in a folder of its own."""
    out = tmp_path_factory.mktemp("done")
    assert tiny_runs.run(out)[0] == 0
    code, said = tiny_runs.call(TRACE[0], tiny_runs.folder(out), *TRACE[1:])
    assert code == 0, said
    return tiny_runs.folder(out)


@pytest.fixture
def run(done: Path, tmp_path: Path) -> Path:
    """A copy of that folder."""
    return Path(shutil.copytree(done, tmp_path / "runs" / done.name))


# Results and traces


@each("run-files/result-*", without=("result-score-name-markup.json",))
def test_results(case: Path, run: Path) -> None:
    for words in (["leaderboard", case], ["compare", "gpt", "nextlat", case]):
        refuse(words, str(case))
    refuse(["validate", case])
    with pytest.raises(InputError, match=re.escape(str(case))):
        printing.print_result(record := read(case, Result), bounds(record))
    (own,) = run.glob("result-*.json")
    shutil.copy(case, own)
    refuse(["leaderboard", run.parent / own], str(own))
    refuse([*tiny_runs.RUN, *tiny_runs.SETTINGS, "--out", run.parent], str(own))
    assert own.read_bytes() == case.read_bytes()


@each("run-files/result-score-name-markup.json")
def test_markup_in_the_name_of_a_score_is_no_markup(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = read(case, Result)
    (odd,) = {name for metric in record.scores.values() for name in metric.scores if "[" in name}
    (metric,) = [name for name, m in record.scores.items() if odd in m.scores]
    for form in ("table", "csv", "json"):
        assert main(["leaderboard", str(case), "--columns", f"{metric}.{odd}", "--format", form]) == 0
        assert odd in capsys.readouterr().out
    printing.print_result(record, bounds(record))
    assert odd in capsys.readouterr().out


@each("run-files/trace-*.json")
def test_traces(case: Path, run: Path, tmp_path: Path) -> None:
    (own,) = run.glob("trace-*.json")
    shutil.copy(case, own)
    refuse([TRACE[0], run, *TRACE[1:]], str(own), "trace the run again")
    refuse(["figures", run], str(own))
    refuse(["figures", run, "--together", tmp_path / "drawn"], str(own))
    refuse(["validate", run])
    refuse(["compare", "gpt", "nextlat", case, "--matched", "excess_loss.kl"], str(case))
    assert own.read_bytes() == case.read_bytes()


@each("run-files/trace-partial-*")
def test_an_unfinished_trace_starts_over(case: Path, run: Path) -> None:
    (own,) = run.glob("trace-*.json")
    whole = own.read_bytes()
    own.unlink()
    shutil.copy(case, own.with_suffix(".partial"))
    code, said = tiny_runs.call(TRACE[0], run, *TRACE[1:])
    assert code == 0, said
    assert "the trace starts over" in said
    assert own.read_bytes() == whole


# What a folder says of itself


@each("run-files/config-*")
def test_configs(case: Path, run: Path) -> None:
    shutil.copy(case, run / "config.json")
    for words in (["eval", run, "--eval.documents", "5"], [TRACE[0], run, "--eval.documents", "5"], ["decode", run]):
        refuse(words, str(run / "config.json"), "repeat the command of the run")
    code, said = tiny_runs.call("figures", run)  # which asks for the title alone
    assert code in (0, 2)
    assert (code == 2) == (str(run / "config.json") in said)


@each("run-files/metrics-figure-*")
def test_learning_curves(case: Path, run: Path) -> None:
    shutil.rmtree(run / "figures")
    shutil.copy(case, run / "metrics.jsonl")
    refuse(["figures", run], str(run / "metrics.jsonl"))
    assert not list((run / "figures").glob("learning*"))


# Recipes, tuning, decoding


@each("run-files/recipe-*")
def test_recipes(case: Path) -> None:
    for words in (["run", "hmm"], ["tune", "hmm", "--models", "nextlat"], ["check", "hmm"]):
        refuse([*words, "--config", case], str(case))


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that a tuning was put into."""
    out = tmp_path_factory.mktemp("tuned")
    code, said = tiny_runs.call(*TUNE, "--out", out)
    assert code == 0, said
    return out


@each("run-files/tuning-*", "run-files/trial-*")
def test_tunings_and_trials(case: Path, tuned: Path, tmp_path: Path) -> None:
    out = Path(shutil.copytree(tuned, tmp_path / "out"))
    (record,), trial = out.glob("tune-*/tuning.json"), min(out.glob("tune*/*/trial-*.json"))
    own = record if case.name.startswith("tuning") else trial
    if own is trial:
        record.unlink()
    shutil.copy(case, own)
    refuse(["validate", out])
    refuse([*TUNE, "--out", out], str(own), "delete the file")
    own.unlink()
    code, said = tiny_runs.call(*TUNE, "--out", out)
    assert code == 0, said
    assert record.read_bytes() == next(tuned.glob("tune-*/tuning.json")).read_bytes()


@each("run-files/decode-*")
def test_decoding(case: Path) -> None:
    with pytest.raises(InputError, match="decode again") as caught:
        decode.show(case)
    assert str(case) in str(caught.value)
    refuse(["validate", case])
