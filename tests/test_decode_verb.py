"""`worldbench decode`: what its record says is what happened, and every mistake is one sentence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from torch import Tensor

from worldbench.baselines.speculative import Drafting
from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.core.files import lock
from worldbench.records.finding import own_result
from worldbench.studies.decode import DecodeOptions
from worldbench.studies.decode_arms import Arm, acceptance, costs, expected_per_round, suggested_threshold, summary

TINY = ["--env.length", "12", "--eval.documents", "20", "--eval.metrics", "next_token"]
TRAIN = [
    *("--train.steps", "10", "--train.batch", "16", "--train.checkpoints", "1", "--train.curve_documents", "20"),
    *("--train.warmup", "2"),
]
TRAIN += ["--model.layers", "2", "--model.width", "16"]
FEW = ["--prompts", "3", "--repeats", "2", "--quiet"]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("runs")
    ahead = ["--model.heads", "2", "--model.horizon", "3"]
    for model, own in {"nextlat": ahead, "mtp": ahead, "jtp": ahead, "gpt": ahead[:2]}.items():
        assert main(["run", "hmm", "--model", model, *TINY, *TRAIN, *own, "--out", str(out), "--quiet"]) == 0
    return {folder.name.split("-")[1]: folder for folder in out.glob("hmm-*")}


def decoded(folder: Path, *more: str) -> dict[str, Any]:
    before = set(folder.glob("decode*.json"))
    assert main(["decode", str(folder), *FEW, *more]) == 0
    (path,) = set(folder.glob("decode*.json")) - before
    return json.loads(path.read_text())


def refused(capsys: pytest.CaptureFixture[str], *argv: str, code: int = 2) -> str:
    capsys.readouterr()
    assert main(["decode", *argv]) == code
    message = capsys.readouterr().err.splitlines()
    assert message[-1].startswith("worldbench: ")
    assert "Traceback" not in message
    return message[-1]


@pytest.mark.parametrize("model", ["nextlat", "mtp", "jtp"])
def test_a_record_adds_up(model: str, runs: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    result = own_result(runs[model])
    assert result is not None
    untouched = result.read_bytes()
    r = decoded(runs[model], "--tokens", "10", "--adaptive", "0.4")
    out = capsys.readouterr().out
    assert "identical to plain decoding" in out
    assert r["kind"] == "decode"
    assert r["model"]["name"] == model
    assert r["decode"]["lengths"] == ([1, 2, 4, 8, 12] if model == "nextlat" else [1, 2, 3])
    assert r["decode"]["threads"] == 1
    assert r["environment"]["processor"]
    assert r["decode"]["prompts"] == 1  # a process has one prompt
    assert r["identical"] == {"rows": len(r["arms"]), "different": 0, "all": True}
    assert r["plain"]["forwards_per_token"] == 1
    assert len(r["arms"]) == len(r["decode"]["lengths"]) + 1
    assert r["arms"][-1]["threshold"] == 0.4
    for arm in r["arms"]:
        assert arm["tokens"] == r["plain"]["tokens"]
        assert len(arm["seconds"]) == 2
        ratios = [p / a for p, a in zip(r["plain"]["seconds"], arm["seconds"])]
        assert arm["speed_up"]["repeats"] == pytest.approx(ratios)
        assert arm["speed_up"]["low"] <= arm["speed_up"]["median"] <= arm["speed_up"]["high"]
        assert arm["forwards_per_token"] * arm["tokens_per_round"] == pytest.approx(1)
        assert arm["drafted_per_round"] <= arm["length"]
        assert arm["accepted_per_round"] <= arm["drafted_per_round"]
        assert all(a <= t for a, t in zip(arm["accepted"], arm["tested"]))
        assert len(arm["tested"]) == arm["length"]
    assert r["best"]["length"] in r["decode"]["lengths"]
    assert r["best"]["suggested_threshold"] is None
    assert result.read_bytes() == untouched
    assert "--adaptive 0.4" in r["decode_command"]


def test_default_record_and_others(runs: dict[str, Path]) -> None:
    """Default options make decode.json; others a file of their own, with no adaptive arm where that is wanted."""
    folder = runs["nextlat"]
    assert main(["decode", str(folder), "--prompts", "32", "--quiet", "--repeats", "5", "--batch", "1"]) == 0
    first = json.loads((folder / "decode.json").read_text())
    assert first["decode"]["choice"] == "greedy"
    assert 0.01 <= first["best"]["suggested_threshold"] == first["arms"][-1]["threshold"] <= 0.95
    r = decoded(folder, "--sampled", "--batch", "2", "--lengths", "3", "2", "--adaptive", "0")
    assert [a["length"] for a in r["arms"]] == [2, 3]
    assert r["identical"] is None
    assert (r["decode"]["batch"], r["decode"]["prompts"]) == (2, 3)
    assert json.loads((folder / "decode.json").read_text()) == first


def test_what_cannot_be_measured_is_refused(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for model in ("gpt", "oracle"):
        message = refused(capsys, str(runs[model]), "--quiet")
        assert f"{model} cannot draft" in message
        assert "nextlat, mtp, jtp" in message
    assert "at most 3 tokens per round" in refused(capsys, str(runs["mtp"]), "--lengths", "4")
    assert "not a run folder" in refused(capsys, str(tmp_path))
    folder = str(runs["nextlat"])
    assert "--prompts must be at least 1, not 0" in refused(capsys, folder, "--prompts", "0")
    assert "--repeats must be at least 1" in refused(capsys, folder, "--repeats", "0")
    assert "different numbers" in refused(capsys, folder, "--lengths", "2", "2")
    assert "different numbers" in refused(capsys, folder, "--lengths", "0")
    assert "between 0 and 1" in refused(capsys, folder, "--adaptive", "1.5")
    assert "not allowed with" in refused(capsys, folder, "--greedy", "--sampled")
    assert "did you mean '--lengths'" in refused(capsys, folder, "--length", "3")
    assert "which run? worldbench decode takes a run folder" in refused(capsys)
    assert "nothing to decode faster" in refused(capsys, folder, *FEW, "--tokens", "1")
    with lock(runs["nextlat"]):
        assert "another process" in refused(capsys, folder, code=1)
    assert not list(runs["gpt"].glob("decode*"))


def test_a_difference_is_not_passed_over(
    runs: dict[str, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from worldbench.baselines import speculative

    settle = speculative.settle

    def wrong(logits: Tensor, drafts: Tensor, *rest: Tensor) -> tuple[Tensor, Tensor]:
        return settle(-logits if drafts.shape[1] > 2 else logits, drafts, *rest)

    monkeypatch.setattr(speculative, "settle", wrong)
    message = refused(capsys, str(runs["nextlat"]), *FEW, "--lengths", "3", code=1)
    assert "went wrong at token" in message
    assert not list(runs["nextlat"].glob("decode-*.part"))


def arm(length: int, tested: list[int], accepted: list[int], ms: float, per_round: float) -> Arm:
    made = Arm(Drafting(length))
    made.counts.tested, made.counts.accepted = np.array(tested), np.array(accepted)
    made.counts.rounds, made.counts.rows, made.counts.tokens = 100, 10, int(10 + 100 * per_round)
    made.counts.drafted, made.counts.forwards, made.batches = 100 * length, 110, 10
    made.counts.seconds["all"] = ms / 10
    return made


def test_best_length_and_threshold_by_hand() -> None:
    """A round costs 4 ms and .5 ms a draft. Of four rounds with two drafts, the second draft stays where it had a
    chance of .3, and never where it had .2."""
    arms = [arm(0, [], [], 4, 1), arm(1, [100], [80], 4.5, 1.7), arm(2, [100, 80], [80, 40], 5, 2)]
    assert arms[2].step_ms == pytest.approx(5)
    assert costs(arms) == pytest.approx((4, 0.5))
    bent = [arm(0, [], [], 1, 1), arm(1, [100], [80], 1.5, 1.7), arm(2, [100, 80], [80, 40], 9, 2)]
    assert costs(bent)[0] == pytest.approx(1)  # the line itself begins at -0.17
    pilot = arm(2, [100, 80], [80, 40], 5, 2)
    pilot.counts.chances = [
        (np.array([0.9, 0.3]), 2),
        (np.array([0.9, 0.2]), 1),
        (np.array([0.8, 0.2]), 1),
        (np.array([0.31]), 1),
    ]
    assert suggested_threshold(arms, pilot) == 0.21
    pilot.counts.chances = [(np.array([0.9, 0.3]), 0), (np.array([0.4]), 1)]
    assert suggested_threshold(arms, pilot) == 0.31
    assert acceptance(arms[2]).tolist() == [0.8, 0.5]
    assert expected_per_round(np.array([0.8, 0.5, 0.0]), 2) == pytest.approx(1 + 0.8 + 0.4)
    for made in arms:
        made.wall, made.processor = [1.0], [1.0]
    message = summary(arms, None)
    assert message["best"].predicted_length == 2
    assert message["best"].predicted_speed_up == pytest.approx(2.2 / 5 * 4)


def test_settings_in_words() -> None:
    assert DecodeOptions().words() == []
    assert DecodeOptions(lengths=(2, 3), choice="sampled", batch=4).words() == [
        "--batch",
        "4",
        "--lengths",
        "2",
        "3",
        "--sampled",
    ]
    with pytest.raises(InputError, match="--batch"):
        DecodeOptions(batch=0)
