"""Runs by the command line: run, eval, score, leaderboard and figures, and folders that cannot be written."""

from __future__ import annotations

import gzip
import json
import sys
from pathlib import Path

import pytest
import tiny_runs
from command_lines import FEW, RIDES, SHORT, TINY, refused, tell
from sample_records import result_of
from test_writing import limited
from tiny_runs import small_eval

from worldbench.cli.main import main
from worldbench.records.bounds import bounds_beside
from worldbench.records.reading import read
from worldbench.records.runs import Result
from worldbench.records.upgrades import VERSION

ASKED = ("valid_trajectories", "detours", "effective_rank", "map_reconstruction")
"""Metrics with sampled rides, several primary scores, hidden states and a map. (Every metric: test_every_model.)"""


def test_run_twice_eval_board_and_figures(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    options = [*RIDES, *SHORT, "--out", str(tmp_path / "runs"), *small_eval(*ASKED)]
    for seed in "01":
        assert main(["run", "taxi", "--model", "nextlat", "--seed", seed, *options]) == 0
    printed = capsys.readouterr().out
    assert "arrives_sampled" in printed
    folders = sorted((tmp_path / "runs").glob("taxi-nextlat-small-s0-*"))
    assert len(folders) == 1
    (result,) = folders[0].glob("result-*.json")
    before = result.read_bytes()
    record = read(result, Result)
    metric = record.scores["valid_trajectories"]
    assert (metric.floor, metric.ceiling, metric.bounds_as_recorded) == ("random-legal", "oracle", {})
    bounds = bounds_beside(result, record)
    assert bounds.missing == ()
    assert bounds.value("valid_trajectories", metric, "ceiling", "arrives_sampled") == 1
    assert (bounds.value("valid_trajectories", metric, "floor", "legal_sampled") or 0) > 0
    assert record.config["env"]["map"] == "city:24"
    assert result.name == f"result-{record.identity.evaluation[:10]}.json"
    assert str(tmp_path) not in before.decode()
    for name in ("map.png", "map.svg", "map.csv", "learning.png", "learning.csv"):
        assert (folders[0] / "figures" / name).stat().st_size > 20

    assert main(["run", "taxi", "--model", "nextlat", "--seed", "0", *options]) == 0
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
    for form in ("table", "markdown", "csv", "latex", "json"):
        assert main(["leaderboard", str(tmp_path / "runs"), "--format", form]) == 0
        board = capsys.readouterr().out
        assert all(model in board for model in ("oracle", "nextlat", "random-legal"))
    rows = {row["model"]: row for group in json.loads(board)["groups"] for row in group["rows"]}
    assert rows["nextlat"]["seeds"] == [0, 1]
    assert rows["nextlat"]["scores"]["valid_trajectories.arrives_sampled"]["interval"] is not None
    assert "hidden states" in rows["random-legal"]["scores"]["effective_rank.rank"]["missing"]
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
    for damaged, message in ((before[: len(before) // 2], "not JSON"), (newer, "newer")):
        result.write_bytes(damaged)
        capsys.readouterr()
        assert main(["validate", str(tmp_path / "runs")]) == 2
        printed = capsys.readouterr()
        assert message in printed.out
        assert printed.err.startswith("worldbench: 1 of ")


@pytest.mark.slow
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
    code, message = tell(capsys, "score", "taxi", "--callable", "mine:wrong", *tiny)
    assert code == 2
    vocabulary = int(message.rsplit("they must be (1, 1, ", 1)[1].split(")")[0])
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


def test_folders_that_cannot_be_written(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    assert "choose another with --out" in refused(capsys, "run", "taxi", *TINY, *SHORT, "--out", str(tmp_path / "file"))
    assert "choose another with --out" in refused(capsys, "run", "taxi", *TINY, *SHORT, "--out", "/proc/nothing")


def test_a_full_disk_loses_nothing(tmp_path: Path) -> None:
    """Writes fail beyond 3,000 bytes a file: one sentence, exit code 1; with room again, the same command finishes."""
    argv = ["run", "taxi", *FEW, *SHORT, "--out", str(tmp_path)]
    with limited(3000):
        code, message = tiny_runs.call(*argv)
    assert code == 1, message
    assert "Traceback" not in message
    assert "run the same command again" in message.splitlines()[-1]
    assert not list(tmp_path.rglob("*.part"))
    assert not list(tmp_path.rglob("taxi-gpt*/result-*.json"))
    code, message = tiny_runs.call(*argv)
    assert code == 0, message
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
    assert main(["run", "taxi", *FEW, *SHORT, *out]) == 0
    capsys.readouterr()
    folder = next(tmp_path.glob("taxi-gpt-*"))
    with lock(folder):
        assert "another process is working" in refused(capsys, "run", "taxi", *FEW, *SHORT, *out, code=1)


def test_the_village_is_where_the_map_holds_it(village_map: Path) -> None:
    from worldbench.envs.taxi.regions import VILLAGE
    from worldbench.envs.taxi.world import TaxiWorld
    from worldbench.settings.resolve import resolve

    env = resolve("taxi", "gpt", preset="small", seed=0, options=["--env.map", str(village_map)]).groups["env"]
    settled, announcement = TaxiWorld.settle(env)
    assert (settled.region, announcement) == (VILLAGE, "")
    graph = TaxiWorld(env).graph()
    assert (graph.n_places, len(graph.edges)) == (43, 75 if graph.name == "manhattan" else 76)
    for preset in ("quick", "small"):
        city = resolve("taxi", "gpt", preset=preset, seed=0, options=["--env.map", "city:24"]).groups["env"]
        assert TaxiWorld.settle(city)[0].region == "all"


def test_auto_without_a_network_is_announced_and_named(
    capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from worldbench.envs.taxi.regions import VILLAGE

    monkeypatch.setattr("worldbench.envs.taxi.download.fetch_soon", lambda: "there is no network")
    short = ["--eval.trials", "5", "--eval.documents", "5", "--eval.metrics", "next_token", "--out", str(tmp_path)]
    assert main(["run", "taxi", "--model", "oracle", *short]) == 0
    message = capsys.readouterr().err
    assert "map: manhattan-plan" in message
    assert "from public facts about its streets, not from OpenStreetMap, because there is no network" in message
    record = result_of(next(tmp_path.glob("taxi-oracle-*")))
    assert record.config["env"]["map"] == "manhattan-plan"
    assert record.config["env"]["region"] == VILLAGE
    assert "--env.map manhattan-plan" in record.command
    assert record.card["counter_accuracy"] < 0.3
