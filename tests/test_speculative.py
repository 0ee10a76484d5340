"""Speculative decoding gives what plain decoding gives: the same tokens when greedy, the same law when sampled, with
one forward pass a round."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from drafting import END, KINDS, continue_, objective, prompts
from torch import Tensor

from worldbench.baselines import engine, speculative
from worldbench.baselines.drafters import drafter_of, reader_of
from worldbench.baselines.engine import Engine
from worldbench.baselines.gpt import GPT
from worldbench.baselines.jtp import JTP
from worldbench.baselines.latent_rnn import LatentRNN
from worldbench.baselines.mtp import MTP
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.options import GPTConfig, NextLatConfig, RecurrentConfig
from worldbench.baselines.recurrent import GRU
from worldbench.baselines.speculative import Drafting, generate
from worldbench.baselines.trained import TrainedModel
from worldbench.core.errors import InputError
from worldbench.core.streams import generator


@pytest.mark.parametrize("packed", [True, False])
def test_engine_is_the_backbone(packed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Even and uneven rows, cut and grown again, rows chosen."""
    monkeypatch.setattr(engine, "SMALL", 0 if packed else 1 << 30)
    made = objective("nextlat", scale=8)
    with torch.no_grad():
        for own, p in made.named_parameters():
            if p.ndim == 1:
                p.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(len(own)))
    tokens = torch.from_numpy(generator("test", "engine").integers(0, 12, (3, 40)))
    with torch.inference_mode():
        whole, quick = made.encode(tokens), Engine(made.trunk)
        quick.start(3, 40)
        for low, high in ((0, 5), (5, 6), (6, 15)):
            assert torch.allclose(quick.forward(made.embed(tokens[:, low:high])), whole[:, low:high], atol=1e-4)
        cut = np.array([3, 15, 7])
        quick.truncate(cut)
        with pytest.raises(ValueError, match="cannot be cut"):
            quick.truncate(cut + 1)
        for _ in range(2):  # uneven rows grow side by side
            h = quick.forward(made.embed(torch.stack([tokens[r, n : n + 4] for r, n in enumerate(cut)])))
            for r, n in enumerate(cut):
                assert torch.allclose(h[r], whole[r, n : n + 4], atol=1e-4)
            cut = cut + 4
        quick.select(torch.tensor([2, 0]))
        h = quick.forward(made.embed(torch.stack([tokens[2, 15:16], tokens[0, 11:12]])))
        assert torch.allclose(h[:, 0], torch.stack([whole[2, 15], whole[0, 11]]), atol=1e-4)
        assert quick.lengths.tolist() == [16, 12]
        assert quick.forwards == 6
        with pytest.raises(ValueError, match="do not fit"):
            quick.forward(made.embed(tokens[:2, :30]))


