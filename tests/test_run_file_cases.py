"""Files of run folders that once ended in a traceback, where the cases lie beside the checkout: each is read, or refused
in one sentence, by the verb that reads it.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import tiny_runs
from sample_records import result, trace

from worldbench.cli.main import main
from worldbench.core.errors import WorldbenchError
from worldbench.records.reading import read, write
from worldbench.records.runs import Result

CASES = Path(__file__).resolve().parent.parent.parent / "shared" / "cases"
PREFIXES = (
    "config", "manifest", "result", "trace", "tuning", "trial", "decode", "metrics-figure", "recipe",
)  # fmt: skip
FILES = sorted(path for prefix in PREFIXES for path in CASES.glob(f"run-files/{prefix}-*"))
TUNE = ["tune", "hmm", "--models", "gpt", "--trials", "2", "--preset", "small", "--criterion", "loss", "--quiet"]
TUNE += ["--model.layers", "1", "--model.width", "8", "--model.heads", "1", "--train.steps", "2", "--train.batch", "4"]
TUNE += ["--train.curve_documents", "8", "--eval.documents", "20"]

needs_cases = pytest.mark.skipif(not FILES, reason="the inputs that once failed are not beside this checkout (../shared)")


@pytest.fixture(scope="module", autouse=True)
def no_pictures() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        tiny_runs.draw_nothing(patch)
        yield


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("ran")
    assert tiny_runs.run(out)[0] == 0
    return tiny_runs.folder(out)


@pytest.fixture(scope="module")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("tuned")
    assert tiny_runs.call(*TUNE, "--out", out)[0] == 0
    return out


def in_a_run(file: str, case: Path, run: Path, to: Path) -> Path:
    """A copy of a run with one file replaced."""
    folder = Path(shutil.copytree(run, to / run.name))
    shutil.copy(case, folder / file)
    return folder


def commands(case: Path, to: Path, request: pytest.FixtureRequest) -> Iterator[list[str]]:
    """The command lines that read a case, each with what it needs in its place."""
    prefix, _, rest = case.name.partition("-")
    if prefix == "config":
        folder = str(in_a_run("config.json", case, request.getfixturevalue("ran"), to))
        yield from ([verb, folder] for verb in ("eval", "trace", "figures", "decode", "validate"))
    elif prefix == "manifest":
        folder = in_a_run("manifest.json", case, request.getfixturevalue("ran"), to)
        tiny_runs.result(folder).unlink()
        yield [*tiny_runs.RUN, *tiny_runs.SETTINGS, "--out", str(to)]
        shutil.copy(case, folder / "manifest.json")
        yield ["validate", str(folder)]
    elif prefix == "result":
        yield from (["leaderboard", str(case)], ["compare", "gpt", "nextlat", str(case)], ["validate", str(case)])
        folder = in_a_run("result-1.json", case, request.getfixturevalue("ran"), to)
        yield from (["leaderboard", str(folder)], ["figures", str(folder)])
    elif prefix == "trace" and rest.startswith("partial"):
        folder = Path(shutil.copytree(request.getfixturevalue("ran"), to / "run"))
        name = f"trace-{tiny_runs.result(folder).stem.removeprefix('result-')}"
        shutil.copy(case, folder / f"{name}.partial")
        yield ["trace", str(folder)]
    elif prefix == "trace":
        (to / "run" / "trace-evidence").mkdir(parents=True)
        shutil.copy(case, to / "run" / "trace.json")
        yield from (["figures", str(to / "run")], ["validate", str(to / "run")])
        yield ["figures", str(to / "run"), "--together", str(to / "drawn")]
        yield ["compare", "gpt", "nextlat", str(to / "run"), "--matched", "excess_loss"]
        yield ["compare", "gpt", "nextlat", str(case), "--matched", "excess_loss"]
    elif prefix in ("tuning", "trial"):
        out = Path(shutil.copytree(request.getfixturevalue("tuned"), to / "out"))
        for path in out.rglob("tuning.json"):
            if prefix == "tuning":
                shutil.copy(case, path)
            else:
                path.unlink()
        for path in out.rglob("trial-*.json"):
            if prefix == "trial":
                shutil.copy(case, path)
        yield [*TUNE, "--out", str(out)]
        yield ["validate", str(out)]
    elif prefix == "decode":
        yield ["validate", str(case)]
    elif prefix == "metrics":
        yield ["figures", str(in_a_run("metrics.jsonl", case, request.getfixturevalue("ran"), to))]
    elif prefix == "recipe":
        yield ["run", "hmm", "--config", str(case), "--print-config"]


@needs_cases
@pytest.mark.parametrize("case", FILES or [CASES], ids=lambda path: path.name)
def test_the_case(case: Path, tmp_path: Path, request: pytest.FixtureRequest) -> None:
    for words in commands(case, tmp_path, request):
        started = time.process_time()
        code, said = tiny_runs.call(*words)
        print(code, said[-400:])
        assert code in (0, 1, 2), (words, said)
        assert "Traceback" not in said
        assert time.process_time() - started < 10
        if code:
            (sentence,) = [line for line in said.splitlines() if line.startswith("worldbench: ")]
            assert sentence == said.splitlines()[-1]
            assert len(sentence) < 1500


@needs_cases
@pytest.mark.parametrize("case", [path for path in FILES if path.name.startswith(("result", "decode", "trace-show"))])
def test_the_case_is_shown(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What prints a record after its verb has made it."""
    from worldbench.runs import trace as tracing
    from worldbench.runs.display import print_result
    from worldbench.studies import decode

    show = {"result": lambda path: print_result(read(path, Result)), "decode": decode.show, "trace": tracing.show}
    with contextlib.suppress(WorldbenchError):
        show[case.name.partition("-")[0]](case)
        assert "Traceback" not in capsys.readouterr().out


@needs_cases
def test_a_strangers_file_is_left_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for file in (CASES / "leaderboard-stranger").iterdir():
        shutil.copy(file, tmp_path)
        write(tmp_path / "result-1.json", result())
        write(tmp_path / "trace-1.json", trace())
        assert main(["leaderboard", str(tmp_path)]) == 0
        told = capsys.readouterr()
        assert "gpt" in told.out
        assert [str(tmp_path / file.name) in line for line in told.err.splitlines()] == [True]
        assert main(["leaderboard", str(file)]) == 2
        assert len(capsys.readouterr().err.splitlines()) == 1


@needs_cases
def test_a_recipe_with_a_byte_order_mark(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--config", str(CASES / "bom" / "recipe.toml"), "--print-config"]) == 0
    assert 'world = "hmm"' in capsys.readouterr().out
