"""A causal language model of the package transformers as a `SequenceModel`.

Shape letters: B rows, T tokens, P prompt tokens, K new tokens, V words of the world, D width.
"""

from __future__ import annotations

import copy
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from worldbench.baselines.callable import LOGITS_AT_ONCE, CallableModel
from worldbench.baselines.word_ids import NO_ID
from worldbench.core import streams
from worldbench.core.errors import InputError, WorldbenchError, describe
from worldbench.core.model import Decoder, log_softmax, refuse_condition
from worldbench.core.world import Vocabulary, World

CHECKED = 8
"""Held-out documents on which cached decoding is compared with plain decoding."""
CACHES = ("cache", "past_key_values", "cache_params")
"""What the versions of transformers call the cache, as an argument and in the output: the newest name first."""
SAME = 1e-3
"""Largest distance in total variation between the two: sums are computed in another order."""


def id_count(network: Any) -> int:
    """How many ids a network reads and predicts. (The size in its configuration may be that of another part.)"""
    with torch.inference_mode():
        first = torch.zeros((1, 1), dtype=torch.int64, device=next(network.parameters()).device)
        predicted = network(input_ids=first, return_dict=True).logits.shape[-1]
    return min(int(predicted), int(network.get_input_embeddings().weight.shape[0]))


