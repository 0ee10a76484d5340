"""NextLat's dynamics alone as a recurrent network: its steps, its decoder, and the run that it has its weights from."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_lines import SHORT, TINY

from worldbench.baselines.batch import pack
from worldbench.baselines.latent_rnn import LatentRNN
from worldbench.baselines.nextlat import NextLat, NextLatConfig
from worldbench.baselines.trained import TrainedModel
from worldbench.cli.main import main
from worldbench.core.errors import InputError, Interrupted
from worldbench.core.model import ALL_LAYERS, SequenceModel
from worldbench.core.registry import metrics, models
from worldbench.core.world import Documents
from worldbench.runs.config_file import load_job
from worldbench.runs.display import Display
from worldbench.runs.prepared import prepare
from worldbench.runs.run import run
from worldbench.runs.weights import at_step, build, weights_folder
from worldbench.training import checkpoint
from worldbench.training.trainer import Trainer

pytestmark = pytest.mark.xdist_group("latent-rnn")  # they share an expensive fixture
V, CONTEXT = 19, 30
CONFIG = NextLatConfig(layers=2, heads=2, width=16, horizon=2)
KINDS = {
    "plain": CONFIG,
    "no-residual": dataclasses.replace(CONFIG, residual=False),
    "before-the-norm": dataclasses.replace(CONFIG, state="residual"),
}


def network(config: NextLatConfig = CONFIG) -> LatentRNN:
    """With weights that make states differ."""
    objective = LatentRNN(config, V, CONTEXT, 0)
    with torch.no_grad():
        for p in objective.parameters():
            if p.ndim >= 2:
                p.mul_(10)
    return objective


def tokens_of(n: int, t: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, V, (n, t))


@pytest.mark.parametrize("config", KINDS.values(), ids=KINDS.keys())
def test_logits_are_those_of_the_steps(config: NextLatConfig) -> None:
    objective, tokens = network(config), tokens_of(3, 9)
    model = TrainedModel(objective)
    nextlat = NextLat(config, V, CONTEXT, 0)
    nextlat.load_state_dict(objective.state_dict())
    expected, states = np.empty((3, 9, V), np.float32), np.empty((3, 9, 16), np.float32)
    with torch.no_grad():
        for b, row in enumerate(torch.from_numpy(tokens)):
            h = nextlat.encode(row[None, :1])[0, 0]
            for t, token in enumerate(row):
                h = h if t == 0 else nextlat.dynamics(h, nextlat.embed(token))
                states[b, t], expected[b, t] = h.numpy(), nextlat.head(h).numpy()
    np.testing.assert_allclose(model.logits(tokens), expected, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(model.hidden(tokens), states, rtol=2e-4, atol=2e-4)
    np.testing.assert_allclose(
        model.head(model.hidden(tokens)[:, 4], tokens[:, 4]), expected[:, 4], rtol=2e-4, atol=2e-4
    )
    assert np.abs(TrainedModel(nextlat).logits(tokens)[:, 3:] - expected[:, 3:]).max() > 0.1
    np.testing.assert_allclose(TrainedModel(nextlat).logits(tokens)[:, 0], expected[:, 0], rtol=1e-4, atol=1e-4)
    own = model.dynamics()
    assert own is not None
    np.testing.assert_allclose(own.step(states[:, 5], tokens[:, 6]), states[:, 6], rtol=2e-4, atol=2e-4)
    layers = model.layers(tokens)
    assert list(layers) == ["embedding", model.hidden_name] == ["embedding", "recurrent state (head input)"]
    np.testing.assert_array_equal(layers[model.hidden_name], model.hidden(tokens))


def test_packed_documents_start_afresh() -> None:
    rng = np.random.default_rng(0)
    documents = Documents(
        tokens_of(6, 8).astype(np.int32), rng.integers(2, 9, 6).astype(np.int32), np.ones(6, np.int32)
    )
    batch, objective = pack(documents, 2, 20), network()
    h = objective.encode_batch(batch)
    for i in range(6):
        r, inside = i // 3, batch.document[i // 3] == i % 3
        alone = objective.encode(torch.from_numpy(documents.tokens[i : i + 1, : int(inside.sum())].astype(np.int64)))
        torch.testing.assert_close(h[r, inside], alone[0], rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("k", [1, 3])
def test_decoding_goes_on_from_the_state(k: int) -> None:
    model, tokens, lengths = TrainedModel(network()), tokens_of(4, 13), np.array([4, 1, 2, 4])
    decoder = model.decoder(tokens[:, :4], lengths)
    for part in range(2):
        at = lengths + part * k
        whole = [
            model.logits(np.concatenate([tokens[b, : lengths[b]], tokens[b, 4 : 4 + (part + 1) * k]])[None])[0]
            for b in range(4)
        ]
        np.testing.assert_allclose(
            decoder.logits, np.stack([whole[b][at[b] - 1] for b in range(4)]), rtol=1e-4, atol=1e-4
        )
        out = decoder.extend(tokens[:, 4 + part * k : 4 + (part + 1) * k])
        np.testing.assert_allclose(out, np.stack([whole[b][at[b] : at[b] + k] for b in range(4)]), rtol=1e-4, atol=1e-4)
    assert decoder.state.shape == (4, 16)
    rows = np.array([2, 0, 2])
    before = decoder.logits
    decoder.select(rows)
    np.testing.assert_array_equal(decoder.logits, before[rows])
    alone = model.decoder(np.concatenate([tokens[2, :2], tokens[2, 4 : 4 + 2 * k]])[None], np.array([2 + 2 * k]))
    np.testing.assert_allclose(decoder.extend(tokens[:3, :2])[0], alone.extend(tokens[:1, :2])[0], rtol=1e-4, atol=1e-4)
    with pytest.raises(InputError, match="cannot be conditioned on how a document ends"):
        model.decoder(tokens, lengths, condition=tokens)


@pytest.mark.parametrize("length", [1, 5])
def test_the_state_is_all_there_is(length: int) -> None:
    """With the donor's state the future is the donor's, to the bit; with the embedding of its last token it is as if
    that had been read."""
    model = TrainedModel(network())
    lengths = np.full(3, length, np.int32)
    ours, theirs = (
        Documents(tokens_of(3, length, seed).astype(np.int32), lengths, np.ones(3, np.int32)) for seed in (1, 2)
    )
    future = tokens_of(3, 4, 3)
    donor = model.decoder(theirs.tokens, lengths)
    first, later = donor.logits, donor.extend(future)
    for layer in (model.hidden_name, ALL_LAYERS):
        decoder = model.swapped(ours, theirs, layer)
        np.testing.assert_allclose(decoder.logits, first, rtol=1e-4, atol=1e-4)
        np.testing.assert_allclose(decoder.extend(future), later, rtol=1e-4, atol=1e-4)
    mixed = ours.tokens.copy()
    mixed[:, -1] = theirs.tokens[:, -1]
    np.testing.assert_allclose(
        model.swapped(ours, theirs, "embedding").extend(future),
        model.decoder(mixed, lengths).extend(future),
        rtol=1e-4,
        atol=1e-4,
    )


def test_weights_are_nextlats() -> None:
    """The same start, the same names, the same gradient; prediction takes the whole of it."""
    rnn, nextlat = LatentRNN(CONFIG, V, CONTEXT, 3), NextLat(CONFIG, V, CONTEXT, 3)
    assert {n: p.shape for n, p in rnn.named_parameters()} == {n: p.shape for n, p in nextlat.named_parameters()}
    batch = pack(Documents(tokens_of(4, 7).astype(np.int32), np.full(4, 7, np.int32), np.ones(4, np.int32)), 2, 14)
    for objective in (rnn, nextlat):
        objective.backward(batch, objective.counts(batch))
    for a, b in zip(rnn.parameters(), nextlat.parameters()):
        assert torch.equal(a, b)
        assert torch.equal(a.grad, b.grad)  # type: ignore[arg-type]
    assert rnn.inference_parameters() == rnn.parameter_count() == nextlat.parameter_count()
    untrained: SequenceModel = TrainedModel(rnn).untrained(0)
    assert isinstance(untrained.objective, LatentRNN)  # type: ignore[attr-defined]


# Runs

CHEAP = [
    "--eval.suffixes",
    "2",
    "--eval.recall_depth",
    "1",
    "--eval.probe_documents",
    "40",
    "--eval.dynamics_documents",
    "20",
]
CHEAP += ["--eval.dynamics_steps", "5", "--eval.structure_trials", "20"]
CHEAP += [
    "--eval.pairs",
    "10",
    "--eval.swap_pairs",
    "10",
    "--eval.detours",
    "0.5",
    "--eval.shift_trials",
    "10",
    "--train.checkpoints",
    "2",
]


def command(out: Path, model: str, *more: str) -> list[str]:
    return ["run", "taxi", "--model", model, *TINY, *SHORT, *CHEAP, *more, "--out", str(out), "--quiet"]


def weights(folder: Path) -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in sorted((folder / "checkpoint").iterdir())}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A NextLat run, and then the recurrent network's."""
    out = tmp_path_factory.mktemp("runs")
    assert main(command(out, "nextlat", "--eval.metrics", "excess_loss", "next_token")) == 0
    nextlat = next(out.glob("taxi-nextlat-quick-*"))
    before = {
        p: (p.stat().st_mtime_ns, p.read_bytes()) for p in nextlat.rglob("*") if p.is_file() and p.name != ".lock"
    }
    assert main(command(out, "nextlat-rnn")) == 0
    assert before == {
        p: (p.stat().st_mtime_ns, p.read_bytes()) for p in nextlat.rglob("*") if p.is_file() and p.name != ".lock"
    }, "nothing is trained again"
    return out


