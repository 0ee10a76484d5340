"""Countdown: the published layout, problems against Python's own arithmetic, legality against a search, checkers."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from scipy.stats import chisquare

from worldbench.baselines.references import RandomLegal, Uniform
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config
from worldbench.core.states import replay
from worldbench.core.world import ARRIVED, ILLEGAL, MISPLACED_END, OPEN, Documents
from worldbench.envs.countdown.arithmetic import OPERATIONS, results
from worldbench.envs.countdown.config import CountdownConfig
from worldbench.envs.countdown.world import CountdownWorld
from worldbench.metrics.checked_answers import METRIC
from worldbench.metrics.evaluation import Evaluation

SMALL = {"numbers": 3, "largest": 15, "least_target": 5, "most_target": 40, "largest_result": 60, "pauses": 2}


def world(**options: Any) -> CountdownWorld:
    return CountdownWorld(CountdownConfig(**{**SMALL, **options}))


W = world()


def encoded(*lines: str) -> Documents:
    ids = {word: i for i, word in enumerate(W.vocabulary.words)}
    rows = [[ids[word] for word in line.split()] for line in lines]
    tokens = np.zeros((len(rows), W.context), np.int32)
    for row, values in zip(tokens, rows):
        row[: len(values)] = values
    length = np.array([len(row) for row in rows], np.int32)
    return Documents(tokens, length, np.full(len(rows), W.prompt_length, np.int32))


def checks(*lines: str) -> dict[str, list[bool]]:
    d = encoded(*lines)
    prompts, answers = d.tokens[:, : W.prompt_length], d.tokens[:, W.prompt_length :]
    found = W.checks(prompts, d.prompt_length, answers, d.length - d.prompt_length)
    return {name: value.tolist() for name, value in found.items()}


def test_the_published_layout() -> None:
    published = CountdownWorld()
    assert (published.context, published.prompt_length) == (31, 13)
    text = published.vocabulary.text(published.sample(0, "train", 0, 1).tokens[0]).split()
    assert text[5:13] == ["|"] * 8
    assert (text.count("="), text.count(","), text[-1]) == (3, 2, "end")


def test_problems_are_solved_by_their_equations() -> None:
    c = CountdownConfig()
    w = CountdownWorld(c)
    for split in ("train", "test"):
        d = w.sample(3, split, 0, 100)
        for row in d.tokens:
            text = w.vocabulary.text(row).replace("end", "").split("|")
            *given, target = map(int, text[0].split())
            left = sorted(given)
            assert 1 <= left[0] <= left[-1] <= 99
            for equation in text[-1].split(","):
                a, operation, b, _, result = equation.split()
                assert eval(f"{a} {operation} {b}") == int(result) <= c.largest_result
                left.remove(int(a))
                left.remove(int(b))
                left.append(int(result))
            assert left == [target]
            assert w.source.targets[target] == (split == "test")
        assert (w.after(d).status == ARRIVED).all()


def test_held_out_problems_are_new_and_their_targets_are_not() -> None:
    w = world(held_out="problems")
    train, test = (w.sample(0, split, 0, count).tokens for split, count in (("train", 20_000), ("test", 2_000)))

    def problems(tokens: np.ndarray) -> set[tuple[int, ...]]:
        return {(*sorted(row[:3]), row[3]) for row in tokens.tolist()}

    assert not problems(train) & problems(test)
    assert 0.05 < len(problems(test)) / len(problems(train) | problems(test)) < 0.15  # the share is .1
    assert set(test[:, 3]) == set(train[:, 3])  # every target occurs on both sides
    given, target = train[:, :3], train[:, 3]
    in_order = w.source.held_out(given, target)
    assert (w.source.held_out(given[:, ::-1], target) == in_order).all()
    assert w.card(0)["held_out"].startswith("0.1 of the problems")
    assert W.card(0)["held_out"].startswith("4 targets")
    assert not problems(W.sample(1, "train", 0, 2_000).tokens) & problems(W.sample(2, "test", 0, 2_000).tokens)


def test_results_are_those_of_exact_arithmetic() -> None:
    for a, b in itertools.product(range(13), repeat=2):
        for k, operation in enumerate(OPERATIONS):
            try:
                exact = eval(f"{a} {operation} {b}")
            except ZeroDivisionError:
                exact = -1
            allowed = exact == int(exact) and 0 <= exact <= 60
            assert results(np.array(a), np.array(k), np.array(b), 60) == (exact if allowed else -1)


def test_numbers_are_uniform_before_targets_are_chosen() -> None:
    w = world()
    u = np.random.default_rng(0).random((8000, 3 + 6))
    given, equations = w.source._tried(u)
    assert chisquare(np.bincount(given.ravel(), minlength=16)[1:]).pvalue > 1e-3
    first = equations[:, 0]
    assert (first[:, 3] >= 0).all()  # a sum of two numbers up to 15 is always allowed


def test_documents_do_not_depend_on_the_range() -> None:
    whole, part = W.sample(3, "test", 0, 40), W.sample(3, "test", 17, 5)
    assert (whole.tokens[17:22] == part.tokens).all()
    assert len(W.sample(0, "train", 0, 0)) == 0
    few, more = W.prompts(0, 20)[0], W.prompts(0, 600)[0]
    assert (more[:20] == few).all()
    assert len(np.unique(more, axis=0)) == len(more)


def test_legal_tokens_are_those_that_step_accepts() -> None:
    d = W.sample(0, "test", 0, 60)
    actions = np.array(W.vocabulary.actions)
    for _, rows, here in replay(W, d):
        legal = W.legal(here)
        for i in range(0, len(rows), 7):
            every = here.take(np.full(len(actions), i))
            accepted = W.step(every, actions).status != ILLEGAL
            assert (accepted == legal[i]).all()
    states = W.start(prompt := encoded("5 6 2 20 | |").tokens[:, : W.prompt_length], np.array([prompt.shape[1]]))
    for word, status in (("5", OPEN), ("-", OPEN), ("6", ILLEGAL)):  # no result is negative
        states = W.step(states, np.array([W.vocabulary.words.index(word)]))
        assert states.status.tolist() == [status]


def test_every_legal_token_can_be_completed() -> None:
    w, rng = world(), np.random.default_rng(0)
    prompts, lengths = w.prompts(0, 200)
    states, actions = w.start(prompts, lengths), np.array(w.vocabulary.actions)
    for _ in range(w.longest):
        legal = w.legal(states)
        assert legal.any(axis=1).all()
        states = w.step(states, actions[np.argmax(legal * rng.random(legal.shape), axis=1)])
        assert (states.status != ILLEGAL).all()
    assert set(states.status.tolist()) == {ARRIVED, MISPLACED_END}


def test_a_number_is_used_as_often_as_it_is_there() -> None:
    good = "5 5 2 20 | | 5 + 5 = 10 , 10 * 2 = 20 end"
    twice = "5 7 2 20 | | 5 + 5 = 10 , 10 * 2 = 20 end"
    wrong = "5 7 2 20 | | 5 + 7 = 13 , 13 + 2 = 15 end"
    other = "5 7 2 20 | | 5 + 7 = 12 , 12 + 2 = 14 end"
    short = "5 7 2 20 | | 5 + 7 = 12 end"
    found = checks(good, twice, wrong, other, short)
    assert found == {
        "strict": [True, False, False, False, False],
        "released": [True, True, False, False, False],
        "equations": [True, True, False, True, False],
        "equation_1": [True, True, False, True, True],
        "equation_2": [True, True, True, True, False],
    }


def test_the_examples_of_the_docstring() -> None:
    lines = [x.strip() for x in (CountdownWorld.__doc__ or "").splitlines() if x.strip().endswith("end") and "=" in x]
    assert W.after(encoded(*lines)).status.tolist() == [ARRIVED, MISPLACED_END]


def test_prompts_that_are_no_problem_are_lost() -> None:
    d = encoded("5 7 2 20 | |", "5 7 2 20 | 3", "5 7 end 20 | |", "5 7 2 20 |")
    status = W.start(d.tokens[:, : W.prompt_length], d.length).status
    assert (status == ILLEGAL).tolist() == [False, True, True, True]


def test_checked_answers() -> None:
    settings = eval_config(trials=200)
    legal = METRIC.measure(Evaluation(W, RandomLegal(W), settings)).scores
    assert legal["equations_sampled"].value == 1
    assert 0 < legal["strict_sampled"].value < 0.5
    assert legal["strict_sampled"].value == legal["released_sampled"].value
    uniform = METRIC.measure(Evaluation(W, Uniform(W), settings)).scores
    assert uniform["equations_sampled"].value == 0


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"numbers": 1}, "env.numbers must lie between 2"),
        ({"largest": 0}, "env.largest must lie"),
        ({"least_target": 40}, "below env.most_target"),
        ({"largest_result": 39}, "between env.most_target"),
        ({"pauses": 0}, "env.pauses must lie between 1 and 4096, not 0"),
        ({"held_out_share": 0.0}, "above 0 and below 1"),
        ({"held_out": "numbers"}, "'targets' or 'problems', not 'numbers'"),
    ],
)
def test_bad_options_are_refused(options: dict[str, Any], said: str) -> None:
    with pytest.raises(InputError, match=said):
        world(**options)


@pytest.mark.slow
def test_targets_that_cannot_be_reached_are_refused() -> None:
    w = world(largest=1, numbers=2, least_target=30, most_target=40)
    with pytest.raises(InputError, match="no problem of the split"):
        w.sample(0, "train", 0, 1)
    with pytest.raises(InputError, match="unknown split"):
        w.sample(0, "tests", 0, 1)


def test_states_say_what_is_left() -> None:
    d = W.sample(0, "test", 0, 30)
    for seen, _, here in replay(W, d):
        found = W.targets(here)
        done = (seen - W.prompt_length) // 6 + ((seen - W.prompt_length) % 6 == 5)
        assert (found["numbers_left"] == 3 - done).all()
        assert all((value < W.classes(name)).all() for name, value in found.items())
    assert (W.key(W.after(d))[0][:, -1] == ARRIVED).all()
