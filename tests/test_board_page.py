"""The page of a leaderboard: what is in it, and what a browser makes of it (a headless Chromium; skipped where there is
none)."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import browsers
import pytest
from hostile import STRINGS, acting
from mutation import generator, mutant
from test_hostile_boards import RUN, put, result

from worldbench.cli.main import main
from worldbench.figures.board_page import page
from worldbench.records.board_building import build

if TYPE_CHECKING:
    from playwright.sync_api import Page

RESULTS = Path(__file__).resolve().parent.parent / "results"
FOLDERS = [RESULTS / "village-plan", RESULTS / "first-verdicts" / "group"]
SCRIPTS = {
    "script": "<script>window.owned = 1</script>",
    "end of script": "</script><script>window.owned = 1</script>",
    "end of style": "</style><script>window.owned = 1</script>",
    "attribute": '"><img src=x onerror="window.owned = 1">',
    "quoted": "' onmouseover='window.owned = 1",
    "vector": "<svg onload=window.owned=1></svg>",
    "frame": "<iframe srcdoc='<script>parent.owned = 1</script>'></iframe>",
    "address": "javascript:window.owned=1",
    "template": "{{ 7 * 7 }}{% raw %}${7*7}",
    "base": "<base href=http://example.org/><link rel=stylesheet href=//example.org/x.css>",
}


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The page of two folders of published results, one infinite score, and one file that cannot be read."""
    folder = tmp_path_factory.mktemp("board")
    record = json.loads(RUN.read_text(encoding="utf-8"))
    record["seed"], record["config"]["train"]["steps"] = 0, 1199
    record["scores"]["excess_loss"]["scores"]["kl"]["value"] = "inf"
    put(folder / "result-infinite.json", record)
    (folder / "result-broken.json").write_text("{")
    out = folder / "page.html"
    assert main(["leaderboard", *map(str, FOLDERS), str(folder), "--format", "html", "--out", str(out)]) == 0
    return out


def test_the_same_records_give_the_same_bytes_and_nothing_is_fetched(drawn: Path) -> None:
    text = drawn.read_text(encoding="utf-8")
    assert page(build([*FOLDERS, drawn.parent])) == text.rstrip("\n")
    assert "http://" not in text
    assert "https://" not in text.replace("worldbench run", "")
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]*)"', text)
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    for kind, tag in (("script", "script"), ("style", "style")):
        (inside,) = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
        digest = base64.b64encode(hashlib.sha256(inside.encode()).digest()).decode()
        assert f"{kind}-src 'sha256-{digest}'" in policy