def the_result(run: Path) -> Path:
    """The one result of a run."""
    (path,) = run.glob("result-*.json")
    return path


def folders(out: Path) -> tuple[Path, Path]:
    return next(out.glob("taxi-nextlat-quick-*")), next(out.glob("taxi-nextlat-rnn-quick-*"))


def test_a_run_has_the_weights_of_the_nextlat_run(out: Path) -> None:
    nextlat, rnn = folders(out)
    assert not (rnn / "checkpoint").exists()
    assert not (rnn / "metrics.jsonl").exists()
    ours, theirs = (json.loads(the_result(f).read_text()) for f in (rnn, nextlat))
    assert ours["model"]["name"] == "nextlat-rnn"
    assert ours["model"]["weights_of"] == {"name": "nextlat", "training": theirs["identity"]["training"]}
    assert ours["identity"]["training"] != theirs["identity"]["training"]
    for group in ("env", "data", "model", "train"):
        assert ours["config"][group] == theirs["config"][group]
    assert ours["seed"] == theirs["seed"] == 0
    prepared = prepare(load_job(nextlat, []), Display(quiet=True))
    model = at_step(prepared, nextlat, 4)
    reasons = {name: metrics[name].load().not_applicable(prepared.world, model) for name in metrics.names()}
    assert ours["not_applicable"] == {name: reason for name, reason in reasons.items() if reason is not None}
    assert set(ours["scores"]) == {name for name, reason in reasons.items() if reason is None}
    for name in ("excess_loss", "next_token"):
        assert ours["scores"][name]["scores"] != theirs["scores"][name]["scores"]
    own = ours["scores"]["transition_consistency"]["series"]["by_step"]
    assert own["own"] == pytest.approx(own["direct"], abs=1e-4)
    assert ours["scores"]["state_swap"]["scores"]["donor_law"]["value"] == pytest.approx(1, abs=1e-3)


