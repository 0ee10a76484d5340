"""The table of verbs, and how the words after a verb become plain options, names and typed options."""

from __future__ import annotations

import inspect
import subprocess
import sys
from pathlib import Path

import pytest

from worldbench.cli.main import main
from worldbench.cli.parser import Parser
from worldbench.cli.table import VERBS, load
from worldbench.core.errors import InputError


def parser_of(verb: str) -> Parser:
    parser = Parser(prog=f"worldbench {verb}", allow_abbrev=False, add_help=False)
    load(verb).add_arguments(parser)
    return parser


def test_every_verb_has_one_file_and_every_file_is_used() -> None:
    folder = Path(inspect.getfile(Parser)).parent
    shared = {"__init__", "main", "table", "parser", "jobs", "ending", "last_net"}
    assert {path.stem for path in folder.glob("*.py")} - shared == set(VERBS)


@pytest.mark.parametrize("verb", VERBS)
def test_help_of_a_verb_says_its_line(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert load(verb).LINE in out
    assert out.startswith(f"usage: worldbench {verb} ")


def test_a_verb_loads_its_own_module_alone() -> None:
    code = (
        "import sys; from worldbench.cli.main import main; main(['run', '--help']); "
        "print(*(n for n in sys.modules if n.startswith('worldbench.cli.')))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    wanted = ("main", "last_net", "parser", "table", "run", "jobs")
    assert set(done.stdout.splitlines()[-1].split()) == {f"worldbench.cli.{name}" for name in wanted}


TYPED = ["--env.map", "X", "--train.steps", "5"]


@pytest.mark.parametrize(
    "words",
    [
        ["taxi", "--model", "gpt", *TYPED],
        ["--model", "gpt", "taxi", *TYPED],
        ["taxi", *TYPED, "--model", "gpt"],
        ["taxi", *TYPED[:2], "--model", "gpt", *TYPED[2:]],
        ["--model=gpt", "taxi", *TYPED],
    ],
)
def test_names_and_typed_options_keep_their_order(words: list[str]) -> None:
    arguments = parser_of("run").read(words)
    assert (arguments.model, arguments.names, arguments.options) == ("gpt", ["taxi"], TYPED)


def test_several_names_and_values_of_their_own() -> None:
    arguments = parser_of("trace").read(["--quiet", "a", "b", "--eval.seed", "-1", "--eval.metrics", "m", "n"])
    assert arguments.names == ["a", "b"]
    assert arguments.options == ["--eval.seed", "-1", "--eval.metrics", "m", "n"]
    assert arguments.quiet
    tune = parser_of("tune").read(["hmm", "--models", "gpt", "nextlat", "--eval.trials", "5"])
    assert (tune.names, tune.models, tune.options) == (["hmm"], ["gpt", "nextlat"], ["--eval.trials", "5"])


@pytest.mark.parametrize(
    ("verb", "words", "said"),
    [
        (
            "run",
            ["taxi", "gpt"],
            "unexpected 'gpt': worldbench run takes one name, then options; to choose a model, write --model gpt",
        ),
        (
            "leaderboard",
            ["a", "--format", "h"],
            "--format must be one of table, markdown, csv, json, latex, html, not 'h'",
        ),
        ("compare", ["a", "b", "c", "--margin"], "--margin needs a value; see worldbench compare --help"),
        ("run", ["taxi", "--sed", "1"], "did you mean '--seed'"),
        ("run", ["taxi", "--train.step", "1", "--stesp", "1"], "did you mean '--train.steps'"),
        ("eval", ["run", "--xyzzy", "1"], "see worldbench eval --help"),
        ("eval", ["run", "--trials", "1"], "did you mean '--eval.trials'"),
        ("check", ["hmm", "--train.steps", "1"], "unknown option --train.steps"),
        ("leaderboard", ["runs", "--colunms", "m"], "did you mean '--columns'"),
        ("validate", ["runs", "--quiet"], "unknown option --quiet; see worldbench validate --help"),
        (
            "leaderboard",
            [],
            "the following arguments are required: RUNS (names come before the options); see worldbench leaderboard",
        ),
    ],
)
def test_refusals_before_anything_is_loaded(verb: str, words: list[str], said: str) -> None:
    with pytest.raises(InputError) as caught:
        parser_of(verb).read(words)
    assert said in str(caught.value)


def test_words_before_a_verb(capsys: pytest.CaptureFixture[str]) -> None:
    for words, said in (
        (["--sed", "run"], "unknown option --sed; see worldbench --help"),
        (["rnu"], "did you mean 'run'"),
    ):
        assert main(words) == 2
        assert said in capsys.readouterr().err
    assert main([]) == 0
    printed = " ".join(capsys.readouterr().out.split())
    assert [verb for verb in VERBS if f"{verb} {load(verb).LINE}" not in printed] == []