def test_the_published_board_is_made_from_the_published_records(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Byte for byte, by the command that results/README.md names."""
    monkeypatch.chdir(RESULTS.parent)
    text = (RESULTS / "README.md").read_text(encoding="utf-8")
    (command,) = re.findall(
        r"^worldbench (leaderboard .* --format html --out results/board\.html)$", text, re.MULTILINE
    )
    again = tmp_path / "board.html"
    assert main([*command.split()[:-1], str(again)]) == 0
    assert again.read_bytes() == (RESULTS / "board.html").read_bytes()


def test_html_needs_a_file(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["leaderboard", str(FOLDERS[0]), "--format", "html"]) == 2
    assert "--out FILE.html" in capsys.readouterr().err


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsers.launched() as chromium:
        yield chromium


@pytest.fixture
def opened(browser: Any, drawn: Path) -> Iterator[Page]:
    with browsers.opened(browser, drawn) as found:
        yield found


def village(opened: Page) -> Any:
    return opened.locator("main section").filter(has=opened.locator("h2", has_text="Greenwich Village")).first


def column_of(table: Any, label: str) -> list[str]:
    heads = [text.split("\n")[0] for text in table.locator("thead th").all_inner_texts()]
    place = heads.index(label)
    return [row.locator("> *").nth(place).inner_text().split("\n")[0] for row in table.locator("tr.row:visible").all()]


class TestInABrowser:
    def test_sorts_with_infinite_and_missing_scores_last(self, opened: Page) -> None:
        table = village(opened).locator("table")
        table.locator("thead button", has_text=re.compile("^kl")).click()
        losses = column_of(table, "kl")
        assert losses[-1] == "inf"
        assert losses[:-1] == sorted(losses[:-1], key=float)
        table.locator("thead button", has_text=re.compile("^kl")).click()
        assert column_of(table, "kl") == losses[::-1]
        table.locator("thead button", has_text=re.compile("^rank")).click()
        assert [text.startswith("missing") for text in column_of(table, "rank")] == [False] * 9 + [True] * 2
        assert table.locator("[aria-sort]").count() == 1

    def test_filters_rows_and_chooses_columns(self, opened: Page) -> None:
        everything = opened.locator("tr.row:visible").count()
        assert opened.inner_text("#shown") == f"{everything} of {everything} rows"
        opened.fill("#filter", "village nextlat")
        assert opened.locator("tr.row:visible").count() == 1
        assert opened.locator("main section:visible").count() == 1
        opened.fill("#filter", "")
        opened.uncheck("#references")
        assert opened.locator("tr.reference:visible").count() == 0
        assert opened.locator("tr.row:visible").count() < everything
        opened.check("#references")
        opened.click("#choose summary")
        opened.click("#none")
        assert opened.locator("main [data-col]:visible").count() == 0
        opened.locator("#choose label", has_text="excess_loss").locator("input").check()
        assert village(opened).locator("th.score:visible").all_inner_texts()[0].startswith("kl")

    def test_a_panel_has_the_curves_the_map_and_what_made_the_row(self, opened: Page) -> None:
        table = village(opened).locator("table")
        assert table.locator("tr.panel:visible").count() == 0
        row = table.locator("tr.row", has_text="nextlat")
        row.locator(".open").click()
        panel = table.locator("tr.panel:visible")
        assert panel.count() == 1
        assert panel.locator(".curves polyline").count() == 5
        assert panel.locator(".map .red").get_attribute("d")
        words = panel.inner_text()
        for part in (
            "worldbench run taxi --model nextlat",
            "Tuning",
            "seed 4",
            "training identity",
            "a7164f738f1eb618",
        ):
            assert part in words
        file = next((RESULTS / "village-plan").glob("taxi-nextlat-small-s0*/result-*.json"))
        assert hashlib.sha256(file.read_bytes()).hexdigest() in words
        cell = row.locator("td[data-v]:not(.naming)").first.inner_text()
        assert re.search(r"^[\d.]+\n±[\d.]+\nn = 5 seeds", cell)
        row.locator(".open").click()
        assert table.locator("tr.panel:visible").count() == 0

    def test_says_why_scores_are_missing_and_what_was_left_out(self, opened: Page) -> None:
        assert "the model has no hidden states" in village(opened).locator(".reasons").inner_text()
        assert opened.locator("#left-out li").all_inner_texts()[0].startswith("left out: '")

    @pytest.mark.parametrize("width", [400, pytest.param(1280, marks=pytest.mark.slow), 1920])
    def test_fits_every_width_in_light_and_dark(self, browser: Any, drawn: Path, width: int) -> None:
        backgrounds = []
        for scheme in ("light", "dark"):
            with browsers.opened(browser, drawn, width, 800, color_scheme=scheme) as found:
                assert found.evaluate("document.documentElement.scrollWidth") <= width
                village(found).locator("tr.row .open").last.click()
                assert found.evaluate("document.documentElement.scrollWidth") <= width
                color = "getComputedStyle(document.body).backgroundColor"
                backgrounds.append(found.evaluate(color))
                for other in ("light", "dark"):
                    found.click("#theme")
                    assert found.evaluate("document.documentElement.dataset.theme") == other
                    backgrounds.append(found.evaluate(color))
        light, dark = backgrounds[0], backgrounds[3]
        assert light != dark
        assert backgrounds == [light, light, dark, dark, light, dark]


@pytest.mark.parametrize("count", [16, pytest.param(1000, marks=pytest.mark.slow)])
def test_hostile_records_are_one_sentence_each_and_run_nothing(
    browser: Any, tmp_path: Path, count: int, capsys: pytest.CaptureFixture[str]
) -> None:
    """Half of them damaged, half with hostile names in every place. An honest result stays, with the same cells."""
    folder = tmp_path / "records"
    honest = json.loads(RUN.read_text(encoding="utf-8"))
    put(folder / "result-honest.json", honest)
    (before,) = build([folder])
    texts = [*SCRIPTS.values(), *STRINGS.values()]
    for i in range(count // 2):
        put(folder / f"result-h{i}.json", result(texts[i % len(texts)], texts[(i * 7) % len(texts)] or "x", i))
        raw = json.dumps({**honest, "seed": 100 + i}).encode()
        (folder / f"result-m{i}.json").write_bytes(mutant(raw, generator("board", i), "json"))
    out = tmp_path / "page.html"
    assert main(["leaderboard", str(folder), "--format", "html", "--out", str(out)]) == 0
    said = capsys.readouterr().err
    assert acting(said) == []
    board = build([folder])
    shown = {path for row in board for path, _ in row.sources}
    left_out = [line for line in board.left_out if line.startswith("left out: ")]
    assert len(left_out) == len(board.left_out) == len(said.splitlines())
    files = set(folder.iterdir())
    for path in files - shown:
        assert sum(line.startswith(f"left out: {str(path)!r}") for line in left_out) == 1 or without_seed(path)
    assert len(left_out) <= len(files - shown)
    assert max(map(len, left_out)) < 5000
    (after,) = [row for row in board if (folder / "result-honest.json") in dict(row.sources)]
    same = [c for c in before.cells if c in after.cells and len(after.seeds) == 1]
    assert all(after.cells[c] == before.cells[c] for c in same)
    with browsers.opened(browser, out) as found:
        browsers.settled(found)
        for what, act in ((".open", "click"), ("thead button", "click"), ("*", "mouseover"), ("*", "error")):
            found.evaluate(
                "([what, act]) => document.querySelectorAll(what).forEach(e => e.dispatchEvent(new Event(act)))",
                [what, act],
            )
        browsers.settled(found)
        assert found.evaluate("window.owned") is None
        assert found.locator("tr.row").count() == sum(1 for _ in board)
        assert found.locator("script").count() == found.locator("style").count() == 1
        assert found.locator("img, iframe, base, object, embed, a, link[rel=stylesheet]").count() == 0
        assert found.locator("#left-out li").count() == len(left_out)
        assert not math.isnan(found.evaluate("document.documentElement.scrollWidth"))


def without_seed(path: Path) -> bool:
    """Whether a file that is neither shown nor left out is a result without a seed, of a row that has one already."""
    try:
        return json.loads(path.read_bytes()).get("seed") is None
    except (ValueError, AttributeError):
        return False
