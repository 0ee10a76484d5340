"""Figures are the same under any settings of a user, and draw any name as it is."""

from __future__ import annotations

import subprocess
import sys
import warnings
from pathlib import Path
from xml.etree import ElementTree

import matplotlib
import numpy as np
import pytest
import sample_records
from hostile import STRINGS
from matplotlib.figure import Figure
from sample_records import metric

from worldbench.core.text import encodable
from worldbench.figures import learning_curves, matched, spectra
from worldbench.figures.style import literal, paper_style, save
from worldbench.records.lines import EvalLine

pytestmark = pytest.mark.pictures

LINES = [EvalLine(step=s, loss=2 / s + 1, bayes=1.0, excess=2 / s) for s in (1, 3, 10, 30, 100)]
DRAW = "from pathlib import Path\nfrom worldbench.figures import learning_curves\n"
DRAW += "from worldbench.records.lines import EvalLine\n"
DRAW += f"for p in learning_curves.draw({LINES!r}, Path('curve'), title='a $ title'): print(p)\n"


def drawn(folder: Path, title: str = "a title") -> list[bytes]:
    folder.mkdir()
    return [p.read_bytes() for p in learning_curves.draw(LINES, folder / "curve", title=title)]


@pytest.mark.slow
def test_settings_of_a_user_change_nothing(tmp_path: Path) -> None:
    usual = drawn(tmp_path / "usual")
    settings = {
        "text.usetex": True,
        "font.size": 30,
        "lines.linewidth": 9,
        "savefig.bbox": "tight",
        "figure.facecolor": "red",
        "axes.prop_cycle": matplotlib.cycler(color="rgb"),
        "path.simplify": False,
        "svg.fonttype": "none",
        "savefig.transparent": True,
        "axes.formatter.limits": (0, 0),
        "text.parse_math": False,
        "font.family": "nothing",
    }
    with matplotlib.rc_context(settings):  # pyright: ignore[reportArgumentType]
        assert drawn(tmp_path / "theirs") == usual
        assert matplotlib.rcParams["font.size"] == 30, "and theirs are theirs again"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("settings", "environment"),
    [
        (b"text.usetex: True\nbackend: module://nothing\nno.such.key: 3\nfont.size: large\n", {}),
        (b"", {"HOME": "/proc/nothing", "MPLCONFIGDIR": "/proc/nothing"}),
    ],
)
def test_files_of_settings_change_nothing(
    settings: bytes, environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a home without room for matplotlib's own files; nothing is said of either."""
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    (tmp_path / "matplotlibrc").write_bytes(settings)
    done = subprocess.run([sys.executable, "-c", DRAW], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert (tmp_path / "curve.svg").read_bytes() == drawn(tmp_path / "here", "a $ title")[1]


def test_settings_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    (tmp_path / "matplotlibrc").write_bytes(b"font.family: l\xe4ufe\n")
    done = subprocess.run([sys.executable, "-c", DRAW], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert "InputError: matplotlib cannot be loaded ('utf-8' codec can't decode" in done.stderr
    assert "matplotlibrc" in done.stderr.splitlines()[-1]


@pytest.mark.slow
def test_any_name_is_drawn_as_it_is(tmp_path: Path) -> None:
    """In titles and in legends, without a warning, as SVG that is XML."""
    np.savez(tmp_path / "rank.npz", singular_values=np.array([3.0, 1.0]))
    with warnings.catch_warnings(), paper_style():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", message="Glyph .* missing from")  # as paper_style does
        figure = Figure(figsize=(4, 10))
        for i, (name, text) in enumerate(STRINGS.items()):
            figure.text(0.1, i / len(STRINGS), literal(text))
            assert literal(text).count("$") == literal(text).count(r"\$"), name
        save(figure, tmp_path / "all")
    ElementTree.parse(tmp_path / "all.svg")
    for text in ("$x", "_$x$\n\ud800[/]漢"):
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            spectra.draw(tmp_path / "rank.npz", tmp_path / "spectra", title=text)
        ElementTree.parse(tmp_path / "spectra.svg")
        points = {
            step: {"excess_loss": metric({"kl": 1 / step}, direction="lower"), "belief_probe": metric({"r2": 0.5})}
            for step in (1, 10)
        }
        record = sample_records.trace(encodable(text), 0, points)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            matched.draw([(text, record)], tmp_path / "matched", title=text)
        ElementTree.parse(tmp_path / "matched.svg")


def test_a_dollar_is_a_dollar_and_an_underscore_is_named() -> None:
    with paper_style():
        figure = Figure()
        axes = figure.subplots()
        axes.plot([0, 1], label=literal("_hidden"))
        text = axes.set_title(literal("$x^2$ costs \\$5"))
        assert [t.get_text() for t in axes.legend().get_texts()] == [" _hidden"]
        assert text._preprocess_math(text.get_text()) == ("$x^2$ costs \\$5", False)
