"""Named processes, their mixtures and products, and processes from the files of users.

Sources: Shai et al. 2024 (arXiv 2405.15943: Mess3, Z1R, RRXOR), Riechers et al. 2025 (arXiv 2505.18373 and 2507.07432:
SNS, Bloch walk), Crutchfield & Young 1989 (even process, golden mean). `process.py` explains the notation T[x][i, j].
"""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from pathlib import Path

import numpy as np

from worldbench.core.errors import InputError, nearest, unknown
from worldbench.core.options import is_file
from worldbench.core.text import counted
from worldbench.envs.hmm import validity
from worldbench.envs.hmm.files import from_file
from worldbench.envs.hmm.process import Process

MOST = 1e6
"""The greatest size of a parameter, and of a weight of a mixture."""
MOST_BRACKETS = 100
"""The most opening brackets of the text of a process."""


def _probability(**values: float) -> None:
    """Refuses a value that is not a probability. values: by name of the parameter."""
    for name, value in values.items():
        if not 0 <= value <= 1:
            raise InputError(f"{name} must be a probability between 0 and 1, not {value}")


def mess3(x: float = 0.05, a: float = 0.85) -> Process:
    """Three states, each with its own token. A state stays with probability 1 - 2x and goes to each other state with
    probability x. The new state emits its own token with probability a, each other token with (1 - a) / 2. The beliefs
    form a fractal in the simplex."""
    _probability(x=x, a=a)
    if x > 0.5:
        raise InputError(f"mess3 needs x of at most 0.5, not {x}")
    b, y = (1 - a) / 2, 1 - 2 * x
    stay = np.where(np.eye(3, dtype=bool), y, x)
    emit = np.where(np.eye(3, dtype=bool), a, b)  # [token, next state]
    return Process(name=f"mess3(x={x:g}, a={a:g})", transition=stay[None] * emit[:, None, :], words=("A", "B", "C"))


def z1r(p: float = 0.5) -> Process:
    """A zero, a one, then a random bit (0 with probability p), again and again. The states, 0, 1 and R, say which is
    next."""
    _probability(p=p)
    t = np.zeros((2, 3, 3))
    t[0, 0, 1] = 1
    t[1, 1, 2] = 1
    t[0, 2, 0], t[1, 2, 0] = p, 1 - p
    return Process(name=f"z1r(p={p:g})", transition=t)


def rrxor(p1: float = 0.5, p2: float = 0.5) -> Process:
    """Two random bits, then their exclusive or, again and again. p1, p2: probability that the first, second bit is 0.

    States: S (before the first bit), 0 and 1 (after the first bit), T and F (the third bit will be 1, will be 0).
    """
    return leaky_rrxor(p1, p2, 0.0)


def leaky_rrxor(p1: float = 0.5, p2: float = 0.5, leak: float = 0.1) -> Process:
    """RRXOR, but the third bit is wrong with probability `leak`."""
    _probability(p1=p1, p2=p2, leak=leak)
    t = np.zeros((2, 5, 5))
    t[0, 0, 1], t[1, 0, 2] = p1, 1 - p1
    t[0, 1, 4], t[1, 1, 3] = p2, 1 - p2
    t[0, 2, 3], t[1, 2, 4] = p2, 1 - p2
    t[1, 3, 0], t[0, 3, 0] = 1 - leak, leak
    t[0, 4, 0], t[1, 4, 0] = 1 - leak, leak
    name = f"rrxor(p1={p1:g}, p2={p2:g})" if leak == 0 else f"leaky_rrxor(p1={p1:g}, p2={p2:g}, leak={leak:g})"
    return Process(name=name, transition=t)


def even(p: float = 0.5) -> Process:
    """Every block of ones has an even length. p: probability of two more ones where a zero is possible too."""
    _probability(p=p)
    return Process(name=f"even(p={p:g})", transition=np.array([[[1 - p, 0], [0, 0]], [[0, p], [1, 0]]], float))


def golden_mean(p: float = 0.5) -> Process:
    """No two ones in a row. p: probability of a one where it is allowed."""
    _probability(p=p)
    return Process(name=f"golden_mean(p={p:g})", transition=np.array([[[1 - p, 0], [1, 0]], [[0, p], [0, 0]]], float))


