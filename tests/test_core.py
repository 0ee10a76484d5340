"""Core, against formulas and implementations of its own: streams, registry, statistics, errors, files."""

from __future__ import annotations

import hashlib
import json
import math
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from worldbench.core import errors, files, registry, statistics, streams
from worldbench.core.errors import InputError, RunError
from worldbench.core.metric import Expectation, Score
from worldbench.core.proportions import proportion_interval
from worldbench.core.world import States, Vocabulary

# Streams


def philox(counter: int, key: int) -> list[int]:
    """Philox4x64-10, from the paper (Salmon et al. 2011, section 3.3), in plain integers: four 64-bit words."""
    mask = 2**64 - 1
    x = [counter >> (64 * i) & mask for i in range(4)]
    k = [key & mask, key >> 64]
    for _ in range(10):
        a, b = 0xD2E7470EE14C6C93 * x[0], 0xCA5A826395121157 * x[2]
        x = [(b >> 64) ^ x[1] ^ k[0], b & mask, (a >> 64) ^ x[3] ^ k[1], a & mask]
        k = [(k[0] + 0x9E3779B97F4A7C15) & mask, (k[1] + 0xBB67AE8584CAA73B) & mask]
    return x


def literal_uniform(item: int, width: int, name: tuple[str | int, ...]) -> list[float]:
    """The doubles of one item: its own counters, one after the other; 53 bits each."""
    text = "\x1f".join(("str:" if isinstance(part, str) else "int:") + str(part) for part in name)
    key = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=16, person=b"worldbench").digest(), "little")
    blocks = math.ceil(width / 4)
    words = [
        word for block in range(blocks) for word in philox(item * blocks + block + 1, key)
    ]  # numpy counts up before it draws
    return [(word >> 11) / 2**53 for word in words[:width]]


NAMES = st.lists(st.integers(-(2**70), 2**70) | st.text(max_size=8), min_size=1, max_size=4).map(tuple)


@given(name=NAMES, start=st.integers(0, 10**9), count=st.integers(0, 4), width=st.integers(1, 10))
@settings(max_examples=60)
def test_uniform_is_philox_at_the_items_own_counter(
    name: tuple[str | int, ...], start: int, count: int, width: int
) -> None:
    drawn = streams.uniform(start, count, width, *name)
    assert drawn.shape == (count, width)
    assert drawn.tolist() == [literal_uniform(start + row, width, name) for row in range(count)]


@given(rows=st.sets(st.integers(0, 5000), max_size=60), width=st.integers(1, 9))
def test_chosen_rows_are_the_rows_of_a_long_draw(rows: set[int], width: int) -> None:
    chosen = np.array(sorted(rows), dtype=np.int64)
    everything = streams.uniform(0, 5001, width, "rows", 3)
    np.testing.assert_array_equal(streams.uniform_rows(chosen, width, "rows", 3), everything[chosen])


def test_names_do_not_collide() -> None:
    names = [("a",), ("b",), (1,), ("1",), ("a", 1), ("a", "1"), ("a1",), (1, "a"), ("a", 1, 0), (-1,), ("",), ("", "")]
    assert len({streams.integer(*name) for name in names}) == len(names)
    assert len({tuple(streams.uniform(0, 1, 2, *name)[0]) for name in names}) == len(names)
    assert len({streams.generator(*name).random() for name in names}) == len(names)


@given(name=NAMES)
def test_integer_fits_a_signed_word(name: tuple[str | int, ...]) -> None:
    assert 0 <= streams.integer(*name) < 2**63
    assert streams.integer(*name) == streams.integer(*name)


def test_draws_are_uniform_and_neighbours_independent() -> None:
    drawn = streams.uniform(0, 20_000, 4, "uniformity", 0)
    assert stats.kstest(drawn.ravel(), "uniform").pvalue > 1e-4
    pairs = np.histogram2d(drawn[:-1, 0], drawn[1:, 0], bins=8, range=[[0, 1], [0, 1]])[0]
    assert stats.chisquare(pairs.ravel()).pvalue > 1e-4


def test_drawing_leaves_the_global_generator_alone() -> None:
    before = np.random.get_state()  # noqa: NPY002 - that nothing touches it is the point
    streams.uniform(3, 5, 2, "x")
    streams.generator("x").random(10)
    after = np.random.get_state()  # noqa: NPY002
    assert all(np.array_equal(a, b) for a, b in zip(before, after))


