"""`worldbench data`: counts over documents and routes, against plain loops; figures and the record."""

from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from small_maps import small_map
from tiny_runs import call

from worldbench.cli.main import main
from worldbench.core.world import Documents
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.records.data import Data
from worldbench.records.reading import read
from worldbench.studies.data import documents as counting
from worldbench.studies.data.routes import NEVER, Distances, Routes


@pytest.fixture(scope="module")
def city() -> TaxiWorld:
    return TaxiWorld(TaxiConfig(map="city:30", min_moves=2, max_moves=12))


def test_counts_equal_those_of_a_loop(city: TaxiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counting, "BLOCK", 70)
    counts = counting.count(city, 3, "train", 200)
    drawn = city.sample(3, "train", 0, 200)
    rows = [tuple(t[:n].tolist()) for t, n in zip(drawn.tokens, drawn.length)]
    split, words = counts.split(), counts.words(0)
    lengths = sorted(map(len, rows))
    assert (split.documents, split.distinct, split.tokens) == (200, len(set(rows)), sum(lengths))
    assert (split.least, split.most, split.median) == (lengths[0], lengths[-1], (lengths[99] + lengths[100]) / 2)
    assert (split.asked, split.prompt) == (sum(lengths) - 400, 2.0)
    before, after = Counter(w for r in rows for w in r[:2]), Counter(w for r in rows for w in r[2:])
    assert all(counts.before[w] == before[w] and counts.after[w] == after[w] for w in range(len(city.vocabulary)))
    share = np.array(list(after.values())) / sum(after.values())
    assert words.entropy == pytest.approx(-(share * np.log(share)).sum())
    assert (words.vocabulary, words.seen) == (len(city.vocabulary) - 1, len(before | after))


def test_documents_in_both_splits_are_counted() -> None:
    """Short documents of a hidden Markov process recur; rides between held-out pairs do not."""
    world = HMM(HMMConfig(process="rrxor", length=5))
    train, held_out = (counting.count(world, 0, split, 40) for split in ("train", "test"))
    rows = [{tuple(r) for r in world.sample(0, split, 0, 40).tokens.tolist()} for split in ("train", "test")]
    expected = sum(tuple(r) in rows[0] for r in world.sample(0, "test", 0, 40).tokens.tolist())
    assert 0 < counting.in_both(train, held_out) == expected
    assert train.split().distinct == len(rows[0]) < 40


def test_hashes_tell_documents_that_differ_in_padding_or_order_apart() -> None:
    tokens = np.array([[1, 2, 0], [2, 1, 0], [1, 2, 2], [1, 2, 0], [1, 0, 0]], np.int32)
    d = Documents(tokens, np.array([2, 2, 3, 2, 2]), np.ones(5, int))
    found = counting.hashes(d, np.arange(3) < d.length[:, None])
    assert found[0] == found[3]
    assert len(set(found.tolist())) == 4


def test_routes_equal_those_of_a_loop(city: TaxiWorld) -> None:
    routes, graph = Routes.of(city), city.graph()
    counting.count(city, 5, "train", 150, routes.add)
    street = {(u, a): i for i, (u, _, a) in enumerate(graph.edges.tolist())}
    moves, users, first, lengths = Counter(), Counter(), {}, []
    drawn = city.sample(5, "train", 0, 150)
    pairs = []
    for i, (row, length) in enumerate(zip(drawn.tokens.tolist(), drawn.length.tolist())):
        at = row[0] - city.first_place
        pairs.append((at, row[1] - city.first_place))
        used = []
        for word in row[2 : length - 1]:
            used.append(street[at, word - 2])
            at = int(graph.successor[at, word - 2])
        moves.update(used)
        users.update(set(used))
        lengths.append(len(used))
        for s in used:
            first.setdefault(s, i)
    e = range(len(graph.edges))
    assert routes.moves.tolist() == [moves[s] for s in e]
    assert routes.users.tolist() == [users[s] for s in e]
    assert routes.first.tolist() == [first.get(s, NEVER) for s in e]
    assert np.concatenate(routes.lengths).tolist() == lengths
    number, streets, covered = routes.curve()
    assert number[-1] == 150
    for n, s, p in zip(number.tolist(), streets.tolist(), covered.tolist()):
        assert (s, p) == (sum(f < n for f in first.values()), len(set(pairs[:n])))
    found = routes.coverage(distances := Distances.of(routes, 0))
    assert (found.pairs_seen, found.streets_seen, found.off) == (len(set(pairs)), len(first), 0)
    assert (distances.of_routes[0] >= distances.of_routes[1]).all()
    assert len(distances.hops) == graph.n_places * (graph.n_places - 1)


def test_a_ride_that_leaves_the_map_is_counted_as_such() -> None:
    world = TaxiWorld(TaxiConfig(map="auto", min_moves=1, max_moves=3, held_out_share=0.3), graph=small_map(8, 0))
    graph, routes = world.graph(), Routes.of(world)
    u, v, a = graph.edges[0].tolist()
    missing = int(np.flatnonzero(graph.successor[v] < 0)[0])
    row = [u + world.first_place, v + world.first_place, 2 + a, 2 + missing, 2 + a, 1]
    routes.add(0, Documents(np.array([row], np.int32), np.array([6]), np.array([2])))
    assert (routes.off, int(routes.moves.sum()), routes.users[0]) == (1, 1, 1)


def test_the_verb_writes_a_record_figures_and_tables(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ("--env.map", "city:20", "--env.max_moves", "9", "--env.min_moves", "1", "--data.documents", "30")
    assert main(["data", "taxi", "--preset", "small", *words, "--out", str(tmp_path)]) == 0
    said = " ".join(capsys.readouterr().out.split())
    (folder,) = tmp_path.glob("data-taxi-small-s0-*")
    record = read(folder / "data.json", Data)
    assert record.coverage is not None
    assert (record.train.documents, record.fixed) == (30, True)
    names = {p.name for p in folder.iterdir() if p.suffix != ".lock" and not p.name.startswith(".")}
    stems = ("lengths", "words", "streets", "coverage", "degrees", "distances")
    assert names >= {"data.json", *(f"{s}.{kind}" for s in stems for kind in ("png", "svg", "csv"))}
    with (folder / "streets.csv").open() as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == record.coverage.streets
    assert sum(int(r["moves"]) for r in rows) == record.coverage.moves
    assert sum(r["first_ride"] != "" for r in rows) == record.coverage.streets_seen
    assert all(text in said for text in ("rides per pair", "counter accuracy"))
    assert main(["show", str(folder)]) == 0
    assert "pairs that have a ride" in " ".join(capsys.readouterr().out.split())


@pytest.mark.slow
@pytest.mark.pictures
def test_figures_of_a_map_on_which_streets_have_no_ride(tmp_path: Path) -> None:
    words = ("--env.map", "city:60", "--env.region", "all", "--data.documents", "3")
    code, said = call("data", "taxi", "--preset", "small", *words, "--out", tmp_path)
    assert code == 0, said
    pictures = list(tmp_path.rglob("*.png"))
    assert len(pictures) == 6
    assert all(path.read_bytes().startswith(b"\x89PNG") for path in pictures)


def test_a_world_without_a_map_has_lengths_and_words(tmp_path: Path) -> None:
    code, said = call("data", "hmm", "--preset", "small", "--data.documents", "20", "--out", tmp_path)
    assert code == 0, said
    (folder,) = tmp_path.iterdir()
    assert read(folder / "data.json", Data).coverage is None
    assert {p.stem for p in folder.glob("*.png")} == {"lengths", "words"}
