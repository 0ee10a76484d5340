"""Training rows: documents packed into a rectangle of tokens.

Shape letters: N documents, B rows, T tokens of a row.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import torch

from worldbench.core.world import Documents

R = TypeVar("R")


@dataclass(frozen=True)
class Batch:
    """Rows of packed documents. All fields are int64 [B, T] except those named last.

    tokens: the inputs. document: the number of the document within its row, -1 at padding. position: the place of the
    token in its document. following: the next token of the document, -1 after its last token and at padding.
    targets: what is asked for at each input, -1 where nothing is asked for. This is the label, if documents have
    labels of their own, else the next token, unless that token is part of the prompt.
    closed: 1 where the next token is the last one of the document and is no input itself, else 0. A document that is
    cut off by the end of its row has no such place. (The last token of a document is an input only if documents have
    labels.)
    row: int64 [B], the number of the row, counted over the whole training. Random draws for a row use this number.
    single: there is at most one document per row, so that a causal mask is enough.
    host: the same rows in the memory of the CPU; None if this batch itself is in the memory of the CPU.

    A training step never reads the device: the shape of every tensor follows from the rows on the CPU. `derived`
    computes there what an objective must know of the rows, such as the places of the scored inputs.
    """

    tokens: torch.Tensor
    document: torch.Tensor
    position: torch.Tensor
    following: torch.Tensor
    targets: torch.Tensor
    closed: torch.Tensor
    row: torch.Tensor
    single: bool
    host: Batch | None = None
    _derived: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def valid(self) -> torch.Tensor:
        """bool [B, T]: inputs that are not padding."""
        return self.document >= 0

    @property
    def scored(self) -> torch.Tensor:
        """bool [B, T]: inputs after which something is asked for."""
        return self.targets >= 0

    def derived(self, make: Callable[..., R], *args: Any) -> R:
        """`make(rows, *args)` with these rows in the memory of the CPU, computed once. Its tensors are moved to the
        device of this batch.

        make: a function of a module (the result is kept under it), whose result depends on its arguments alone: a
        tensor, a number, or tuples of such. What `Objective.counts` derives is computed before the batch goes to the
        device, and goes there with the rows.
        """
        key = (make, args)
        if key not in self._derived:
            self._derived[key] = (
                make(self, *args)
                if self.host is None
                else on_device(self.host.derived(make, *args), self.tokens.device)
            )
        return self._derived[key]

    @property
    def scored_places(self) -> torch.Tensor:
        """int64 [M]: the flat places, row by row, of the inputs after which something is asked for."""
        return self.derived(_scored_places)

    def to(self, device: str | torch.device) -> Batch:
        """The same rows, and what was derived from them, on a device. The process does not wait for the transfer."""
        device = torch.device(device)
        return self if device == self.tokens.device else self.each(lambda x: on_device(x, device))

    def rows(self, low: int, high: int) -> Batch:
        """Rows low .. high - 1. Nothing that was derived from all rows is kept."""
        part = self._with(lambda x: x[low:high])
        return part if self.host is None else dataclasses.replace(part, host=self.host.rows(low, high))

    def each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        """The batch with every tensor changed, also what was derived. `host` stays."""
        host = self if self.host is None else self.host
        derived = {key: _changed(value, change) for key, value in self._derived.items()}
        return dataclasses.replace(self._with(change), host=host, _derived=derived)

    def _with(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        tensors = (self.tokens, self.document, self.position, self.following, self.targets, self.closed, self.row)
        return Batch(*(change(x) for x in tensors), single=self.single)


def _scored_places(rows: Batch) -> torch.Tensor:
    return places(rows.scored)


def places(mask: torch.Tensor) -> torch.Tensor:
    """int64 [M]: the flat places where a mask on the CPU is true, in order. A tensor with the leading dimensions of the
    mask is read there by `x.flatten(0, 1).index_select(0, places)`: the elements of `x[mask]`, in the same order."""
    return mask.flatten().nonzero()[:, 0]


def on_device(value: Any, device: torch.device) -> Any:
    """A value of `Batch.derived` with its tensors on a device."""

    def moved(x: torch.Tensor) -> torch.Tensor:
        # A copy to CUDA lets the process continue only if it starts in memory that the system cannot move.
        return (x.pin_memory() if device.type == "cuda" and not x.is_cuda else x).to(device, non_blocking=True)

    return _changed(value, moved)


def _changed(value: Any, change: Callable[[torch.Tensor], torch.Tensor]) -> Any:
    if isinstance(value, torch.Tensor):
        return change(value)
    if isinstance(value, (tuple, list)):
        parts = [_changed(x, change) for x in value]
        return type(value)(*parts) if hasattr(value, "_fields") else type(value)(parts)
    return value


def pack(documents: Documents, rows: int, width: int, first_row: int = 0) -> Batch:
    """Pack N documents into `rows` rows of `width` tokens. Row r holds N / rows consecutive documents, end to end.

    Tokens beyond the end of the row are cut off. Documents are never chosen by their length. first_row: the number of
    the first row in the whole of training. Raises ValueError if N is not a multiple of `rows`.
    """
    n = len(documents)
    if n % rows:
        raise ValueError(f"{n} documents cannot be dealt evenly into {rows} rows")
    per_row = n // rows
    inputs = documents.input_length.astype(np.int64)
    grouped = inputs.reshape(rows, per_row)
    start = (np.cumsum(grouped, axis=1) - grouped).ravel()
    # One entry for each input token that is kept: its document, its place in the document, its cell.
    doc = np.repeat(np.arange(n), inputs)
    place = np.arange(len(doc)) - np.repeat(np.cumsum(inputs) - inputs, inputs)
    column = start[doc] + place
    kept = column < width
    doc, place, column = doc[kept], place[kept], column[kept]
    cell = doc // per_row * width + column
    tokens = documents.tokens.ravel()
    at = doc * documents.tokens.shape[1] + place
    closed = place + 1 == inputs[doc]
    if documents.labels is None:
        following = tokens[at + 1]
        targets = np.where(place + 1 >= documents.prompt_length[doc], following, -1)
    else:
        last = documents.length.astype(np.int64)[doc] - 1
        following = np.where(place < last, tokens[np.minimum(at + 1, len(tokens) - 1)], -1)
        targets = documents.labels.ravel()[at]
        closed &= following >= 0
    laid = {
        "tokens": (tokens[at], 0),
        "document": (doc % per_row, -1),
        "position": (place, 0),
        "following": (following, -1),
        "targets": (targets, -1),
        "closed": (closed, 0),
    }
    out = {name: np.full(rows * width, empty, np.int64) for name, (_, empty) in laid.items()}
    for name, (value, _) in laid.items():
        out[name][cell] = value
    tensors: dict[str, Any] = {name: torch.from_numpy(value.reshape(rows, width)) for name, value in out.items()}
    return Batch(**tensors, row=torch.arange(first_row, first_row + rows), single=per_row == 1)
