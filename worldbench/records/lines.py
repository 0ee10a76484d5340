"""The lines of `metrics.jsonl`: training losses, and the held-out loss at the steps whose weights are kept."""

from __future__ import annotations

from pathlib import Path

import msgspec

from worldbench.core.errors import InputError
from worldbench.core.files import read_regular
from worldbench.records.parts import Count, Part, Real, Values, decoded

LIMIT = 1 << 27
"""Largest metrics.jsonl in bytes that is read: 128 MiB, about a million lines."""


class TrainLine(Part, frozen=True, kw_only=True, tag_field="kind", tag="train"):
    """A logged training loss. loss: term of the loss -> its value, in nats per token."""

    step: Count
    loss: Values
    learning_rate: Real


class EvalLine(Part, frozen=True, kw_only=True, tag_field="kind", tag="eval"):
    """A point of the learning curve, in nats per token. loss: the held-out loss. bayes: the loss of the exact law on
    the same documents. excess: their difference. choice: the loss on the held-out documents that choose the weights to
    score (`train.scored_step least_loss`).
    """

    step: Count
    loss: Real | None
    bayes: Real | None = None
    excess: Real | None = None
    choice: Real | None = None


Line = TrainLine | EvalLine


def read_lines(path: Path) -> list[Line]:
    """The lines of a metrics.jsonl. A last line that a stopped process left unfinished is skipped.

    Raises InputError for a file that cannot be read, and for any other line that cannot be decoded.
    """
    lines = read_regular(path, LIMIT).split(b"\n")
    decoder = msgspec.json.Decoder(Line, dec_hook=decoded)
    out: list[Line] = []
    for number, raw in enumerate(lines, 1):
        try:
            if raw.strip():
                out.append(decoder.decode(raw))
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            if number == len(lines):  # the last line has no newline, so it was never finished
                break
            what = f"line {number} is not a line of a metrics.jsonl ({error})"
            raise InputError(
                f"{str(path)!r} is damaged: {what}; delete the run's folder and repeat its command"
            ) from error
    return out
