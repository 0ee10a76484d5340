"""The claims that come with worldbench, and the command that judges them."""

from __future__ import annotations

import csv
import io
import json
import tomllib
from collections import Counter
from pathlib import Path

import pytest
from made_up_claims import HIGH, LOW, WIDE, both, claim
from sample_records import metric, result

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.core.registry import metrics, models, worlds
from worldbench.records import reading
from worldbench.records.claim_table import summary
from worldbench.records.claim_verdicts import Judged, judge_records
from worldbench.records.claims import load
from worldbench.records.variant import Variant

SWEEPS = Path(__file__).resolve().parent.parent / "worldbench" / "settings" / "sweeps"


def _listed(value: str | list[str]) -> list[str]:
    return [value] if isinstance(value, str) else value


def test_shipped_claims_name_what_exists() -> None:
    claims = load()
    assert len(claims) >= 40
    for c in claims:
        assert c.world in worlds.names()
        for arm in (c.a, c.b):
            name, _, score = (arm.score or c.score).partition(".")
            assert metrics[name].load() is not None
            assert arm.value is not None or Variant.parse(arm.model).model in models.names()
            undirected = c.expects == "equal" or arm.score or score in ("rank", "precision_map")
            if not undirected:
                assert metrics[name].load().direction_of(score) != "none", c.name
        assert (c.effect is None) or c.expects == "equal" or (c.effect > 0) == (c.expects == "a higher"), c.name
        assert c.claim.endswith(".")
        recipe = tomllib.loads((SWEEPS / f"{c.sweep}.toml").read_text(encoding="utf-8"))
        grids = [recipe, *recipe.get("grid", [])]
        trained = {name for grid in grids for name in _listed(grid.get("models", []))}
        scored = {(arm.score or c.score).partition(".")[0] for arm in (c.a, c.b) if arm.model}
        scored |= {"excess_loss"} if c.b.lookup else set()
        assert recipe["worlds"] == c.world
        assert scored <= set(recipe["eval"]["metrics"]), c.name
        assert {Variant.parse(arm.model).model for arm in (c.a, c.b) if arm.model} - {"nextlat-rnn"} <= trained, c.name
    sources = {c.source.partition(" (")[0] for c in claims}
    assert {"NextLat", "Vafa et al. 2024", "Li et al. 2023", "Shai et al. 2024", "BST"} <= sources
    assert {c.world for c in claims} == {"taxi", "hmm", "path-star", "group", "countdown", "othello", "text"}


def test_the_page_lists_the_claims() -> None:
    page = (Path(__file__).resolve().parent.parent / "docs" / "claims.md").read_text(encoding="utf-8")
    assert f"<!-- claims -->\n{summary(load())}\n<!-- end of claims -->" in page


