"""Claims about trained models in pages, and the comments that say which comparison supports a claim.

A sentence that names a model and has one of WORDS is a claim. In the same paragraph, or item of a list, it must be
followed by a comment in one of two forms, which supports all sentences since the previous comment:

    <!-- worldbench compare A B RESULTS [options]: SCORE VERDICT; ARM SCORE VERDICT -->
    <!-- no compare: REASON -->

The first form states verdicts of `worldbench compare`, word for word. A and B may each be several models with bars
between them ('gpt|bst'); every pair is then compared, and the verdict may say A or B in place of a model. The second
form is for what compare cannot see: a single seed, a time, a count of checkpoints.
"""

from __future__ import annotations

import itertools
import re
import shlex
from dataclasses import dataclass
from pathlib import Path

MODELS = ("gpt", "nextlat-rnn", "nextlat", "bst", "mtp", "jtp", "gru", "lstm")
_MODEL = re.compile(rf"(?<![\w-])(?:{'|'.join(MODELS)})(?![\w-])", re.IGNORECASE)
WORDS = re.compile(
    r"\b(?:better|best|worse|worst|higher|highest|lower|lowest|larger|smaller|minus|beats?|outperforms?|"
    r"behind|ahead of|is ahead|was ahead|more often|less often|memorized .* (?:more|less)|more consistent|"
    r"significant(?:ly)?|separable)\b",
    re.DOTALL,
)
_NOT = re.compile(r"\b(?:not|no|neither|nor|none|never|hardly)\b")
_COMMENT = re.compile(r"<!--(.*?)-->", re.DOTALL)
_COMPARE = re.compile(r"worldbench compare (.*?):\s+(.*)", re.DOTALL)
_EXEMPT = re.compile(r"no compare:\s+(\S.{9,})", re.DOTALL)
_STATED = re.compile(r"(?:(?P<arm>\w+) )?(?P<score>\w+\.[\w.]+) (?P<verdict>.+)", re.DOTALL)


@dataclass(frozen=True)
class Stated:
    """One verdict that a comment states. arm: "" for every arm that the results have."""

    arm: str
    score: str
    verdict: str

    @property
    def separable(self) -> bool:
        return not self.verdict.startswith(("not separable", "no power", "missing", "not paired"))


@dataclass(frozen=True)
class Support:
    """A comparison that a comment states: the words after `worldbench compare`, and the verdicts that it must give."""

    words: tuple[str, ...]
    stated: tuple[Stated, ...]

    @property
    def models(self) -> set[str]:
        return {name.partition("[")[0] for name in self.words[:2]}


@dataclass(frozen=True)
class Passage:
    """Sentences of one paragraph or item of a list, and the comments that follow them."""

    where: str
    sentences: tuple[str, ...]
    supports: tuple[Support, ...]
    exempt: bool

    def claims(self) -> list[str]:
        """The sentences that compare trained models."""
        return [s for s in self.sentences if WORDS.search(s) and _MODEL.search(s)]

    def unsupported(self) -> list[str]:
        """The claims without the comment that they need, with what is lacking."""
        if self.exempt:
            return []
        out = []
        for sentence in self.claims():
            named = {name.lower() for name in _MODEL.findall(sentence)}
            known = set().union(*(support.models for support in self.supports))
            separable = any(s.separable for support in self.supports for s in support.stated)
            if not self.supports:
                out.append(f"{self.where}: no comment supports: {sentence}")
            elif named - known:
                out.append(f"{self.where}: no comparison of {', '.join(sorted(named - known))} supports: {sentence}")
            elif not separable and not _NOT.search(sentence):
                out.append(f"{self.where}: every comparison is not separable, but the page says: {sentence}")
        return out


def passages(page: Path) -> list[Passage]:
    """The passages of a Markdown page, without code and tables. Raises ValueError for a comment that begins like one of
    the two forms and has neither."""
    text = re.sub(r"^```.*?^```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    out = []
    for block in re.split(r"\n[ \t]*\n|\n(?=[ \t]*(?:[-*]|\d+\.) )", text):
        prose = " ".join(line for line in block.splitlines() if not line.lstrip().startswith("|"))
        parts = re.split(r"((?:<!--.*?-->\s*)+)", prose)
        for plain, comments in itertools.zip_longest(parts[::2], parts[1::2], fillvalue=""):
            supports, exempt = [], False
            for comment in map(str.strip, _COMMENT.findall(comments)):
                if comment.startswith("worldbench compare"):
                    supports += _supports(comment)
                elif comment.startswith("no compare"):
                    if not _EXEMPT.fullmatch(comment):
                        raise ValueError(f"{page.name}: a reason is missing in {comment!r}")
                    exempt = True
            sentences = tuple(re.split(r"(?<=[.:;!?])[*)]*\s+(?=[A-Z(*`-])", plain.strip()))
            out.append(Passage(page.name, sentences, tuple(supports), exempt))
    return out


def _supports(comment: str) -> list[Support]:
    """The comparisons that a comment states, one for each pair of models."""
    found = _COMPARE.fullmatch(comment)
    parts = [_STATED.fullmatch(" ".join(part.split())) for part in found[2].split(";")] if found else [None]
    if found is None or None in parts:
        raise ValueError(
            f"a comparison is written `worldbench compare A B RESULTS: SCORE VERDICT; ..`, not {comment!r}"
        )
    first, second, *rest = shlex.split(found[1])
    out = []
    for a, b in itertools.product(first.split("|"), second.split("|")):
        names = {"A": a, "B": b}
        stated = [
            Stated(s["arm"] or "", s["score"], " ".join(names.get(word, word) for word in s["verdict"].split()))
            for s in parts
            if s is not None
        ]
        out.append(Support((a, b, *rest), tuple(stated)))
    return out