# Statistics


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=30))
def test_mean_interval_is_students(values: list[float]) -> None:
    mean = statistics.mean_interval(values)
    assert mean.value == pytest.approx(np.mean(values), rel=1e-9, abs=1e-6)
    assert mean.n == len(values)
    assert mean.interval is not None
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / np.sqrt(len(values))
    assert mean.interval == pytest.approx((np.mean(values) - half, np.mean(values) + half), rel=1e-9, abs=1e-6)


def test_one_value_has_no_interval_and_none_no_mean() -> None:
    assert statistics.mean_interval([0.5]) == statistics.Mean(0.5, 1, None)
    with pytest.raises(ValueError, match="at least one"):
        statistics.mean_interval([])


def test_scores() -> None:
    rate = Score.rate(np.array([True, True, False, True]))
    assert (rate.value, rate.n, rate.interval) == (0.75, 4, proportion_interval(3, 4))
    mean = Score.mean(np.array([1.0, 2.0, 4.0]))
    assert mean.interval == statistics.trials_interval(np.array([1.0, 2.0, 4.0])).interval
    assert Score.mean(np.array([2.0])) == Score(2.0, 1, None)
    assert math.isnan(Score.rate(np.array([], bool)).value)
    assert Expectation("x", 0.5, 1.0).met_by(0.5)
    assert not Expectation("x", 0.5, 1.0).met_by(0.49)


# Worlds' small parts


def test_vocabulary() -> None:
    vocabulary = Vocabulary(words=("pad", "end", "x", "N", "S"), pad=0, end=1, actions=(3, 4, 1))
    assert vocabulary.action_of_token.tolist() == [-1, 2, -1, 0, 1]
    assert vocabulary.text(np.array([2, 3, 1, 0, 0])) == "x N end"
    assert len(vocabulary) == 5


def test_states_take_and_put() -> None:
    from dataclasses import dataclass

    @dataclass
    class Pair(States):
        place: np.ndarray
        belief: np.ndarray

    pair = Pair(np.arange(4), np.arange(8).reshape(4, 2))
    taken = pair.take(np.array([2, 0]))
    assert (len(taken), taken.place.tolist(), taken.belief.tolist()) == (2, [2, 0], [[4, 5], [0, 1]])
    pair.put(np.array([False, True, False, True]), taken)
    assert pair.place.tolist() == [0, 2, 2, 0]
    assert pair.belief.tolist() == [[0, 1], [4, 5], [4, 5], [0, 1]]


# Errors and the registry


def test_an_error_is_one_line_of_which_all_is_seen_and_no_word_is_very_long() -> None:
    message = str(InputError(f"a key\n'\x1b[31m{'9' * 5000}' and {' ' * 4000}, \ud800 of '{'é' * 250}'"))
    assert message == (
        f"a key\\n'\\x1b[31m{'9' * 94}.. (5,007 characters) and{' ' * 100}.. (4,001 "
        f"characters), \\ud800 of '{'é' * 250}'"
    )
    assert str(InputError(message)) == message


def test_errors_name_the_nearest_or_all() -> None:
    assert errors.nearest("taxy", ["taxi", "maze"]) == "; did you mean 'taxi'?"
    assert errors.nearest("qqq", ["taxi", "maze"]) == "; there are maze, taxi"
    assert errors.nearest("taxi", []) == ""
    assert str(errors.unknown("world", "taxy", ["taxi"])) == "unknown world 'taxy'; did you mean 'taxi'?"
    assert [kind.exit_code for kind in (InputError, RunError, errors.Interrupted)] == [2, 1, 130]
    assert issubclass(InputError, ValueError)


def test_registry_loads_only_what_is_wanted() -> None:
    things = registry.Registry("thing")
    things.add("b", "second", "no_such_module_at_all:x")
    things.add("a", "first", "json:dumps", config="json:JSONEncoder")
    assert things.names() == [entry.name for entry in things] == ["b", "a"]
    assert things["a"].load() is json.dumps
    assert things["a"].load_config() is json.JSONEncoder
    with pytest.raises(ModuleNotFoundError):
        things["b"].load()
    with pytest.raises(InputError, match="thing 'a' is registered already"):
        things.add("a", "again", object())
    with pytest.raises(InputError, match="unknown thing 'aa'; did you mean 'a'"):
        things["aa"]


