"""A user's own function as a model."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from worldbench.core.errors import InputError
from worldbench.core.model import Decoder, SequenceModel, refuse_condition
from worldbench.core.world import Vocabulary


def load_callable(spec: str) -> Callable[..., Any]:
    """Import `module:function`, the current folder included."""
    module_name, colon, attribute = spec.partition(":")
    if not colon or not module_name or not attribute:
        raise InputError(f"--callable takes MODULE:FUNCTION, not {spec!r}")
    if str(Path.cwd()) not in sys.path:
        sys.path.insert(0, str(Path.cwd()))
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        raise InputError(f"--callable {spec!r}: there is no module {error.name!r} in this folder or among the installed packages") from error
    except Exception as error:
        raise InputError(f"--callable {spec!r}: importing it failed: {type(error).__name__}: {error}") from error
    function = getattr(module, attribute, None)
    if function is None:
        raise InputError(f"--callable {spec!r}: the module {module_name!r} has no {attribute!r}")
    if not callable(function):
        raise InputError(f"--callable {spec!r}: {attribute!r} is a {type(function).__name__}, not a function")
    return function


class CallableModel(SequenceModel):
    """`function(tokens int64 [B, T]) -> logits [B, T, V]`, numpy or torch; it may return `(logits, hidden [B, T, D])`. Decoding re-computes each prefix."""

    def __init__(self, function: Callable[..., Any], vocabulary: Vocabulary, name: str = "callable") -> None:
        self.function, self.vocabulary, self.name = function, vocabulary, name
        probe = np.array([[vocabulary.actions[0]]])
        self.hidden_name = "the function's second value" if self._call(probe)[1] is not None else ""

    def _call(self, tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        value = self.function(np.ascontiguousarray(tokens, dtype=np.int64))
        logits, hidden = value if isinstance(value, tuple) and len(value) == 2 else (value, None)
        logits = self._array(logits, "logits")
        wanted = (*tokens.shape, len(self.vocabulary))
        if logits.shape != wanted:
            raise InputError(
                f"{self.name} returned logits of shape {logits.shape} for tokens of shape {tokens.shape}; they must be {wanted} (the last: vocabulary)"
            )
        if np.isnan(logits).any() or (logits.max(axis=-1) == -np.inf).any() or (logits == np.inf).any():
            raise InputError(f"{self.name} returned logits that are not numbers")
        if hidden is not None:
            hidden = self._array(hidden, "hidden states")
            if hidden.ndim != 3 or hidden.shape[:2] != tokens.shape:
                raise InputError(f"{self.name} returned hidden states of shape {hidden.shape} for tokens of shape {tokens.shape}; they must be [B, T, D]")
        return logits, hidden

    def _array(self, value: Any, what: str) -> np.ndarray:
        if hasattr(value, "detach"):
            value = value.detach().cpu()
            value = (value.float() if value.is_floating_point() else value).numpy()  # numpy has no bfloat16
        if not isinstance(value, np.ndarray) or value.dtype.kind not in "fiu":
            raise InputError(f"{self.name} returned {what} of type {type(value).__name__}; they must be a numpy array or torch tensor of numbers")
        return value.astype(np.float32, copy=False)

    def logits(self, tokens: np.ndarray) -> np.ndarray:
        return self._call(tokens)[0]

    def hidden(self, tokens: np.ndarray) -> np.ndarray | None:
        return self._call(tokens)[1]

    def decoder(self, prompts: np.ndarray, lengths: np.ndarray, condition: np.ndarray | None = None) -> PlainDecoder:
        refuse_condition(self.name, condition)
        return PlainDecoder(self, prompts, lengths)


class PlainDecoder(Decoder):
    """Decodes without a cache, each step from the whole prefix."""

    def __init__(self, model: CallableModel, prompts: np.ndarray, lengths: np.ndarray) -> None:
        self.model, self.tokens, self.lengths = model, np.asarray(prompts)[:, : int(np.max(lengths))], np.asarray(lengths)
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
