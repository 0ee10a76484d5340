"""Packing documents into rows, against a loop over single tokens."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from worldbench.baselines.batch import Batch, pack
from worldbench.core.world import Documents

FIELDS = ("tokens", "document", "position", "following", "targets", "closed")


def documents_of(rows: list[list[int]], prompts: list[int]) -> Documents:
    width = max(len(r) for r in rows)
    tokens = np.zeros((len(rows), width), np.int32)
    for i, row in enumerate(rows):
        tokens[i, : len(row)] = row
    return Documents(tokens, np.array([len(r) for r in rows], np.int32), np.array(prompts, np.int32))


def literal(documents: Documents, rows: int, width: int) -> dict[str, list[list[int]]]:
    """Token by token, from the definition."""
    out = {name: [[0] * width for _ in range(rows)] for name in ("tokens", "position", "closed")}
    out |= {name: [[-1] * width for _ in range(rows)] for name in ("document", "following", "targets")}
    share = len(documents) // rows
    for r in range(rows):
        column = 0
        for j in range(share):
            n = r * share + j
            for t in range(int(documents.length[n]) - 1):
                if column < width:
                    out["tokens"][r][column] = int(documents.tokens[n, t])
                    out["document"][r][column] = j
                    out["position"][r][column] = t
                    out["closed"][r][column] = int(t == documents.length[n] - 2)
                    out["following"][r][column] = int(documents.tokens[n, t + 1])
                    if t + 1 >= documents.prompt_length[n]:
                        out["targets"][r][column] = int(documents.tokens[n, t + 1])
                column += 1
    return out


def as_lists(batch: Batch) -> dict[str, list[list[int]]]:
    return {name: getattr(batch, name).tolist() for name in FIELDS}


@st.composite
def cases(draw: st.DrawFn) -> tuple[Documents, int, int]:
    rows, share = draw(st.integers(1, 4)), draw(st.integers(1, 4))
    texts = draw(
        st.lists(st.lists(st.integers(1, 30), min_size=2, max_size=9), min_size=rows * share, max_size=rows * share)
    )
    prompts = [draw(st.integers(1, len(text))) for text in texts]
    return documents_of(texts, prompts), rows, draw(st.integers(1, 20))


@given(cases())
def test_as_the_loop_over_tokens(case: tuple[Documents, int, int]) -> None:
    documents, rows, width = case
    assert as_lists(pack(documents, rows, width)) == literal(documents, rows, width)


@given(cases())
def test_a_row_depends_on_its_own_documents_alone(case: tuple[Documents, int, int]) -> None:
    documents, rows, width = case
    whole, share = as_lists(pack(documents, rows, width)), len(documents) // rows
    for r in range(rows):
        own = slice(r * share, (r + 1) * share)
        alone = pack(documents.take(own), 1, width)
        assert as_lists(alone) == {name: [whole[name][r]] for name in FIELDS}


def test_by_hand() -> None:
    """Two rows of two documents: the last token (9) is only a target, prompts are not scored, and a document cut by the
    row's end keeps its known target."""
    batch = pack(documents_of([[1, 2, 3, 9], [4, 5, 6, 7, 9], [8, 9], [1, 2, 9]], [2, 2, 1, 2]), 2, 6)
    assert batch.tokens.tolist() == [[1, 2, 3, 4, 5, 6], [8, 1, 2, 0, 0, 0]]
    assert batch.document.tolist() == [[0, 0, 0, 1, 1, 1], [0, 1, 1, -1, -1, -1]]
    assert batch.position.tolist() == [[0, 1, 2, 0, 1, 2], [0, 0, 1, 0, 0, 0]]
    assert batch.targets.tolist() == [[-1, 3, 9, -1, 6, 7], [9, -1, 9, -1, -1, -1]]
    assert batch.valid.sum() == 9
    assert batch.scored.sum() == 6
    assert not batch.single


def test_one_document_a_row_is_the_padded_batch() -> None:
    documents = documents_of([[1, 2, 3, 9], [4, 5, 9]], [1, 1])
    batch = pack(documents, 2, 3)
    assert batch.single
    assert batch.tokens.tolist() == [[1, 2, 3], [4, 5, 0]]
    assert batch.targets.tolist() == [[2, 3, 9], [5, 9, -1]]


def test_rows_are_slices_and_uneven_deals_are_refused() -> None:
    documents = documents_of([[1, 2, 3, 9], [4, 5, 9], [6, 9], [7, 8, 9]], [1, 1, 1, 1])
    whole = pack(documents, 4, 3)
    assert as_lists(whole.rows(1, 3)) == {name: value[1:3] for name, value in as_lists(whole).items()}
    with pytest.raises(ValueError, match="4 documents cannot be dealt evenly into 3 rows"):
        pack(documents, 3, 3)
