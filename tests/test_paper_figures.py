"""The figures of a paper: what is drawn from records, what is said of the rest, and files that publishers take."""

from __future__ import annotations

import csv
import re
import shutil
import subprocess
import sys
import warnings
from collections.abc import Iterable
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import shared_cases
from paper_records import MODELS, write_all, write_run
from PIL import Image
from sample_records import metric, result
from tiny_runs import call

from worldbench.core.errors import InputError
from worldbench.core.statistics import mean_interval
from worldbench.figures.paper import FIGURES
from worldbench.figures.paper import plate as plates
from worldbench.figures.paper.draw import draw_paper
from worldbench.figures.paper.groups import gather
from worldbench.figures.paper.variants import variants_of
from worldbench.records import reading

SLUG = "taxi-01234567-quick-scarce"
DRAWN = [name for name in FIGURES if name not in ("density", "variants", "ahead", "decoding")]
"""The figures that the records of `write_all` allow: all models have one number of training documents and one
setting, the world has known states, and nothing was decoded."""


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_all(tmp_path_factory.mktemp("runs"))


def drawn(folder: Path, out: Path, **options) -> tuple[list[Path], list[str]]:
    said: list[str] = []
    return list(draw_paper([folder], out, say=said.append, **options)), said


def table(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def out(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every figure, with or without pictures in the files."""
    folder = tmp_path_factory.mktemp("paper")
    paths, said = drawn(runs, folder)
    assert said == [
        "density: not drawn, because no model was trained with two or more numbers of --data.documents",
        "variants: not drawn, because no model has results with two settings in one world and evaluation",
        "ahead: not drawn, because no result has the bits of ahead_probe",
        "decoding: not drawn, because there is no decode record; worldbench decode RUN makes one",
    ]
    kinds = [f"{width}.{kind}" for width in ("1col", "2col") for kind in ("pdf", "svg", "png")]
    expected = {f"{name}-{SLUG}-{kind}" for name in DRAWN for kind in kinds}
    assert {p.name for p in paths} == expected | {f"{name}-{SLUG}.csv" for name in DRAWN} | {"captions.md"}
    return folder


def check_files(folder: Path, names: Iterable[str]) -> None:
    for name in names:
        for width, inches in (("1col", 3.25), ("2col", 6.75)):
            with Image.open(folder / f"{name}-{SLUG}-{width}.png") as image:
                assert image.width == round(inches * 300), (name, width)
            pdf = (folder / f"{name}-{SLUG}-{width}.pdf").read_bytes()
            assert b"/FontFile2" in pdf, f"{name}: fonts are embedded as TrueType"
            assert b"/Type3" not in pdf
            assert b"/CreationDate" not in pdf
            box = re.search(rb"/MediaBox \[ *0 0 ([0-9.]+)", pdf)
            assert box is not None
            assert float(box[1]) == pytest.approx(inches * 72, abs=0.5)


@pytest.mark.slow
@pytest.mark.pictures
def test_files_have_the_widths_of_columns_embedded_fonts_and_the_same_bytes(runs: Path, tmp_path: Path) -> None:
    """Also under the settings of a user."""
    drawn(runs, tmp_path / "first", names=["structure"])
    check_files(tmp_path / "first", ["structure"])
    with warnings.catch_warnings(), matplotlib.rc_context({"text.usetex": True, "font.size": 30, "pdf.fonttype": 3}):
        warnings.simplefilter("error")
        paths, _ = drawn(runs, tmp_path / "second", names=["structure"], widths=["1col"])
    for path in paths:
        assert path.read_bytes() == (tmp_path / "first" / path.name).read_bytes(), path.name


@pytest.mark.slow
@pytest.mark.pictures
def test_every_picture_in_every_form(runs: Path, tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        drawn(runs, tmp_path)
    check_files(tmp_path, DRAWN)
    assert (tmp_path / "captions.md").read_text(encoding="utf-8").count("**") == 2 * len(DRAWN)


def test_what_is_drawn_is_in_the_records(runs: Path, out: Path) -> None:
    (group,) = gather([runs]).results
    assert [s.label for s in group.series] == ["gpt", "nextlat", "oracle"]
    for row in table(out / f"detours-{SLUG}.csv"):
        series = next(s for s in group.series if s.label == row["model"])
        kind = "" if row["forced"] == "random" else f"{row['forced']}_"
        mean = mean_interval(series.values(f"detours.arrives_{kind}p{row['probability']}"))
        assert float(row["mean"]) == pytest.approx(mean.value)
        assert int(row["seeds"]) == (1 if series.reference else 2)
        assert (row["low"] == "") == (mean.interval is None)
    shares = [float(r["share"]) for r in table(out / f"spectra-{SLUG}.csv") if (r["model"], r["seed"]) == ("gpt", "0")]
    assert sum(shares) == pytest.approx(1)
    rides = {
        r["kind"]: int(r["uses"]) for r in table(out / f"maps-{SLUG}.csv") if r["model"] == "gpt" and not r["from"]
    }
    assert rides == {
        "all rides": 5, "rides with illegal turns, explained": 1, "rides that end elsewhere": 6,
        "rides that never end": 1, "rides not explained": 1,
    }  # fmt: skip
    kinds = {(r["model"], r["kind"]) for r in table(out / f"maps-{SLUG}.csv") if r["from"]}
    errors = {(m, kind) for m in MODELS for kind in ("implied", "ends elsewhere")}
    assert kinds == errors | {(m, "true") for m in (*MODELS, "oracle")}
    assert {r["seed"] for r in table(out / f"maps-{SLUG}.csv") if r["model"] == "gpt"} == {"0"}, "the lower median"
    steps = {(r["model"], r["step"]) for r in table(out / f"excess-{SLUG}.csv")}
    assert steps == {(m, s) for m in MODELS for s in ("1", "10", "100")}


def test_density_joins_the_numbers_of_documents(tmp_path: Path) -> None:
    for documents in (2000, 8000, 0):
        for seed in (0, 1):
            write_run(tmp_path / "runs", "gpt", seed, 0.3, config={"data": {"documents": documents}})
    paths, said = drawn(tmp_path / "runs", tmp_path, names=["density"], widths=["2col"])
    assert said == []
    assert len(paths) == 5
    rows = [r for r in table(tmp_path / "density-taxi-01234567-quick.csv") if r["score"] == "excess_loss.kl"]
    assert [(float(r["density"]), r["fresh"], r["seeds"]) for r in rows] == [
        (2.0, "False", "2"), (8.0, "False", "2"), (64.0, "True", "2"),
    ]  # fmt: skip


def test_bits_ahead_are_drawn_and_divided_by_those_of_gpt(tmp_path: Path) -> None:
    bits = {"gpt": [(2.0, 0.02), (2.2, 0.01)], "nextlat": [(2.0, 0.03), (1.1, 0.02), (9.0, 9.0)]}
    for model, seeds in bits.items():
        for seed, (near, far) in enumerate(seeds):
            scores = {"bits_1": near, "bits_20": far, "bits_1_untrained": 0.5, "bits_20_untrained": 0.001}
            record = result(model, seed, {"ahead_probe": metric(scores)}, world={"world": "text"})
            folder = tmp_path / "runs" / f"{model}-{seed}"
            folder.mkdir(parents=True)
            reading.write(folder / "result.json", record)
    paths, said = drawn(tmp_path / "runs", tmp_path / "out", names=["ahead"])
    assert (len(paths), said) == (8, [])
    (path,) = (tmp_path / "out").glob("*.csv")
    found = {(r["what"], r["model"], r["ahead"]): (float(r["mean"]), r["seeds"]) for r in table(path)}
    assert found["bits", "gpt", "1"] == (pytest.approx(2.1), "2")
    assert found["bits", "untrained", "20"] == (pytest.approx(0.001), "2")
    assert found["ratio to gpt", "nextlat", "1"] == (pytest.approx((1 + 0.5) / 2), "2"), "over the shared seeds"
    assert found["ratio to gpt", "nextlat", "20"] == (pytest.approx((1.5 + 2) / 2), "2")
    assert not any(what == "ratio to gpt" and model == "gpt" for what, model, _ in found)


def test_variants_are_drawn_against_the_option_that_differs(tmp_path: Path) -> None:
    """One number that differs is the axis; otherwise each variant has a place, with the options that are unusual."""
    for horizon in (8, 1, 4):
        for seed in (0, 1):
            config = {"model": {"horizon": horizon, "lambda_h": 1.0}}
            write_run(tmp_path / "runs" / str(horizon), "nextlat", seed, 0.3, config=config)
    for seed in (0, 1):
        write_run(tmp_path / "runs", "gpt", seed, 0.3)
    (group,) = gather([tmp_path / "runs"]).results
    (mine,) = variants_of(group)
    assert (mine.model, mine.option, mine.at) == ("nextlat", "model.horizon", (1.0, 4.0, 8.0))
    paths, said = drawn(tmp_path / "runs", tmp_path / "out", names=["variants"], widths=["1col"])
    assert said == []
    assert len(paths) == 5
    (data,) = (tmp_path / "out").glob("variants-*.csv")
    rows = [r for r in table(data) if r["score"] == "excess_loss.kl"]
    assert [(r["at"], r["seeds"]) for r in rows] == [("1.0", "2"), ("4.0", "2"), ("8.0", "2"), ("", "2")]

    write_run(tmp_path / "runs" / "0", "nextlat", 0, 0.3, config={"model": {"horizon": 4, "lambda_h": 0.0}})
    (group,) = gather([tmp_path / "runs"]).results
    (mine,) = variants_of(group)
    assert (mine.option, sorted(mine.names)) == (None, ["horizon=1", "horizon=8", "lambda_h=0", "nextlat"])
    assert len(drawn(tmp_path / "runs", tmp_path / "again", names=["variants"], widths=["2col"])[0]) == 5


def test_models_differ_in_color_marker_and_hatch() -> None:
    names = [*"abcdefgh"]
    known = plates.looks({name: name for name in names} | {"a[x=2]": "a"})
    assert len({known[name].color for name in names}) == 8
    assert len({(look.marker, look.hatch) for look in known.values()}) > 8
    assert known["a"].color == known["a[x=2]"].color
    assert known["a"].line != known["a[x=2]"].line
    # Okabe and Ito's colors stay apart in lightness or hue for every kind of color vision; the dark ones are darker.
    rgb = np.array([[int(c[i : i + 2], 16) for i in (1, 3, 5)] for c in plates.COLORS]) / 255
    assert (rgb @ [0.2126, 0.7152, 0.0722]).max() < 0.75, "visible on white"


def test_captions_of_pictures_that_are_still_there_stay(runs: Path, out: Path, tmp_path: Path) -> None:
    """In the order of the figures, whatever was drawn last."""
    shutil.copytree(out, tmp_path / "cap")
    captions = tmp_path / "cap" / "captions.md"
    before = captions.read_bytes()
    drawn(runs, tmp_path / "cap", names=["structure"], widths=["1col"])
    assert captions.read_bytes() == before
    for path in (tmp_path / "cap").glob("spectra-*"):
        path.unlink()
    drawn(runs, tmp_path / "cap", names=["structure"], widths=["1col"])
    left = captions.read_text(encoding="utf-8")
    assert left.count("**: ") == len(DRAWN) - 1
    assert "spectra" not in left


def test_absent_records_cost_their_figure_and_no_other(tmp_path: Path) -> None:
    """The sentence says which records are missing."""
    folder = tmp_path / "runs"
    paths = [write_run(folder, "gpt", seed, 0.3) for seed in (0, 1)]
    for path in paths:
        (path.parent / "evidence-0123456789" / "effective_rank.npz").unlink()
        shutil.rmtree(path.parent / "figures", ignore_errors=True)
    (paths[0].parent / "evidence-0123456789" / "belief_probe.npz").write_bytes(b"not arrays")
    names = ["maps", "spectra", "matched", "beliefs"]
    files, said = drawn(folder, tmp_path / "out", widths=["1col"], names=names)
    assert {p.name.split("-")[0] for p in files} == {"maps", "captions.md"}
    assert said[0].startswith("maps: taxi, a map, preset quick, 8,000 documents: drawn without the oracle")
    assert "spectra: not drawn, because the records with the metric effective_rank have no usable evidence" in said[1]
    assert said[2].startswith("matched: not drawn, because there is no trace; worldbench trace")
    assert said[3].startswith("beliefs: not drawn")
    assert any("left out: cannot" in line and "belief_probe.npz" in line for line in said[4:])
    with pytest.raises(InputError, match=r"no figure can be drawn .* there is no trace"):
        drawn(folder, tmp_path / "out", names=["matched"])
    with pytest.raises(InputError, match="unknown figure of a paper 'map'; did you mean 'maps'"):
        drawn(folder, tmp_path / "out", names=["map"])


def test_the_command_line(runs: Path, tmp_path: Path) -> None:
    code, said = call("figures", "--paper", runs, "--out", tmp_path / "p", "--only", "structure", "--width", "1col")
    assert (code, said) == (0, "")
    assert len(list((tmp_path / "p").iterdir())) == 5
    for words, expected in (
        (("figures",), "needs run folders, or --paper FOLDER"),
        (("figures", runs, "--out", tmp_path), "--out belongs to --paper FOLDER"),
        (("figures", runs, "--paper", runs), "leave out the run folders before it"),
        (("figures", "--paper", tmp_path / "nothing"), "there is no file or folder"),
    ):
        code, said = call(*words)
        assert code == 2
        assert expected in said


@pytest.mark.slow
@pytest.mark.pictures
@shared_cases.each("matplotlibrc-usetex/matplotlibrc")
def test_a_users_file_of_settings_changes_nothing(runs: Path, tmp_path: Path, case: Path) -> None:
    shutil.copy(case, tmp_path / "matplotlibrc")
    words = ["figures", "--paper", str(runs), "--out", "p", "--only", "structure", "--width", "1col"]
    command = [sys.executable, "-m", "worldbench", *words]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for path in drawn(runs, tmp_path / "here", names=["structure"], widths=["1col"])[0]:
        assert (tmp_path / "p" / path.name).read_bytes() == path.read_bytes(), path.name


def test_names_differ_by_what_differs(tmp_path: Path) -> None:
    """The same model under two evaluations and on two numbers of documents."""
    for part, evaluation in (("a", "e"), ("b", "f")):
        for documents in (2000, 8000):
            config = {"data": {"documents": documents}}
            write_run(tmp_path / part, "gpt", 0, 0.3, evaluation=evaluation, config=config)
    names = [group.slug for group in gather([tmp_path]).results]
    assert len(set(names)) == 4
    assert all(re.fullmatch(rf"{SLUG}-[28]000-documents-evaluation-[0-9a-f]{{6}}", name) for name in names)
    names = [group.slug for group in gather([tmp_path / "a"]).results]
    assert sorted(names) == [f"{SLUG}-{n}-documents" for n in (2000, 8000)]
