"""A function or network of the user, as a model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from worldbench.baselines.user_code import parts
from worldbench.core.errors import InputError, WorldbenchError, describe
from worldbench.core.model import Decoder, SequenceModel, refuse_condition
from worldbench.core.text import counted
from worldbench.core.world import Vocabulary

LOGITS_AT_ONCE = 1 << 26
"""Largest number of logits that one call returns, where no batch limit is given."""


class CallableModel(SequenceModel):
    """A model from `function(tokens int64 [B, T])`, which returns logits [B, T, V] or `(logits, hidden [B, T, D])`, in
    numpy or torch.

    rows: largest number of rows in one call; None: as many as give LOGITS_AT_ONCE logits. network: whether the function
    is an nn.Module (see `user_code.parts`). Decoding calls the function on whole prefixes. Logits and hidden states at
    padding are ignored. The model is a `HasHidden` (core/model.py) if the function returns hidden states for a single
    token. It must then return hidden states of the same width D for all tokens. Methods raise InputError where the
    function fails, or returns something else.
    """

    def __init__(
        self,
        function: Callable[[np.ndarray], Any],
        vocabulary: Vocabulary,
        name: str = "callable",
        rows: int | None = None,
        network: bool = False,
    ) -> None:
        self.function, self.vocabulary, self.name, self.rows, self.network = function, vocabulary, name, rows, network
        self.width: int | None = None
        hidden = self._call(np.array([[vocabulary.actions[0]]]), first=True)[1]
        if hidden is not None:
            self.width = hidden.shape[-1]
            self.hidden_name, self.hidden, self.layers = "the function's second value", self._states, self._layers

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        return np.concatenate([self._call(part)[0] for part in self._chunks(tokens)])

    def _states(self, tokens: np.ndarray) -> np.ndarray:
        found = (self._call(part)[1] for part in self._chunks(tokens))
        return np.concatenate([h for h in found if h is not None])  # not None: `_call` has refused that

    def _layers(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        return {self.hidden_name: self._states(tokens)}

    def decoder(self, prompts: np.ndarray, lengths: np.ndarray, condition: np.ndarray | None = None) -> Decoder:
        refuse_condition(self.name, condition)
        return PlainDecoder(self, prompts, lengths)

    def _chunks(self, tokens: np.ndarray) -> list[np.ndarray]:
        rows = self.rows or max(1, LOGITS_AT_ONCE // (max(1, tokens.shape[1]) * len(self.vocabulary)))
        return [tokens[i : i + rows] for i in range(0, max(1, len(tokens)), rows)]

    def _call(self, tokens: np.ndarray, first: bool = False) -> tuple[np.ndarray, np.ndarray | None]:
        """Logits [B, T, V] and hidden states [B, T, D] or None. Raises InputError where the function fails or returns
        something else. Except in the first call, hidden states must be as in the first call: none, or of that width."""
        given = np.array(tokens, dtype=np.int64)  # a copy: the function may write into it
        try:
            value = self.function(given)
        except WorldbenchError:
            raise
        except (Exception, SystemExit) as error:
            raise InputError(
                f"{self.name} failed on {_described(tokens)}: {describe(error)}{_advice(error, tokens)}"
            ) from error
        logits, hidden = parts(value, self.network)
        padding = tokens == self.vocabulary.pad
        checked = self._hidden(hidden, tokens, padding)
        width = None if checked is None else checked.shape[-1]
        if not first and width != self.width:
            before, now = ("none" if w is None else f"hidden states of width {w}" for w in (self.width, width))
            raise InputError(
                f"{self.name} returned {before} at first, and {now} for {_described(tokens)}; return hidden states of "
                "one width for all tokens, or never"
            )
        return self._logits(logits, tokens, padding), checked

    def _logits(self, value: Any, tokens: np.ndarray, padding: np.ndarray) -> np.ndarray:
        logits = self._array(value, "logits")
        wanted = (*tokens.shape, len(self.vocabulary))
        if logits.shape != wanted:
            last = logits.shape in ((len(tokens), wanted[2]), (len(tokens), 1, wanted[2]))
            raise InputError(
                f"{self.name} returned logits of shape {logits.shape} for {_described(tokens)}; they must be {wanted}: "
                f"the last is the world's vocabulary of {counted(wanted[2], 'word')}"
                + (
                    ", and a score of the next word is needed after every token, not after the last one alone"
                    if last
                    else ""
                )
            )
        highest = logits.max(axis=-1)
        for what, wrong in (
            ("NaN among its logits", np.isnan(highest)),
            ("an infinite logit", highest == np.inf),
            ("logits that are all -inf", highest == -np.inf),
        ):
            if wrong.any():
                if (wrong & ~padding).any():
                    raise InputError(f"{self.name} returned {what}, {_where(wrong & ~padding)} of {_described(tokens)}")
                logits = np.where(wrong[..., None], np.float32(0), logits)
        return logits

    def _hidden(self, value: Any, tokens: np.ndarray, padding: np.ndarray) -> np.ndarray | None:
        if value is None:
            return None
        hidden = self._array(value, "hidden states")
        if hidden.ndim != 3 or hidden.shape[:2] != tokens.shape:
            raise InputError(
                f"{self.name} returned hidden states of shape {hidden.shape} for {_described(tokens)}; "
                "a second value must be hidden states [B, T, D], or left out"
            )
        if hidden.shape[-1] == 0:
            raise InputError(
                f"{self.name} returned hidden states of width 0 for {_described(tokens)}; leave the second value out "
                "if there are no hidden states"
            )
        wrong = np.asarray(~np.isfinite(hidden).all(axis=-1))
        if (wrong & ~padding).any():
            raise InputError(
                f"{self.name} returned hidden states with NaN or infinity, {_where(wrong & ~padding)} "
                f"of {_described(tokens)}"
            )
        return np.where(wrong[..., None], np.float32(0), hidden) if wrong.any() else hidden

    def _array(self, value: Any, what: str) -> np.ndarray:
        """A float32 array from a numpy array, a torch tensor, or an object that numpy converts (JAX, TensorFlow)."""
        kind = type(value).__name__
        try:
            if hasattr(value, "detach"):
                value = value.detach()
                value = (value.to_dense() if value.is_sparse else value).cpu()
                value = (value.float() if value.is_floating_point() else value).numpy()  # numpy has no bfloat16
            elif hasattr(value, "__array__"):
                value = np.asarray(value)
        except (Exception, SystemExit) as error:
            raise InputError(f"{self.name} returned {what} that cannot be read ({describe(error)})") from error
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            of = f"type {kind}" if not isinstance(value, np.ndarray) else f"dtype {value.dtype}"
            raise InputError(
                f"{self.name} returned {what} of {of}; they must be a numpy array or torch tensor of numbers"
            )
        with np.errstate(over="ignore"):
            return value.astype(np.float32, copy=False)


def _described(tokens: np.ndarray) -> str:
    return f"tokens of shape {tuple(tokens.shape)}"


def _where(wrong: np.ndarray) -> str:
    row, at = np.argwhere(wrong)[0]
    return f"first after token {at} of row {row}"


def _advice(error: BaseException, tokens: np.ndarray) -> str:
    """Advice to use --batch-limit where the memory was too small; else nothing."""
    short = isinstance(error, MemoryError) or "out of memory" in str(error).lower() or "allocate" in str(error).lower()
    return f"; --batch-limit N calls it with N rows at once, not {len(tokens)}" if short and len(tokens) > 1 else ""


class PlainDecoder(Decoder):
    """Decodes without a cache: each step reads the whole prefix."""

    def __init__(self, model: CallableModel, prompts: np.ndarray, lengths: np.ndarray) -> None:
        self.model, self.tokens, self.lengths = (
            model,
            np.asarray(prompts)[:, : int(np.max(lengths))],
            np.asarray(lengths),
        )
        self.logits = self._after(self.lengths)

    def _after(self, lengths: np.ndarray) -> np.ndarray:
        return self.model.logits(self.tokens)[np.arange(len(self.tokens)), lengths - 1]

    def extend(self, tokens: np.ndarray) -> np.ndarray:
        n, k = tokens.shape
        room = int(self.lengths.max()) + k
        longer = np.full((n, room), self.model.vocabulary.pad, self.tokens.dtype)
        longer[:, : self.tokens.shape[1]] = self.tokens
        column = self.lengths[:, None] + np.arange(k)[None, :]
        longer[np.arange(n)[:, None], column] = tokens
        self.tokens, self.lengths = longer, self.lengths + k
        out = self.model.logits(self.tokens)[np.arange(n)[:, None], column]
        self.logits = out[:, -1]
        return out

    def select(self, rows: np.ndarray) -> None:
        self.lengths, self.logits = self.lengths[rows], self.logits[rows]
        self.tokens = self.tokens[rows, : int(self.lengths.max(initial=0))]
