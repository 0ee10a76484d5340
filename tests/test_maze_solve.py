"""The world of mazes to be solved against literal readings: one maze, one token at a time."""

from __future__ import annotations

import inspect
import itertools
import re
import time
from collections import deque
from pathlib import Path

import numpy as np
import pytest

from worldbench.core.errors import InputError
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Documents
from worldbench.envs.maze import problems, text_format
from worldbench.envs.maze.edits import misread
from worldbench.envs.maze.grid import to_walls, walls
from worldbench.envs.maze.problems import HeldOut, Source
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.maze.text_format import END, FIRST_CELL, parse

CONFIGS = {
    "tree": SolveConfig(),
    "loops": SolveConfig(rows=4, columns=6, generator="depth-first-percolation", percolation=0.3),
    "holes": SolveConfig(rows=4, generator="percolation", least_moves=3),
}


@pytest.fixture(scope="module", params=CONFIGS)
def world(request: pytest.FixtureRequest) -> SolveWorld:
    return SolveWorld(CONFIGS[request.param])


def literal(line: str) -> tuple[dict[str, set[str]], str, str, list[str]]:
    """Neighbours, origin, target, path of a line of text."""
    words = line.split()
    edges = " ".join(words[1 : words.index("<ADJLIST_END>")]).split(" ;")[:-1]
    near: dict[str, set[str]] = {}
    for edge in edges:
        a, b = edge.split(" <--> ")
        near.setdefault(a.strip(), set()).add(b.strip())
        near.setdefault(b.strip(), set()).add(a.strip())
    path = words[words.index("<PATH_START>") + 1 : -1]
    return near, words[words.index("<ORIGIN_START>") + 1], words[words.index("<TARGET_START>") + 1], path


def hops_to(near: dict[str, set[str]], target: str) -> dict[str, int]:
    out, queue = {target: 0}, deque([target])
    while queue:
        cell = queue.popleft()
        for other in near.get(cell, ()):
            if other not in out:
                out[other] = out[cell] + 1
                queue.append(other)
    return out


def test_documents_are_shortest_paths_of_the_mazes_they_tell(world: SolveWorld) -> None:
    documents = world.sample(3, "train", 0, 60)
    several = 0
    for line, length, given in zip(
        text_format.to_text(documents, world.rows, world.columns), documents.length, documents.prompt_length
    ):
        near, origin, target, path = literal(line)
        hops = hops_to(near, target)
        assert path[0] == origin
        assert path[-1] == target
        assert len(path) == hops[origin] + 1 > world.config.least_moves
        assert all(b in near[a] for a, b in itertools.pairwise(path))
        assert length == given + len(path) + 1
        assert len(line.split()) == length
        several += any(sum(hops.get(b) == hops[a] - 1 for b in near[a]) > 1 for a in path)
    assert (several > 0) == (world.config.generator != "depth-first")


def test_the_automaton_step_by_step(world: SolveWorld) -> None:
    documents = world.sample(1, "test", 0, 25)
    words = world.vocabulary.words
    lines = text_format.to_text(documents, world.rows, world.columns)
    for i, line in enumerate(lines):
        near, origin, target, path = literal(line)
        hops = hops_to(near, target)
        prompt = documents.tokens[i : i + 1, : documents.prompt_length[i]]
        states = world.start(prompt, documents.prompt_length[i : i + 1])
        at = None
        for t in range(len(path) + 1):
            expected = {origin} if at is None else near[at] | ({"<PATH_END>"} if at == target else set())
            assert {words[world.vocabulary.actions[a]] for a in np.flatnonzero(world.legal(states)[0])} == expected
            likely = (
                {origin}
                if at is None
                else {"<PATH_END>"}
                if at == target
                else {b for b in near[at] if hops.get(b) == hops[at] - 1}
            )
            law = world.law(states)[0]
            assert {words[world.vocabulary.actions[a]] for a in np.flatnonzero(law)} == likely
            assert law[law > 0] == pytest.approx(1 / len(likely))
            assert world.distance(states)[0] == (hops[origin] + 1 if at is None else hops[at])
            at = path[t] if t < len(path) else at
            states = world.step(states, np.array([words.index(at) if t < len(path) else END]))
        assert world.outcome(states)[0] == ARRIVED
        assert not world.legal(states).any()


def test_wrong_words_end_where_they_should(world: SolveWorld) -> None:
    d = world.sample(0, "test", 0, 40)
    start = world.start(d.tokens[:, : world.prompt_length], d.prompt_length)
    first = d.tokens[np.arange(40), d.prompt_length]
    for token in (END, text_format.PATH, text_format.PAD, FIRST_CELL + world.k - 1):
        outcome = world.outcome(world.step(start, np.full(40, token)))
        assert (outcome[first != token] == ILLEGAL).all()
    begun = world.step(start, first)
    assert (world.outcome(begun) == OPEN).all()
    assert (world.outcome(world.step(begun, np.full(40, END))) == MISPLACED_END).all()
    lost = world.step(begun, first)  # to stay is no move
    assert (world.outcome(lost) == ILLEGAL).all()
    assert (world.outcome(world.step(lost, np.full(40, END))) == ILLEGAL).all()
    assert np.allclose(world.law(lost), 1 / (world.k + 1))
    garbled = d.tokens[:, : world.prompt_length].copy()
    garbled[:, 2] = text_format.STOP
    assert (world.outcome(world.start(garbled, d.prompt_length)) == ILLEGAL).all()


def test_a_document_is_its_number(world: SolveWorld) -> None:
    for split in ("train", "test"):
        whole = world.sample(5, split, 0, 300)
        some = world.sample(5, split, 100, 40)
        for name in ("tokens", "length", "prompt_length"):
            assert np.array_equal(getattr(some, name), getattr(whole, name)[100:140])
        assert not np.array_equal(world.sample(6, split, 0, 300).tokens, whole.tokens)


