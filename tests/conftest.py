"""What every test stands on: one thread, no display, no clock, and nobody's cache."""

from __future__ import annotations

import os

os.environ["OMP_NUM_THREADS"] = "1"  # read when torch loads, so before any test module is imported
os.environ["GOMP_SPINCOUNT"] = "0"
os.environ["MPLBACKEND"] = "Agg"

import functools
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import route_texts
import street_map
from tiny_runs import no_picture

from worldbench.core.graph import Graph

try:
    from hypothesis import settings
except ImportError:  # tests marked `gpu` do not need it
    pass
else:
    settings.register_profile("worldbench", deadline=None, derandomize=True, database=None)
    settings.load_profile("worldbench")

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip the tests marked `gpu` without a CUDA device."""
    marked = [item for item in items if item.get_closest_marker("gpu") is not None]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="torch sees no CUDA device"))


@pytest.fixture
def tmp_path(tmp_path: Path) -> Path:
    """An empty folder of the test, with nothing beside it: the references of a result are looked for in the folders
    beside its own, and pytest puts the folders of all tests side by side."""
    folder = tmp_path / "own"
    folder.mkdir()
    return folder


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """No test leaves more threads to the next one: products of two threads round otherwise."""
    yield
    torch = sys.modules.get("torch")
    if torch is not None and torch.get_num_threads() != 1:
        torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """An empty cache folder for the session, also for the processes that tests start."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORLDBENCH_CACHE", str(folder))
        yield folder


@pytest.fixture(scope="session", autouse=True)
def _one_process() -> Iterator[None]:
    """A run that names no --workers is scored in this process: it is tiny, and what a test replaces is seen here."""
    from worldbench.runs import processes

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(processes, "MOST_WORKERS", 1)
        yield


_draws = False


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any fixture of the test: does it ask for pictures?"""
    global _draws
    _draws = item.get_closest_marker("pictures") is not None


@pytest.fixture(scope="session", autouse=True)
def _pictures() -> Iterator[None]:
    """Pictures take most of the time of a tiny run. Tests marked `pictures` get them. In all other tests, figures are
    made and their files are written, and a short text stands in place of the picture."""
    from worldbench.figures import style

    real = style.picture
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            style, "picture", lambda figure, kind, **more: (real if _draws else no_picture)(figure, kind, **more)
        )
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_byte_code() -> Iterator[None]:
    """Tests write a module, import it, and write it again within one second; byte code would then be out of date. (Byte
    code of the tests themselves is written before, when they are collected.)"""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sys, "dont_write_bytecode", True)
        patch.setenv("PYTHONDONTWRITEBYTECODE", "1")
        yield


@pytest.fixture(scope="session", autouse=True)
def _no_waiting() -> Iterator[None]:
    """Nobody cuts the power of tests, and git is asked for the commit once. (test_writing.py holds when files are
    flushed; other processes flush theirs.)"""
    from worldbench.training import environment

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", lambda handle: None)
        patch.setattr(environment, "commit", functools.cache(environment.commit))
        yield


@pytest.fixture(autouse=True)
def _plugins_of_one_test() -> Iterator[None]:
    """What a test's plugins registered is there for that test alone: others go over everything that is registered."""
    from worldbench.core import plugins

    before = set(plugins._run)
    yield
    for plugin in [plugin for digest, plugin in plugins._run.items() if digest not in before]:
        plugins.forget(plugin)


@pytest.fixture(scope="session")
def manhattan_map() -> Path:
    """The real street map, where it lies beside the checkout."""
    if not street_map.REAL.is_file():
        pytest.skip("the map of Manhattan is not beside this checkout (../shared/maps/manhattan.graphml.gz)")
    return street_map.REAL


@pytest.fixture(scope="session")
def generated_map(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A street map of the shape of Greenwich Village and its surroundings, made by the tests."""
    return street_map.write(tmp_path_factory.mktemp("map") / "town.graphml.gz")


@pytest.fixture(scope="session", params=["generated", "manhattan"])
def village_map(request: pytest.FixtureRequest) -> Path:
    """A street map that contains a village: the generated one, and the real one where it lies beside the checkout."""
    return request.getfixturevalue(f"{request.param}_map")


@pytest.fixture(scope="session")
def tuned(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tuning of gpt and of nextlat. Tests that use it are of the group "tune"."""
    import tune_runs

    return tune_runs.tune_both(tmp_path_factory.mktemp("tuned"))


@pytest.fixture(scope="session")
def reported(tuned: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of runs of the two tuned recipes, and of one run that was not tuned."""
    import tune_runs

    return tune_runs.run_recipes(tuned, tmp_path_factory.mktemp("reported"))


@pytest.fixture(autouse=True)
def usual_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tables are as wide as where no terminal says otherwise, whatever the shell that runs the tests says."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def square(tmp_path: Path) -> Path:
    """A table of four places, as a file."""
    path = tmp_path / "square.csv"
    path.write_text(route_texts.SQUARE, encoding="utf-8")
    return path


@pytest.fixture
def graph(square: Path) -> Graph:
    """The map of that table, with the compass words among its directions."""
    from worldbench.envs.taxi.config import TaxiConfig
    from worldbench.envs.taxi.maps import load_map
    from worldbench.studies.routes import with_directions

    return with_directions(load_map(TaxiConfig(map=str(square))))