class HuggingFaceModel(CallableModel):
    """The predictions of a causal language model, over the words of a world.

    network: the model (PreTrainedModel), which is put into evaluation mode. ids: the model's id of each word, int64
    [V], from `word_ids`. Ids without a word are left out, so the probabilities of the words sum to 1. rows: largest
    number of rows in one call. sha256: the digest of the weights, the configuration and `ids`. words: the options of
    `worldbench score` that name the model. cached: whether decoding uses the model's cache of keys and values
    (`check_cache` decides). remarks: what a person should know before the scores.
    """

    hidden_name = "input of the head"

    def __init__(
        self, network: Any, vocabulary: Vocabulary, ids: np.ndarray, name: str, *, rows: int | None = None,
        sha256: str | None = None, words: tuple[str, ...] = (),
    ) -> None:  # fmt: skip
        self.lm, self.ids, self.sha256, self.words = network.eval(), ids, sha256, words
        self.remarks: list[str] = []
        self.device: torch.device = next(network.parameters()).device
        self.size = id_count(network)
        self.arguments = frozenset(inspect.signature(network.forward).parameters)
        self.cache = next((name for name in CACHES if name in self.arguments), "")
        self.cached = self.cache != ""
        self._column = torch.from_numpy(np.where(ids == NO_ID, 0, ids)).to(self.device)
        self._without = torch.from_numpy(ids == NO_ID).to(self.device)
        super().__init__(self._forward, vocabulary, name, rows)

    # What the metrics call

    def layers(self, tokens: np.ndarray) -> dict[str, np.ndarray]:
        """Hidden states [B, T, D]: the embeddings, the output of each block, and the input of the head."""
        out: dict[str, list[np.ndarray]] = {}
        for part in self._chunks(tokens):
            states = self._guarded(part, lambda part=part: self._run(part, output_hidden_states=True).hidden_states)
            for place, state in enumerate(states):
                name = self.hidden_name if place == len(states) - 1 else f"block {place}" if place else "embedding"
                out.setdefault(name, []).append(self._checked(state, part))
        return {name: np.concatenate(parts) for name, parts in out.items()}

    def hidden(self, tokens: np.ndarray) -> np.ndarray:
        found = []
        for part in self._chunks(tokens):
            state = self._guarded(part, lambda part=part: self._run(part, output_hidden_states=True).hidden_states[-1])
            found.append(self._checked(state, part))
        return np.concatenate(found)

    def _checked(self, state: Tensor, tokens: np.ndarray) -> np.ndarray:
        found = self._hidden(state, tokens, tokens == self.vocabulary.pad)
        assert found is not None  # None only where no state was given
        return found

    def decoder(self, prompts: np.ndarray, lengths: np.ndarray, condition: np.ndarray | None = None) -> Decoder:
        refuse_condition(self.name, condition)
        if not self.cached:
            return super().decoder(prompts, lengths)
        return CachedDecoder(self, prompts, lengths)

    def untrained(self, seed: int) -> HuggingFaceModel:
        """A model of the same configuration, with the initial weights that the package gives it."""
        with torch.random.fork_rng():
            start = torch.Generator().manual_seed(streams.integer("untrained", seed))
            torch.set_rng_state(start.get_state())
            network = type(self.lm)(copy.deepcopy(self.lm.config)).to(self.device, torch.float32)
        fresh = HuggingFaceModel(network, self.vocabulary, self.ids, f"untrained {self.name}", rows=self.rows)
        fresh.cached = self.cached
        return fresh

    # Checks

    def check_cache(self, world: World, seed: int) -> str | None:
        """Turn the cache off if decoding with it differs from decoding without. Returns the reason, or None.

        Held-out documents are cut at different places, so that prompts of different lengths are decoded together.
        """
        if not self.cached:
            return "the model has no cache of keys and values"
        documents = world.sample(seed, "test", 0, CHECKED)
        share = np.linspace(0.2, 0.8, len(documents))
        cuts = np.clip((share * documents.length).astype(int), 1, documents.length - 1)
        after = np.minimum(cuts[:, None] + np.arange(2), documents.length[:, None] - 1)
        following = np.take_along_axis(documents.tokens, after, axis=1)
        again = np.arange(2 * len(documents)) % len(documents)
        laws = []
        try:
            for decoder in (CachedDecoder(self, documents.tokens, cuts), super().decoder(documents.tokens, cuts)):
                decoder.select(again[::-1])
                found = [decoder.logits[:, None], *(decoder.extend(following[again[::-1], i : i + 1]) for i in (0, 1))]
                laws.append(np.exp(log_softmax(np.concatenate(found, axis=1))))
        except InputError as error:
            self.cached = False
            return str(error)
        gap = np.abs(laws[0] - laws[1]).sum(axis=-1).max() / 2
        self.cached = bool(gap <= SAME)  # False for NaN too
        return None if self.cached else f"its probabilities with the cache differ by {gap:.2g} from those without"

    def left_out(self, world: World, seed: int) -> float:
        """The mean probability, on held-out documents, of the ids that stand for no word of the world."""
        documents = world.sample(seed, "test", 0, CHECKED)
        outside = np.setdiff1d(np.arange(self.size), self.ids)
        if not len(outside):
            return 0.0
        total, count = 0.0, 0
        for part in self._chunks(documents.inputs):
            inside = part != self.vocabulary.pad
            with torch.inference_mode():
                law = self._run(part).logits.float().softmax(dim=-1).cpu().numpy()
            total, count = total + float(law[..., outside].sum(axis=-1)[inside].sum()), count + int(inside.sum())
        return total / max(count, 1)

    # Calls of the network

    def _chunks(self, tokens: np.ndarray) -> list[np.ndarray]:
        return [tokens[i : i + self.most(tokens.shape[1])] for i in range(0, len(tokens), self.most(tokens.shape[1]))]

    def most(self, width: int) -> int:
        """The largest number of rows of `width` tokens in one call."""
        return self.rows or max(1, LOGITS_AT_ONCE // (max(1, width) * self.size))

    def _forward(self, tokens: np.ndarray) -> Tensor:
        return self.of_words(self._run(tokens).logits)

    @torch.inference_mode()
    def _run(self, tokens: np.ndarray, **options: Any) -> Any:
        """The output of the network for rows that begin at their first column."""
        ids = self.ids_of(tokens)
        options = {"use_cache": False, **options} if self.cached else options
        return self.lm(input_ids=ids, attention_mask=torch.ones_like(ids), return_dict=True, **options)

    def ids_of(self, tokens: np.ndarray) -> Tensor:
        """The model's ids of words, on its device."""
        return self._column[torch.from_numpy(np.ascontiguousarray(tokens, dtype=np.int64)).to(self.device)]

    def of_words(self, logits: Tensor) -> Tensor:
        """The logits of the words [.., V], from those of all ids. -inf for padding without an id."""
        return logits.float()[..., self._column].masked_fill(self._without, -torch.inf)

    def _guarded(self, tokens: np.ndarray, work: Callable[[], Any]) -> Any:
        try:
            return work()
        except WorldbenchError:
            raise
        except Exception as error:
            raise InputError(f"{self.name} failed on tokens of shape {tokens.shape}: {describe(error)}") from error


@dataclass
class Part:
    """Some rows that are computed together. place: their numbers in the decoder, int [n]. mask: 1 for tokens, 0 for the
    columns before the first token, [n, S]. length: tokens of each row, [n, 1]. cache: of the package transformers."""

    place: np.ndarray
    mask: Tensor
    length: Tensor
    cache: Any


class CachedDecoder(Decoder):
    """Decodes with the model's cache of keys and values. At most `most` rows are computed at once.

    Prompts are aligned at their right ends, so that all rows append to the same columns.
    """

    def __init__(self, model: HuggingFaceModel, prompts: np.ndarray, lengths: np.ndarray) -> None:
        self.model, lengths = model, np.asarray(lengths, np.int64)
        self.most = model.most(int(lengths.max(initial=1)))
        self.logits = np.empty((len(lengths), len(model.vocabulary)), np.float32)
        self.parts: list[Part] = []
        for i in range(0, len(lengths), self.most):
            place = np.arange(i, min(i + self.most, len(lengths)))
            widest = int(lengths[place].max())
            column = np.arange(widest)[None, :] - (widest - lengths[place])[:, None]
            tokens = np.take_along_axis(np.asarray(prompts)[place], np.maximum(column, 0), axis=1)
            part = Part(place, self._tensor(column[:, :0]), self._tensor(np.zeros((len(place), 1))), None)
            after = self._append(part, tokens, self._tensor(column >= 0))
            self.logits[place] = after[:, -1]
            self.parts.append(part)

    def extend(self, tokens: np.ndarray) -> np.ndarray:
        out = np.empty((*tokens.shape, len(self.model.vocabulary)), np.float32)
        for part in self.parts:
            own = np.asarray(tokens)[part.place]
            out[part.place] = self._append(part, own, self._tensor(np.ones(own.shape)))
        self.logits = out[:, -1]
        return out

    def select(self, rows: np.ndarray) -> None:
        rows = np.asarray(rows, np.int64)
        if np.array_equal(rows, np.arange(len(self.logits))):
            return
        parts: list[Part] = []
        for part in self.parts:
            place = np.flatnonzero(np.isin(rows, part.place))
            chosen = np.searchsorted(part.place, rows[place])
            for i in range(0, len(place), self.most):
                whole = len(place) <= self.most
                index = self._tensor(chosen[i : i + self.most])
                cache = self._selected(part.cache if whole else copy.deepcopy(part.cache), index)
                parts.append(Part(place[i : i + self.most], part.mask[index], part.length[index], cache))
        self.parts, self.logits = parts, self.logits[rows]

    def _selected(self, cache: Any, index: Tensor) -> Any:
        try:
            cache.batch_select_indices(index)
        except AttributeError as error:  # states of recurrent layers
            raise InputError("single rows of the model's cache cannot be kept") from error
        return cache

    def _tensor(self, values: np.ndarray) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(values, dtype=np.int64)).to(self.model.device)

    def _append(self, part: Part, tokens: np.ndarray, new: Tensor) -> np.ndarray:
        """The logits [n, K, V] after tokens [n, K] of the rows of a part. new: 1 for tokens, 0 for columns to skip."""
        model = self.model
        position = (part.length + new.cumsum(dim=1) - 1).clamp(min=0)
        part.mask, part.length = torch.cat([part.mask, new], dim=1), part.length + new.sum(dim=1, keepdim=True)
        options = {"position_ids": position} if "position_ids" in model.arguments else {}
        options[model.cache] = part.cache

        @torch.inference_mode()
        def work() -> tuple[Tensor, Any]:
            output = model.lm(
                input_ids=model.ids_of(tokens), attention_mask=part.mask, use_cache=True, return_dict=True, **options
            )  # fmt: skip
            return model.of_words(output.logits), getattr(output, model.cache, None)

        logits, part.cache = model._guarded(tokens, work)
        return model._logits(logits, tokens, new.cpu().numpy() == 0)
