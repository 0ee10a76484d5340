"""The world of mazes to be solved against literal readings: one maze, one token at a time."""

from __future__ import annotations

import inspect
import itertools
import re
from collections import deque

import numpy as np
import pytest
from solve_mazes import CONFIGS

from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN
from worldbench.envs.maze import text_format
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.solve_config import SolveConfig
from worldbench.envs.maze.text_format import END, FIRST_CELL, parse


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


@pytest.mark.parametrize("size", [3, pytest.param(5, marks=pytest.mark.slow)])
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


def test_the_card_says_what_it_is(world: SolveWorld) -> None:
    card = world.card(100)
    assert card["mazes"] == 100
    assert card["cells"] == [world.rows, world.columns]
    assert world.summary(100).endswith("100 mazes for training")
