"""Groups: the tables against permutations, labels against products computed one by one, histories, lengths."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from worldbench.core.errors import InputError
from worldbench.core.states import replay
from worldbench.core.world import ARRIVED, ILLEGAL, OPEN
from worldbench.envs.group.config import GroupConfig
from worldbench.envs.group.tables import group
from worldbench.envs.group.world import FIRST, GroupWorld


def world(**options: Any) -> GroupWorld:
    return GroupWorld(GroupConfig(**{"group": "A4", "length": 5, "test_length": 11, **options}))


@pytest.mark.parametrize(
    ("name", "order", "solvable"),
    [("A5", 60, False), ("S5", 120, False), ("S3", 6, True), ("Z60", 60, True), ("D5", 10, True), ("Z2xA4", 24, True),
     ("S1", 1, True), ("A1", 1, True), ("S6", 720, False)],
)  # fmt: skip
def test_a_table_is_a_group(name: str, order: int, solvable: bool) -> None:
    g = group(name)
    p, k = g.product.astype(int), np.arange(order)
    assert (len(g), g.solvable, len(set(g.words))) == (order, solvable, order)
    assert (p[0] == k).all()
    assert (p[k, g.inverse] == 0).all()
    assert (np.sort(p, axis=0) == k[:, None]).all()
    a, b, c = np.random.default_rng(0).integers(0, order, (3, 2000))
    assert (p[p[a, b], c] == p[a, p[b, c]]).all()


def test_products_are_those_of_the_permutations_that_words_name() -> None:
    g = group("S4")
    for a in range(24):
        for b in range(24):
            left, right = g.words[a], g.words[b]
            assert g.words[g.product[a, b]] == "".join(left[int(x)] for x in right)


def test_the_solvable_flag_is_the_derived_series() -> None:
    for name in ("S3", "S4", "A4", "A5", "S5", "D6", "Z2xA5"):
        g = group(name)
        p, inverse, part = g.product.astype(int), g.inverse, np.arange(len(g))
        while True:  # the subgroup of commutators, again and again
            found = np.unique(p[p[inverse[part][:, None], inverse[part]], p[part[:, None], part]])
            while len(more := np.unique(p[found[:, None], found])) > len(found):
                found = more
            if len(found) == len(part):
                break
            part = found
        assert g.solvable == (len(part) == 1), name


def test_labels_are_running_products() -> None:
    w = world(group="A5")
    d = w.sample(0, "test", 0, 40)
    assert d.labels is not None
    for tokens, labels in zip(d.tokens, d.labels):
        state = "01234"
        for token, label in zip(tokens[1:], labels[1:]):
            word = w.vocabulary.words[token]
            state = "".join(state[int(x)] for x in word)
            assert w.vocabulary.words[label] == state


def test_training_is_shorter_than_the_test() -> None:
    w = world()
    train, test = (w.sample(0, split, 0, 30) for split in ("train", "test"))
    assert (train.length == 6).all()
    assert (test.length == 12).all()
    assert train.tokens.shape == test.tokens.shape
    assert train.labels is not None
    assert (train.labels[:, 6:] == -1).all()
    assert w.trained_length == 6
    assert (w.sample(0, "test", 10, 5).tokens == test.tokens[10:15]).all()


def test_elements_and_labels_are_uniform() -> None:
    d = world().sample(0, "train", 0, 4000)
    assert d.labels is not None
    assert chisquare(np.bincount(d.tokens[:, 1:6].ravel())[2:]).pvalue > 1e-3
    assert chisquare(np.bincount(d.labels[:, 5])[2:]).pvalue > 1e-3


def test_the_law_is_the_label() -> None:
    w = world()
    d = w.sample(0, "test", 0, 50)
    assert d.labels is not None
    for seen, rows, here in replay(w, d, ends=True):
        law = w.law(here)
        assert np.allclose(law.sum(axis=1), 1)
        if seen > 1:
            assert (law.argmax(axis=1) == d.labels[rows, seen - 1] - FIRST).all()
    assert (w.after(d).status == ARRIVED).all()


def test_a_token_that_is_no_element_is_lost() -> None:
    w = world()
    states = w.step(w.start(*w.prompts(0, 1)), np.array([0]))
    assert states.status[0] == ILLEGAL
    assert not w.legal(states).any()
    assert np.allclose(w.law(states), 1 / 12)
    assert w.step(states, np.array([FIRST])).status[0] == ILLEGAL


def test_histories_lead_to_their_state() -> None:
    w = world()
    u = np.random.default_rng(0).random((500, 16))
    states, moves = w.draw_states(u), np.random.default_rng(1).integers(0, 12, 500)
    h = w.histories(states, moves, u[:, 4:])
    some = moves > 0
    assert (h.length == np.where(some, 1 + moves, 0)).all()
    assert (w.after(h).product == states.product)[some].all()
    assert len(np.unique(h.tokens[some][:, 1])) > 8


def test_there_is_one_prompt() -> None:
    tokens, lengths = world().prompts(0, 7)
    assert world().vocabulary.text(tokens[0]) == "start"
    assert lengths.tolist() == [1]
    assert world().outcome(world().start(tokens, lengths)).tolist() == [OPEN]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"group": "A"}, "names no group"),
        ({"group": "Q8"}, "names no group"),
        ({"group": "Z0"}, "names no group"),
        ({"group": "S7"}, "more than 1,024"),
        ({"group": "S9999"}, "more than 1,024"),
        ({"group": "Z40xZ40"}, "more than 1,024"),
        ({"length": 1}, "env.length must be at least 2"),
        ({"test_length": 4}, "between env.length"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        world(**options)
