"""NextLat's dynamics alone as a recurrent network: its steps, its decoder, and the run whose weights it reads."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from command_lines import SHORT
from tiny_runs import SMALL_EVAL

from worldbench.baselines.batch import pack
from worldbench.baselines.latent_rnn import LatentRNN
from worldbench.baselines.nextlat import NextLat
from worldbench.baselines.options import NextLatConfig
from worldbench.baselines.trained import TrainedModel
from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.core.model import ALL_LAYERS, SequenceModel
from worldbench.core.registry import metrics
from worldbench.core.world import Documents
from worldbench.records.reading import read
from worldbench.records.runs import Trace
from worldbench.runs.config_file import load_job
from worldbench.runs.display import Display
from worldbench.runs.prepared import prepare
from worldbench.runs.weights import at_step
from worldbench.training import checkpoint

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

CITY = ["--env.map", "city:24", "--env.region", "all", "--env.min_moves", "2", "--env.max_moves", "9"]


def command(out: Path, model: str, *more: str) -> list[str]:
    words = ["run", "taxi", "--model", model, *CITY, *SHORT, "--train.checkpoints", "2", "--eval.documents", "20"]
    return [*words, *more, "--out", str(out), "--quiet"]


NEXT = ["--eval.metrics", "excess_loss", "next_token"]


def files(folder: Path) -> dict[Path, tuple[int, bytes]]:
    return {p: (p.stat().st_mtime_ns, p.read_bytes()) for p in sorted(folder.rglob("*")) if p.is_file()}


@pytest.fixture(scope="module")
def out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A NextLat run, scored as itself by two metrics, and as the recurrent network by every metric."""
    out = tmp_path_factory.mktemp("runs")
    assert main(command(out, "nextlat", *NEXT)) == 0
    before = files(nextlat_of(out))
    assert (
        main(["eval", str(nextlat_of(out)), "--as", "nextlat-rnn", *SMALL_EVAL, "--eval.metrics", *METRICS, "--quiet"])
        == 0
    )
    assert before.items() <= files(nextlat_of(out)).items(), "nothing of the run itself changes"
    return out


METRICS = [entry.name for entry in metrics]


def nextlat_of(out: Path) -> Path:
    (folder,) = out.glob("taxi-nextlat-small-*")
    return folder


def own(run: Path) -> Path:
    """The result of the run's own model."""
    (path,) = set(run.glob("result-*.json")) - set(run.glob("result-*-nextlat-rnn.json"))
    return path


def reading(run: Path) -> Path:
    """The result of the recurrent network."""
    (path,) = run.glob("result-*-nextlat-rnn.json")
    return path


@pytest.mark.slow
def test_it_is_scored_with_the_weights_of_the_nextlat_run(out: Path) -> None:
    run = nextlat_of(out)
    assert not list(out.glob("taxi-nextlat-rnn*"))
    ours, theirs = (json.loads(path.read_text()) for path in (reading(run), own(run)))
    assert ours["model"]["name"] == "nextlat-rnn"
    assert ours["model"]["reads"] == "nextlat"
    assert "reads" not in theirs["model"]
    assert ours["identity"]["training"] == theirs["identity"]["training"]
    assert ours["identity"]["reading"] == "nextlat-rnn"
    assert "training" not in ours, "the learning curve is that of the run's own model"
    for group in ("env", "data", "model", "train"):
        assert ours["config"][group] == theirs["config"][group]
    assert ours["seed"] == theirs["seed"] == 0
    prepared = prepare(load_job(run, []), Display(quiet=True), "nextlat-rnn")
    model = at_step(prepared, run, 4)
    reasons = {name: metrics[name].load().not_applicable(prepared.world, model) for name in metrics.names()}
    assert ours["not_applicable"] == {name: reason for name, reason in reasons.items() if reason is not None}
    assert set(ours["scores"]) == {name for name, reason in reasons.items() if reason is None}
    for name in ("excess_loss", "next_token"):
        assert ours["scores"][name]["scores"] != theirs["scores"][name]["scores"]
    steps = ours["scores"]["transition_consistency"]["series"]["by_step"]
    assert steps["own"] == pytest.approx(steps["direct"], abs=1e-4)
    swap = ours["scores"]["state_swap"]["scores"]
    assert swap["kl_after"]["value"] == pytest.approx(swap["kl_donor"]["value"], abs=1e-4)
    assert swap["kl_before"]["value"] != pytest.approx(swap["kl_donor"]["value"], abs=1e-4)
    assert "no better than one law" in swap["donor_law"]["reason"]  # after 4 steps of training


