"""Output never fails: not for its encoding, its width, a closed stream, a full disk or a terminal that goes away."""

from __future__ import annotations

import errno
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import shared_cases
import terminals
from rich.cells import cell_len
from some_cases import others_slow

from worldbench.cli.main import main
from worldbench.core import console, tables
from worldbench.runs.display import Display, Lines, number

ROOT = Path(__file__).resolve().parent.parent
BOARD = ROOT / "results" / "village-plan"
TINY = [
    *("run", "hmm", "--model", "oracle", "--eval.trials", "5", "--eval.documents", "20"),
    *("--eval.metrics", "next_token"),
]
TRAINED = ["run", "taxi", "--env.map", "city:24", "--env.region", "all", "--env.min_moves", "2", "--env.max_moves", "9"]
TRAINED += [
    *("--eval.trials", "5", "--eval.documents", "5", "--eval.metrics", "next_token", "--train.steps", "4"),
    *("--train.batch", "8"),
]
TRAINED += ["--train.curve_documents", "20", "--data.documents", "0", "--train.row_tokens", "0"]
TRAINED += ["--model.layers", "1", "--model.width", "16", "--model.heads", "2"]


# Encodings


ENCODINGS = ["ascii", "latin-1", "cp1252", "cp437", "utf-8", "utf-16"]
FORMS = ["table", "markdown", "csv", "latex", "json"]
ALL = [(form, encoding) for form in FORMS for encoding in ENCODINGS]
WRITTEN = others_slow(ALL, *(case for case in ALL if case[0] == "table" or case[1] in ("ascii", "utf-16")))


@pytest.mark.parametrize(("form", "encoding"), WRITTEN)
def test_any_encoding_holds_a_board(encoding: str, form: str, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(raw, encoding=encoding))
    assert main(["leaderboard", str(BOARD), "--format", form, "--columns", "valid_trajectories"]) == 0
    sys.stdout.flush()
    message = raw.getvalue().decode(encoding)
    assert "nextlat" in message
    if form in ("table", "markdown"):
        assert (" +-0." in message) == (encoding == "ascii")
        assert (" ±0." in message) == (encoding != "ascii")
    if form == "table":
        notes = message.splitlines()
        assert notes.pop(0).startswith("taxi, Greenwich Village, 44 intersections")
        table = [notes.pop(0) for _ in range(notes.index(next(x for x in notes if "95%, over" in x)))]
        assert len({len(line) for line in table}) == 1, "columns are aligned"
        assert notes[0] in ("±: 95%, over training seeds", "+-: 95%, over training seeds")
    if form == "json":
        assert json.loads(message)


def test_characters_that_an_encoding_lacks() -> None:
    assert (
        "± ┃━┏ ² läufe 漢 🎉 \udce4".encode("ascii", "worldbench")
        == b"+- |=+ ^2 l\\u00e4ufe \\u6f22 \\ud83c\\udf89 \\udce4"
    )
    assert "±ä".encode("latin-1", "worldbench") == b"\xb1\xe4"


# Streams


class Failing(io.StringIO):
    def __init__(self, code: int) -> None:
        super().__init__()
        self.code = code

    def write(self, text: str) -> int:
        raise OSError(self.code, os.strerror(self.code))


@pytest.mark.parametrize(
    ("code", "said"),
    [(errno.EPIPE, None), (errno.EIO, None), (errno.ENOSPC, "No space left on device"), (errno.EBADF, "Bad file")],
)
def test_a_stream_that_fails_takes_what_comes(code: int, said: str | None) -> None:
    stream = console.Steady(Failing(code))
    assert stream.write("abc") == 3
    stream.writelines(["more"])
    stream.flush()
    assert not stream.isatty()
    message = stream.loss()
    assert message is said or (message is not None and said is not None and said in message)