def test_registry_asks_installed_packages_when_a_name_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    gadgets = registry.Registry("gadget")
    assert gadgets.find("lever") is None
    (tmp_path / "some_gadgets.py").write_text("def register(gadgets):\n    gadgets.add('lever', 'a lever', object)\n")
    info = tmp_path / "some_gadgets-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-gadgets\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[worldbench.gadgets]\nlever = some_gadgets:register\n")
    assert gadgets["lever"].load() is object, "packages are read again, because a folder of packages has changed"


# Files

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(value=JSON)
def test_json_comes_back_and_its_hash_ignores_the_order_of_keys(value: object) -> None:
    assert json.loads(files.to_json(value)) == value
    reverse = {key: value[key] for key in reversed(value)} if isinstance(value, dict) else value
    assert files.identity_hash(reverse) == files.identity_hash(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"))
    assert files.identity_hash(value) == hashlib.sha256(text.encode()).hexdigest()[:16]


def test_json_of_what_json_lacks() -> None:
    value = {
        1: (math.nan, math.inf),
        "a": np.array([1.5, np.nan]),
        "b": np.int64(3),
        "c": np.bool_(True),
        "d": np.float32(0.5),
        "e": np.array(2),
    }
    assert files.clean(value) == {"1": [None, None], "a": [1.5, None], "b": 3, "c": True, "d": 0.5, "e": 2}
    assert json.loads(files.to_json(value))["a"] == [1.5, None]


def test_identity_hash_tells_values_apart() -> None:
    values = [1, "1", 1.5, None, [1], {"a": 1}, {"a": "1"}, {"a": 1, "b": None}, True]
    assert len({files.identity_hash(value) for value in values}) == len(values)


@given(first=st.binary(max_size=64), second=st.text(max_size=32))
def test_a_write_replaces_the_whole_file(first: bytes, second: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("atomic") / "result.json"
    files.write_atomic(path, first)
    assert path.read_bytes() == first
    assert files.sha256(path) == hashlib.sha256(first).hexdigest()
    files.write_atomic(path, second)
    assert path.read_bytes() == second.encode()
    assert [other.name for other in path.parent.iterdir()] == ["result.json"]


def test_a_write_that_fails_keeps_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "result.json"
    path.write_text("old")
    limits, action = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, limits[1]))
    try:
        with pytest.raises(RunError, match=r"result\.json.*File too large.*run the same command again"):
            files.write_atomic(path, b"x" * 5000)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, action)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["result.json"]
    with pytest.raises(RunError, match="cannot write"):
        files.write_atomic(tmp_path / "absent" / "x", "")


def test_folders(tmp_path: Path) -> None:
    made = files.make_folder(tmp_path / "a" / "b")
    assert made.is_dir()
    assert list(made.iterdir()) == []
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match=r"file/runs'.*choose another with --out"):
        files.make_folder(tmp_path / "file" / "runs")
    with pytest.raises(InputError, match="choose another with --out"):
        files.make_folder(tmp_path / "file")


def test_reading_says_what_is_wrong(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    with pytest.raises(InputError, match=r"^cannot read .*x\.json.*No such file"):
        files.read_json(path)
    path.write_text("{")
    with pytest.raises(InputError, match="is not JSON"):
        files.read_json(path)
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(InputError, match="is not UTF-8 text"):
        files.read_json(path)
    path.write_text('{"a": "é"}', encoding="utf-8")
    assert files.read_json(path) == {"a": "é"}


def test_a_lock_keeps_others_out_and_dies_with_its_process(tmp_path: Path) -> None:
    holder = (
        "import sys, pathlib; from worldbench.core import files\nwith "
        "files.lock(pathlib.Path(sys.argv[1])): print('held', flush=True); sys.stdin.read()"
    )
    other = subprocess.Popen(
        [sys.executable, "-c", holder, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    try:
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        with pytest.raises(RunError, match="another process is working in"), files.lock(tmp_path):
            pass
    finally:
        other.kill()
        other.communicate()
    with files.lock(tmp_path):
        pass
    with files.lock(tmp_path):
        pass
