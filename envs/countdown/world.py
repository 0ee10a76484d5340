"""The world of Countdown: numbers and a target in the prompt, then equations that reach the target.

Shape letters: N documents, T tokens, L tokens of an answer.
"""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np

from worldbench.core.sampling import distinct_prompts
from worldbench.core.text import counted
from worldbench.core.world import ARRIVED, Documents
from worldbench.envs.countdown.arithmetic import Problems, Source, results
from worldbench.envs.countdown.config import CountdownConfig
from worldbench.envs.countdown.states import (
    BAR,
    COMMA,
    END,
    EQUALS,
    FIRST_NUMBER,
    FIRST_OPERATION,
    PAD,
    Equations,
)

BLOCK = 8192
"""Problems drawn together, to limit memory. Results do not depend on it."""


class CountdownWorld(Equations):
    """Countdown (Gandhi et al. 2024, arXiv 2404.03683), in the format of Teoh et al. 2025 (arXiv 2511.05963).

    A prompt gives numbers, a target, and bars as pauses. Equations follow, one fewer than there are numbers. Each
    equation takes two of the numbers that are left, and puts its result in their place. The last result is the target.
    Results are whole numbers from 0 to `largest_result`.

    A document is drawn forwards: uniformly random numbers, then random pairs and allowed operations, until the last
    result is in the range of targets. Targets are held out, or problems. State: the numbers that are left, the target,
    the present equation. No law is known: many solutions may reach a target, and how often documents take each is not
    computed.

    Two documents with three numbers:
        7 2 5 19 | | 7 * 2 = 14 , 14 + 5 = 19 end
        4 12 9 6 | | 9 - 4 = 5 , 5 * 12 = 60 end
    The second document does not solve its problem: its target is 6, and its last result is 60.
    """

    name = "countdown"
    version = 3

    def __init__(self, config: CountdownConfig | None = None) -> None:
        super().__init__(config or CountdownConfig())
        self.source = Source(self.config)
        nobody = "without a law there is no exact model, and no other always arrives"
        self.exceptions = {"arrival_calibration.always references": nobody}

    # Documents

    def sample(self, seed: int, split: str, start: int, count: int) -> Documents:
        parts = [
            self._documents(self.source.draw(seed, split, low, min(BLOCK, start + count - low)))
            for low in range(start, start + max(count, 1), BLOCK)
        ]
        return Documents.concat(parts)

    def _documents(self, problems: Problems) -> Documents:
        c, n = self.config, len(problems.target)
        tokens = np.full((n, self.context), PAD, np.int32)
        tokens[:, : c.numbers] = problems.given + FIRST_NUMBER
        tokens[:, c.numbers] = problems.target + FIRST_NUMBER
        tokens[:, c.numbers + 1 : self.prompt_length] = BAR
        answer = tokens[:, self.prompt_length :].reshape(n, c.equations, 6)
        a, operation, b, result = np.moveaxis(problems.equations, 2, 0)
        answer[:, :, 0], answer[:, :, 2], answer[:, :, 4] = a + FIRST_NUMBER, b + FIRST_NUMBER, result + FIRST_NUMBER
        answer[:, :, 1], answer[:, :, 3], answer[:, :, 5] = operation + FIRST_OPERATION, EQUALS, COMMA
        tokens[:, self.prompt_length :] = answer.reshape(n, self.longest)
        tokens[:, -1] = END
        return Documents(tokens, np.full(n, self.context, np.int32), np.full(n, self.prompt_length, np.int32))

    def prompts(self, seed: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """The distinct problems of the test documents of `seed`; the same numbers in another order are another one."""
        size = self.prompt_length
        return distinct_prompts(lambda start, n: self.sample(seed, "test", start, n).tokens[:, :size], count)

    # Checkers

    def checks(
        self, prompts: np.ndarray, lengths: np.ndarray, tokens: np.ndarray, length: np.ndarray
    ) -> dict[str, np.ndarray]:
        """Checks of answers int [N, L] of `length` [N] tokens: bool [N] by name.

        strict: every number is used as often as it is there, and the last result is the target. released: as the
        checker of the published code, which looks up operands among the given numbers and all earlier results, so that
        a number may be used twice. equations: the format is right and every equation is true, whatever its operands.
        equation_1 ..: this equation is true.
        """
        c, n = self.config, len(tokens)
        padded = np.full((n, self.longest), PAD, np.int64)
        shown = min(self.longest, tokens.shape[1])
        inside = np.arange(shown)[None, :] < np.asarray(length)[:, None]
        padded[:, :shown] = np.where(inside, tokens[:, :shown], PAD)
        parts = padded.reshape(n, c.equations, 6)
        number = parts - FIRST_NUMBER
        operation = parts[:, :, 1] - FIRST_OPERATION
        result = results(number[:, :, 0], operation, number[:, :, 2], self.config.largest_result)
        true = (result >= 0) & (result == number[:, :, 4]) & (parts[:, :, 3] == EQUALS)
        closes = np.where(np.arange(c.equations) == c.equations - 1, END, COMMA)
        shaped = (parts[:, :, 5] == closes).all(axis=1) & (np.asarray(length) == self.longest)
        whole = true.all(axis=1) & shaped
        asked = np.asarray(prompts)[:, : c.numbers + 1].astype(np.int64) - FIRST_NUMBER
        known = asked[:, None, : c.numbers]
        looked_up = np.ones(n, bool)
        for e in range(c.equations):
            for place in (0, 2):
                earlier = np.concatenate([known[:, 0], number[:, :e, 4]], axis=1)
                looked_up &= (earlier == number[:, e, place, None]).any(axis=1)
        states = self.after(self._joined(prompts, lengths, padded, length))
        return {
            "strict": states.status == ARRIVED,
            "released": whole & looked_up & (number[:, -1, 4] == asked[:, -1]),
            "equations": whole,
            **{f"equation_{e + 1}": true[:, e] for e in range(c.equations)},
        }

    def _joined(self, prompts: np.ndarray, lengths: np.ndarray, tokens: np.ndarray, length: np.ndarray) -> Documents:
        """Documents of prompts and answers."""
        whole = np.concatenate([np.asarray(prompts)[:, : self.prompt_length], tokens], axis=1).astype(np.int32)
        lengths = np.asarray(lengths, np.int32)
        return Documents(whole, lengths + np.minimum(length, self.longest).astype(np.int32), lengths)

    # Identity, and texts for people

    def identity(self) -> dict[str, Any]:
        return {"world": self.name, "version": self.version, **dataclasses.asdict(self.config)}

    def summary(self, documents: int) -> str:
        c = self.config
        text = f"Countdown with {c.numbers} numbers up to {c.largest} and targets from {c.least_target} to "
        text += f"{c.most_target}; documents of {counted(self.context, 'token')}"
        return text + (f"; {counted(documents, 'problem')} for training" if documents else "")

    def card(self, documents: int) -> dict[str, Any]:
        c = self.config
        held_out = f"{c.held_out_share:.3g} of the problems, with their numbers in every order, by a salted hash"
        if c.held_out == "targets":
            targets = np.flatnonzero(self.source.targets).tolist()
            held_out = f"{len(targets)} targets: {', '.join(map(str, targets))}"
        return {
            "numbers": c.numbers,
            "largest": c.largest,
            "targets": [c.least_target, c.most_target],
            "largest_result": c.largest_result,
            "pauses": c.pauses,
            "tokens": self.context,
            "vocabulary": len(self.vocabulary),
            "held_out": held_out,
            "problems": documents,
        }