def test_results_that_cannot_be_printed_are_a_failure(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A full disk is; a reader that had enough is not."""
    for number_, code, said in (
        (errno.ENOSPC, 1, "cannot write to standard output (No space left on device)"),
        (errno.EPIPE, 0, ""),
    ):
        monkeypatch.setattr(sys, "stdout", Failing(number_))
        assert main(["ls"]) == code
        message = capsys.readouterr().err
        assert said in message
        assert len(message.splitlines()) == code


def shell(command: str, folder: Path) -> subprocess.CompletedProcess[str]:
    words = " ".join(TINY)
    whole = command.replace("WORLDBENCH", f"{sys.executable} -m worldbench").replace("RUN", words)
    return subprocess.run(
        ["/bin/bash", "-c", whole], cwd=folder, capture_output=True, text=True, check=False, env=terminals.environment()
    )


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("WORLDBENCH RUN >&- 2>&- <&-", ""),
        ("WORLDBENCH RUN 2>/dev/full", "oracle in hmm"),
        ("WORLDBENCH RUN 2>&1 >/dev/null | true; exit ${PIPESTATUS[0]}", ""),
    ],
)
def test_a_closed_stream_loses_no_run(command: str, said: str, tmp_path: Path) -> None:
    done = shell(command, tmp_path)
    assert done.returncode == 0, done.stderr
    assert said in done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    (result,) = tmp_path.glob("runs/*/result-*.json")
    assert json.loads(result.read_text())["scores"]
    assert not list(tmp_path.rglob("*.part"))


def test_closed_streams_where_no_run_is_needed(tmp_path: Path) -> None:
    done = shell("WORLDBENCH ls >&-", tmp_path)
    assert done.returncode == 0
    assert "cannot write to standard output (it is closed)" in done.stderr
    assert len(done.stderr.splitlines()) == 1
    done = shell("WORLDBENCH ls 2>&-", tmp_path)
    assert (done.returncode, done.stdout.splitlines()[0]) == (0, "worlds")
    done = shell("WORLDBENCH ls >/dev/full", tmp_path)
    assert done.returncode == 1
    assert "cannot write to standard output (No space left on device)" in done.stderr


def test_a_mistake_is_said_where_anything_can_be_said(tmp_path: Path) -> None:
    done = shell("WORLDBENCH runn 2>&-", tmp_path)
    assert (done.returncode, done.stderr) == (2, "")
    assert "did you mean 'run'" in done.stdout


@pytest.mark.slow
def test_a_terminal_that_closes_ends_no_run(tmp_path: Path) -> None:
    """With SIGHUP ignored, as under nohup: the progress bar meets EIO."""
    process, ours = terminals.start([sys.executable, "-m", "worldbench", *TRAINED], 80, tmp_path, keep_on=True)
    said = b""
    while b"folder: " not in said:
        said += os.read(ours, 4096)
    os.close(ours)
    assert process.wait(timeout=120) == 0
    (result,) = tmp_path.glob("runs/taxi-gpt-*/result-*.json")
    assert json.loads(result.read_text())["scores"]


# Width

HEAD = ["model", "seeds", "a score with a long name", "95%", "valid_trajectories.arrives_sampled", "n"]
BODY = [
    ["nextlat[horizon=4,lambda_kl=0.1]", "5", "0.933 ±0.012", "0.912 .. 0.944", "12,345.0", "10"],
    ["漢字テスト", "", "-0.5", "", "inf", "9"],
]


@pytest.mark.parametrize("columns", [20, 40, 60, 80, 100, 120, 180])
def test_no_name_and_no_number_is_cut(columns: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", str(columns))
    message = tables.terminal(HEAD, BODY, 1, title="a title of a table that is longer than forty columns", right=(5,))
    lines = message.splitlines()
    assert max(map(cell_len, lines)) <= columns
    together = "".join("".join(lines).split())
    for text in [*HEAD[1:], *BODY[0], *BODY[1]]:
        assert "".join(text.split()) in together, text
    assert "…" not in message
    if columns >= 40:  # a number stays on one line
        assert all(any(number_ in line for line in lines) for number_ in ("0.933 ±0.012", "12,345.0", "-0.5"))
    if columns == 180:
        assert len({cell_len(line) for line in lines[1:]}) == 1


@pytest.mark.parametrize("columns", [40, pytest.param(200, marks=pytest.mark.slow)])
def test_a_board_at_a_terminal(columns: int, tmp_path: Path) -> None:
    code, message = terminals.run([sys.executable, "-m", "worldbench", "leaderboard", str(BOARD)], columns, tmp_path)
    assert code == 0
    assert max(map(cell_len, message.splitlines())) <= columns
    assert "arrives_sampled" in message
    assert "illegal_token" not in message
    assert ("┃" in message) == (columns > 40)
    assert " ".join(message.split()).count("taxi, Greenwich Village, 44 intersections") == 1


# What is said without a terminal


def test_a_line_now_and_then() -> None:
    """Not within half a minute of the last, not before a tenth of the steps; in ten minutes at the latest."""
    said: list[str] = []
    report = Lines(said.append)
    for step in range(1, 1001):
        report(step, 1000, {"next_token": 1.5}, 100 * step, step * 1.0)  # a second a step: each tenth
    assert len(said) == 10
    assert said[0] == "step 101 of 1,000 (10%): next_token 1.5000; 100 tokens/s, about 15 min left"
    assert said[-1] == "step 1,000 of 1,000 (100%): next_token 1.5000; 100 tokens/s"
    said.clear()
    report = Lines(said.append)
    for step in range(1, 1001):
        report(step, 1000, {"a": 1.0}, step, step * 0.1)  # 100 seconds: each half minute
    assert [line.split()[1] for line in said] == ["300", "600", "900", "1,000"]
    said.clear()
    report = Lines(said.append)
    for step in range(1, 11):
        report(step, 1000, {"a": 1.0}, step, step * 60.0)  # a minute a step: each ten minutes
    assert [line.split()[1] for line in said] == ["10"]
    said.clear()
    report = Lines(said.append)
    for step in range(1, 101):
        report(step, 100, {"a": 1.0}, step, step * 0.01)
    assert said == []


def test_a_run_says_where_how_large_and_each_metric(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([*TRAINED, "--out", str(tmp_path)]) == 0
    message = capsys.readouterr().err
    folder = next(tmp_path.glob("taxi-gpt-*"))
    lines = message.splitlines()
    assert f"folder: {folder}" in lines
    assert any(
        line.startswith("training gpt: ") and "parameters, 4 steps of 8 rows, cpu, 1 thread" in line for line in lines
    )
    assert lines.count("scoring: next_token (1 of 1)") == 1
    assert main([*TRAINED, "--out", str(tmp_path / "again"), "--quiet"]) == 0
    assert capsys.readouterr().err == ""


def test_a_dumb_terminal_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stderr", Terminal())
    for term, terminal in (("xterm", True), ("dumb", False), ("unknown", False)):
        monkeypatch.setenv("TERM", term)
        assert Display().terminal == terminal


def test_progress_interprets_no_name(tmp_path: Path) -> None:
    """A status line and a bar with names that are markup to rich."""
    code = (
        "from worldbench.runs.display import Display\nd = Display()\nwith d.task('[/]') as "
        "say:\n    say('[bold]x\\x1b[31m')\n"
    )
    code += "with d.training(3) as report:\n    report(1, 3, {'[/red]': 1.0}, 5, 1.0)\n"
    status, message = terminals.run([sys.executable, "-c", code], 120, tmp_path)
    assert status == 0
    assert "[/]: [bold]x" in message
    assert "[/red] 1.0000" in message


def test_numbers_that_are_not_finite() -> None:
    assert [number(v) for v in (None, float("inf"), float("-inf"), 0.5, 1234.5)] == [
        "-",
        "inf",
        "-inf",
        "0.500",
        "1,234.5",
    ]


# The reduced inputs


def test_case_recipes(capsys: pytest.CaptureFixture[str]) -> None:
    """Broken ones are refused in one sentence; one that begins with a byte order mark is read."""
    broken = sorted(shared_cases.folder("run-files").glob("recipe-*.toml"))
    assert broken
    for path in broken:
        assert main(["run", "taxi", "--config", str(path), "--print-config"]) == 2
        message = capsys.readouterr().err
        assert path.name in message
        assert len(message.splitlines()) == 1
    assert main(["run", "--config", str(shared_cases.folder("bom") / "recipe.toml"), "--print-config"]) == 0


@pytest.mark.slow
def test_case_narrow_terminal(tmp_path: Path) -> None:
    script = shared_cases.folder("narrow-terminal") / "withtty.py"
    environment = terminals.with_command(tmp_path)

    def printed(*words: str) -> str:
        argv = ["python3", str(script), "40", "worldbench", *words]
        done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=True, env=environment)
        assert "rc 0" in done.stdout
        assert "…" not in done.stdout
        return done.stdout

    options = ["--env.map", "city:40", "--env.region", "all", "--eval.trials", "5"]
    metric = "valid_trajectories"
    short = printed("run", "taxi", "--model", "oracle", *options, "--eval.metrics", metric, "--out", "runs")
    (path,) = tmp_path.glob("runs/*/result-*.json")
    record = json.loads(path.read_text())["scores"][metric]
    assert record["primary"] in short
    whole = printed("show", str(path.parent.relative_to(tmp_path)), "--all")
    for name, score in record["scores"].items():
        assert name in whole
        assert number(score["value"]) in whole


@pytest.mark.slow
def test_case_matplotlibrc_usetex(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MATPLOTLIBRC", str(shared_cases.folder("matplotlibrc-usetex") / "matplotlibrc"))
    assert main([*TRAINED, "--out", str(tmp_path), "--quiet"]) == 0
    (run,) = tmp_path.glob("taxi-gpt-*")
    picture = run / "figures" / "learning.png"
    picture.unlink()
    # A process of its own: matplotlib reads the file when it is loaded.
    argv = [sys.executable, "-m", "worldbench", "figures", str(run)]
    done = subprocess.run(argv, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert picture.read_bytes().startswith(b"\x89PNG")


@pytest.mark.slow
def test_case_non_utf8_folder(tmp_path: Path) -> None:
    script = shared_cases.folder("non-utf8-folder") / "run.sh"
    done: Any = subprocess.run(
        ["bash", str(script)], cwd=tmp_path, capture_output=True, check=False, env=terminals.with_command(tmp_path)
    )
    assert done.returncode == 0, done.stderr
    assert b"result: l\\xe4ufe/taxi-oracle-" in done.stderr
    assert list(tmp_path.glob("l*/taxi-oracle-*/result-*.json"))
