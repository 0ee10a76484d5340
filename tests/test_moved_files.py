"""A run whose files moved is scored again where the files are named; other files are refused."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import shared_cases
from command_lines import refused
from graphml_files import document, saved
from some_cases import others_slow

from worldbench.cli.main import main

GRID = {f"{i}": (13.4 + i % 5 / 1000, 52.5 + i // 5 / 1000) for i in range(25)}
STREETS = [
    (str(i), str(j), {"length": "70"})
    for i in range(25)
    for j in (i + 1, i + 5)
    if j < 25 and (j != i + 1 or j % 5)
]  # fmt: skip
BOTH_WAYS = [*STREETS, *((v, u, data) for u, v, data in STREETS)]
TINY = [
    *("--train.steps", "2", "--train.batch", "4", "--train.curve_documents", "5", "--model.layers", "1"),
    *("--model.width", "16"),
]
TINY += ["--model.heads", "1", "--eval.metrics", "next_token", "--eval.documents", "10", "--quiet"]
SMALL = ["--train.batch", "8", "--model.layers", "1", "--model.width", "16", "--model.heads", "1"]
PROCESS = {"transition": [[[0.5, 0.1], [0.0, 0.3]], [[0.2, 0.2], [0.6, 0.1]]]}
MAZES = "<ADJLIST_START> (0,0) <--> (0,1) ; (0,1) <--> (1,1) ; (1,1) <--> (1,0) ; <ADJLIST_END>"


def scored(folder: Path) -> set[Path]:
    return set(folder.glob("result*.json"))


@pytest.mark.parametrize("verb", others_slow(["eval", "trace"], "eval"))
def test_a_map_that_moved(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    town = saved(tmp_path, document(GRID, BOTH_WAYS), "town.graphml")
    ride = ["--env.region", "all", "--env.min_moves", "2", "--env.max_moves", "9"]
    assert main(["run", "taxi", "--env.map", str(town), *ride, *TINY, "--out", str(tmp_path / "runs")]) == 0
    (folder,) = (tmp_path / "runs").glob("taxi-gpt-*")
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    (tmp_path / "elsewhere").mkdir()
    moved = town.rename(tmp_path / "elsewhere" / "town.graphml")
    again = [verb, str(folder), "--eval.documents", "7", "--quiet"]
    message = refused(capsys, *again)
    assert f"needs the file '{town}', which does not exist; give its new path: --env.map FILE" in message
    other = saved(tmp_path, document(GRID, BOTH_WAYS[:-4]), "other.graphml")
    message = refused(capsys, *again, "--env.map", str(other), code=1)
    assert "trained under another identity (world.map_digest was" in message
    assert {path: path.read_bytes() for path in before} == before
    assert main([*again, "--env.map", str(moved)]) == 0, capsys.readouterr().err
    made = [path for path in folder.glob("*.json") if path not in before]
    assert len(made) == 1
    assert "elsewhere" not in made[0].read_text()
    assert json.loads(made[0].read_text())["command"].count("--env.map town.graphml") == 1
    assert main([*again, f"--env.map={moved}"]) == 0
    assert {path: path.read_bytes() for path in before if path.name == "config.json"}.items() <= before.items()


def test_a_process_that_moved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(PROCESS))
    assert main(["run", "hmm", "--env.process", str(file), "--env.length", "5", *TINY, "--out", str(tmp_path)]) == 0, (
        capsys.readouterr().err
    )
    (folder,) = tmp_path.glob("hmm-gpt-*")
    assert all(str(tmp_path) not in path.read_text() for path in scored(folder))
    moved = tmp_path / "other" / "mine.json"
    moved.parent.mkdir()
    file.rename(moved)
    again = ["eval", str(folder), "--eval.documents", "7", "--quiet"]
    assert "give its new path: --env.process FILE" in refused(capsys, *again)
    assert main([*again, "--env.process", str(moved)]) == 0, capsys.readouterr().err


@pytest.mark.parametrize(
    "words",
    [
        ["--env.length", "6"],
        ["--train.steps", "9"],
        ["--model.width=32"],
        ["--env.lenght", "6"],
        ["--data.documents", "3"],
    ],
)
def test_nothing_else_is_changed_after_training(
    words: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", "hmm", "--env.length", "5", *TINY, "--out", str(tmp_path)]) == 0
    (folder,) = tmp_path.glob("hmm-gpt-*")
    message = refused(capsys, "eval", str(folder), *words, "--quiet")
    assert f"option {words[0].split('=')[0]} cannot be changed after training" in message
    assert "give the new path of a file that has moved: --env.process" in message
    message = refused(capsys, "eval", str(folder), "--env.process", "mess3", "--quiet", code=1)
    assert "world.process was rrxor(" in message
    assert ", and is mess3(" in message


def test_a_process_whose_name_no_file_can_have(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    process = f"mixture({', '.join(['0.1*mess3(x=0.1500000000000000000, a=0.6000000000000)'] * 10)})"
    assert len(process) > 255
    assert main(["run", "hmm", "--env.process", process, "--env.length", "3", *TINY, "--out", str(tmp_path)]) == 0, (
        capsys.readouterr().err
    )
    (folder,) = tmp_path.glob("hmm-gpt-*")
    assert main(["eval", str(folder), "--eval.documents", "7", "--quiet"]) == 0, capsys.readouterr().err


def test_decode_takes_the_place_of_a_file_too(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "mine.json"
    file.write_text(json.dumps(PROCESS))
    run = [
        *("run", "hmm", "--model", "nextlat", "--model.horizon", "2", "--env.process", str(file)),
        *("--env.length", "5", *TINY),
    ]
    assert main([*run, "--out", str(tmp_path)]) == 0
    (folder,) = tmp_path.glob("hmm-nextlat-*")
    moved = file.rename(tmp_path / "moved.json")
    few = ["--lengths", "1", "--repeats", "1", "--adaptive", "0", "--tokens", "3", "--quiet"]
    assert "give its new path: --env.process FILE" in refused(capsys, "decode", str(folder), *few)
    assert "cannot be changed after training" in refused(capsys, "decode", str(folder), *few, "--env.length", "9")
    assert "--lengths" in refused(capsys, "decode", str(folder), "--lenghts", "3")
    assert "which run" in refused(capsys, "decode")
    moved.rename(file)
    assert main(["decode", str(folder), *few, "--env.process", str(file)]) == 0, capsys.readouterr().err
    assert main(["decode", "--help"]) == 0
    assert "--adaptive" in capsys.readouterr().out


# The reduced inputs


def case(name: str, folder: Path) -> Path:
    return Path(shutil.copytree(shared_cases.folder(name), folder / name))


@pytest.mark.slow
def test_the_case_moved_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = case("moved-map", tmp_path)
    words = [
        *("run", "taxi", "--preset", "small", "--train.steps", "4", "--train.curve_documents", "10", *SMALL),
        *("--env.map", str(here / "town.graphml")),
    ]
    words += [
        *("--env.region", "all", "--eval.trials", "5", "--eval.documents", "20", "--eval.metrics", "next_token"),
        "--quiet",
    ]
    assert main([*words, "--out", str(here / "runs")]) == 0, capsys.readouterr().err
    (folder,) = (here / "runs").glob("taxi-gpt-*")
    (here / "elsewhere").mkdir()
    (here / "town.graphml").rename(here / "elsewhere" / "town.graphml")
    assert "give its new path: --env.map FILE" in refused(capsys, "eval", str(folder), "--eval.trials", "6", "--quiet")
    named = ["--env.map", str(here / "elsewhere" / "town.graphml")]
    assert main(["eval", str(folder), "--eval.trials", "6", *named, "--quiet"]) == 0, capsys.readouterr().err


@pytest.mark.slow
def test_the_case_plugin_edited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    here = case("plugin-edited", tmp_path)
    file = here / "mine.py"
    words = [
        *("run", "taxi", "--model", "mine", "--plugin", str(file), "--preset", "small", "--train.steps", "10"),
        *("--train.curve_documents", "20", *SMALL),
    ]
    words += [
        *("--env.map", "city:40", "--env.region", "all", "--eval.trials", "5", "--eval.documents", "20"),
        *("--eval.metrics", "next_token"),
    ]
    words += ["--out", str(here / "runs"), "--quiet"]
    losses = []
    for scale in ("1.0", "-1.0"):
        file.write_text(file.read_text().replace("SCALE = 1.0", f"SCALE = {scale}"))
        seen = set((here / "runs").glob("taxi-mine-*/result*.json"))
        assert main(words) == 0, capsys.readouterr().err
        (made,) = set((here / "runs").glob("taxi-mine-*/result*.json")) - seen
        losses.append(json.loads(made.read_text())["training"]["curve"][-1]["loss"])
    assert losses[0] < losses[1]
