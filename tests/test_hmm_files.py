"""Processes of one's own: three layouts of a file, and what is wrong with one, in a sentence that names file and
place."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from worldbench.core.errors import InputError
from worldbench.envs.hmm import chains
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.files import from_file
from worldbench.envs.hmm.library import mixture, named, product
from worldbench.envs.hmm.process import Process
from worldbench.envs.hmm.world import HMM

ONE_WAY = [[[0.72, 0.08], [0.03, 0.07]], [[0.18, 0.02], [0.27, 0.63]]]
"""Two states, two tokens; the rows sum to 1 over both, the columns do not."""
PARTS = [[[0.5, 0.25, 0, 0], [1, 0.5, 0, 0], [0, 0, 0.5, 0.25], [0, 0, 1, 0.5]]]
"""A generalised process in two parts, each of one eigenvector: phi is any mixture of the two."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "mine.json"


def read(path: Path, content: Any) -> Process:
    path.write_text(json.dumps(content))
    return from_file(path)


def word_probability(process: Process, word: tuple[int, ...]) -> float:
    return float(np.exp(process.log_probability(np.array([word])))[0])


def test_the_layouts_are_distinguished_by_their_keys(path: Path) -> None:
    own = read(path, {"transition": ONE_WAY, "start": [1, 0], "words": ["a", "b"], "name": "mine"})
    assert (own.name, own.words, own.start.tolist()) == ("mine", ("a", "b"), [1, 0])
    theirs = read(path, {"transition_matrices": ONE_WAY, "initial_state": [1, 0]})
    assert theirs.name == "mine"
    bare = read(path, ONE_WAY)
    assert np.array_equal(bare.transition, own.transition)
    assert np.array_equal(theirs.transition, own.transition)
    assert np.array_equal(theirs.start, own.start)
    assert bare.start == pytest.approx([0.75, 0.25])
    assert named(str(path)).transition.tobytes() == bare.transition.tobytes()


@pytest.mark.parametrize("tail", ["", "_"])
def test_hmmlearns_three_matrices(path: Path, tail: str) -> None:
    """Its states emit, then move."""
    start, move, emit = [0.6, 0.4], [[0.9, 0.1], [0.3, 0.7]], [[0.8, 0.1, 0.1], [0.1, 0.2, 0.7]]
    p = read(
        path,
        {f"startprob{tail}": start, f"transmat{tail}": move, f"emissionprob{tail}": emit, "words": ["x", "y", "z"]},
    )
    for word in itertools.product(range(3), repeat=3):
        truth = sum(
            start[i] * emit[i][word[0]] * move[i][j] * emit[j][word[1]] * move[j][k] * emit[k][word[2]]
            for i, j, k in itertools.product(range(2), repeat=3)
        )
        assert word_probability(p, word) == pytest.approx(truth, abs=1e-12)
    assert p.words == ("x", "y", "z")
    without = read(path, {"transmat": move, "emissionprob": emit})
    assert without.start == pytest.approx([0.75, 0.25])


def test_hmmlearn_agrees(path: Path) -> None:
    hmmlearn = pytest.importorskip("hmmlearn.hmm")
    theirs = hmmlearn.CategoricalHMM(n_components=2, n_features=2)
    theirs.startprob_, theirs.transmat_ = np.array([1.0, 0]), np.array([[0.9, 0.1], [0.3, 0.7]])
    theirs.emissionprob_ = np.array([[0.8, 0.2], [0.1, 0.9]])
    p = read(path, {key: getattr(theirs, key).tolist() for key in ("startprob_", "transmat_", "emissionprob_")})
    for word in ((0,), (1, 1, 0), (0, 1, 0, 0, 1)):
        assert np.log(word_probability(p, word)) == pytest.approx(theirs.score(np.array(word)[:, None]), abs=1e-9)


def test_a_byte_order_mark_and_a_special_file(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + json.dumps({"transition": ONE_WAY}).encode())
    assert from_file(path).n_states == 2
    pipe = path.with_name("pipe.json")
    os.mkfifo(pipe)
    with pytest.raises(InputError, match="a named pipe, not a regular file"):
        named(str(pipe))
    path.write_bytes(b"\xff")
    with pytest.raises(InputError, match="save it as UTF-8"):
        from_file(path)
    other = path.with_name("mine.txt")
    other.write_text("[]")
    with pytest.raises(InputError, match=r"ends in \.json"):
        named(str(other))


