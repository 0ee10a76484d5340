"""Made-up records of what was measured on a machine: costs of training, checks, forecasts, speedruns."""

from __future__ import annotations

import msgspec

from worldbench.records import bench, data, doctor, forecast, speedrun
from worldbench.records.parts import Environment

ENVIRONMENT = Environment(worldbench="0.1.0", python="3.11.7", torch="2.13.0", numpy="2.4.6", processor="some")


def benched() -> bench.Bench:
    seconds = bench.Seconds(wall=[1.0, 2.0], processor=[1.0, 2.0])
    cost = bench.Cost(
        label="gpt",
        model="gpt",
        options={"layers": 2},
        parameters=9,
        inference_parameters=9,
        operations=9,
        operations_by_kind={"mm": 9},
        largest_tensor=9,
        seconds=bench.Parts(forward_backward=seconds, optimizer=seconds),
        step=2.0,
        quartiles=(1.0, 3.0),
        tokens_per_second=5.0,
        ratio=1.0,
        ratio_forward_backward=1.0,
        ratio_by_operations=1.0,
        share_of_ceiling=0.5,
        memory=bench.Memory(bytes=None, what="not known"),
    )
    return bench.Bench(
        environment=ENVIRONMENT,
        device="cpu",
        threads=1,
        clock="processor",
        repeats=2,
        shape=bench.Shape(
            name="small",
            preset="quick",
            layers=2,
            heads=1,
            width=8,
            vocabulary=9,
            tokens=8,
            batch=2,
            shortest=2,
            longest=8,
        ),
        vocabulary=9,
        models=[cost],
        rows=bench.RowFacts(of="random documents", rows=2, width=8, tokens=14, scored=12),
        ceiling=bench.Ceiling(
            operations_per_second=9.0,
            product="qkv",
            products=[bench.Product(name="qkv", size=(1, 2, 3), operations_per_second=9.0, seconds=seconds)],
        ),
    )


def examined() -> doctor.Doctor:
    good = doctor.Finding(
        where="cpu", name="speed", state="good", text="9 tokens/s", seconds=1.0, values={"tokens_per_second": 9.0}
    )
    return doctor.Doctor(
        environment=ENVIRONMENT,
        needed="cuda",
        findings=[
            good,
            msgspec.structs.replace(good, where="machine", name="cuda", state="failed", remedy="use another machine"),
        ],
        seconds=2.0,
        ready=False,
    )


def foreseen() -> forecast.Forecast:
    measured = forecast.Measured(
        steps=3,
        step=2.0,
        quartiles=(1.0, 3.0),
        tokens=100,
        tokens_per_second=50.0,
        operations=10**12,
        operations_per_second=5e11,
        point=4.0,
    )
    return forecast.Forecast(
        environment=ENVIRONMENT,
        command="worldbench run taxi --model gpt",
        world={"world": "taxi"},
        model="gpt",
        preset="standard",
        device="some",
        threads=1,
        parameters=9,
        steps=1000,
        points=12,
        measured=measured,
        memory=bench.Memory(bytes=1 << 30, what="some"),
        seconds=2048.0,
    )


def counted() -> data.Data:
    split = data.Split(documents=4, distinct=3, tokens=40, asked=32, least=8, median=10.0, most=12, prompt=2.0)
    return data.Data(
        environment=ENVIRONMENT,
        command="worldbench data taxi --preset quick --seed 0",
        world={"world": "taxi", "map_digest": "0123456789"},
        preset="quick",
        seed=0,
        fixed=True,
        train=split,
        held_out=split,
        both=1,
        words=data.Words(vocabulary=9, seen=8, entropy=1.5),
        card={"map": "a map", "out_degree": {"2": 7}},
        coverage=data.Coverage(
            places=3, streets=4, pairs=9, streets_seen=3, pairs_seen=2, moves=30, per_street=(0, 1.5, 4), shortest=None,
            off=0,
        ),
    )  # fmt: skip


def raced() -> speedrun.Speedrun:
    target = speedrun.Target(score="next_token.top1_legal", value=0.95, direction="higher")
    runs = [
        speedrun.TimedRun(seed=0, training="0" * 16, parts=[2.0, 3.0], trained=True, score=0.97),
        speedrun.TimedRun(seed=1, training="1" * 16, parts=[6.0], trained=True, score=0.98),
    ]
    return speedrun.Speedrun(
        environment=ENVIRONMENT,
        recipe="short",
        task="0123456789abcdef",
        target=target,
        command="worldbench speedrun short --runs 2",
        world={"world": "hmm"},
        model="gpt",
        preset="small",
        config={"train": {"steps": 9}},
        settings="0123456789abcdef",
        parameters=9,
        runs=runs,
        outcome=speedrun.outcome_of(runs, target),
    )