@pytest.mark.parametrize(
    ("name", "options"),
    [*((name, {}) for name in KINDS), ("nextlat", {"residual": False}), ("nextlat", {"state": "residual"})],
    ids=[*KINDS, "nextlat without residual", "nextlat of the residual stream"],
)
def test_drafts_are_the_objectives_own(name: str, options: dict[str, Any]) -> None:
    made = objective(name, **options)
    with torch.no_grad():  # norms start as the identity, which would hide one that is left out
        for own, p in made.named_parameters():
            if p.ndim == 1 and "norm" in own:
                p.uniform_(0.5, 1.5, generator=torch.Generator().manual_seed(len(own)))
    reader = reader_of(made)
    drafter = drafter_of(made, reader)
    tokens, after = torch.from_numpy(prompts(5)[0]), torch.tensor([[3, 5, 7, 9]]).repeat(5, 1)
    with torch.inference_mode():
        reader.engine.start(5, 20)
        drafter.start(5, 20)
        first = reader.forward(tokens[:, :4])
        drafter.verified(first, tokens[:, :4], np.full(5, 3))
        drafter.draft(1, after[:, 0])  # MTP's first head has read four tokens, the others none
        h = reader.forward(tokens[:, 4:])
        assert torch.allclose(reader.law(h, tokens[:, 4:]), made.head(made.encode(tokens), tokens)[:, 4:], atol=1e-4)
        drafter.verified(h, tokens[:, 4:], np.full(5, 1))
        got = torch.stack([drafter.draft(i, after[:, i - 1]) for i in range(1, 5)], dim=1)
        if isinstance(made, NextLat):
            state, laws = made.encode(tokens)[:, -1], []
            for i in range(4):
                state = made.dynamics(state, made.embed(after[:, i]))
                laws.append(made.head(state))
            want = torch.stack(laws, dim=1)
        elif isinstance(made, MTP):
            x, turn = made.embed(tokens), made.trunk.rotation_at(6, None, tokens.device)
            for block in made.trunk.blocks[:-1]:
                x = block(x, turn, None)
            want = torch.stack([made.trunk.head(head(x, turn, None)[:, -1]) for head in made.heads], dim=1)
        else:
            assert isinstance(made, JTP)
            want = made.trunk.head(
                made.plan(made.encode(tokens)[:, -1], made.embed(torch.cat([tokens[:, -1:], after], dim=1)))
            )[:, 1:]
    assert torch.allclose(got, want, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", KINDS)
def test_greedy_is_plain_greedy(name: str) -> None:
    """Token by token: fixed and adaptive, together, one by one and in between; and plain is the model's own,
    uncached."""
    made = objective(name)
    plain, length, counts = continue_(made, Drafting(0))
    p, n = prompts(9)
    own = TrainedModel(made)
    for r in range(9):
        row = p[r, : n[r]]
        for t in range(length[r]):
            law = own.logits(np.append(row, plain[r, :t])[None].astype(np.int64))[0, -1]
            assert law[plain[r, t]] == pytest.approx(law.max(), abs=1e-4)
        assert (plain[r, length[r] :] == -1).all()
        assert length[r] == 20 or plain[r, length[r] - 1] == END
    assert counts.forwards == 20
    assert counts.rounds + counts.rows == counts.tokens == length.sum()
    for plan, batch in (
        (Drafting(1), 4),
        (Drafting(4), 9),
        (Drafting(4), 1),
        (Drafting(4, 0.2), 9),
        (Drafting(4, 0.2), 1),
    ):
        tokens, own_length, c = continue_(made, plan, batch=batch)
        assert np.array_equal(tokens, plain)
        assert np.array_equal(own_length, length)
        assert (
            c.tokens <= c.rounds + c.rows + c.accepted.sum()
        )  # the last round may have more than there is room for, or than the document
        assert (c.accepted <= c.tested).all()
        assert (c.tested[1:] <= c.accepted[:-1]).all()
        if not plan.threshold:
            assert 0 < c.accepted[0] < c.tested[0]
            assert c.rounds < counts.rounds


def test_one_forward_a_round(monkeypatch: pytest.MonkeyPatch) -> None:
    made = objective("nextlat")
    calls = []
    forward = Engine.forward
    monkeypatch.setattr(Engine, "forward", lambda self, x: calls.append(x.shape[1]) or forward(self, x))
    _, _, c = continue_(made, Drafting(3), batch=1)
    assert len(calls) == c.forwards == c.rounds + 9  # nine prompts
    assert max(calls[1:]) <= 6
    assert c.drafted + c.rounds == sum(calls) - prompts(9)[1].sum()


def test_a_row_ends_where_its_document_ends() -> None:
    """Rows that end early neither go on nor disturb the others, and are dropped."""
    made = objective("nextlat")
    p, n = prompts(40)
    reader = reader_of(made)
    plain, _, _ = generate(reader, p, n, limit=20, end=None)
    often = np.bincount(plain.ravel()).argmax()  # a frequent token in the part of `end`
    drafter = drafter_of(made, reader)
    selected = []
    select = Engine.select
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Engine, "select", lambda self, index: selected.append(len(index)) or select(self, index))
        tokens, short, c = generate(reader, p, n, limit=20, end=int(often), drafter=drafter, plan=Drafting(3))
    first = np.where((plain == often).any(1), (plain == often).argmax(1) + 1, 20)
    assert len(set(first.tolist())) > 3
    assert np.array_equal(short, first)
    assert selected
    assert c.tokens == first.sum()
    for r in range(40):
        assert tokens[r].tolist() == plain[r, : first[r]].tolist() + [-1] * (20 - first[r])
    alone = [
        generate(reader, p[r : r + 1], n[r : r + 1], limit=20, end=int(often), drafter=drafter, plan=Drafting(3))[0][0]
        for r in range(40)
    ]
    assert np.array_equal(np.stack(alone), tokens)