WRONG: dict[str, tuple[Any, str]] = {
    "transposed": ({"transition": np.swapaxes(ONE_WAY, 1, 2).tolist()},
        "are transposed: their columns, not their rows, sum to 1"),
    "counts": ({"transition": [[[36, 5], [9, 14]]]}, "state 0 .* sum to 41 and not to 1; divide the weights"),
    "zero row": ({"transition": [[[0.5, 0.5], [0, 0]]]}, "state 1 .* sum to 0 and not to 1; if no state follows it"),
    "not a number": ({"transition": [[[float("nan"), 0.5]]]}, r"transition\[0\]\[0\]\[0\] is nan"),
    "infinite": ({"transition": [[[float("inf")]]]}, r"transition\[0\]\[0\]\[0\] is inf"),
    "null": ({"transition": [[[1, 0], [None, 1]]]}, r"transition\[0\]\[1\]\[0\] is null"),
    "text": ({"transition": [[["0.5"]], [["0.5"]]]}, r"transition\[0\]\[0\]\[0\] is text; .* without quotation marks"),
    "true": ({"transition": [[[True]]]}, r"transition\[0\]\[0\]\[0\] is true or false"),
    "huge": ({"transition": [[[10**400]]]}, "out of range"),
    "flat": ({"transition": [[0.5, 0.5]]}, r"transition\[0\]\[0\] is a .*number"),
    "ragged": ({"transition": [[[0.5], [0.5, 0.5]]]},
        r"transition\[0\]\[1\] has 2 entries, transition\[0\]\[0\] has 1"),
    "not square": ({"transition": [[[0.5, 0.5]]]}, "one square matrix per token"),
    "no list": ({"transition": {"a": 1}}, "transition is an object"),
    "empty": ({"transition": []}, "transition is empty"),
    "nothing": (3, "transition is a whole number"),
    "no key": ({"name": "x"}, "lacks 'transition'"),
    "two layouts": ({"transition": ONE_WAY, "transmat": [[1]]}, "both 'transition' and 'transmat'"),
    "another layout's key": ({"transition_matrices": ONE_WAY, "start": [1, 0]},
        "unknown key 'start' beside 'transition_matrices'"),
    "nearest key": ({"transition": ONE_WAY, "fi": [1, 1]}, "unknown key 'fi'"),
    "negative": ({"transition": [[[1.2, -0.2], [0, 0.5]], [[0, 0], [0.5, 0]]]},
        "the token '1' a negative probability, -0.333"),
    "two parts": ({"transition": [[[1, 0, 0], [0.5, 0, 0.5], [0, 0, 1]]]},
        "cannot leave state 0 and state 2; give its start"),
    "start of zeros": ({"transition": ONE_WAY, "start": [0, 0]}, "not a belief, 0, 0; give one probability per state"),
    "negative start": ({"transition": ONE_WAY, "start": [-1, 2]}, "not a belief, -1, 2"),
    "nested start": ({"transition": ONE_WAY, "start": [[1, 0]]}, r"start\[0\] is a list"),
    "short start": ({"transition": ONE_WAY, "start": [1]}, "needs 2 entries"),
    "words": ({"transition": ONE_WAY, "words": ["a", "a"]}, "two tokens with the name 'a'"),
    "few words": ({"transition": ONE_WAY, "words": ["a"]}, "2 matrices and 1 word;"),
    "no words": ({"transition": ONE_WAY, "words": {"a": 0}}, "must be a list of strings"),
    "a space": ({"transition": ONE_WAY, "words": ["a b", "c"]}, "the word 'a b' cannot name a token"),
    "reserved": ({"transition": ONE_WAY, "words": ["<pad>", "c"]}, "the word '<pad>' cannot name a token"),
    "name": ({"transition": ONE_WAY, "name": 7}, "'name' must be printable text, not 7"),
    "phi is missing": ({"transition": PARTS, "start": [0.5, 0, 0.5, 0]}, "2 possible phi .* give phi"),
    "phi is none": ({"transition": PARTS, "phi": [1, 1, 1, 1]}, "phi .* must be a right eigenvector"),
    "no emissions": ({"transmat": [[1]]}, "'emissionprob' is missing"),
    "moves transposed": ({"transmat": [[0.9, 0.3], [0.1, 0.7]], "emissionprob": [[1], [1]]}, "transmat is transposed"),
    "emissions transposed": ({"transmat": [[0.9, 0.1], [0.3, 0.7]], "emissionprob": [[0.5, 0.5]] * 3},
        "3; it is transposed"),
    "moves sum": ({"transmat": [[0.9, 0.2], [0.3, 0.7]], "emissionprob": [[1], [1]]},
        r"transmat\[0\] sums to 1.1 and not to 1"),
    "moves not square": ({"transmat": [[0.5, 0.5]], "emissionprob": [[1]]}, "transmat must be square"),
    "negative emission": ({"transmat": [[1]], "emissionprob": [[1.5, -0.5]]}, r"emissionprob\[0\]\[1\] is -0.5"),
}  # fmt: skip


@pytest.mark.parametrize("kind", WRONG)
def test_what_is_wrong_is_one_sentence(path: Path, kind: str) -> None:
    content, message = WRONG[kind]
    with pytest.raises(InputError, match=message) as error:
        read(path, content)
    assert str(error.value).startswith(f"'{path}': ")
    assert "\n" not in str(error.value)


