"""The interactive map: what is in the page, and what a browser makes of it (a headless Chromium; skipped where there is
none)."""

from __future__ import annotations

import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import browsers
import numpy as np
import pytest
from browsers import settled
from PIL import Image
from small_maps import small_map

from worldbench.baselines.corrupted import Corrupted
from worldbench.baselines.corrupted_config import CorruptedConfig
from worldbench.core.arrays import npz
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.figures import interactive_map
from worldbench.metrics.evaluation import Evaluation
from worldbench.metrics.map_reconstruction import METRIC

if TYPE_CHECKING:
    from playwright.sync_api import Page


@pytest.fixture(scope="module")
def evidence(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rides of a driver with a wrong map of a generated city, who sometimes takes another destination."""
    world = TaxiWorld(TaxiConfig(map="city:40", min_moves=3, max_moves=12))
    driver = Corrupted(world, CorruptedConfig(rewired=8, wrong_goal=0.2), 0)
    report = METRIC.measure(Evaluation(world, driver, eval_config(reconstruction_rides=130, reconstruction_orders=2)))
    path = tmp_path_factory.mktemp("evidence") / "map_reconstruction.npz"
    path.write_bytes(npz(report.arrays))
    return path


@pytest.fixture(scope="module")
def drawn(evidence: Path) -> Path:
    (path,) = interactive_map.draw(evidence, evidence.parent / "map", title="a <driver> & more")
    return path


def arrays(evidence: Path) -> dict[str, np.ndarray]:
    with np.load(evidence, allow_pickle=False) as file:
        return {k: file[k] for k in file.files}


def inside(page: str) -> dict[str, Any]:
    found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.S)
    assert found
    return json.loads(found[1])


def test_the_page_holds_the_evidence_and_asks_for_nothing_else(evidence: Path, drawn: Path) -> None:
    page, data = drawn.read_text(), arrays(evidence)
    held = inside(page)
    assert held["places"] == data["places"].tolist()
    assert [list(e) for e in zip(*(held["red"][k] for k in ("from", "to", "direction")))] == data["red"].tolist()
    assert held["red"]["uses"] == data["red_uses"].tolist()
    assert held["true"]["uses"] == data["uses"].tolist()
    assert held["used"] == data["black"].astype(int).tolist()
    places, rides = np.unique(data["wrong_ends"], return_counts=True)
    assert held["ends"] == {"at": places.tolist(), "rides": rides.tolist()}
    assert len(places) > 5
    assert (
        np.abs(np.array(held["at"]).reshape(-1, 2) / held["perMetre"] - data["metres"]).max() <= 0.5 / held["perMetre"]
    )
    assert "a &lt;driver&gt; &amp; more" in page
    assert "<driver>" not in page
    assert "on the map <b>city:40" in page
    assert set(re.findall(r"https?://[^\"' )<]+", page)) <= {"https://www.openstreetmap.org/copyright"}
    assert "default-src 'none'" in page
    again = interactive_map.page(data, "a <driver> & more")
    assert again == page


def test_street_names_come_with_the_evidence(tmp_path: Path) -> None:
    graph = small_map(8, 0)
    graph.street[graph.successor >= 0] = 'Rue d\'"Été" </script>'
    world = TaxiWorld(TaxiConfig(min_moves=2, max_moves=8), graph)
    report = METRIC.measure(
        Evaluation(world, Corrupted(world, CorruptedConfig(rewired=3), 0), eval_config(reconstruction_rides=30))
    )
    assert (report.arrays["streets"] == 'Rue d\'"Été" </script>').all()
    page = interactive_map.page(report.arrays)
    assert inside(page)["streets"] == ['Rue d\'"Été" </script>']
    with pytest.raises(InputError, match="names 2 streets"):
        interactive_map.page(report.arrays | {"streets": np.array(["a", "b"])})


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsers.launched() as chromium:
        yield chromium


@pytest.fixture
def page(browser: Any, drawn: Path) -> Iterator[Page]:
    with browsers.opened(browser, drawn) as page:
        yield page


def view(page: Page) -> dict[str, float]:
    return page.evaluate("streetMap.view()")


def point(page: Page, metres: np.ndarray) -> tuple[float, float]:
    return tuple(page.evaluate("([east, north]) => streetMap.project(east, north)", [float(x) for x in metres]))


def coloured(page: Page) -> tuple[int, int]:
    """Red and black points on the map."""
    rgb = np.asarray(Image.open(io.BytesIO(page.locator("#streets").screenshot())).convert("RGB")).astype(int)
    return int(((rgb[..., 0] > 150) & (rgb[..., 1] < 90)).sum()), int((rgb.max(axis=2) < 60).sum())


def blue_points(page: Page) -> int:
    """Points on the map that have the color of the rings."""
    rgb = np.asarray(Image.open(io.BytesIO(page.locator("#streets").screenshot())).convert("RGB")).astype(int)
    return int((np.abs(rgb - [0x3B, 0x6E, 0xA5]).max(axis=2) < 12).sum())


def test_evidence_without_ends_says_that_the_end_is_forced(evidence: Path) -> None:
    older = {name: values for name, values in arrays(evidence).items() if name != "wrong_ends"}
    page = interactive_map.page(older)
    assert "invented streets (forced end)" in page
    assert 'id="n-ends"' not in page
    assert inside(page)["redWord"] == "invented"
    assert "streets implied by illegal turns" in interactive_map.page(arrays(evidence))


class TestInABrowser:
    def test_legend_and_colours(self, page: Page, evidence: Path) -> None:
        data = arrays(evidence)
        assert page.inner_text("#n-used") == str(data["black"].sum())
        assert page.inner_text("#n-red") == str(len(data["red"]))
        ends = len(data["wrong_ends"])
        assert page.inner_text("#n-ends") == str(ends)
        assert page.inner_text("#n-failed") == str((data["status"] == 2).sum())
        assert page.inner_text("#n-turned") == str((data["status"] == 1).sum())
        assert page.inner_text("#n-never") == str((data["moves"] == -3).sum())
        settled(page)
        red, black = coloured(page)
        assert red > 200
        assert black > 200
        page.uncheck("#show-red")
        settled(page)
        assert coloured(page)[0] == 0

    def test_hover_tells_intersections_and_uses(self, page: Page, evidence: Path) -> None:
        data = arrays(evidence)
        place = int(data["edges"][data["uses"].argmax(), 0])
        page.mouse.move(*point(page, data["metres"][place]))
        settled(page)
        messages = page.inner_text("#tip")
        assert str(data["places"][place]) in messages
        for (a, b, d), uses, black in zip(data["edges"], data["uses"], data["black"]):
            if a == place and black:
                line = next(
                    x for x in messages.split("\n") if x.startswith(f"{data['directions'][d]} → {data['places'][b]}:")
                )
                assert (f"used {uses} times" in line) or (uses == 1 and "used once" in line) or uses == 0
        ends = [frozenset(e[:2]) for e in data["edges"].tolist()]
        edge = next(e for e in np.argsort(-data["uses"]) if data["black"][e])
        assert ends.count(frozenset(data["edges"][edge][:2].tolist())) >= 1
        middle = data["metres"][data["edges"][edge, :2]].mean(0)
        page.mouse.move(*point(page, middle))
        settled(page)
        assert f"used {data['uses'][edge]} times" in page.inner_text("#tip")
        page.mouse.move(2, 2)
        settled(page)
        assert page.is_hidden("#tip")

    def test_rings_mark_where_rides_end_wrongly(self, page: Page, evidence: Path) -> None:
        data = arrays(evidence)
        places, rides = np.unique(data["wrong_ends"], return_counts=True)
        most = int(rides.argmax())
        page.mouse.move(*point(page, data["metres"][places[most]]))
        settled(page)
        expected = f"{rides[most]} rides end here, with destinations elsewhere"
        assert expected in page.inner_text("#tip")
        page.mouse.move(2, 2)
        settled(page)
        blue = blue_points(page)
        assert blue > 100
        page.uncheck("#show-ends")
        settled(page)
        assert blue_points(page) == 0
        page.mouse.move(*point(page, data["metres"][places[most]]))
        settled(page)
        assert expected not in page.inner_text("#tip")

    def test_list_of_wrong_ends(self, page: Page, evidence: Path) -> None:
        data = arrays(evidence)
        places, rides = np.unique(data["wrong_ends"], return_counts=True)
        first = places[np.lexsort((places, -rides))[0]]
        rows = page.locator("#ends button")
        assert rows.count() == len(places)
        page.uncheck("#show-ends")
        rows.first.click()
        settled(page)
        assert page.is_checked("#show-ends")
        assert rows.first.get_attribute("aria-current") == "true"
        assert str(data["places"][first]) in page.inner_text("#tip")
        assert f"{rides.max()} rides end here" in page.inner_text("#tip")

    def test_list_of_red_streets(self, page: Page, evidence: Path) -> None:
        data = arrays(evidence)
        order = sorted(range(len(data["red"])), key=lambda k: (-int(data["red_uses"][k]), k))
        rows = page.locator("#list button")
        assert rows.count() == min(len(order), 200)
        a, b, d = data["red"][order[0]]
        expected = f"{data['places'][a]} {data['directions'][d]} → {data['places'][b]}"
        assert rows.first.inner_text().startswith(expected)
        rows.first.click()
        settled(page)
        middle = (
            data["metres"][a] + data["metres"][b]
        ) / 2  # the curve bends away from the line by no more than its length
        assert np.hypot(view(page)["east"] - middle[0], view(page)["north"] - middle[1]) <= np.linalg.norm(
            data["metres"][a] - data["metres"][b]
        )
        assert rows.first.get_attribute("aria-current") == "true"
        assert f"used {data['red_uses'][order[0]]} times" in page.inner_text("#tip") or data["red_uses"][order[0]] == 1
        page.fill("#filter", str(data["places"][a]))
        named = sum(
            str(data["places"][a]) in (str(data["places"][x]) + "\n" + str(data["places"][y]))
            for x, y, _ in data["red"]
        )
        assert rows.count() == named
        page.fill("#filter", "no such street")
        assert rows.count() == 0

    def test_zoom_and_pan(self, page: Page) -> None:
        start = view(page)
        x, y = point(page, np.array([0.0, 0.0]))
        page.mouse.move(x, y)
        page.mouse.wheel(0, -400)
        settled(page)
        near = view(page)
        assert near["pixelsPerMetre"] > 1.5 * start["pixelsPerMetre"]
        assert point(page, np.array([0.0, 0.0])) == pytest.approx(
            (x, y), abs=1
        )  # what is under the pointer stays there
        page.mouse.down()
        page.mouse.move(x + 80, y - 30, steps=4)
        page.mouse.up()
        assert point(page, np.array([0.0, 0.0])) == pytest.approx((x + 80, y - 30), abs=8)
        page.click("#all")
        settled(page)
        assert view(page) == pytest.approx(start)
        page.focus("#marks")
        page.keyboard.press("+")
        settled(page)
        assert view(page)["pixelsPerMetre"] == pytest.approx(1.5 * start["pixelsPerMetre"])

    @pytest.mark.slow
    def test_small_screens(self, page: Page, tmp_path: Path) -> None:
        page.set_viewport_size({"width": 390, "height": 800})
        settled(page)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        box = page.locator("#stage").bounding_box()
        assert box is not None
        assert box["height"] > 250
