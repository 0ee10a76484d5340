"""Rides of a text file as documents, and documents as a text file."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path

import msgspec
import numpy as np
import pytest
from route_texts import GOOD, SQUARE
from sample_records import result_of
from shared_cases import CASES
from tiny_jobs import OTHER, job
from tiny_runs import call, tiny_env

from worldbench.core.abilities import HasLaw
from worldbench.core.errors import InputError
from worldbench.core.world import ARRIVED
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.records.leaderboard import place
from worldbench.settings.train import DataConfig, TrainConfig
from worldbench.studies.export import export
from worldbench.training.stream import documents_seen

RIDES = Path(OTHER["taxi.ride_file"]["ride_file"])
PUBLISHED = Path(__file__).resolve().parent.parent / "results" / "village-plan"


def of_file(**options: object) -> TaxiWorld:
    return TaxiWorld(dataclasses.replace(tiny_env("taxi"), **(OTHER["taxi.ride_file"] | options)))


def test_every_ride_is_used_once_in_each_epoch() -> None:
    w, lines = of_file(), sorted(RIDES.read_text().split("\n")[:-1])
    train, test = len(w.walker._rows["train"]), len(w.walker._rows["test"])  # type: ignore[attr-defined]
    first, second = (w.sample(0, "train", epoch * train, train) for epoch in range(2))
    held_out = w.sample(0, "test", 0, test)
    for documents in (first, second):
        assert sorted(w.vocabulary.text(row) for row in [*documents.tokens, *held_out.tokens]) == lines
        assert (w.after(documents).status == ARRIVED).all()
    assert not np.array_equal(first.tokens, second.tokens)
    assert not np.array_equal(first.tokens, w.sample(1, "train", 0, train).tokens)
    assert np.array_equal(
        w.sample(0, "train", train - 5, 10).tokens, np.concatenate([first.tokens[-5:], second.tokens[:5]])
    )
    prompts, _ = w.prompts(0, 1000)
    assert len(prompts) == len(np.unique(held_out.tokens[:, :2], axis=0))
    assert not isinstance(w, HasLaw)


@pytest.mark.parametrize("documents", [0, 5, 50_000])
def test_no_more_rides_are_counted_than_the_file_has(documents: int) -> None:
    w, train = of_file(), TrainConfig(steps=500, batch=4)
    there = w.walker.count("train")  # type: ignore[attr-defined]
    assert 5 < there < 2000
    assert documents_seen(w, DataConfig(documents=documents), train, 0) == (5 if documents == 5 else there)
    assert documents_seen(TaxiWorld(tiny_env("taxi")), DataConfig(documents=documents), train, 0) == (documents or 2000)


@pytest.fixture
def square(tmp_path: Path) -> TaxiConfig:
    (tmp_path / "square.csv").write_text(SQUARE)
    return TaxiConfig(map=str(tmp_path / "square.csv"), max_moves=4, held_out_share=0.4)


def read(config: TaxiConfig, text: str) -> TaxiWorld:
    file = Path(config.map).with_name("rides.txt")
    file.write_text(text)
    return TaxiWorld(dataclasses.replace(config, ride_file=str(file)))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("a c E NNE end", "line 5: 'NNE' is neither a direction"),
        ("a x E N end", "line 5: the destination 'x' is not a node of the map"),
        ("a c E N", "line 5: the ride has no 'end'"),
        ("a c N E", "line 5: the ride has no 'end'"),
        ("a d E N end", "line 5: the ride ends at 'c', not at its destination"),
        ("a c S N end", "line 5: no street leads S from 'a'"),
        ("a c b N end", "line 5: a place is among the directions, after 'a'"),
        ("a c E pad N end", "line 5: padding is among the directions"),
        ("a b E end", "line 5: the ride has 1 move, and env.min_moves and env.max_moves allow 2 to 4"),
        ("a a E W E W E W end", "line 5: the ride has 6 moves"),
    ],
)
def test_what_is_no_ride_of_the_map_is_refused(square: TaxiConfig, line: str, message: str) -> None:
    with pytest.raises(InputError, match=re.escape(message)) as refused:
        read(square, f"{GOOD}{line}\n")
    assert "name the map of the rides with --env.map, or remove such lines" in str(refused.value)


def test_other_files_and_options_are_refused(square: TaxiConfig) -> None:
    with pytest.raises(InputError, match="contain no ride"):
        read(square, "# nothing\n")
    with pytest.raises(InputError, match=r"none of the 1 ride .* between (a held-out|any other) pair of places"):
        read(square, "a c E N end\n")
    with pytest.raises(InputError, match="'states' does not apply to rides of a file"):
        read(dataclasses.replace(square, held_out="states"), GOOD)
    with pytest.raises(InputError, match="exclude each other"):
        TaxiConfig(rides="shortest", ride_file="rides.txt")
    with pytest.raises(InputError, match=r"env\.stop 0\.5 has no effect on rides of a file"):
        TaxiConfig(stop=0.5, ride_file="rides.txt")


def files() -> list[Path]:
    return sorted(path for folder in ("routes", "routes-outside-part") for path in (CASES / folder).glob("*.txt"))


@pytest.mark.skipif(not CASES.is_dir(), reason="the folder ../shared/cases is absent")
@pytest.mark.parametrize("file", files(), ids=lambda path: path.name)
def test_the_shared_cases_are_read_or_refused(file: Path) -> None:
    table = next(file.parent.glob("*.csv"))
    config = TaxiConfig(map=str(table), max_moves=4, held_out_share=0.4, ride_file=str(file))
    try:
        world = TaxiWorld(config)
    except InputError as error:
        text = str(error)
        assert "\n" not in text
        assert repr(str(file)) in text or "env." in text
        assert re.search("A line reads|change env|held_out", text)
    else:
        assert (world.after(world.sample(0, "train", 0, 20)).status == ARRIVED).all()


def test_tables_call_the_rides_of_a_file_scarce() -> None:
    """They come again in every epoch. In the world of the published record, rides are drawn."""
    record = result_of(next(PUBLISHED.glob("taxi-gpt-small-s0-*")))
    assert record.number("data", "documents") == 0
    assert place(record)[1] == "stream"
    assert place(msgspec.structs.replace(record, world={**record.world, "ride_file": "0" * 64}))[1] == "scarce"


def test_exported_documents_are_read_again(tmp_path: Path) -> None:
    options = ["--env.map", "city:24", "--env.region", "all", "--env.min_moves", "2", "--env.max_moves", "9"]
    for split in ("train", "test"):
        assert call("export", "taxi", "--documents", "60", "--split", split, *options, "--out", tmp_path)[0] == 0
    (train,) = tmp_path.glob("documents-taxi-*-train-60-*.txt")
    (test,) = tmp_path.glob("documents-taxi-*-test-60-*.txt")
    (tmp_path / "both.txt").write_text(train.read_text() + test.read_text())
    w = of_file(ride_file=str(tmp_path / "both.txt"))
    drawn = TaxiWorld(tiny_env("taxi"))
    for split in ("train", "test"):
        read_again = {tuple(row) for row in w.sample(0, split, 0, 60).tokens.tolist()}
        assert read_again == {tuple(row) for row in drawn.sample(0, split, 0, 60).tokens.tolist()}


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["taxi", "--split", "dev"], "--split must be train or test, not 'dev'"),
        (["taxi", "--documents", "0"], "--documents must be at least 1, not 0"),
    ],
)
def test_exports_that_cannot_be_are_refused(words: list[str], message: str, tmp_path: Path) -> None:
    code, said = call("export", *words, "--env.map", "city:24", "--env.region", "all", "--out", tmp_path)
    assert code != 0
    assert message in " ".join(said.split())
    assert not list(tmp_path.iterdir())


def test_words_with_spaces_are_refused(tmp_path: Path) -> None:
    w = TaxiWorld(tiny_env("taxi"))
    w.vocabulary = dataclasses.replace(w.vocabulary, words=("a b", *w.vocabulary.words[1:]))
    with pytest.raises(InputError, match="the word 'a b' of the world 'taxi' is empty or contains a space"):
        export(job("gpt"), w, "train", 5, tmp_path)
