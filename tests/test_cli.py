"""The command line as a person meets it: help, lists, recipes, and one clear sentence for every mistake."""

from __future__ import annotations

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from command_lines import refused

from worldbench.cli.main import main
from worldbench.core.world import World


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["runn"], "did you mean 'run'"),
        (["run"], "which world"),
        (["run", "taxy"], "did you mean 'taxi'"),
        (["run", "taxi", "--model", "gptt"], "did you mean 'gpt'"),
        (["run", "taxi", "--preset", "smal"], "did you mean 'small'"),
        (["run", "taxi", "--modle", "gpt"], "did you mean '--model'"),
        (["run", "taxi", "--train.stpes", "3"], "did you mean '--train.steps'"),
        (["run", "taxi", "--steps", "3"], "did you mean '--train.steps'"),
        (["run", "taxi", "--stpes=3"], "did you mean '--train.steps'"),
        (["run", "taxi", "--learning-rate", "3"], "did you mean '--train.learning_rate'"),
        (["run", "taxi", "--model", "nextlat", "--horizon", "3"], "did you mean '--eval.horizon' or '--model.horizon'"),
        (["run", "taxi", "--map", "x"], "did you mean '--env.map'"),
        (["sweep", "ci", "--seed", "3"], "did you mean '--seeds'"),
        (["tune", "hmm", "--seed", "3"], "did you mean '--seeds'"),
        (["run", "hmm", "--seeds", "3"], "did you mean '--seed'"),
        (["data", "hmm", "--model", "gpt"], "unknown option --model; see worldbench data --help"),
        (["run", "nothing", "--trials", "3"], "did you mean '--eval.trials'"),
        (["eval", "nowhere", "--trials", "3"], "did you mean '--eval.trials'"),
        (["run", "taxi", "--env.steps", "3"], "did you mean '--train.steps'"),
        (["--versio"], "unknown option --versio"),
        (["run", "taxi", "--model", ""], "unknown model ''"),
        (["run", "taxi", "--model", "oracle", "--train.steps", "3"], "does not apply"),
        (["run", "taxi", "--train.steps", "many"], "many"),
        (["run", "taxi", "--train.steps", "0"], "train.steps must be at least 1, not 0"),
        (["run", "taxi", "--train.schedule", "cosin"], "cosin"),
        (["run", "taxi", "--train.device", "mps"], "mps"),
        (["run", "taxi", "--model.width", "30"], "model.width"),
        (["run", "taxi", "--model", "nextlat", "--model.horizon", "0"], "model.horizon must be at least 1, not 0"),
        (["run", "taxi", "--model", "gpt", "--model.horizon", "4"], "models that have it: nextlat, mtp, jtp"),
        (["run", "taxi", "--data.documents", "-4"], "data.documents"),
        (["run", "taxi", "--seed", "-1"], "seed must be 0 or more"),
        (["run", "taxi", "--seed", "x"], "--seed must be a whole number, not 'x'"),
        (["run", "taxi", "--eval.metrics", "detour"], "did you mean 'detours'"),
        (["run", "hmm", "--eval.metrics", "map_reconstruction"], "'hmm' (map_reconstruction does not apply: the world"),
        (["check", "hmm", "--eval.metrics", "detours", "next_token"], "'hmm', detours does not apply: "),
        (["faults", "hmm", "--eval.metrics", "detours", "next_token"], "'hmm', detours does not apply: "),
        (["run", "taxi", "more"], "unexpected 'more'"),
        (["run", "taxi", "--env.map", "city:2"], "city:N"),
        (["run", "taxi", "--env.map", "nowhere.graphml"], "nowhere.graphml"),
        (["run", "taxi", "--env.map", "city:24", "--env.region", "5@9999999,0"], "region"),
        (["run", "taxi", "--env.map", "city:24", "--env.region", "somewhere"], "region"),
        (["run", "taxi", "--config", "no.toml"], "no.toml"),
        (["run", "taxi", "--plugin", "no.py"], "no.py"),
        (["score", "taxi"], "--callable"),
        (["score", "taxi", "--callable", "nomodule:f", "--env.map", "city:24"], "nomodule"),
        (["score", "taxi", "--callable", "json:nothing", "--env.map", "city:24"], "no 'nothing'"),
        (["score", "taxi", "--callable", "json", "--env.map", "city:24"], "MODULE:FUNCTION"),
        (["eval", "nowhere"], "not a run folder"),
        (["leaderboard", "nowhere"], "nowhere"),
        (["figures", "nowhere"], "not a run folder"),
        (["validate", "nowhere.json"], "nowhere.json"),
        (["leaderboard", ".", "--fromat", "csv"], "--format"),
    ],
)
def test_mistakes(
    argv: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert said in refused(capsys, *argv)
    assert not (tmp_path / "runs").exists() or not any(
        p.is_file() and p.name.startswith("result") for p in (tmp_path / "runs").rglob("*")
    )


@pytest.mark.parametrize(
    ("recipe", "said"),
    [
        ("world = 'taxi'\n[train]\nstpes = 3\n", "did you mean 'steps'"),
        ("wrold = 'taxi'\n", "did you mean 'world'"),
        ("world = 'taxi'\n[train]\nsteps = 'three'\n", "train.steps must be of type int"),
        ("world = 'taxi'\n[train]\nsteps = true\n", "train.steps must be of type int"),
        ("world = 'taxi'\n[train]\nschedule = 'cosin'\n", "did you mean 'cosine'"),
        ("world = 'taxi'\n[eval]\ndetours = 0.5\n", "eval.detours must be a list"),
        ("world = 'taxi'\n[model]\nname = 'gppt'\n", "did you mean 'gpt'"),
        ("world = 'taxi'\n[model]\nhorizon = 3\n", "unknown key 'horizon'"),
        ("world = \n", "not TOML"),
        ("seed = 'one'\n", "seed must be a whole number"),
        ("model = 'gpt'\n", "model must be a table"),
        ("world = 'taxi'\n[model]\nname = 1\n", "model.name must be text, not 1"),
        ("world = 'taxi'\n[model]\nname = [nan]\n", "model.name must be text"),
        (f"world = 'taxi'\nseed = {'1' * 5000}\n", "not TOML"),
        (f"world = 'taxi'\n[eval]\ndetours = {'[' * 5000}\n", "nested too deeply"),
    ],
)
def test_mistakes_in_recipes(
    recipe: str, said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("r.toml").write_text(recipe)
    assert said in refused(capsys, "run", "--config", "r.toml")


def test_recipes_with_a_byte_order_mark(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "r.toml").write_bytes("\ufeffworld = 'hmm'\r\n[eval]\r\ntrials = 7\r\n".encode())
    assert main(["run", "--config", str(tmp_path / "r.toml"), "--print-config"]) == 0
    assert "trials = 7" in capsys.readouterr().out


@pytest.mark.parametrize("value", ["False", "false", "True"])
def test_switches_take_a_value(value: str, capsys: pytest.CaptureFixture[str]) -> None:
    """So that the command of a result, which names every value, repeats it."""
    argv = [
        *("run", "taxi", "--model", "nextlat", "--env.map", "city:24", "--model.stop_head", value),
        *("--eval.reconstruction_roll_back", value, "--print-config"),
    ]
    assert main(argv) == 0
    message = tomllib.loads(capsys.readouterr().out)
    assert message["model"]["stop_head"] == message["eval"]["reconstruction_roll_back"] == (value == "True")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--model.stop_head", "no"], "--model.stop_head must be one of True, False, not 'no'"),
        (["--model.stop_head"], "--model.stop_head needs a value: True or False"),
        (
            ["--model.mask", "land"],
            "--model.mask must be one of cumulative, landing, not 'land'; did you mean 'landing'?",
        ),
        (["--train.steps"], "--train.steps needs a value: a whole number"),
        (["--train.steps", "many"], "--train.steps must be a whole number, not 'many'"),
        (["--train.steps=many"], "--train.steps must be a whole number, not 'many'"),
        (["--env.held_out_share", "x"], "--env.held_out_share must be a number or None, not 'x'"),
        (["--eval.detours", "0.5", "a"], "--eval.detours must be numbers with spaces between them, not '0.5 a'"),
        (["--eval.trials", "3", "4"], "unexpected '4': --eval.trials takes one value: a whole number"),
        (["--train.steps", "0"], "train.steps must be at least 1, not 0"),
        (
            ["--model.mask", "landing", "--train.row_tokens", "0"],
            "model.mask landing has no effect with one document per row (train.row_tokens 0), where no rollout can "
            "continue into a next document; leave model.mask at cumulative, or set train.row_tokens",
        ),
    ],
)
def test_options_that_cannot_be_read(words: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The sentence itself, without the box that it comes in."""
    assert refused(capsys, "run", "taxi", "--model", "nextlat", *words) == said


def test_the_command_of_a_job_is_read_back() -> None:
    from worldbench.settings.resolve import resolve

    options = [
        *("--model.stop_head", "False", "--model.mask", "landing", "--model.lambda_h", "0.5"),
        *("--eval.reconstruction_roll_back", "False"),
    ]
    job = resolve("taxi", "nextlat", preset="quick", seed=0, options=options)
    words = job.command().split()
    assert resolve("taxi", "nextlat", preset="quick", seed=0, options=words[words.index("--seed") + 2 :]) == job


def test_printed_config_is_a_recipe(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    """What --print-config prints, read back, resolves to itself; the command line wins over it."""
    for model in ("gpt", "nextlat", "oracle"):
        assert (
            main(
                [
                    *("run", "taxi", "--model", model, "--preset", "small", "--env.map", "city:24", "--seed", "3"),
                    *("--eval.detours", "0.2", "--print-config"),
                ]
            )
            == 0
        )
        first = capsys.readouterr().out
        (tmp_path / "r.toml").write_text(first)
        assert main(["run", "--config", str(tmp_path / "r.toml"), "--print-config"]) == 0
        assert capsys.readouterr().out == first
    assert main(["run", "--config", str(tmp_path / "r.toml"), "--eval.trials", "7", "--print-config"]) == 0
    assert "trials = 7" in capsys.readouterr().out


def test_help_of_options_is_in_whole_paragraphs(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A line break of a docstring breaks no line of the help."""
    monkeypatch.setenv("COLUMNS", "100")
    assert main(["run", "maze", "--help"]) == 0
    shown = capsys.readouterr().out
    typed = shown[shown.index("The defaults shown are those of the chosen preset.") :]
    assert "usage" not in typed
    assert "(default: )" not in typed
    lines = typed.splitlines()
    start = next(i for i, line in enumerate(lines) if "--data.documents" in line)
    stop = next(i for i, line in enumerate(lines) if i > start and "(default:" in line)
    assert stop > start
    for line, after in zip(lines[start:stop], lines[start + 1 :]):
        assert len(line) + 1 + len(after.split()[0]) > max(map(len, lines))


@pytest.mark.parametrize("columns", ["121", "160", "400"])
def test_help_has_one_column_in_wide_terminals(
    columns: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    assert main(["run", "taxi", "--help"]) == 0
    usual = capsys.readouterr().out
    monkeypatch.setenv("COLUMNS", columns)
    assert main(["run", "taxi", "--help"]) == 0
    wide = capsys.readouterr().out
    start = "The defaults shown are those of the chosen preset."
    assert wide[wide.index(start) :] == usual[usual.index(start) :]
    assert os.environ["COLUMNS"] == columns


def test_names_come_before_options_in_usage_lines(capsys: pytest.CaptureFixture[str]) -> None:
    """An option with several values would take the names behind it."""
    for verb, usage in {"claims": "[RUNS..]", "compare": "A B RUNS..", "show": "RUN"}.items():
        assert main([verb, "--help"]) == 0
        assert capsys.readouterr().out.startswith(f"usage: worldbench {verb} {usage} [options]\n")
    assert main(["leaderboard", "--columns", "excess_loss", "results"]) == 2
    assert "RUNS (names come before the options)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("words", "left_out"),
    [
        (["run", "hmm"], ["detours", "board_documents", "reconstruction_rides"]),
        (["run", "maze"], ["board_documents", "probe_features"]),
        (["tune", "hmm"], ["detours"]),
        (["forecast", "group"], ["arrival_rides", "detours"]),
        (["run", "text", "--config", "FILE"], ["detours", "board_documents"]),
        (["run", "othello"], ["reconstruction_rides"]),
    ],
)
def test_help_lists_no_options_of_metrics_that_the_world_cannot_have(
    words: list[str],
    left_out: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """No world is made, so a file of the world may be missing, and no map is downloaded."""
    monkeypatch.setattr(World, "settle", None)
    recipe = tmp_path / "r.toml"
    recipe.write_text('env.files = ["missing.txt"]\n')
    assert main([str(recipe) if word == "FILE" else word for word in words] + ["--help"]) == 0
    shown = capsys.readouterr().out
    assert "--eval.rank_tokens" in shown
    assert "--eval.trials" in shown
    assert "Options of metrics that do not apply in the world" in shown
    assert [name for name in left_out if f"--eval.{name} " in shown] == []
    assert ("--eval.board_documents " in shown) == ("othello" in words)


def test_help_and_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "leaderboard" in capsys.readouterr().out
    assert main(["ls"]) == 0
    listed = capsys.readouterr().out
    assert all(word in listed for word in ("taxi", "nextlat", "oracle", "map_reconstruction", "quick"))
    assert main(["run", "--help"]) == 0
    assert "WORLD" in capsys.readouterr().out
    assert main(["run", "taxi", "--model", "nextlat", "--help"]) == 0
    message = capsys.readouterr().out
    assert "--model.horizon" in message
    assert "--env.map" in message
    assert main(["run", "taxi", "--model", "oracle", "--help"]) == 0
    assert "--train.steps" not in capsys.readouterr().out
    assert main(["eval", "--help"]) == 0
    assert "--eval.trials" in capsys.readouterr().out


def test_a_closed_pipe_is_no_error(tmp_path: Path) -> None:
    command = f"{sys.executable} -m worldbench ls | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["/bin/bash", "-c", command], cwd=tmp_path, capture_output=True, check=False)
    assert done.returncode == 0
    assert not done.stderr


def test_a_checkout_without_an_install_says_so() -> None:
    root = Path(__file__).resolve().parent.parent
    done = subprocess.run(
        [sys.executable, "-S", "-m", "worldbench", "ls"], cwd=root, capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert "not installed" in done.stderr
    assert "Traceback" not in done.stderr
