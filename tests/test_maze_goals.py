"""The target of maze-solve as a goal, against literal readings of all documents of one maze."""

from __future__ import annotations

import dataclasses
from collections import defaultdict

import numpy as np
import pytest
from solve_mazes import CONFIGS
from test_goals import equal
from test_maze_solve import hops_to, literal

from worldbench.core.abilities import HasGoals
from worldbench.core.streams import generator
from worldbench.core.world import Documents
from worldbench.envs.maze import text_format
from worldbench.envs.maze.solve import SolveWorld
from worldbench.envs.maze.text_format import FIRST_CELL
from worldbench.metrics.goal_pairs import with_goals


@pytest.fixture(scope="module", params=CONFIGS)
def world(request: pytest.FixtureRequest) -> SolveWorld:
    return SolveWorld(CONFIGS[request.param])


def test_a_target_in_the_prompt_is_the_target_of_the_state(world: SolveWorld) -> None:
    rng = generator("test", "targets")
    documents = world.sample(0, "test", 0, 200)
    tokens = documents.tokens.copy()
    strange = (rng.random(tokens.shape) < 0.05) & (np.arange(tokens.shape[1]) >= documents.prompt_length[:, None])
    tokens[strange] = rng.integers(0, len(world.vocabulary), int(strange.sum()))
    made = (rng.random(200) * (documents.length - documents.prompt_length + 1)).astype(np.int32)
    cut = Documents(tokens, documents.prompt_length + made, documents.prompt_length)
    goals = rng.integers(0, world.k, 200)
    for w in (world, world.damaged(2, 1, 1, 3)):
        states = w.after(cut)
        assert len(np.unique(w.outcome(states))) >= 3
        other = w.with_goals(states, goals)
        assert np.array_equal(w.goals(other), goals)
        assert equal(other, w.after(with_goals(w, cut, goals)))


def every_document(line: str, least: int) -> dict[tuple[str, ...], dict[str, float]]:
    """All documents with the maze and the origin of a line: path -> {target: its probability, not normalized}."""
    near, origin, *_ = literal(line)
    out: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for target in near:
        hops = hops_to(near, target)
        if hops.get(origin, 0) < least:
            continue
        paths = {(origin,): 1 / sum(h >= least for h in hops.values())}
        for _ in range(hops[origin]):
            longer = defaultdict(float)
            for path, p in paths.items():
                nearer = [c for c in near[path[-1]] if hops[c] < hops[path[-1]]]
                for c in nearer:
                    longer[*path, c] += p / len(nearer)
            paths = longer
        for path, p in paths.items():
            out[path][target] = p
    return out


@pytest.mark.slow
def test_all_documents_of_a_maze(world: SolveWorld) -> None:
    """other_goals gives the targets of documents that come to the cell; the blind law averages over them. It is given
    the cell and not the path, so paths to one cell are counted together."""
    assert isinstance(world, HasGoals)
    documents = world.sample(5, "test", 0, 6)
    words = world.vocabulary.words
    for i, line in enumerate(text_format.to_text(documents, world.rows, world.columns)):
        reached, following = defaultdict(set), defaultdict(lambda: defaultdict(float))
        arriving = defaultdict(list)
        for path, targets in every_document(line, world.config.least_moves).items():
            for target, p in targets.items():
                for t in range(len(path)):
                    place = t + 1, path[t]
                    reached[place].add(target)
                    arriving[place].append(path[: t + 1])
                    following[place][path[t + 1] if t + 1 < len(path) else "<PATH_END>"] += p
        prompt = documents.tokens[i : i + 1, : documents.prompt_length[i]]
        length = documents.prompt_length[i : i + 1]
        for place, targets in reached.items():
            for path in set(arriving[place]):
                states = world.start(prompt, length)
                for cell in path:
                    states = world.step(states, np.array([words.index(cell)]))
                exact = np.array([following[place].get(words[a], 0.0) for a in world.vocabulary.actions])
                assert world.blind_law(states)[0] == pytest.approx(exact / exact.sum(), abs=1e-12)
            many = states.take(np.zeros(200, int))
            found = set(world.other_goals(many, (np.arange(200) + 0.5) / 200).tolist())
            own = int(states.target[0])
            assert found == ({words.index(t) - FIRST_CELL for t in targets} - {own} or {-1})
            assert (world.other_goals(dataclasses.replace(many, status=many.status + 1), np.zeros(200)) == -1).all()


def test_a_blind_reader_off_the_way(world: SolveWorld) -> None:
    """Before the path the origin follows. Off every shortest path, the law is uniform over the passages. Never does
    the law depend on the target."""
    documents = world.sample(2, "test", 0, 40)
    states = world.after(documents.take(slice(None)))
    first = world.start(documents.tokens[:, : world.prompt_length], documents.prompt_length)
    assert np.array_equal(world.blind_law(first), world.law(first))
    assert world.blind_law(states) == pytest.approx(np.full((40, world.k + 1), 1 / (world.k + 1)))
    rng = generator("test", "blind")
    here, lost = world.step(first, first.origin + FIRST_CELL), 0
    for _ in range(12):
        law = world.blind_law(here)
        assert law.sum(axis=1) == pytest.approx(np.ones(40))
        assert np.array_equal(law, world.blind_law(world.with_goals(here, rng.integers(0, world.k, 40))))
        off = here.moves - 1 > world.with_goals(here, here.cell).to_go[np.arange(40), here.origin]
        legal = world.legal(here)[:, :-1]
        assert law[off, :-1] == pytest.approx(legal[off] / legal[off].sum(axis=1, keepdims=True))
        assert not law[off, -1].any()
        lost += int(off.sum())
        steps = rng.random(legal.shape) * legal
        here = world.step(here, steps.argmax(axis=1) + FIRST_CELL)
    assert lost > 100
