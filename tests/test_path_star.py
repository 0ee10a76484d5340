"""Path-star: the published layout, the exact law against a search of the text, what is held out, and the controls."""

from __future__ import annotations

import dataclasses
from typing import Any

import networkx as nx
import numpy as np
import pytest
from scipy.stats import chisquare

from worldbench.baselines.references import Oracle
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config
from worldbench.core.states import replay
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, Documents
from worldbench.envs.path_star.config import PathStarConfig
from worldbench.envs.path_star.graphs import EQUALS, FIRST_NODE
from worldbench.envs.path_star.world import PathStarWorld
from worldbench.metrics import excess_loss
from worldbench.metrics.evaluation import Evaluation

SMALL = {"arms": 3, "length": 4, "labels": 14}


def world(**options: Any) -> PathStarWorld:
    return PathStarWorld(PathStarConfig(**{**SMALL, **options}))


def searched(text: str) -> list[str]:
    """The path that a prompt asks for, found by a search of its text."""
    edges, _, question = text.partition(" / ")
    graph = nx.DiGraph([entry.split() for entry in edges.split(" | ")])
    source, goal = question.split(" = ")[0].split()
    return nx.shortest_path(graph, source, goal)


def test_the_published_layout() -> None:
    published = PathStarWorld(PathStarConfig(arms=5, length=5))
    assert (published.context, published.prompt_length, len(published.vocabulary)) == (69, 63, 106)


@pytest.mark.parametrize("form", ["path", "reversed"])
def test_documents_are_the_paths_of_their_text(form: str) -> None:
    w = world(form=form)
    d = w.sample(1, "train", 0, 50)
    for row in d.tokens:
        prompt, _, answer = w.vocabulary.text(row).partition(" = ")
        path = searched(prompt + " = ")
        assert answer.split() == [*(path if form == "path" else path[::-1]), "end"]
    assert (w.after(d).status == ARRIVED).all()


def test_teacherless_documents_ask_for_the_path_and_show_none_of_it() -> None:
    w = world(form="teacherless")
    d = w.sample(1, "train", 0, 50)
    assert d.labels is not None
    for row, labels in zip(d.tokens, d.labels):
        prompt, _, shown = w.vocabulary.text(row).partition(" = ")
        assert set(shown.split()) == {"$"}
        assert [w.vocabulary.words[x] for x in labels if x >= 0] == searched(prompt + " = ")
        assert row[np.flatnonzero(labels >= 0)[0]] == EQUALS


@pytest.mark.parametrize("form", ["path", "reversed", "teacherless"])
def test_the_law_is_certain_of_what_documents_say(form: str) -> None:
    w = world(form=form)
    d = w.sample(0, "test", 0, 200)
    answers = np.array(w.vocabulary.answers)
    for seen, rows, here in replay(w, d, ends=w.labelled):
        law = w.law(here)
        assert (law.max(axis=1) == 1).all()
        assert np.allclose(law.sum(axis=1), 1)
        assert (answers[law.argmax(axis=1)] == d.answer(rows, np.full(len(rows), seen))).all()
        if not w.labelled:
            assert w.legal(here)[law > 0].all()
    report = excess_loss.METRIC.measure(Evaluation(w, Oracle(w), eval_config(documents=50)))
    assert report.scores["kl"].value == report.scores["exact_bayes"].value == 0
    scored = len(report.series["by_position"]["n"])
    assert w.expected_entropies().tolist() == [0.0] * scored


def test_every_arm_is_legal_and_one_is_right() -> None:
    w = world()
    d = w.sample(0, "test", 0, 300)
    states = w.start(d.tokens[:, : w.prompt_length], d.prompt_length)
    states = w.step(states, d.tokens[:, w.prompt_length])
    assert (w.legal(states).sum(axis=1) == 3).all()
    other = (states.chosen + 1) % 3
    rows = np.arange(300)
    for depth in range(3):
        states = w.step(states, states.arms[rows, other, depth] + FIRST_NODE)
        assert (w.distance(states) == -1).all()
        assert (w.legal(states).sum(axis=1) == 1).all()
    ended = w.step(states, np.full(300, w.vocabulary.end))
    assert (ended.status == MISPLACED_END).all()
    assert (w.with_goals(ended, ended.arms[rows, other, -1]).status == ARRIVED).all()
    assert (w.step(states, np.full(300, FIRST_NODE)).status == ILLEGAL).all()


def test_arms_and_goals_are_uniform() -> None:
    w = world()
    s = w.source.draw(0, "train", 0, 6000)
    assert chisquare(np.bincount(s.chosen, minlength=3)).pvalue > 1e-3
    assert chisquare(np.bincount(s.source, minlength=14)).pvalue > 1e-3
    assert chisquare(np.bincount(s.arms.ravel(), minlength=14)).pvalue > 1e-3


def test_training_never_sees_a_held_out_graph_with_any_goal() -> None:
    w = world(arms=2, length=2, labels=4, held_out_share=0.3)  # 4 * 3 * 2 / 2 graphs with 2 goals: all are drawn
    drawn, asked = {}, {}
    for split in ("train", "test"):
        s = w.source.draw(0, split, 0, 600)
        drawn[split] = {tuple(x) for x in s.same_graph().tolist()}
        asked[split] = {tuple(x) for x in np.concatenate([s.same_graph(), s.goal[:, None]], axis=1).tolist()}
    assert all(drawn.values())
    assert not drawn["train"] & drawn["test"]
    assert len(drawn["train"] | drawn["test"]) == 12
    assert [len(asked[split]) for split in drawn] == [2 * len(drawn[split]) for split in drawn]
    prompts, _ = w.prompts(0, 100)
    assert len(prompts) == len(asked["test"])