@pytest.mark.slow
def test_its_command_repeats_it(out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both commands, in a folder where nothing is."""
    run = nextlat_of(out)
    assert main(["eval", str(run), "--as", "nextlat-rnn", *NEXT, "--quiet"]) == 0
    (path,) = set(run.glob("result-*-nextlat-rnn.json")) - {reading_of_all(run)}
    monkeypatch.chdir(tmp_path)
    for words in json.loads(path.read_text())["command"].split(" && "):
        assert main([*words.split()[1:], "--quiet"]) == 0
    assert (tmp_path / "runs" / run.name / path.name).read_bytes() == path.read_bytes()
    path.unlink()


def reading_of_all(run: Path) -> Path:
    """The result of the recurrent network by every metric."""
    return max(run.glob("result-*-nextlat-rnn.json"), key=lambda path: len(json.loads(path.read_text())["scores"]))


def test_eval_trace_leaderboard_and_compare_see_a_model_of_its_own(
    out: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = nextlat_of(out)
    full = reading(run)
    assert main(["eval", str(run), "--as", "nextlat-rnn", *NEXT, "--quiet"]) == 0
    (again,) = set(run.glob("result-*-nextlat-rnn.json")) - {full}
    for words in ([], ["--as", "nextlat-rnn"]):
        assert main(["trace", str(run), *words, "--eval.metrics", "next_token", "--quiet"]) == 0
    (ours,) = run.glob("trace-*-nextlat-rnn.json")
    (theirs,) = set(run.glob("trace-*.json")) - {ours}
    assert ours.name == theirs.name.replace(".json", "-nextlat-rnn.json")
    traces = [read(path, Trace) for path in (ours, theirs)]
    assert [t.model.name for t in traces] == ["nextlat-rnn", "nextlat"]
    assert traces[0].trace_command.split()[3:5] == ["--as", "nextlat-rnn"]
    assert [p.step for p in traces[0].trace] == [p.step for p in traces[1].trace] == checkpoint.kept_steps(run)
    assert traces[0].trace[0].scores != traces[0].trace[-1].scores != traces[1].trace[-1].scores
    capsys.readouterr()
    both = [str(again), str(own(run))]
    assert main(["leaderboard", *both, "--format", "json", "--columns", "excess_loss"]) == 0
    groups = json.loads(capsys.readouterr().out)["groups"]
    assert {(row["model"], tuple(row["seeds"])) for group in groups for row in group["rows"]} == {
        ("nextlat", (0,)),
        ("nextlat-rnn", (0,)),
    }
    matched = ["--matched", "excess_loss.kl"]
    for more in ([], matched):
        assert main(["compare", "nextlat-rnn", "nextlat", *both, "--format", "json", *more]) == 0
        assert {row["score"] for row in json.loads(capsys.readouterr().out)} >= {"next_token.top1_legal"}
    ours.unlink()
    assert main(["compare", "nextlat-rnn", "nextlat", *both, *matched]) == 2
    assert f"worldbench trace {run} --as nextlat-rnn" in capsys.readouterr().err
    again.unlink()


def test_it_has_no_run_of_its_own(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(tmp_path, "nextlat-rnn")) == 2
    said = capsys.readouterr().err
    assert "`worldbench run taxi --model nextlat`" in said
    assert "`worldbench eval RUN --as nextlat-rnn`" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("name", "says"),
    [
        (
            "gpt",
            "gpt reads no weights of other models, and this is a run of nextlat; --as nextlat-rnn is for such runs",
        ),
        ("nextlat-rnm", "unknown model 'nextlat-rnm'; did you mean 'nextlat-rnn'?"),
    ],
)
@pytest.mark.parametrize("verb", ["eval", "trace"])
def test_what_cannot_be_read_so_is_refused(
    out: Path, verb: str, name: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([verb, str(nextlat_of(out)), "--as", name, "--quiet"]) == 2
    assert says in capsys.readouterr().err


def test_a_folder_of_before_says_what_to_do(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    config = json.loads((nextlat_of(out) / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config | {"model": "nextlat-rnn"}))
    assert main(["eval", str(tmp_path)]) == 2
    assert "`worldbench eval RUN --as nextlat-rnn`" in capsys.readouterr().err