@pytest.mark.parametrize("size", [3, 5])
def test_no_maze_is_both_trained_and_tested_on(size: int) -> None:
    world = SolveWorld(SolveConfig(rows=size, generator="wilson"))
    mazes = {}
    for split in ("train", "test"):
        d = world.sample(0, split, 0, 4000)
        said = parse(d.tokens, d.prompt_length, size, size)
        assert said.good.all()
        mazes[split] = {row.tobytes() for row in said.open}
        assert (world.source.held_out.holds(said.open) == (split == "test")).all()
    assert not mazes["train"] & mazes["test"]
    if size == 3:  # 192 spanning trees: all of them occur
        assert len(mazes["train"] | mazes["test"]) == 192
        assert 0.1 < len(mazes["test"]) / 192 < 0.3


def test_prompts_are_distinct_held_out_and_extend(world: SolveWorld) -> None:
    tokens, lengths = world.prompts(0, 700)
    fewer = SolveWorld(world.config).prompts(0, 100)
    assert np.array_equal(fewer[0], tokens[:100])
    assert np.array_equal(fewer[1], lengths[:100])
    assert (world.outcome(world.start(tokens, lengths)) == OPEN).all()
    key = world.key(world.start(tokens, lengths))[0]
    assert len(np.unique(key, axis=0)) == len(tokens) == 700
    assert world.source.held_out.holds(world.start(tokens, lengths).open > 0).all()


def test_there_are_only_so_many_prompts_of_a_tiny_grid() -> None:
    world = SolveWorld(SolveConfig(rows=2, columns=3, generator="wilson", held_out_share=0.4))
    tokens, lengths = world.prompts(0, 5000)
    assert 0 < len(tokens) < 15 * 30  # 15 spanning trees, 30 pairs of cells
    assert len(world.prompts(0, 10)[0]) == 10
    assert (world.prompt_lengths(tokens) == lengths).all()


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"generator": "percolation", "percolation": 0.01, "least_moves": 3},
         "moves; lower env.least_moves, or take larger mazes, or raise env.percolation"),
        ({"held_out_share": 0.99},
         "none is left to train on at env.held_out_share 0.99; lower it, or take larger mazes"),
        ({"held_out_share": 0.01}, "none is held out at env.held_out_share 0.01; raise it, or take larger mazes"),
        ({"rows": 5, "least_moves": 24, "generator": "prim"},
         "none of the train split had a way of at least 24 moves; lower env.least_moves"),
    ],
)  # fmt: skip
def test_options_that_leave_no_problem_are_refused_at_once(options: dict, told: str) -> None:
    """They once drew 20,000 mazes for each of 8,192 problems."""
    config = SolveConfig(**{"rows": 2, **options})
    started = time.process_time()
    with pytest.raises(InputError) as error:
        SolveWorld(config)
    assert told in str(error.value)
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


@pytest.mark.parametrize(
    ("changes", "told"),
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
def test_wrong_options(changes: dict, told: str) -> None:
    with pytest.raises(InputError, match=re.escape(told)):
        SolveWorld(SolveConfig(**changes))


OTHER = {
    "rows": 4, "columns": 6, "generator": "wilson", "percolation": 0.5, "least_moves": 4, "held_out_share": 0.5,
}  # fmt: skip


@pytest.mark.parametrize("name", [*OTHER, "file"])
def test_every_option_has_an_effect(name: str, tmp_path: Path) -> None:
    base = SolveConfig(generator="depth-first-percolation")
    other = OTHER.get(name)
    if name == "file":
        text_format.write(tmp_path / "mazes.txt", SolveWorld(base).sample(0, "train", 0, 40), 5, 5)
        other = str(tmp_path / "mazes.txt")
    changed = SolveConfig(**{"generator": base.generator if name != "generator" else other, name: other})
    a, b = SolveWorld(base), SolveWorld(changed)
    assert a.identity() != b.identity()
    assert not np.array_equal(a.sample(0, "train", 0, 40).tokens, b.sample(0, "train", 0, 40).tokens)


# The examples of the documentation


def test_worked_examples() -> None:
    doc = inspect.getdoc(SolveWorld)
    assert doc is not None
    examples = [" ".join(x.split()) for x in re.findall(r"<ADJLIST_START>.*?<PATH_END>", doc, re.DOTALL)]
    assert len(examples) == 2
    world = SolveWorld(SolveConfig(rows=2))
    d = text_format.from_text(examples, 2, 2)
    states = world.after(d)
    assert (world.outcome(states) == ARRIVED).all()
    for closed, example in zip(("(0,0) (0,1)", "(1,0) (1,1)"), examples):
        a, b = closed.split()
        assert b not in literal(example)[0].get(a, set())
    seen = {" ".join(line.split()) for line in text_format.to_text(world.sample(0, "train", 0, 4000), 2, 2)}
    seen |= set(text_format.to_text(world.sample(0, "test", 0, 4000), 2, 2))
    assert set(examples) <= seen  # the world itself says them


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
    told = flips[0].entries < world.n_walls
    assert 0.4 < flips[0].flip[told].mean() < 0.6
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
    changed, told = world.minimal_pairs(prompts, lengths, 0)
    rows = np.flatnonzero(told)
    assert len(rows) > 200
    before, after = (world.start(t[rows], n[rows]) for t, n in ((prompts, lengths), (changed, told)))
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


def test_the_card_says_what_it_is(world: SolveWorld) -> None:
    card = world.card(100)
    assert card["mazes"] == 100
    assert card["cells"] == [world.rows, world.columns]
    assert world.summary(100).endswith("100 mazes to learn from")
