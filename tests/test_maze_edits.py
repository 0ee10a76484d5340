"""Mazes written again, changed by one passage, shifted, damaged and drawn."""

from __future__ import annotations

import numpy as np
import pytest
from solve_mazes import CONFIGS

from worldbench.core.errors import InputError
from worldbench.core.world import OPEN, Documents
from worldbench.envs.maze.edits import misread
from worldbench.envs.maze.grid import to_walls
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.maze.text_format import FIRST_CELL, parse


@pytest.fixture(scope="module", params=CONFIGS)
def world(request: pytest.FixtureRequest) -> SolveWorld:
    return SolveWorld(CONFIGS[request.param])


# Told again, changed, shifted, damaged


def test_a_maze_told_again_is_the_same_maze(world: SolveWorld) -> None:
    d = world.sample(0, "test", 0, 200)
    again = world.retold(d, 0)
    assert np.array_equal(again.length, d.length)
    assert np.array_equal(world.key(world.after(d))[0], world.key(world.after(again))[0])
    inside = np.arange(d.tokens.shape[1])[None, :] >= d.prompt_length[:, None]
    assert np.array_equal(np.where(inside, d.tokens, 0), np.where(inside, again.tokens, 0))
    assert (again.tokens != d.tokens).any(axis=1).mean() > 0.95
    assert np.array_equal(
        world.retold(Documents(d.tokens[:50], d.length[:50], d.prompt_length[:50]), 0).tokens, again.tokens[:50]
    )
    flips = [parse(x.tokens, x.prompt_length, world.rows, world.columns) for x in (d, again)]
    message = flips[0].entries < world.n_walls
    assert 0.4 < flips[0].flip[message].mean() < 0.6
    assert np.array_equal(np.sort(flips[0].entries, axis=1), np.sort(flips[1].entries, axis=1))


def test_orders_and_sides_are_even() -> None:
    world = SolveWorld(SolveConfig(rows=2, generator="wilson"))
    d = world.sample(0, "train", 0, 6000)
    said = parse(d.tokens, d.prompt_length, 2, 2)
    _, counts = np.unique(said.entries[:, 0], return_counts=True)
    mazes, shares = np.unique(said.open, axis=0, return_counts=True)
    assert len(mazes) <= 4
    for maze, n in zip(mazes, shares):
        mine = (said.open == maze).all(axis=1)
        _, orders = np.unique(said.entries[mine], axis=0, return_counts=True)
        assert len(orders) == 6
        assert (np.abs(orders - n / 6) < 5 * (n / 6) ** 0.5).all()
    assert counts.sum() == 6000
    assert abs(said.flip.mean() - 0.5) < 0.02


def test_minimal_pairs_move_one_passage(world: SolveWorld) -> None:
    prompts, lengths = world.prompts(0, 300)
    changed, message = world.minimal_pairs(prompts, lengths, 0)
    rows = np.flatnonzero(message)
    assert len(rows) > 200
    before, after = (world.start(t[rows], n[rows]) for t, n in ((prompts, lengths), (changed, message)))
    assert ((before.open > 0) & (after.open == 0)).sum(axis=1).tolist() == [1] * len(rows)
    assert ((before.open == 0) & (after.open > 0)).sum(axis=1).tolist() == [1] * len(rows)
    assert ((prompts != changed)[rows].sum(axis=1) <= 2).all()  # the two cells of one entry
    assert np.array_equal(before.target, after.target)
    assert (world.distance(after) > 0).all()
    if world.config.generator == "depth-first":
        same = world.distance(before) == world.distance(after)
        assert 0.3 < same.mean() < 0.8


def test_shifts_share_words_and_differ(world: SolveWorld) -> None:
    shifts = world.shifted()
    assert {"wilson", "smaller"} <= set(shifts)
    shares = {}
    for name, other in shifts.items():
        assert other.vocabulary == world.vocabulary
        tokens, lengths = other.prompts(0, 60)
        states = world.start(tokens, lengths)
        assert (world.outcome(states) == OPEN).all()
        assert world.source.held_out.holds(states.open > 0).all()
        shares[name] = float((states.open > 0).sum(axis=1).mean())
        if name == "smaller":
            r, c = np.divmod(np.stack([states.origin, states.target]), world.columns)
            assert r.max() < world.rows - 1
            assert c.max() < world.columns - 1
    assert shares["smaller"] < shares["wilson"]
    if "loops" in shares:
        assert shares["loops"] > shares["wilson"]


@pytest.mark.parametrize("kind", ["deleted", "added", "rewired"])
def test_damage_is_nested_and_of_its_size(kind: str, world: SolveWorld) -> None:
    prompts, lengths = world.prompts(0, 80)
    said = parse(prompts, lengths, world.rows, world.columns)
    last = said.open
    for size in range(1, 6):
        amount = {"deleted": 0, "added": 0, "rewired": 0, kind: size}
        now = misread(said, *amount.values(), 3, world.rows, world.columns)
        lost, gained = (said.open & ~now).sum(axis=1), (now & ~said.open).sum(axis=1)
        assert (lost <= (0 if kind == "added" else size)).all()
        assert (gained <= (0 if kind == "deleted" else size)).all()
        assert max(lost.max(), gained.max()) == size
        assert not ((last != said.open) & (now != last)).any(axis=1).any() or kind == "rewired"
        last = now
    if kind == "deleted":
        from worldbench.envs.maze.problems import degree

        had = degree(said.open, world.rows, world.columns) > 0
        assert (degree(last, world.rows, world.columns)[had] > 0).all()
    damaged = world.damaged(**amount, seed=3)
    assert np.array_equal(damaged.start(prompts, lengths).open > 0, last)
    assert np.array_equal(damaged.prompts(0, 80)[0], prompts)
    with pytest.raises(InputError, match=kind):
        world.damaged(**{**amount, kind: 10_000}, seed=0)


def test_drawings_show_the_maze(world: SolveWorld) -> None:
    prompts, lengths = world.prompts(0, 10)
    d = world.drawing(prompts, lengths)
    assert np.array_equal(to_walls(d["passages"], world.rows, world.columns), world.start(prompts, lengths).open > 0)
    assert d["cell_of_token"][FIRST_CELL:].tolist() == list(range(world.k))