def test_phi_is_a_key_and_identifies_the_process(path: Path) -> None:
    """Two processes that differ in phi alone: the parts of the start weigh differently."""
    content = {"transition": PARTS, "start": [0.5, 0, 0.5, 0]}
    even, uneven = (read(path, {**content, "phi": phi}) for phi in ([1, 2, 1, 2], [1, 2, 3, 6]))
    assert even.start @ even.phi == pytest.approx(1)
    assert even.start.tolist() == [0.5, 0, 0.5, 0]
    assert uneven.start.tolist() == [0.25, 0, 0.25, 0]
    same_start = read(path, {"transition": PARTS, "start": [0.25, 0, 0.25, 0], "phi": [2, 4, 2, 4]})
    assert np.array_equal(same_start.start, uneven.start)
    digests = {HMM(HMMConfig(), p).identity()["matrices"] for p in (uneven, same_start)}
    assert len(digests) == 2
    assert mixture([even, even]).own_phi
    assert product([even, even]).own_phi
    assert not named("mixture(bloch_walk, product(coin, coin))").own_phi


def test_who_gives_phi_may_mean_the_transposed(path: Path) -> None:
    """Columns that sum to 1 are a process read backwards: refused unless phi says so."""
    turned = np.swapaxes(ONE_WAY, 1, 2)
    backwards = read(path, {"transition": turned.tolist(), "phi": [0.75, 0.25], "start": [1, 1]})
    forwards = read(path, ONE_WAY)
    for word in itertools.product(range(2), repeat=4):
        assert word_probability(backwards, word) == pytest.approx(word_probability(forwards, word[::-1]))


def test_long_runs_are_decided_by_which_states_follow_which() -> None:
    """Periodic, absorbing, almost reducible chains have one stationary distribution; two closed classes have many."""
    cycle = Process(
        name="cycle", transition=np.array([[[0, 1.0, 0], [0, 0, 0], [0, 0, 0]], [[0, 0, 0], [0, 0, 1], [1, 0, 0]]])
    )
    assert cycle.start == pytest.approx([1 / 3] * 3)
    assert cycle.entropy_rate() == pytest.approx(0, abs=1e-12)
    absorbing = Process(name="absorbing", transition=np.array([[[0.5, 0], [0, 0]], [[0, 0.5], [0, 1]]]))
    assert absorbing.start == pytest.approx([0, 1])
    assert absorbing.visited.tolist() == [False, True]
    assert "1 of its 2 states and 1 of its 2 tokens never occur from its start" in HMM(HMMConfig(), absorbing).summary(
        0
    )
    silent = Process(name="silent", transition=np.array([[[1.0]], [[0.0]]]))
    assert "; 1 of its 2 tokens never occur from its start" in HMM(HMMConfig(), silent).summary(0)
    assert HMM(HMMConfig(), silent).card(0)["remark"] == "1 of its 2 tokens never occur from its start"
    seldom = 1e-12
    matrix = np.array([[1 - seldom, seldom], [3 * seldom, 1 - 3 * seldom]])
    assert Process(name="almost", transition=matrix[None]).start == pytest.approx([0.75, 0.25], rel=1e-12)
    rounded = np.array([[[0.3333333, 0.6666666], [0.5, 0.5]]])  # rows that miss 1 by less than rounding may
    assert Process(name="rounded", transition=rounded).start == pytest.approx([3 / 7, 4 / 7], abs=1e-6)
    reach = chains.reachable(np.array([[0.5, 0.5, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1], [0, 0, 1, 0]]))
    assert [c.tolist() for c in chains.closed_classes(reach)] == [[1], [2, 3]]


def test_elimination_agrees_with_eigenvectors() -> None:
    rng = np.random.default_rng(0)
    matrix = rng.random((12, 12)) * (rng.random((12, 12)) < 0.4) + np.roll(np.eye(12), 1, axis=1)
    matrix /= matrix.sum(1, keepdims=True)
    found = chains._by_elimination(matrix)
    assert found @ matrix == pytest.approx(found, abs=1e-14)
    assert found == pytest.approx(chains.stationary(matrix, "random"), abs=1e-12)


def test_a_process_that_alternates_for_ever_is_read(path: Path) -> None:
    """Generalised, with one prefix of each length and never the same belief twice running."""
    p = read(path, {"transition": [[[0, 2], [0, 0]], [[0, 0], [0.5, 0]]], "start": [1, 0], "phi": [2, 1]})
    assert p.sample(np.random.default_rng(0).random((2, 7))).tolist() == [[0, 1, 0, 1, 0, 1]] * 2


def test_processes_too_large_to_work_with(path: Path) -> None:
    with pytest.raises(InputError, match=r"729 tokens and 729 states; use at most"):
        named("product(mess3, mess3, mess3, mess3, mess3, mess3)")
    with pytest.raises(InputError, match="at most 131,071 tokens"):
        Process(name="wide", transition=np.full((200_000, 1, 1), 1 / 200_000))
