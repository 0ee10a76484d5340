"""The command line as a person meets it: results, and one clear sentence for every mistake."""

from __future__ import annotations

import gzip
import json
import resource
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from sample_records import result_of
from tiny_runs import SMALL_EVAL

from worldbench.cli.main import main
from worldbench.records.reading import read
from worldbench.records.runs import Result
from worldbench.records.upgrades import VERSION

TINY = ["--env.map", "city:24", "--env.region", "all", "--env.min_moves", "2", "--env.max_moves", "9", *SMALL_EVAL]
SHORT = [
    *("--train.steps", "4", "--train.batch", "8", "--train.threads", "1", "--train.curve_documents", "20"),
    *("--data.documents", "0", "--train.row_tokens", "0"),
]
SHORT += ["--model.layers", "1", "--model.width", "16", "--model.heads", "2"]


def tell(capsys: pytest.CaptureFixture[str], *argv: str) -> tuple[int, str]:
    code = main(list(argv))
    return code, capsys.readouterr().err


def refused(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 2) -> str:
    """The one sentence that a mistake is answered with."""
    got, told = tell(capsys, *argv)
    assert got == code, told
    lines = [line for line in told.splitlines() if line.startswith("worldbench: ")]
    assert len(lines) == 1
    assert told.splitlines()[-1] == lines[0]
    assert "Traceback" not in told
    return lines[0].removeprefix("worldbench: ")


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
        (["run", "taxi", "--model", "gpt", "--model.horizon", "4"], "unknown option --model.horizon"),
        (["run", "taxi", "--data.documents", "-4"], "data.documents"),
        (["run", "taxi", "--seed", "-1"], "seed must be 0 or more"),
        (["run", "taxi", "--seed", "x"], "invalid int value"),
        (["run", "taxi", "--eval.metrics", "detour"], "did you mean 'detours'"),
        (["run", "taxi", "more"], "what is 'more'"),
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
    told = tomllib.loads(capsys.readouterr().out)
    assert told["model"]["stop_head"] == told["eval"]["reconstruction_roll_back"] == (value == "True")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (
            ["--model.stop_head", "no"],
            "invalid choice 'no' for argument '--model.stop_head'. Expected one of ('True', 'False').",
        ),
        (["--model.stop_head"], "Missing value for argument '--model.stop_head'. Expected 1 values."),
        (["--train.steps"], "Missing value for argument '--train.steps'. Expected 1 values."),
        (["--train.steps", "many"], "Error parsing --train.steps: invalid literal for int() with base 10: 'many'"),
        (["--eval.trials", "3", "4"], "Unrecognized options: 4"),
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