class Told:
    """A drafter whose laws have these highest probabilities [B, K], of token 2; the rest is spread over the others."""

    def __init__(self, highest: list[list[float]]) -> None:
        self.highest, self.asked = torch.tensor(highest), 0

    def draft(self, i: int, token: Tensor) -> Tensor:
        self.asked = i
        law = ((1 - self.highest[:, i - 1]) / 4)[:, None].repeat(1, 5)
        law[:, 2] = self.highest[:, i - 1]
        return law.log()


@pytest.mark.parametrize("u", [None, 0.001, 0.999])
def test_adaptive_drafting_stops_at_the_threshold(u: float | None) -> None:
    """The product of the laws' highest probabilities decides, whatever token is drawn: also one that the law holds
    unlikely."""
    message = Told([[0.9, 0.9, 0.9, 0.9, 0.9], [0.75, 0.75, 0.9, 0.9, 0.9], [0.3, 0.9, 0.9, 0.9, 0.9]])
    state = speculative._Rows(3, 20, END, 9, torch.device("cpu"))
    drafts, laws, drafted, chances = speculative._draft(
        message,
        torch.full((3,), 4),
        state,
        Drafting(5, 0.7),
        None if u is None else torch.full((3, 20, 3), u, dtype=torch.float64),  # type: ignore[arg-type]
    )
    assert drafted.tolist() == [3, 1, 0]
    assert message.asked == 4
    assert chances is not None
    assert np.allclose(chances[0], [0.9, 0.81, 0.729, 0.6561])
    assert drafts[:, 0].tolist() == [{None: 2, 0.001: 0, 0.999: 4}[u]] * 3
    assert drafts.shape == (3, 3)
    assert (laws is None) == (u is None)


def test_a_higher_threshold_drafts_less() -> None:
    drafted = [continue_(objective("nextlat"), Drafting(8, threshold))[2].drafted for threshold in (0.0, 0.15, 0.3)]
    assert drafted[0] > drafted[1] > drafted[2] > 0


def test_more_drafts_than_room() -> None:
    made = objective("nextlat")
    for limit in (1, 2, 3):
        plain, _, _ = continue_(made, Drafting(0), limit=limit)
        tokens, length, c = continue_(made, Drafting(16), limit=limit)
        assert np.array_equal(tokens, plain)
        assert (length <= limit).all()
        assert c.drafted <= 9 * (limit - 1)


def test_who_cannot_draft_is_reported() -> None:
    for made in (GPT(GPTConfig(layers=1, heads=1, width=16), 8, 16, 0), GRU(RecurrentConfig(), 8, 16, 0)):
        with pytest.raises(InputError, match=f"{made.name} cannot draft .* nextlat, mtp, jtp"):
            drafter_of(made)
    made = objective("nextlat")
    p, n = prompts(2)
    with pytest.raises(ValueError, match="same reader"):
        generate(reader_of(made), p, n, limit=3, end=END, drafter=drafter_of(made), plan=Drafting(2))


def test_a_model_that_decodes_otherwise_is_not_drafted_for() -> None:
    """nextlat-rnn has NextLat's parts, but predicts from the dynamics: drafts checked by the transformer would be
    another model's."""
    with pytest.raises(InputError, match="nextlat-rnn cannot draft"):
        drafter_of(LatentRNN(NextLatConfig(layers=1, heads=1, width=8), 11, 20, 0))
