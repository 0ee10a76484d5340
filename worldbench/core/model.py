"""What metrics require of a sequence model. Inputs and outputs are numpy arrays, on whatever device the model computes.

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
"""A value of `layer` in `HasSwap.swapped`: the hidden states of the last token are replaced at every layer."""


def log_softmax(logits: np.ndarray) -> np.ndarray:
    """Log probabilities over the last axis, float64. -inf stays -inf."""
    z = logits.astype(np.float64)
    z -= z.max(axis=-1, keepdims=True)
    return z - np.log(np.exp(z).sum(axis=-1, keepdims=True))


class Decoder(abc.ABC):
    """Continues B rows at once and caches what it has computed.

    `logits` float32 [B, V]: the logits of the next token of every row. branches: whether `branch` can be called.
    """

    logits: np.ndarray
    branches: ClassVar[bool] = False

    @abc.abstractmethod
    def extend(self, tokens: np.ndarray) -> np.ndarray:
        """Appends K tokens to every row, int [B, K]. Returns the logits after each of them, float32 [B, K, V]."""

    @abc.abstractmethod
    def select(self, rows: np.ndarray) -> None:
        """Keeps only the chosen rows (indices), in that order. An index may be repeated."""

    def branch(self, rows: np.ndarray) -> Decoder:
        """A new decoder of the chosen rows (indices), as after `select`. This decoder stays as it is. Only for decoders
        with `branches`."""
        raise NotImplementedError

    def leading(self) -> np.ndarray:
        """`logits` of the first W tokens, float32 [B, W]: all later tokens have probability 0 in every row.

        A decoder that knows such a W below V overrides this method, so that the work for a token does not grow with the
        vocabulary. `worldbench.core.sampling.leading_width` gives W.
        """
        return self.logits

    def advance(self, tokens: np.ndarray) -> None:
        """Appends one token to every row, int [B], as `extend` does, and returns no logits."""
        self.extend(tokens[:, None])

    def score(self, tokens: np.ndarray) -> np.ndarray:
        """Appends K tokens to every row. Returns the log probability of each token, float64 [B, K]."""
        before = self.logits[:, None]
        after = self.extend(tokens)
        log_law = log_softmax(np.concatenate([before, after[:, :-1]], axis=1))
        return np.take_along_axis(log_law, np.asarray(tokens, np.int64)[:, :, None], axis=2)[:, :, 0]


def refuse_condition(name: str, condition: np.ndarray | None) -> None:
    """Raises InputError if a condition is given: for models that cannot be conditioned on how a document ends."""
    if condition is not None:
        raise InputError(
            f"{name} cannot be conditioned on how a document ends; of the models here only bst can: it encodes suffixes"
        )


def refuse_impossible(model: Any, world: World) -> None:
    """Raises InputError with the reason if a model cannot be built for a world. `model`: a class or a function that
    builds models."""
    reason = getattr(model, "impossible", lambda _: None)(world)
    if reason is not None:
        raise InputError(f"there is no {getattr(model, 'name', 'such model')} for this world: {reason}")


class Dynamics(Protocol):
    """A transition of hidden states."""

    def step(self, hidden: np.ndarray, tokens: np.ndarray) -> np.ndarray:
        """The hidden states after one more token in each row: float32 [N, D], int [N] -> float32 [N, D]."""
        ...


@without("the model {name!r} has no hidden states")
@runtime_checkable
class HasHidden(Protocol):
    hidden_name: str
    """Which tensor `hidden` returns, for tables. The latent rank depends on this choice."""

    def hidden(self, tokens: np.ndarray, /) -> np.ndarray:
        """The hidden states that the head reads, float32 [B, T, D]."""
        ...

    def layers(self, tokens: np.ndarray, /) -> dict[str, np.ndarray]:
        """Hidden states by layer, from first to last, each float32 [B, T, D]. The last entry equals `hidden`."""
        ...


@without("the hidden states of the model {name!r} do not give a distribution of the next token")
@runtime_checkable
class HasHead(Protocol):
    def head(self, hidden: np.ndarray, tokens: np.ndarray, /) -> np.ndarray:
        """The logits of the next token, computed from hidden states float32 [N, D]: float32 [N, V].

        tokens int [N]: the last token before each hidden state. Some heads read the token too.
        """
        ...


@without("no dynamics can be fitted to the hidden states of the model {name!r}")
@runtime_checkable
class FitsDynamics(Protocol):
    def fit_dynamics(self, documents: Documents, steps: int, seed: int, /) -> Dynamics:
        """A transition that is fitted to the hidden states of the frozen model on these documents (the post-hoc
        dynamics probe)."""
        ...


@without("hidden states of the model {name!r} cannot be replaced")
@runtime_checkable
class HasSwap(Protocol):
    def swapped(self, documents: Documents, donors: Documents, layer: str, /) -> Decoder:
        """Continues `documents` after a replacement: the hidden state of the last token at `layer` (a key of
        `layers`, or ALL_LAYERS) becomes the hidden state of the donors' last token.

        Row n of `documents` and row n of `donors` must have the same length. Higher layers are computed from the
        replaced state. Earlier positions are unchanged.
        """
        ...


class SequenceModel(abc.ABC):
    """A model that predicts a distribution after every prefix: of the next token, or of the label where the world
    has labels.

    Other things that a model can do are abilities, as for worlds: HasHidden, HasHead, FitsDynamics, HasSwap.

    needs: the abilities that the world must have so that the model can be built.
    serves_labels: true if the model works in a world with labels.
    """

    name: str
    hidden_name: str = ""
    needs: ClassVar[tuple[type, ...]] = ()
    serves_labels: ClassVar[bool] = True

    @classmethod
    def impossible(cls, world: World) -> str | None:
        """The reason why this model cannot be built for that world (an oracle needs an exact law). None if there is
        no reason."""
        return (None if cls.serves_labels else asks_for_labels(world)) or lacking(cls.needs, world)

    @abc.abstractmethod
    def logits(self, tokens: np.ndarray) -> np.ndarray:
        """Logits after every prefix: tokens int [B, T] -> float32 [B, T, V]. Padding at the end of a row is ignored."""

    @abc.abstractmethod
    def decoder(self, prompts: np.ndarray, lengths: np.ndarray, condition: np.ndarray | None = None) -> Decoder:
        """Starts to decode after prompts int [B, P]. Row n has a prompt of `lengths[n]` tokens; the rest of the row
        is ignored.

        condition: the tokens int [B, S] that the document is to end with, -1 after the last one in shorter rows.
        Only some models support a condition. They then give the distribution of the next token, given the prefix and
        the condition. Other models raise InputError.
        """

    def untrained(self, seed: int) -> SequenceModel | None:
        """A freshly initialized model of the same shape, the control of every probe. None if the model has no such
        control."""
        return None

    def dynamics(self) -> Dynamics | None:
        """The model's own transition of hidden states. None if the model was trained without one."""
        return None