def test_its_command_repeats_it(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, rnn = folders(out)
    words = json.loads(the_result(rnn).read_text())["command"].split()
    assert main([*words[1:], "--out", str(out)]) == 0
    assert f"done already: {the_result(rnn)}" in capsys.readouterr().err


def test_eval_trace_leaderboard_and_compare_see_it(out: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nextlat, rnn = folders(out)
    own = the_result(rnn)
    assert main(["eval", str(rnn), "--eval.metrics", "excess_loss", "next_token", "--quiet"]) == 0
    (again,) = set(rnn.glob("result-*.json")) - {own}
    assert json.loads(again.read_text())["model"]["name"] == "nextlat-rnn"
    for folder in (nextlat, rnn):
        assert main(["trace", str(folder), "--eval.metrics", "next_token", "--quiet"]) == 0
    traces = [json.loads(next(f.glob("trace*.json")).read_text()) for f in (rnn, nextlat)]
    assert (
        [p["step"] for p in traces[0]["trace"]]
        == [p["step"] for p in traces[1]["trace"]]
        == checkpoint.kept_steps(nextlat)
    )
    assert traces[0]["trace"][0]["scores"] != traces[0]["trace"][-1]["scores"] != traces[1]["trace"][-1]["scores"]
    capsys.readouterr()
    assert (
        main(["leaderboard", str(again), str(the_result(nextlat)), "--format", "json", "--columns", "excess_loss"]) == 0
    )
    assert {(row["model"], tuple(row["seeds"])) for row in json.loads(capsys.readouterr().out)} == {
        ("nextlat", (0,)),
        ("nextlat-rnn", (0,)),
    }
    assert main(["compare", "nextlat-rnn", "nextlat", str(again), str(the_result(nextlat)), "--format", "json"]) == 0
    again.unlink()


def test_the_nextlat_run_is_trained_first_where_it_is_not_there(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([w for w in command(tmp_path, "nextlat-rnn", "--eval.metrics", "next_token") if w != "--quiet"]) == 0
    nextlat, rnn = folders(tmp_path)
    assert f"training nextlat first, whose weights nextlat-rnn has: {nextlat}" in capsys.readouterr().err
    assert weights(nextlat) == weights(folders(out)[0])
    assert not list(nextlat.glob("result*.json"))
    made = {p: p.stat().st_mtime_ns for p in (nextlat / "checkpoint").iterdir()}
    assert main(command(tmp_path, "nextlat", "--eval.metrics", "next_token")) == 0
    assert the_result(nextlat)
    assert made == {p: p.stat().st_mtime_ns for p in (nextlat / "checkpoint").iterdir()}, "found trained, and scored"
    for path in (nextlat / "checkpoint").iterdir():
        path.unlink()
    assert main(["eval", str(rnn)]) == 2
    told = capsys.readouterr().err
    assert f"{str(nextlat)!r}, whose weights {rnn.name!r} has, is not trained to its end" in told
    assert "--model nextlat-rnn" in told


def test_an_unfinished_nextlat_run_is_gone_on_with(out: Path, tmp_path: Path) -> None:
    job = load_job(folders(out)[1], [])
    job = job.replace("eval", metrics=("next_token",))
    prepared = prepare(dataclasses.replace(job, model="nextlat"), Display(quiet=True))
    nextlat = prepared.folder(tmp_path)
    nextlat.mkdir()
    trainer = Trainer(prepared.world, build(prepared), job.groups["data"], job.groups["train"], 0, nextlat)
    trainer.interrupted = True
    with pytest.raises(Interrupted):
        trainer.train()
    assert checkpoint.state_path(nextlat).exists()
    rnn = run(job, tmp_path, Display(quiet=True)).parent
    assert weights_folder(prepare(job, Display(quiet=True)), rnn) == nextlat
    assert weights(nextlat) == weights(folders(out)[0])


def test_it_takes_the_preset_of_nextlat() -> None:
    from worldbench.settings.presets import preset_values

    for preset in ("quick", "standard"):
        assert (
            preset_values("taxi", "nextlat-rnn", preset)
            == preset_values("taxi", "nextlat", preset)
            != preset_values("taxi", "gpt", preset)
        )
    for entry in models:
        assert not entry.weights_of or models[entry.weights_of].config == entry.config
