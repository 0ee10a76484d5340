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
    """Rows of packed documents. All fields are int64 [B, T] except `row` and `single`.

    tokens: the inputs. document: the number of the document within its row, -1 at padding. position: the place of the
    token in its document. following: the next token of the document, -1 after its last token and at padding.
    targets: what is asked for at each input, -1 where nothing is asked for. This is the label, if documents have
    labels of their own, else the next token, unless that token is part of the prompt.
    closed: 1 where the next token is the last one of the document and is no input itself, else 0. A document that is
    cut off by the end of its row has no such place. (The last token of a document is an input only if documents have
    labels.)
    row: int64 [B], the number of the row in the whole of training, which random draws for this row are named by.
    single: there is at most one document per row, so that a causal mask is enough.
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
    tensors = {name: torch.from_numpy(value.reshape(rows, width)) for name, value in out.items()}
    return Batch(**tensors, row=torch.arange(first_row, first_row + rows), single=per_row == 1)