@pytest.mark.pictures
def test_run_twice_eval_board_and_figures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = ["--out", str(tmp_path / "runs")]
    for seed in "01":
        assert main(["run", "taxi", "--model", "nextlat", "--seed", seed, *TINY, *SHORT, *out]) == 0
    printed = capsys.readouterr().out
    assert "arrives_sampled" in printed
    folders = sorted((tmp_path / "runs").glob("taxi-nextlat-quick-s0-*"))
    assert len(folders) == 1
    (result,) = folders[0].glob("result-*.json")
    before = result.read_bytes()
    record = read(result, Result)
    assert record.scores["valid_trajectories"].bound("ceiling", "arrives_sampled") == 1
    assert record.scores["valid_trajectories"].floor is not None
    assert record.scores["valid_trajectories"].floor.model == "random-legal"
    assert record.config["env"]["map"] == "city:24"
    assert result.name == f"result-{record.identity.evaluation[:10]}.json"
    assert str(tmp_path) not in before.decode()
    for name in ("map.png", "map.svg", "map.csv", "learning.png", "learning.csv"):
        assert (folders[0] / "figures" / name).stat().st_size > 50

    assert main(["run", "taxi", "--model", "nextlat", "--seed", "0", *TINY, *SHORT, *out]) == 0
    assert "done already" in capsys.readouterr().err
    assert result.read_bytes() == before

    assert main(["eval", str(folders[0]), "--eval.trials", "10"]) == 0
    others = [path for path in folders[0].glob("result-*.json") if path != result]
    assert len(others) == 1
    assert read(others[0], Result).scores["valid_trajectories"].scores["arrives_sampled"].n == 10
    assert result.read_bytes() == before
    assert "--eval" in refused(capsys, "eval", str(folders[0]), "--train.steps", "9")
    for path in (tmp_path / "runs").rglob("result-*.json"):  # of the references too
        if read(path, Result).config["eval"]["trials"] == 10:
            path.unlink()

    capsys.readouterr()
    for form in ("table", "markdown", "csv", "json"):
        assert main(["leaderboard", str(tmp_path / "runs"), "--format", form]) == 0
        board = capsys.readouterr().out
        assert all(model in board for model in ("oracle", "nextlat", "random-legal"))
    rows = {row["model"]: row for row in json.loads(board)}
    assert rows["nextlat"]["seeds"] == [0, 1]
    assert rows["nextlat"]["scores"]["valid_trajectories.arrives_sampled"]["interval"] is not None
    assert rows["random-legal"]["scores"]["effective_rank.rank"] is None
    assert "did you mean" in refused(
        capsys, "leaderboard", str(tmp_path / "runs"), "--columns", "detours.arrives_p0.55"
    )

    assert "did you mean 'detours'" in refused(capsys, "leaderboard", str(tmp_path / "runs"), "--columns", "detour")
    assert (
        main(["leaderboard", str(tmp_path / "runs"), "--format", "csv", "--columns", "detours", "detours.arrives_p0.1"])
        == 0
    )
    assert "arrives_p0.5 mean" in capsys.readouterr().out.splitlines()[0]

    assert main(["figures", str(folders[0])]) == 0
    assert main(["validate", str(tmp_path / "runs")]) == 0
    newer = before.replace(f'"schema_version": {VERSION},'.encode(), b'"schema_version": 99,')
    for damaged, told in ((before[: len(before) // 2], "not JSON"), (newer, "newer")):
        result.write_bytes(damaged)
        capsys.readouterr()
        assert main(["validate", str(tmp_path / "runs")]) == 2
        printed = capsys.readouterr()
        assert told in printed.out
        assert printed.err.startswith("worldbench: 1 of ")


def test_score_a_function_of_ones_own(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mine.py").write_text(
        "import numpy as np\n"
        "def flat(tokens):\n    return np.zeros((*tokens.shape, 34)), np.ones((*tokens.shape, 3))\n"
        "def wrong(tokens):\n    return np.zeros((*tokens.shape, 5))\n"
        "def nan(tokens):\n    return np.full((*tokens.shape, 34), np.nan)\n"
        "answer = 42\n"
    )
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    tiny = [*TINY]
    tiny[1] = "city:24"
    code, told = tell(capsys, "score", "taxi", "--callable", "mine:wrong", *tiny)
    assert code == 2
    vocabulary = int(told.rsplit("they must be (1, 1, ", 1)[1].split(")")[0])
    text = Path("mine.py").read_text().replace("34", str(vocabulary))
    Path("mine.py").write_text(text)
    monkeypatch.delitem(sys.modules, "mine", raising=False)
    assert main(["score", "taxi", "--callable", "mine:flat", *tiny]) == 0
    capsys.readouterr()
    result = result_of(next(Path("runs").glob("taxi-callable-*")))
    assert result.scores["effective_rank"].value("rank") == pytest.approx(1)
    assert (result.scores["valid_trajectories"].value("arrives_sampled") or 0) < 0.2
    assert "score taxi --callable mine:flat" in result.command
    assert "NaN among its logits" in refused(capsys, "score", "taxi", "--callable", "mine:nan", *tiny)
    assert "not a function" in refused(capsys, "score", "taxi", "--callable", "mine:answer", *tiny)


def in_process(tmp_path: Path, *argv: str, limit: int | None = None) -> subprocess.CompletedProcess[str]:
    def small_files() -> None:
        if limit is not None:
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return subprocess.run(
        [sys.executable, "-m", "worldbench", *argv],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        preexec_fn=small_files,
        check=False,
    )


def test_folders_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "choose another with --out" in refused(capsys, "run", "taxi", *TINY, *SHORT, "--out", str(tmp_path / "file"))
    assert "choose another with --out" in refused(capsys, "run", "taxi", *TINY, *SHORT, "--out", "/proc/nothing")


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """Writes fail beyond 3,000 bytes a file: one sentence, exit code 1; with room again, the same command finishes."""
    argv = ["run", "taxi", *TINY, *SHORT]
    failed = in_process(tmp_path, *argv, limit=3000)
    assert failed.returncode == 1, failed.stderr
    assert "Traceback" not in failed.stderr
    assert "run the same command again" in failed.stderr.splitlines()[-1]
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("taxi-gpt*/result-*.json"))
    done = in_process(tmp_path, *argv)
    assert done.returncode == 0, done.stderr
    assert list(tmp_path.rglob("taxi-gpt*/result-*.json"))


HOSTILE = {
    "empty": b"",
    "text": b"not a map",
    "cut": b"<graphml>",
    "entities": b'<!DOCTYPE x [<!ENTITY a "b">]><graphml/>',
    "truncated gzip": gzip.compress(b"<graphml/>", mtime=0)[:-4],
}


@pytest.mark.parametrize("content", HOSTILE.values(), ids=HOSTILE.keys())
def test_hostile_map_files(content: bytes, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    name = "map.graphml.gz" if content[:2] == b"\x1f\x8b" else "map.graphml"
    (tmp_path / name).write_bytes(content)
    assert name in refused(capsys, "run", "taxi", "--env.map", str(tmp_path / name), "--out", str(tmp_path / "runs"))


def test_one_process_a_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from worldbench.core.files import lock

    out = ["--out", str(tmp_path)]
    assert main(["run", "taxi", *TINY, *SHORT, *out]) == 0
    capsys.readouterr()
    folder = next(tmp_path.glob("taxi-gpt-*"))
    with lock(folder):
        assert "another process is working" in refused(capsys, "run", "taxi", *TINY, *SHORT, *out, code=1)


def test_help_and_lists(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 0
    assert "leaderboard" in capsys.readouterr().out
    assert main(["ls"]) == 0
    listed = capsys.readouterr().out
    assert all(word in listed for word in ("taxi", "nextlat", "oracle", "map_reconstruction", "quick"))
    assert main(["run", "--help"]) == 0
    assert "WORLD" in capsys.readouterr().out
    assert main(["run", "taxi", "--model", "nextlat", "--help"]) == 0
    told = capsys.readouterr().out
    assert "--model.horizon" in told
    assert "--env.map" in told
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


def test_the_village_is_where_the_map_holds_it(manhattan_map: Path) -> None:
    from worldbench.envs.taxi.config import VILLAGE
    from worldbench.envs.taxi.world import TaxiWorld
    from worldbench.settings.resolve import resolve

    for preset in ("quick", "small"):
        env = resolve("taxi", "gpt", preset=preset, seed=0, options=["--env.map", str(manhattan_map)]).groups["env"]
        settled, announcement = TaxiWorld.settle(env)
        assert (settled.region, announcement) == (VILLAGE, "")
        graph = TaxiWorld(env).graph()
        assert (graph.n_places, len(graph.edges)) == (43, 75)
        city = resolve("taxi", "gpt", preset=preset, seed=0, options=["--env.map", "city:24"]).groups["env"]
        assert TaxiWorld.settle(city)[0].region == "all"


def test_auto_without_a_network_is_announced_and_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("worldbench.envs.taxi.download.fetch_soon", lambda: "there is no network")
    short = ["--eval.trials", "5", "--eval.documents", "5", "--eval.reconstruction_rides", "5", "--out", str(tmp_path)]
    assert main(["run", "taxi", "--model", "oracle", *short]) == 0
    told = capsys.readouterr().err
    assert "city:48, a generated city, because there is no network" in told
    record = result_of(next(tmp_path.glob("taxi-oracle-*")))
    assert record.config["env"]["map"] == "city:48"
    assert "--env.map city:48" in record.command
    assert "--env.region all" in record.command
