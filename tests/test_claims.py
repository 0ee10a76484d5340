"""No page calls a difference between trained models a finding that `worldbench compare` calls not separable."""

from __future__ import annotations

import functools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from claims import Passage, Support, passages

from worldbench.cli.compare import add_arguments
from worldbench.cli.parser import Parser
from worldbench.records import compare as comparing
from worldbench.records import matched
from worldbench.records.comparison import Comparison

ROOT = Path(__file__).resolve().parent.parent
PAGES = [ROOT / "README.md", ROOT / "LOG.md", ROOT / "results" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
Verdicts = Callable[[tuple[str, ...]], list[Comparison]]


@pytest.fixture(scope="module")
def rows() -> Any:
    """What `worldbench compare` gives for the words of a command. Each folder is read once."""
    patch = pytest.MonkeyPatch()
    patch.chdir(ROOT)
    for module in (comparing, matched):
        patch.setattr(module, "find", _once(module.find))  # type: ignore[attr-defined]
    parser = Parser(prog="worldbench compare", allow_abbrev=False, add_help=False)
    add_arguments(parser)

    @functools.cache
    def compared(words: tuple[str, ...]) -> list[Comparison]:
        read = parser.read(list(words))
        return comparing.compare(read.a, read.b, read.results, read.columns, read.margin, read.matched)

    yield compared
    patch.undo()


def _once(find: Callable[..., Any]) -> Callable[..., Any]:
    found = functools.cache(lambda paths, *kinds: find(list(paths), *kinds))
    return lambda paths, *kinds: found(tuple(paths), *kinds)


def wrong(support: Support, rows: list[Comparison]) -> list[str]:
    """What a comment states and the comparison does not say."""
    out = []
    for stated in support.stated:
        found = [r for r in rows if r.score == stated.score and stated.arm in ("", r.arm)]
        verdicts = {f"{r.arm} {r.score}: {r.verdict}" for r in found if r.verdict != stated.verdict}
        if not found:
            out.append(f"{' '.join(support.words)} has no {stated.arm} {stated.score}")
        elif verdicts:
            out.append(f"{' '.join(support.words)} says {', '.join(sorted(verdicts))}, not {stated.verdict}")
    return out


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_claims_of_a_page_are_what_compare_says(page: Path, rows: Verdicts) -> None:
    found = passages(page)
    assert [sentence for passage in found for sentence in passage.unsupported()] == []
    assert [w for passage in found for s in passage.supports for w in wrong(s, rows(s.words))] == []


def test_there_are_claims() -> None:
    counts = {page.name: sum(len(p.supports) for p in passages(page)) for page in PAGES}
    assert counts["results.md"] >= 20
    assert counts["LOG.md"] >= 20


def one(tmp_path: Path, text: str) -> Passage:
    (tmp_path / "page.md").write_text(text)
    return passages(tmp_path / "page.md")[0]


RUNS = "results/village-plan"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("NextLat drives better than GPT.", "no comment supports"),
        ("The rides of BST arrive less often.", "no comment supports"),
        ("- NextLat minus GPT is .05.", "no comment supports"),
        (f"MTP beats GPT. <!-- worldbench compare nextlat gpt {RUNS}: m.x nextlat better -->", "no comparison of mtp"),
        (f"GPT beats NextLat. <!-- worldbench compare nextlat gpt {RUNS}: m.x not separable -->", "every comparison"),
        (f"GPT <!-- worldbench compare nextlat gpt {RUNS}: m.x gpt better --> is fast.\n\nMTP is worse.", None),
        (f"NextLat is not better than GPT. <!-- worldbench compare nextlat gpt {RUNS}: m.x not separable -->", None),
        ("NextLat beats GPT. <!-- no compare: one seed, so no verdict -->", None),
        ("NextLat was trained for 4 steps. A better driver arrives.", None),
        ("```\nNextLat beats GPT.\n```", None),
    ],
)  # fmt: skip
def test_what_a_claim_needs(text: str, said: str | None, tmp_path: Path) -> None:
    found = one(tmp_path, text).unsupported()
    assert [said in line for line in found] == [True] if said is not None else found == []


def test_a_sentence_after_the_comment_is_not_supported_by_it(tmp_path: Path) -> None:
    text = f"GPT is better. <!-- worldbench compare nextlat gpt {RUNS}: m.x gpt better --> NextLat is worse."
    (tmp_path / "page.md").write_text(text)
    first, second = passages(tmp_path / "page.md")
    assert first.unsupported() == []
    assert len(second.unsupported()) == 1


@pytest.mark.parametrize(
    "comment", ["no compare", "no compare: why", "worldbench compare a b c", "worldbench compare a: x"]
)
def test_comments_that_state_nothing_are_refused(comment: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"a reason is missing|a comparison is written"):
        one(tmp_path, f"NextLat is better. <!-- {comment} -->")


def test_a_false_statement_is_found(tmp_path: Path, rows: Verdicts) -> None:
    stated = (
        "split_merge.split_strict A better; state_probe.node A better; stream state_probe.node A better; "
        "scarce excess_loss.kl B better"
    )
    (passage,) = {one(tmp_path, f"<!-- worldbench compare 'nextlat|mtp' gpt {RUNS}: {stated} -->")}
    nextlat, mtp = passage.supports
    assert wrong(nextlat, rows(nextlat.words)) == [
        f"nextlat gpt {RUNS} says stream split_merge.split_strict: not separable, not nextlat better",
        f"nextlat gpt {RUNS} has no scarce excess_loss.kl",
    ]
    assert wrong(mtp, rows(mtp.words)) == [f"mtp gpt {RUNS} has no scarce excess_loss.kl"]