def sns(p: float = 0.5, q: float = 0.5) -> Process:
    """The simple non-unifilar source: two states, two tokens, and infinitely many beliefs on a line.

    p: probability of the step from the first to the second state. q: probability of the step back, which emits a 1.
    """
    _probability(p=p, q=q)
    return Process(
        name=f"sns(p={p:g}, q={q:g})", transition=np.array([[[1 - p, p], [0, 1 - q]], [[0, 0], [q, 0]]], float)
    )


def coin(p: float = 0.5) -> Process:
    """Independent bits, 0 with probability p. There is one state, so there is nothing to infer."""
    _probability(p=p)
    return Process(name=f"coin(p={p:g})", transition=np.array([[[p]], [[1 - p]]]))


def bloch_walk(alpha: float = 1.0, beta: float = math.sqrt(51)) -> Process:
    """A generalized process with four tokens. Its beliefs are vectors of three numbers in a slice of the Bloch sphere.

    No hidden Markov process with finitely many states has the same distribution of sequences.
    """
    if not alpha**2 + beta**2 > 0:
        raise InputError(f"bloch_walk needs an alpha or a beta other than 0, not {alpha} and {beta}")
    g2 = 1 / (4 * (alpha**2 + beta**2))
    o, m = 2 * alpha * beta * g2, (alpha**2 - beta**2) * g2
    t = np.zeros((4, 3, 3))
    t[:, 0, 0] = 0.25
    for x, sign in ((0, 1), (1, -1)):
        t[x, 0, 2] = t[x, 2, 0] = sign * o
        t[x, 1, 1], t[x, 2, 2] = m, 0.25
    for x, sign in ((2, 1), (3, -1)):
        t[x, 0, 1] = t[x, 1, 0] = sign * o
        t[x, 1, 1], t[x, 2, 2] = 0.25, m
    return Process(
        name=f"bloch_walk(alpha={alpha:g}, beta={beta:g})",
        transition=t,
        start=np.array([1.0, 0, 0]),
        phi=np.array([1.0, 0, 0]),
    )


NAMED: dict[str, Callable[..., Process]] = {
    f.__name__: f for f in (mess3, z1r, rrxor, leaky_rrxor, even, golden_mean, sns, coin, bloch_walk)
}  # fmt: skip


def mixture(parts: list[Process], weights: list[float] | None = None) -> Process:
    """A process that is one of the parts: a hidden choice, made once before the first token.

    A belief is about the part and about the state in the part. All parts must have the same number of tokens. weights:
    the probability of each part, up to a factor; None: all equal.
    """
    if not parts:
        raise InputError("a mixture needs at least one process")
    v = parts[0].n_tokens
    if any(p.n_tokens != v for p in parts):
        raise InputError(
            "all parts of a mixture must have the same number of tokens, "
            f"not {', '.join(str(p.n_tokens) for p in parts)}"
        )
    w = np.full(len(parts), 1 / len(parts)) if weights is None else np.asarray(weights, float)
    if len(w) != len(parts) or (w < 0).any() or not w.sum() > 0:
        raise InputError(
            f"a mixture of {counted(len(parts), 'process', 'processes')} needs one weight for each, "
            f"at least 0 and not all 0, but has {weights}"
        )
    w = w / w.sum()
    size = sum(p.n_states for p in parts)
    validity.size(f"mixture of {len(parts)} parts", v, size)
    t, start, at = np.zeros((v, size, size)), np.zeros(size), 0
    for p, share in zip(parts, w):
        stop = at + p.n_states
        t[:, at:stop, at:stop], start[at:stop] = p.transition, share * p.start
        at = stop
    listed = " + ".join(p.name if weights is None else f"{share:g}*{p.name}" for p, share in zip(parts, w))
    return Process(
        name=f"mixture({listed})", transition=t, start=start, words=parts[0].words,
        phi=np.concatenate([p.phi for p in parts]), own_phi=any(p.own_phi for p in parts),
    )  # fmt: skip


