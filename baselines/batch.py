"""Training rows: documents packed into a rectangle of tokens.

Shape letters: N documents, B rows, T tokens of a row.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch

from worldbench.core.world import Documents


@dataclass(frozen=True)
class Batch:
    """Rows of packed documents, int64 [B, T] but for the last two fields.

    tokens: inputs. document: which document of the row, -1 padding. position: place in the document.
    following: the document's next token, -1 where there is none (behind its last token, and at padding). targets: what
    is asked for there, -1 where nothing
    is: the next token, where it is not given as part of the prompt, or the label of a document that has labels of its
    own.
    closed: 1 where the next token is the document's last one and is not read, else 0 (a document that the row's end
    cuts off has no such place). Without labels of its own the last token of a document is only ever a target. row int64
    [B]: the row's number in the whole of training, for draws that belong to it. single: at most one document a row, so
    that a causal mask is enough.
    """

    tokens: torch.Tensor
    document: torch.Tensor
    position: torch.Tensor
    following: torch.Tensor
    targets: torch.Tensor
    closed: torch.Tensor
    row: torch.Tensor
    single: bool

    @property
    def valid(self) -> torch.Tensor:
        """bool [B, T]: inputs that are not padding."""
        return self.document >= 0

    @property
    def scored(self) -> torch.Tensor:
        """bool [B, T]: inputs after which something is asked for."""
        return self.targets >= 0

    def to(self, device: str | torch.device) -> Batch:
        return self._each(lambda x: x.to(device, non_blocking=True))

    def rows(self, low: int, high: int) -> Batch:
        """Rows low .. high - 1."""
        return self._each(lambda x: x[low:high])

    def _each(self, change: Callable[[torch.Tensor], torch.Tensor]) -> Batch:
        tensors = (self.tokens, self.document, self.position, self.following, self.targets, self.closed, self.row)
        return Batch(*(change(x) for x in tensors), single=self.single)


def pack(documents: Documents, rows: int, width: int, first_row: int = 0) -> Batch:
    """Deal N documents into `rows` rows of `width` tokens: row r lays its own N / rows consecutive documents end to
    end.

    What passes the row's end is cut, so a document may be cut but none is dropped or preferred for its own length.
    Vectorised: no loop over documents.
    first_row: the number of the first row in the whole of training.
    """
    n = len(documents)
    if n % rows:
        raise ValueError(f"{n} documents cannot be dealt evenly into {rows} rows")
    per_row = n // rows
    inputs = documents.input_length.astype(np.int64)
    grouped = inputs.reshape(rows, per_row)
    start = (np.cumsum(grouped, axis=1) - grouped).ravel()
    # One entry per kept input token: its document, its place in the document, its cell.
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
    tensors = {name: torch.from_numpy(value.reshape(rows, width)) for name, value in out.items()}
    return Batch(**tensors, row=torch.arange(first_row, first_row + rows), single=per_row == 1)