def test_the_command_prints_every_form(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i, record in enumerate(both(HIGH, LOW)):
        reading.write(tmp_path / f"result-{i}.json", record)
    printed = {}
    for form in ("table", "markdown", "latex", "csv", "json"):
        assert main(["claims", str(tmp_path), "--claims", "nextlat-valid", "text-bits", "--format", form]) == 0
        printed[form] = capsys.readouterr().out
        assert "nextlat-valid" in printed[form]
        assert "reproduced" in printed[form]
        assert "not run" in printed[form]
    row = json.loads(printed["json"])[0]
    (flat, other) = csv.DictReader(io.StringIO(printed["csv"]))
    assert (row["verdict"], row["seeds"], row["published"]) == ("reproduced", [0, 1, 2, 3, 4], {"a": 0.987, "b": 0.97})
    assert float(flat["p_holm"]) == row["p_holm"]
    assert (flat["seeds"], other["seeds"], flat["published_a"]) == ("0 1 2 3 4", "", "0.987")
    assert main(["claims", "--list", "--claims", "nextlat-valid"]) == 0
    assert "worldbench sweep claims-taxi" in capsys.readouterr().out


def test_only_what_the_table_shows_is_explained(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("p (Holm):", "p equivalent:", "room:", "k of n:", "no power below x:")

    def explained(*names: str) -> list[str]:
        assert main(["claims", str(tmp_path), "--claims", *names]) == 0
        lines = capsys.readouterr().out.splitlines()
        return [word for word in words if any(line.startswith(word) for line in lines)]

    for i, record in enumerate(both(HIGH, LOW)):
        reading.write(tmp_path / f"result-{i}.json", record)
    assert explained("text-bits") == [], "it is not run"
    assert explained("nextlat-valid") == ["p (Holm):", "p equivalent:"]
    for path in tmp_path.iterdir():
        path.unlink()
    world = {"world": "path-star", "version": 2, "form": "path"}
    for i, (model, solved) in enumerate([(m, s) for s in range(5) for m in ("gpt", "nextlat")]):
        scores = {"decisions": metric({"solved": float(model == "nextlat")})}
        reading.write(tmp_path / f"result-{i}.json", result(model, solved, scores, world=world))
    assert explained("path-star-nextlat") == ["p (Holm):", "k of n:"]


def test_each_place_has_a_table_with_its_reasons(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "180")
    for i, record in enumerate([*both(HIGH, LOW, preset="small"), *both(LOW, WIDE, preset="quick")]):
        reading.write(tmp_path / f"result-{i}.json", record)
    assert main(["claims", str(tmp_path)]) == 0
    blocks = capsys.readouterr().out.split("\n\n")
    first = [block.splitlines()[0] for block in blocks[:2]]
    assert ["preset quick" in first[0], "preset small" in first[1]] == [True, True], "in the order of their places"
    assert all("nextlat-valid" in block for block in blocks[:2])
    assert "where" not in blocks[0]
    assert "published" in blocks[0]
    assert "room" not in blocks[0], "there are no references, so the column would be empty"
    (reason,) = [line for line in blocks[0].splitlines() if line.startswith("nextlat-valid: ")]
    assert "no power below" in reason


def test_one_line_counts_the_claims_about_other_worlds(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i, record in enumerate(both(HIGH, LOW)):
        reading.write(tmp_path / f"result-{i}.json", record)

    def lines(*words: str) -> list[str]:
        assert main(["claims", str(tmp_path), *words]) == 0
        return capsys.readouterr().out.splitlines()

    printed = lines("--format", "markdown")
    (line,) = [line for line in printed if "without a record here" in line]
    claims = Counter(c.world for c in load() if c.world != "taxi")
    assert line.startswith(f"not run: {sum(claims.values())} claims about worlds")
    assert all(f"{world} ({n})" in line for world, n in claims.items())
    assert "taxi" not in line
    assert not any("there is no run of gpt in hmm" in line for line in printed)
    assert any("mtp-rank" in line and "there is no run of mtp in taxi" in line for line in printed)
    (line,) = [line for line in lines("--claims", "text-bits") if line.startswith("text-bits: not run")]
    assert "worldbench sweep claims-text" in line, "a claim that was asked for has its reason"


def test_what_is_shown_does_not_change_the_correction(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i, seed in enumerate(range(5)):
        for model, x in (("nextlat", HIGH[i]), ("gpt", WIDE[i])):
            scores = {"valid_trajectories": metric({"arrives_sampled": x}), "effective_rank": metric({"rank": 1 + x})}
            reading.write(tmp_path / f"result-{model}-{seed}.json", result(model, seed, scores))

    def p_values(*names: str) -> list[float]:
        assert main(["claims", str(tmp_path), "--format", "json", *names]) == 0
        rows = json.loads(capsys.readouterr().out)
        return [row["p_holm"] for row in rows if row["name"] == "nextlat-valid"]

    assert p_values() == p_values("--claims", "nextlat-valid")


def test_refusals(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for words, message in (
        (["claims"], "name result files"),
        (["claims", "--list", "--claims", "nextlat-vald"], "did you mean 'nextlat-valid'"),
        (["claims", "--list", str(tmp_path)], "--list needs no result files"),
    ):
        assert main(words) == 2
        assert message in capsys.readouterr().err
    path = tmp_path / "mine.toml"
    path.write_text('[[claim]]\nname = "x"\n')
    with pytest.raises(InputError, match="cannot be used: Object missing required field"):
        load([path])
    path.write_text("[[claim")
    with pytest.raises(InputError, match="cannot be used"):
        load([path])
    assert isinstance(judge_records([claim()], [])[0], Judged)
