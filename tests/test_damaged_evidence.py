"""Figures of damaged evidence: one sentence that says what to do, and the other figures are drawn all the same."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import shared_cases
from small_maps import small_map

from worldbench.baselines.options import GPTConfig
from worldbench.baselines.untrained import make_untrained
from worldbench.cli.main import main
from worldbench.core.arrays import npz
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config
from worldbench.core.files import lock
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.figures import maze_gallery
from worldbench.figures.run_figures import draw_run, drawn
from worldbench.runs.scoring import score

METRIC_OF = {
    "effective_rank": "effective_rank",
    "excess_loss": "excess_loss",
    "street": "map_reconstruction",
    "folder": "map_reconstruction",
}
"""What the second word of a case's name says of its place in a run."""


@pytest.fixture(scope="module")
def scored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("scored") / "run"
    folder.mkdir()
    world = TaxiWorld(TaxiConfig(min_moves=2, max_moves=8), small_map(9, 0))
    model = make_untrained(world, GPTConfig(layers=1, heads=1, width=16))
    settings = eval_config(
        metrics=("map_reconstruction", "effective_rank"), reconstruction_rides=30, rank_tokens=100, documents=30
    )
    score(world, model, settings, folder / "evidence")
    return folder


@pytest.fixture
def run(scored: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(scored, tmp_path / "run"))


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def piped(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def foldered(path: Path) -> None:
    path.unlink()
    path.mkdir()


def changed(**arrays: np.ndarray) -> Callable[[Path], None]:
    def change(path: Path) -> None:
        with np.load(path, allow_pickle=False) as file:
            data = dict(file) | arrays
        path.write_bytes(npz(data))

    return change


DAMAGES = {
    "empty": (emptied, "cannot read"), "half": (halved, "cannot read"), "pipe": (piped, "a named pipe"),
    "folder": (foldered, "a folder"), "places": (changed(places=np.zeros(0, "U3")), "has places of shape"),
    "metres": (changed(metres=np.full((9, 2), np.nan)), "has metres that are not finite"),
    "far": (changed(metres=np.full((9, 2), 1e300)), "has metres outside"),
    "edges": (changed(edges=np.full((13, 3), 9)), "has edges with row numbers"),
    "status": (changed(status=np.array(["x"])), "has status of type"),
}  # fmt: skip


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_is_named_and_the_other_figures_are_drawn(run: Path, damage: str) -> None:
    harm, words = DAMAGES[damage]
    path = run / "evidence" / "map_reconstruction.npz"
    harm(path)
    seen = []
    with pytest.raises(InputError, match=words) as caught:
        seen.extend(drawn(run))
    sentence = str(caught.value)
    assert str(path) in sentence
    assert f"worldbench eval {run} makes it again; the other figures are in" in sentence
    assert sentence.count(str(path)) == 1  # three figures are drawn from it
    assert "\n" not in sentence
    assert {p.name for p in (run / "figures").iterdir()} == {"spectra.png", "spectra.svg", "spectra.csv"}


def test_every_damaged_file_is_named(run: Path) -> None:
    for path in (run / "evidence").iterdir():
        emptied(path)
    with pytest.raises(InputError, match=r"effective_rank\.npz") as caught:
        draw_run(run)
    assert "map_reconstruction.npz" in str(caught.value)
    assert "the other figures" not in str(caught.value)


@pytest.mark.slow
def test_the_verb_ends_in_one_sentence_and_holds_the_folder(run: Path) -> None:
    def figures() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "worldbench", "figures", str(run)]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)

    with lock(run):
        held = figures()
    assert held.returncode == 1
    assert "another process is working in" in held.stderr
    assert not (run / "figures").exists()
    halved(run / "evidence" / "map_reconstruction.npz")
    ended = figures()
    assert ended.returncode == 2
    assert ended.stdout.split() == [str(run / "figures" / f"spectra.{kind}") for kind in ("png", "svg", "csv")]
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stderr.startswith("worldbench: cannot read")


def test_a_folder_that_is_no_run_is_left_as_it_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / ".mine.part").touch()
    assert main(["figures", str(tmp_path)]) == 2
    assert "holds nothing to draw" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == [".mine.part"]


MAZES = {
    "true_tokens": np.array([[1, 2]]),
    "true_length": np.array([2]),
    "greedy_tokens": np.array([[1, 2]]),
    "greedy_length": np.array([2]),
    "greedy_outcome": np.array([1], np.int8),
    "greedy_likely": np.ones((1, 2), bool),
    "rows": np.array(1),
    "columns": np.array(2),
    "passages": np.zeros((1, 2, 4), bool),
    "origin": np.array([0]),
    "target": np.array([1]),
    "cell_of_token": np.array([-1, 0, 1]),
}


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"greedy_tokens": np.array([[1, 3]])}, "names cells that there are not"),
        ({"cell_of_token": np.array([-1, 0, 2])}, "names cells that there are not"),
        ({"true_length": np.array([3])}, "longer than their tokens"),
        ({"columns": np.array(3)}, "another number of cells"),
        ({"target": np.array([2])}, "has target with row numbers"),
        ({"greedy_likely": np.ones((1, 3), bool)}, "has greedy_likely of shape"),
    ],
)
def test_mazes_that_do_not_fit_together_are_refused(tmp_path: Path, changes: dict[str, np.ndarray], words: str) -> None:
    path = tmp_path / "solved_paths.npz"
    path.write_bytes(npz(MAZES))
    assert len(maze_gallery.draw(path, tmp_path / "gallery")) == 3
    path.write_bytes(npz(MAZES | changes))
    with pytest.raises(InputError, match=words):
        maze_gallery.draw(path, tmp_path / "gallery")


@shared_cases.each("run-files/npz-*.npz")
def test_evidence_that_once_failed_is_refused(run: Path, case: Path) -> None:
    metric = METRIC_OF[case.name.split("-")[1]]
    shutil.copy(case, run / "evidence" / f"{metric}.npz")
    with pytest.raises(InputError) as caught:
        draw_run(run)
    assert f"{metric}.npz" in str(caught.value)
    assert "worldbench eval" in str(caught.value)
    assert "\n" not in str(caught.value)
    kept = "map.png" if metric != "map_reconstruction" else "spectra.png"
    assert (run / "figures" / kept).exists()