def product(parts: list[Process]) -> Process:
    """Independent processes at the same time: a token of the product stands for one token of each part.

    The number of a token is written in digits, one per part; the first part has the most significant digit.
    """
    if not parts:
        raise InputError("a product needs at least one process")
    t, start, words, phi = parts[0].transition, parts[0].start, parts[0].words, parts[0].phi
    for p in parts[1:]:
        validity.size(f"product of {len(parts)} parts", len(t) * p.n_tokens, t.shape[1] * p.n_states)
        t = np.einsum("xij,ykl->xyikjl", t, p.transition).reshape(len(t) * p.n_tokens, t.shape[1] * p.n_states, -1)
        start, phi = np.outer(start, p.start).ravel(), np.outer(phi, p.phi).ravel()
        words = tuple(f"{a},{b}" for a in words for b in p.words)
    return Process(
        name=f"product({' x '.join(p.name for p in parts)})", transition=t, start=start, words=words, phi=phi,
        own_phi=any(p.own_phi for p in parts), factors=tuple(parts),
    )  # fmt: skip


def named(spec: str) -> Process:
    """A process by its name and parameters, such as `mess3`, `mess3(x=0.15, a=0.6)`, `mixture(mess3, mess3(a=0.6))`,
    `mixture(0.2*coin, 0.8*z1r)`, `product(coin, z1r)`, or `FILE.json`.

    Raises InputError for an unknown name or parameter, a malformed text, and a file that does not hold a process.
    """
    spec = spec.strip()
    if spec.count("(") > MOST_BRACKETS:
        raise InputError(
            f"the process {spec[:40]!r}.. has more than {MOST_BRACKETS} brackets; write it with fewer parts"
        )
    if spec.lower().endswith(".json"):
        return from_file(Path(spec))
    head, bracket, rest = spec.partition("(")
    head = head.strip().replace("-", "_")
    if bracket and not rest.endswith(")"):
        raise InputError(f"the process {spec!r} lacks a closing bracket")
    arguments = _split(rest[:-1]) if bracket else []
    if head in ("mixture", "product"):
        if not arguments:
            raise InputError(f"{head} needs processes, such as {head}(mess3, z1r), not {spec!r}")
        if head == "product":
            return product([named(a) for a in arguments])
        weighted = [_weighted(a) for a in arguments]
        weights = [w for w, _ in weighted if w is not None]
        if weights and len(weights) < len(weighted):
            raise InputError(f"a mixture needs a weight for all of its processes or for none, not {spec!r}")
        return mixture([named(rest) for _, rest in weighted], weights or None)
    if head not in NAMED:
        if is_file(spec):
            raise InputError(
                f"{spec!r} is a file, but its name does not end in .json; write the matrices as JSON into a file whose "
                "name ends in .json"
            )
        raise unknown("process", head, [*NAMED, "mixture", "product"])
    function = NAMED[head]
    known = inspect.signature(function).parameters
    values = {}
    for argument in arguments:
        key, equals, value = (part.strip() for part in argument.partition("="))
        if not equals:
            raise InputError(
                f"a parameter of {head} is written name=number, not {argument!r}; "
                f"its parameters are {', '.join(known) or 'none'}"
            )
        if key not in known:
            raise InputError(f"{head} has no parameter {key!r}{nearest(key, known)}")
        if key in values:
            raise InputError(f"the parameter {key} of {head} is given twice, in {spec!r}")
        try:
            values[key] = float(value)
        except ValueError as error:
            raise InputError(f"the parameter {key} of {head} must be a number, not {value!r}") from error
        if abs(values[key]) > MOST:
            raise InputError(f"the parameter {key} of {head} must lie between {-MOST:g} and {MOST:g}, not {value}")
    try:
        return function(**values)
    except InputError as error:
        raise InputError(f"the process {spec!r} cannot be made: {error}") from error


def _weighted(text: str) -> tuple[float | None, str]:
    """`0.2*coin` -> (0.2, "coin"); no weight: None."""
    head, star, rest = text.partition("*")
    if not star or "(" in head:
        return None, text
    try:
        weight = float(head)
    except ValueError as error:
        raise InputError(f"the weight of a process in a mixture must be a number, not {head!r}") from error
    if not weight <= MOST:
        raise InputError(f"the weight of a process in a mixture must be at most {MOST:g}, not {head}")
    return weight, rest


def _split(text: str) -> list[str]:
    """The parts of a text between the commas that are not inside brackets."""
    parts, depth, at = [], 0, 0
    for i, c in enumerate(text):
        depth += (c == "(") - (c == ")")
        if c == "," and depth == 0:
            parts.append(text[at:i])
            at = i + 1
    return [p.strip() for p in [*parts, text[at:]] if p.strip()]
