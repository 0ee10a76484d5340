"""`worldbench bench`: what a model may hold, and the verb from end to end. No
time is asserted. (Operations: test_bench_operations.py.)"""

from __future__ import annotations

import json
import math
import resource
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from worldbench.cli.main import main
from worldbench.core.errors import InputError, RunError
from worldbench.core.registry import models
from worldbench.records.bench import Bench, Memory
from worldbench.records.reading import read
from worldbench.studies.bench.plan import PLAIN, BenchPlan
from worldbench.studies.bench.report import render
from worldbench.studies.bench.timing import build, measure_apart, rows_of
from worldbench.studies.bench.ways import Way, forward_backward, ways

B, T, V, LAYERS, HEADS, D = 3, 24, 40, 2, 2, 16
SHAPE = {"layers": LAYERS, "heads": HEADS, "width": D, "vocabulary": V}
TINY = SHAPE | {"tokens": T, "batch": B, "shortest": 4, "longest": 15}
WORDS = [word for name, value in TINY.items() for word in (f"--{name}", str(value))]
TRAINED = [e.name for e in models if e.trained]


# Memory


@pytest.mark.slow
def test_memory_holds_weights_gradients_and_moments() -> None:
    plan = BenchPlan(labels=("gpt",), shape="small", changes=TINY | {"width": 128, "vocabulary": 20_000, "layers": 1})
    parameters = build(plan, "gpt", rows_of(plan)).parameter_count()
    measured = measure_apart(plan, "gpt")
    assert measured.bytes is None or 4 * 4 * parameters < measured.bytes < 4 * 4 * 4 * parameters


@pytest.mark.slow
def test_a_process_that_fails_is_reported_in_one_sentence() -> None:
    with pytest.raises(RunError, match="unknown model 'nosuch'"):
        measure_apart(BenchPlan(labels=("gpt",)), "nosuch")


BLOCKS = """
import resource
import torch
import worldbench.training.trainer
from worldbench.training.arithmetic import keep_freed_memory
def new_pages():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.empty(48 << 18).fill_(1.0)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print(keep_freed_memory(), *(new_pages() for _ in range(25)))
"""


@pytest.mark.slow
def test_large_blocks_are_reused() -> None:
    """Of 48 MiB, freed one before the other, in a process of its own: most have no new pages (all of them have where
    memory is not kept). The first five may have new pages, because smaller blocks lie between them."""
    message = subprocess.run([sys.executable, "-c", BLOCKS], capture_output=True, text=True, check=True).stdout.split()
    if message[0] == "False":
        pytest.skip("this C library does not let its allocator be set")
    assert sorted(map(int, message[1:]))[12] < (48 << 20) / resource.getpagesize() / 10


# The verb


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "worldbench.studies.bench.timing.measure_apart", lambda plan, label: Memory(bytes=3 << 20, what="not measured")
    )


def bench(out: Path, *words: str) -> dict[str, Any]:
    assert main(["bench", *words, "--repeats", "2", "--quiet", "--out", str(out)]) == 0
    return json.loads(measured(out).read_text())


def measured(out: Path) -> Path:
    """The one record below a folder."""
    (path,) = (p for p in out.rglob("*") if p.is_file())
    assert path.name == "bench.json"
    return path


@pytest.mark.usefixtures("no_processes")
def test_another_measurement_has_another_folder(tmp_path: Path) -> None:
    """The same measurement again replaces its record, and no other one."""
    command = ["bench", "gpt", "--shape", "small", *WORDS, "--products", "torch", "--quiet", "--out", str(tmp_path)]
    for more, records in ((["--repeats", "1"], 1), (["--repeats", "2"], 2), (["--repeats", "1", "--layers", "1"], 3)):
        before = {p: p.read_bytes() for p in tmp_path.rglob("bench.json")}
        assert main([*command, *more]) == 0
        assert len(list(tmp_path.glob("bench-small-*/bench.json"))) == records
        assert all(path.read_bytes() == content for path, content in before.items())
    assert main([*command, "--repeats", "1", "--device", "cpu"]) == 0
    assert len(list(tmp_path.glob("bench-small-*"))) == 3 + torch.cuda.is_available()