def test_documents_do_not_depend_on_the_range() -> None:
    w = world()
    whole, part = w.sample(3, "test", 0, 40), w.sample(3, "test", 17, 5)
    assert (whole.tokens[17:22] == part.tokens).all()
    few, more = w.prompts(0, 20)[0], w.prompts(0, 600)[0]
    assert (more[:20] == few).all()
    assert len(w.sample(0, "train", 0, 0)) == 0


def test_another_telling_is_the_same_state() -> None:
    w = world()
    d = w.sample(0, "test", 0, 100)
    again = w.retold(d, 5)
    assert (again.tokens != d.tokens).any(axis=1).mean() > 0.9
    for mine, other in zip(w.key(w.after(d)), w.key(w.after(again))):
        assert (mine == other).all()


def test_minimal_pairs_move_the_goal_to_another_arm() -> None:
    w = world()
    prompts, lengths = w.prompts(0, 100)
    changed, written = w.minimal_pairs(prompts, lengths, 0)
    assert (written == lengths).all()
    assert ((changed != prompts).sum(axis=1) == 2).all()
    before, after = w.start(prompts, lengths), w.start(changed, written)
    assert after.good.all()
    assert (before.goal == after.goal).all()
    assert (before.source == after.source).all()
    assert (before.chosen != after.chosen).all()
    assert not world(length=2).minimal_pairs(*world(length=2).prompts(0, 5), 0)[1].any()


def test_the_blind_law_is_the_mean_over_arms() -> None:
    w = world()
    d = w.sample(0, "test", 0, 100)
    for seen, _, here in replay(w, d):
        blind = w.blind_law(here)
        assert np.allclose(blind.sum(axis=1), 1)
        deciding = seen == w.prompt_length + 1
        assert ((blind > 0).sum(axis=1) == (3 if deciding else 1)).all()
        goals = w.other_goals(here, np.linspace(0, 0.999, len(d)))
        assert (goals >= 0).all() == (seen <= w.prompt_length + 1)
        if deciding:
            assert (w.law(w.with_goals(here, goals)).argmax(axis=1) != w.law(here).argmax(axis=1)).all()


def test_a_new_goal_in_the_prompt_is_the_goal_of_the_state() -> None:
    w = world()
    prompts, lengths = w.prompts(0, 50)
    states = w.start(prompts, lengths)
    goals = w.other_goals(states, np.full(50, 0.5))
    again = w.start(w.prompts_with_goals(prompts, lengths, goals), lengths)
    assert (w.goals(again) == goals).all()
    assert again.good.all()


def test_prompts_that_are_no_star_are_lost() -> None:
    w = world()
    prompts, lengths = w.prompts(0, 40)
    for column in (0, 1, 2, -1, -3):
        wrong = prompts.copy()
        wrong[:, column] = np.where(wrong[:, column] >= FIRST_NODE, wrong[:, column] - 1, 1)
        states = w.start(wrong, lengths)
        lost = states.status == ILLEGAL
        assert lost.any()
        assert not w.legal(states.take(lost)).any()
        assert np.allclose(w.law(states.take(lost)), 1 / len(w.vocabulary.answers))
    assert (w.start(prompts[:, :-1], lengths - 1).status == ILLEGAL).all()


def test_states_report_node_and_next_node() -> None:
    w = world()
    d = w.sample(0, "test", 0, 30)
    for seen, _, here in replay(w, d):
        found = w.targets(here)
        if seen > w.prompt_length:
            assert (found["node"] == d.tokens[:, seen - 1] - FIRST_NODE).all()
        if seen < w.context - 1:
            assert (found["following"] == d.tokens[:, seen] - FIRST_NODE).all()
    assert w.classes("node") == 14
    with pytest.raises(InputError, match="no classes"):
        w.classes("place")


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"arms": 1}, "env.arms must be at least 2"),
        ({"length": 1}, "env.length must be at least 2"),
        ({"labels": 9}, "between 10 .* and 10000, not 9"),
        ({"form": "path "}, "did you mean 'path'"),
        ({"held_out_share": 1.0}, "above 0 and below 1"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        world(**options)


def test_a_split_without_graphs_is_refused() -> None:
    w = world(arms=2, length=2, labels=3, held_out_share=1e-9)
    with pytest.raises(InputError, match="held_out_share"):
        w.sample(0, "test", 0, 1)
    with pytest.raises(InputError, match="unknown split"):
        w.sample(0, "tests", 0, 1)


def test_the_examples_of_the_docstring_are_documents() -> None:
    lines = [
        line.strip() for line in (PathStarWorld.__doc__ or "").splitlines() if " = " in line and line.endswith("end")
    ]
    w = world(arms=2, length=3, labels=10)
    ids = {word: i for i, word in enumerate(w.vocabulary.words)}
    tokens = np.array([[ids[word] for word in line.split()] for line in lines], np.int32)
    assert tokens.shape == (2, w.context)
    width = np.full(2, w.context, np.int32)
    assert (w.after(Documents(tokens, width, width - w.longest)).status == ARRIVED).all()


def test_the_identity_names_every_option() -> None:
    assert dataclasses.asdict(PathStarConfig()).keys() <= world().identity().keys()
