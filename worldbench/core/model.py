"""What a sequence model is to the metrics: numpy in, numpy out, wherever it computes.

Shape letters: B rows, T tokens, P prompt tokens, K new tokens, V vocabulary, D width.
"""

from __future__ import annotations

import abc
from typing import Any, ClassVar, Protocol, runtime_checkable

import numpy as np

from worldbench.core.abilities import asks_for_labels, lacking, without
from worldbench.core.errors import InputError
from worldbench.core.world import Documents, World

ALL_LAYERS = "all layers"
"""For `SequenceModel.swapped`: the states of the last token at every layer."""


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Over the last axis, float64; -inf stays -inf."""
    z = logits.astype(np.float64)
    z -= z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


class Decoder(abc.ABC):
    """Continues B rows at once, keeping what it has computed.

    `logits` float32 [B, V] are those of the next token of every row.
    """

    logits: np.ndarray

    @abc.abstractmethod
    def extend(self, tokens: np.ndarray) -> np.ndarray:
        """Append K tokens to every row (int [B, K]); the logits after each of them, float32 [B, K, V]."""

    @abc.abstractmethod
    def select(self, rows: np.ndarray) -> None:
        """Keep only the chosen rows (indices), in that order; a row may be repeated."""

    def score(self, tokens: np.ndarray) -> np.ndarray:
        """Append K tokens to every row; the log probability that each had, float64 [B, K]."""
        before = self.logits[:, None]
        after = self.extend(tokens)
        log_law = log_softmax(np.concatenate([before, after[:, :-1]], axis=1))
        return np.take_along_axis(log_law, np.asarray(tokens, np.int64)[:, :, None], axis=2)[:, :, 0]


def refuse_condition(name: str, condition: np.ndarray | None) -> None:
    """For models whose law cannot be conditioned on what follows."""
    if condition is not None:
        raise InputError(
            f"{name} cannot be told what follows: of the models here only bst, which encodes suffixes, can"
        )


def refuse_impossible(model: Any, world: World) -> None:
    """Raises InputError where a model (what makes it: a class or a function) cannot be had in a world, with the
    reason."""
    reason = getattr(model, "impossible", lambda _: None)(world)
    if reason is not None:
        raise InputError(f"there is no {getattr(model, 'name', 'such model')} for this world: {reason}")


class Dynamics(Protocol):
    """A transition of hidden states: what a model has of a step function."""

    def step(self, hidden: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """The hidden states after one more token each: float32 [N, D], int [N] -> float32 [N, D]."""
        ...


@without("the model {name!r} has no hidden states")
@runtime_checkable
class HasHidden(Protocol):
    hidden_name: str
    """Which tensor `hidden` is, for the tables: latent rank moves with the choice."""

    def hidden(self, tokens: np.ndarray, /) -> np.ndarray:
        """The hidden states that the head reads, float32 [B, T, D]."""
        ...

    def layers(self, tokens: np.ndarray, /) -> dict[str, np.ndarray]:
        """Hidden states by layer, first to last, each float32 [B, T, D]; the last one is `hidden`."""
        ...


@without("no next-token law can be read off the hidden states of the model {name!r}")
@runtime_checkable
class HasHead(Protocol):
    def head(self, hidden: np.ndarray, tokens: np.ndarray, /) -> np.ndarray:
        """The next-token logits read off hidden states float32 [N, D]: float32 [N, V].

        tokens int [N]: the last token that each state has read, which some heads read too.
        """
        ...


@without("no dynamics can be fitted to the hidden states of the model {name!r}")
@runtime_checkable
class FitsDynamics(Protocol):
    def fit_dynamics(self, documents: Documents, steps: int, seed: int, /) -> Dynamics:
        """A transition fitted to the frozen model's hidden states on these documents: the post-hoc dynamics probe."""
        ...


@without("hidden states of the model {name!r} cannot be replaced")
@runtime_checkable
class HasSwap(Protocol):
    def swapped(self, documents: Documents, donors: Documents, layer: str, /) -> Decoder:
        """Continue `documents` with the hidden state of their last token, at `layer` (a key of `layers`, or
        ALL_LAYERS), replaced by that of the donors' last.

        Equal lengths row by row. The layers above are computed from the replaced state; earlier positions keep what
        they were.
        """
        ...


class SequenceModel(abc.ABC):
    """Anything that gives a law of what is asked for after a prefix, as a rule of the next token.

    What more it can do are abilities, as those of worlds are: HasHidden, HasHead, FitsDynamics, HasSwap.
    needs: the abilities of a world that it is made from. serves_labels: does it make sense where documents ask for
    labels of their own?
    """

    name: str
    hidden_name: str = ""
    needs: ClassVar[tuple[type, ...]] = ()
    serves_labels: ClassVar[bool] = True

    @classmethod
    def impossible(cls, world: World) -> str | None:
        """None, or the reason why this model cannot be had in that world (an oracle needs an exact law)."""
        return (None if cls.serves_labels else asks_for_labels(world)) or lacking(cls.needs, world)

    @abc.abstractmethod
    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """Scores of what is asked for after every prefix: tokens int [B, T] (padding at the end is ignored) ->
        float32 [B, T, V]."""

    @abc.abstractmethod
    def decoder(self, prompts: np.ndarray, lengths: np.ndarray, condition: np.ndarray | None = None) -> Decoder:
        """Start decoding after prompts int [B, P], of which the first `lengths` [B] tokens of each row count.

        condition: the tokens int [B, S] that the document is to end in (-1 after the last where they are fewer), for
        models that can be told; the law is then that of the next token given both. Raises InputError where the model
        cannot.
        """

    def untrained(self, seed: int) -> SequenceModel | None:
        """A freshly initialised model of the same shape (the control of every probe); None: there is no such thing."""
        return None

    def dynamics(self) -> Dynamics | None:
        """The model's own transition of hidden states; None: it was trained without one."""
        return None