@pytest.mark.slow
@pytest.mark.usefixtures("no_processes")
def test_every_trained_model_is_measured(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    record = bench(tmp_path, "--shape", "small", *WORDS)
    typed = read(measured(tmp_path), Bench)
    assert [m["label"] for m in record["models"]] == [*TRAINED, PLAIN]
    table = capsys.readouterr().out
    for m in record["models"]:
        assert all(len(times) == 2 and min(times) >= 0 for part in m["seconds"].values() for times in part.values())
        assert m["ratio_by_operations"] == pytest.approx(m["operations"] / record["models"][0]["operations"])
        assert 0 < m["inference_parameters"] <= m["parameters"]
        assert f"{m['parameters']:,}" in table
    assert record["models"][0]["ratio"] == 1
    assert record["ceiling"]["operations_per_second"] == max(
        p["operations_per_second"] for p in record["ceiling"]["products"]
    )
    assert record["shape"] == {"name": "small", "preset": "small", **TINY}
    assert record["clock"] == "processor"
    assert {"processor", "torch"} <= set(record["environment"])
    for form, mark in (("table", "┃"), ("markdown", "|--:|")):
        assert mark in render(typed, form)
        assert all(name in render(typed, form) for name in TRAINED)
    assert json.loads(render(typed, "json")) == record


@pytest.mark.usefixtures("no_processes")
def test_variants_of_a_model_are_distinguished_and_gpt_is_added(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["nextlat[horizon=1]", "nextlat[horizon=6,model.lambda_kl=0]"]
    record = bench(tmp_path, *labels, "--shape", "small", *WORDS, "--clock", "wall")
    assert [m["label"] for m in record["models"]] == ["gpt", *labels, PLAIN]
    assert [(m["options"]["horizon"], m["options"]["lambda_kl"]) for m in record["models"][1:3]] == [(1, 0.1), (6, 0.0)]
    assert record["models"][1]["operations"] < record["models"][2]["operations"]
    assert record["clock"] == "wall"
    assert all(label in capsys.readouterr().out for label in labels[:1])


@pytest.mark.usefixtures("no_processes")
def test_ways_of_computing_stand_side_by_side(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["gpt", "mtp", "--shape", "small", *WORDS, "--precision", "fp32", "bf16"]
    record = bench(tmp_path, *words, "--products", "onednn", "torch")
    table = capsys.readouterr().out
    gpt, mtp, plain = record["models"]
    assert [m.way for m in read(measured(tmp_path), Bench).models] == ["onednn", "onednn", "torch"]
    assert [(w["name"], w["products"], w["precision"]) for w in mtp["others"]] == [
        ("torch", "torch", "fp32"),
        ("bf16", "torch", "bf16"),
    ]
    assert "others" not in plain
    assert plain["to_plain"] == 1
    assert "/ plain GPT" in table
    for m in (gpt, mtp):
        for i, way in enumerate(m["others"]):
            seconds, first = ([sum(x) for x in zip(*(p["processor"] for p in w["seconds"].values()))] for w in (way, m))
            of_gpt = [sum(x) for x in zip(*(p["processor"] for p in gpt["others"][i]["seconds"].values()))]
            assert way["step"] == pytest.approx(sum(seconds) / 2)
            assert way["to_first"] == pytest.approx(sum(a / b for a, b in zip(seconds, first)) / 2)
            assert way["ratio"] == pytest.approx(sum(a / b for a, b in zip(seconds, of_gpt)) / 2)


def test_which_ways() -> None:
    assert ways(("torch",), ("fp32",), "cpu") == [Way()]
    assert ways((), ("fp32",), "cuda") == [Way()]
    assert [w.name for w in ways(("torch",), ("bf16", "fp32"), "cpu")] == ["torch", "bf16"]
    assert [w.name for w in ways((), ("bf16",), "cpu")] == ["bf16"]
    assert ways(("torch",), ("fp32",), "cpu", compiled=True) == [Way(), Way(compiled=True)]
    for products, precisions, device in ((("onednn",), ("fp32",), "cuda"), ((), ("tf32",), "cpu")):
        with pytest.raises(InputError):
            ways(products, precisions, device)


@pytest.mark.long
@pytest.mark.usefixtures("no_processes")
def test_compiled_ways(tmp_path: Path) -> None:
    """Each way also with compiled parts; a GRU has no such parts."""
    bench(tmp_path, "gpt", "gru", "--shape", "small", *WORDS, "--products", "torch", "--compile")
    gpt, gru, _ = read(measured(tmp_path), Bench).models
    assert [(w.name, w.compiled) for w in gpt.others] == [("torch, compiled", True)]
    assert gru.others == []


def test_a_way_is_what_computes_the_step(monkeypatch: pytest.MonkeyPatch) -> None:
    plan = BenchPlan(labels=("gpt",), shape="small", changes=TINY)
    rows = rows_of(plan)
    objective, seen = build(plan, "gpt", rows), []
    for way in ways((), ("fp32", "bf16"), "cpu"):
        handle = objective.trunk.head.register_forward_hook(lambda m, x, y: seen.append((m.products, y.dtype)))
        forward_backward(objective, rows.batch, "cpu", way)
        handle.remove()
    assert seen == [("torch", torch.float32), ("onednn", torch.float32), ("torch", torch.bfloat16)]


def test_the_plain_gpt_is_a_gpt() -> None:
    """Its parameters by a formula; it learns; a later token changes no earlier loss."""
    plan = BenchPlan(labels=("gpt",), shape="small", changes=TINY)
    rows = rows_of(plan)
    plain = build(plan, PLAIN, rows)
    assert plain.parameter_count() == V * D + T * D + LAYERS * (12 * D * D + 2 * D) + D
    counts = plain.counts(rows.batch)
    optimizer = torch.optim.AdamW(plain.parameters(), lr=0.01)
    losses = []
    for _ in range(30):
        losses.append(float(plain.backward(rows.batch, counts)["next_token"]))
        optimizer.step()
        optimizer.zero_grad()
    assert losses[0] == pytest.approx(math.log(V), abs=0.3)
    assert losses[-1] < 0.8 * losses[0]
    block = plain.blocks[0]
    x = torch.randn(1, T, D, generator=torch.Generator().manual_seed(0))
    y = block(x)
    x[:, 9] += 1.0
    assert torch.equal(block(x)[:, :9], y[:, :9])
    assert not torch.equal(block(x)[:, 9:], y[:, 9:])


@pytest.mark.usefixtures("no_processes")
def test_rows_of_a_world(tmp_path: Path) -> None:
    record = bench(
        tmp_path, "gpt", "--world", "hmm", "--preset", "small", "--layers", "1", "--width", "16", "--batch", "4"
    )
    assert record["models"][0]["options"]["layers"] == 1
    assert record["models"][0]["options"]["heads"] == 4  # the preset's
    assert (record["rows"]["rows"], record["shape"], record["rows"]["of"]) == (4, None, "hmm, preset small")


def test_shapes_take_the_published_options() -> None:
    plan = BenchPlan(labels=("nextlat",), shape="manhattan")
    config = plan.config("nextlat")[1]
    assert (config.layers, config.heads, config.width, config.horizon, config.dynamics_width) == (48, 8, 384, 8, 1536)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["gptt"], "unknown model 'gptt'; did you mean 'gpt'?"),
        (["gpt", "oracle"], "'oracle' is not trained"),
        (["gpt", "gpt"], "'gpt' is named twice"),
        (["nextlat[horizn=3]"], "did you mean '--model.horizon'"),
        (["nextlat[horizon=0]"], "model.horizon must be at least 1, not 0"),
        (["nextlat[horizon=many]"], "many"),
        (["gpt[]"], "names no model"),
        (["gpt", "--shape", "manhatan"], "unknown shape 'manhatan'; did you mean 'manhattan'?"),
        (["gpt", "--width", "30", "--heads", "4"], "model.width"),
        (["gpt", "--layers", "0"], "--layers must be at least 1, not 0"),
        (["gpt", "--longest", "4"], "--longest (4) must be at least --shortest (5)"),
        (["gpt", "--repeats", "0"], "--repeats must be at least 1, not 0"),
        (["gpt", "--world", "hmm", "--tokens", "9"], "--tokens cannot be combined with --world"),
        (["gpt", "--world", "hm"], "unknown world 'hm'"),
        (["gpt", "--preset", "small"], "name one with --world"),
        (["gpt", "--shap", "small"], "did you mean '--shape'"),
        (["gpt", "--precision", "tf32"], "tf32 is a format of CUDA devices"),
        (["gpt", "--products", "mkl"], "--products"),
        (["gpt", "--threads", "two"], "--threads must be a whole number, not 'two'"),
    ],
)
def test_mistakes(words: list[str], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", *words, "--out", str(tmp_path / "out")]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message
    assert not list(tmp_path.rglob("bench.json"))


@pytest.fixture(autouse=True)
def _settings_of_torch() -> Any:
    """The measurement sets what training sets, for the whole process."""
    before = (
        torch.get_num_threads(),
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
    )
    yield
    torch.set_num_threads(before[0])
    torch.use_deterministic_algorithms(before[1], warn_only=before[2])
