"""Options of the world of mazes to be solved: those that leave no problem, or cannot be, are refused."""

from __future__ import annotations

import re
import time

import numpy as np
import pytest
from solve_mazes import CONFIGS

from worldbench.core.errors import InputError
from worldbench.envs.maze import problems
from worldbench.envs.maze.grid import walls
from worldbench.envs.maze.problems import HeldOut, Source
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig


@pytest.fixture(scope="module", params=CONFIGS)
def world(request: pytest.FixtureRequest) -> SolveWorld:
    return SolveWorld(CONFIGS[request.param])


@pytest.mark.slow
def test_there_are_only_so_many_prompts_of_a_tiny_grid() -> None:
    world = SolveWorld(SolveConfig(rows=2, columns=3, generator="wilson", held_out_share=0.4))
    tokens, lengths = world.prompts(0, 5000)
    assert 0 < len(tokens) < 15 * 30  # 15 spanning trees, 30 pairs of cells
    assert len(world.prompts(0, 10)[0]) == 10
    assert (world.prompt_lengths(tokens) == lengths).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generator": "percolation", "percolation": 0.01, "least_moves": 3},
         "moves; lower env.least_moves, or take larger mazes, or raise env.percolation"),
        ({"held_out_share": 0.99},
         "none remains for training with env.held_out_share 0.99; lower it, or take larger mazes"),
        ({"held_out_share": 0.01}, "none is held out with env.held_out_share 0.01; raise it, or take larger mazes"),
        ({"rows": 5, "least_moves": 24, "generator": "prim"},
         "none of the train split had a path of at least 24 moves; lower env.least_moves"),
    ],
)  # fmt: skip
def test_options_that_leave_no_problem_are_refused_at_once(options: dict, message: str) -> None:
    """They once drew 20,000 mazes for each of 8,192 problems."""
    config = SolveConfig(**{"rows": 2, **options})
    started = time.process_time()
    with pytest.raises(InputError) as error:
        SolveWorld(config)
    assert message in str(error.value)
    source = Source(
        config,
        HeldOut.of(
            config.rows, config.width, config.held_out_share, np.zeros((0, len(walls(config.rows, config.width))), bool)
        ),
    )
    with pytest.raises(InputError):
        _ = [source.draw(0, split, 0, 9000) for split in ("train", "test")]
    assert time.process_time() - started < 10


def test_other_mazes_without_a_problem_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(problems, "GIVEN_UP", ((512, 1),))
    world = SolveWorld(SolveConfig(rows=4, least_moves=13, generator="depth-first-no-forks"))
    assert "prim" not in world.shifted()
    assert "smaller" in world.shifted()
    assert "prim" in SolveWorld(SolveConfig(rows=4)).shifted()
    few = SolveWorld(SolveConfig(rows=3, held_out_share=0.1))  # none of the 192 trees on 2 x 2 cells is held out
    assert "smaller" not in few.shifted()
    assert "wilson" in few.shifted()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"rows": 1}, "rows"),
        ({"columns": 1}, "columns"),
        ({"rows": 40}, "1024"),
        ({"generator": "wilsen"}, "'wilson'"),
        ({"percolation": 0.2}, "percolation"),
        ({"generator": "percolation", "percolation": 1.5}, "probability"),
        ({"least_moves": 25}, "least_moves"),
        ({"held_out_share": 1.0}, "held_out_share"),
        ({"file": "nowhere.txt"}, "nowhere.txt"),
    ],
)
def test_wrong_options(changes: dict, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)):
        SolveWorld(SolveConfig(**changes))
