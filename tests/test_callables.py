"""A user's own function or network: what works as it stands, and one sentence for every mistake."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis.extra.numpy as hnp
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from worldbench.baselines.callable import CallableModel
from worldbench.baselines.causality import require_next_token_model
from worldbench.baselines.references import Oracle
from worldbench.baselines.user_code import UserFunction, load_callable
from worldbench.cli import main
from worldbench.core.errors import InputError
from worldbench.core.model import HasHidden
from worldbench.core.world import Vocabulary
from worldbench.envs.hmm.config import HMMConfig
from worldbench.envs.hmm.world import HMM
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.metrics.config import EvalConfig
from worldbench.records.scores import Scores
from worldbench.scoring import score

CASES = Path(__file__).resolve().parent.parent.parent / "shared" / "cases"
PAD, END, A, B, C, LEFT, RIGHT = range(7)
WORDS = Vocabulary(("pad", "end", "A", "B", "C", "left", "right"), PAD, END, (LEFT, RIGHT, END))
CITY = TaxiConfig(map="city:24", min_moves=2, max_moves=9)
TINY = ["--env.map", "city:24", "--env.region", "all", "--env.min_moves", "2", "--env.max_moves", "9", "--eval.trials", "10"]
TINY += ["--eval.documents", "10", "--eval.metrics", "next_token", "valid_trajectories", "effective_rank", "--quiet"]


@pytest.fixture(autouse=True)
def _imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Files of one name are written by many tests: what was imported is forgotten."""
    monkeypatch.setattr("sys.path", [*sys.path])
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        if not name.startswith(("worldbench.", "torch", "numpy", "scipy")):
            del sys.modules[name]


def refused(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    capsys.readouterr()
    assert main(list(argv)) == 2
    told = capsys.readouterr().err
    assert "Traceback" not in told
    return told.strip().splitlines()[-1].removeprefix("worldbench: ")


def shifted(tokens: np.ndarray) -> np.ndarray:
    """A running sum decides: any change of an earlier token is seen."""
    return np.cos(np.cumsum(tokens, axis=1)[:, :, None] * np.arange(1, 8)).astype(np.float32)


# What a function may return


def test_a_function_decodes_as_it_predicts() -> None:
    model, tokens, lengths = CallableModel(shifted, WORDS), np.array([[A, B, C], [B, 0, 0], [C, A, 0]]), np.array([3, 1, 2])
    rows = [tokens[i, :n].tolist() for i, n in enumerate(lengths)]
    decoder = model.decoder(tokens, lengths)
    for k in (1, 3):
        decoder.select(np.array([0, 2, 1, 1]))
        rows = [rows[i] for i in (0, 2, 1, 1)]
        new = np.random.default_rng(k).integers(1, 7, (4, k))
        rows = [row + added.tolist() for row, added in zip(rows, new)]
        expected = np.stack([shifted(np.array([row]))[0, -k:] for row in rows])
        np.testing.assert_allclose(decoder.extend(new), expected)
        np.testing.assert_allclose(decoder.logits, expected[:, -1])


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.float64, torch.int64])
def test_torch_tensors_of_any_precision(dtype: torch.dtype) -> None:
    value = torch.arange(7).to(dtype)
    value = value.requires_grad_() if dtype.is_floating_point else value
    model = CallableModel(lambda tokens: value.expand(*tokens.shape, 7), WORDS)
    out = model.logits(np.array([[A, B]]))
    assert out.dtype == np.float32
    np.testing.assert_array_equal(out, np.broadcast_to(np.arange(7), (1, 2, 7)))
    assert not isinstance(model, HasHidden)
    assert model.hidden_name == ""


class Output(dict):
    """As of transformers: a mapping with attributes."""

    @property
    def logits(self) -> Any:
        return self["logits"]


class Plain:
    def __init__(self, logits: Any) -> None:
        self.logits = logits


class Foreign:
    """An array of another library."""

    def __init__(self, value: np.ndarray) -> None:
        self.value = value

    def __array__(self, dtype: Any = None, copy: Any = None) -> np.ndarray:
        return self.value


@pytest.mark.parametrize(
    "wrap",
    [
        lambda z: z,
        lambda z: (z,),
        lambda z: (z, None),
        lambda z: (z, torch.tensor(1.5)),
        lambda z: (z, 1.5),
        lambda z: (z, None, "cache"),
        lambda z: {"logits": z},
        lambda z: Output(logits=z, loss=None),
        Plain,
        Foreign,
        lambda z: torch.from_numpy(z).to_sparse(),
    ],
)
def test_the_logits_are_found(wrap: Any) -> None:
    model, tokens = CallableModel(lambda tokens: wrap(shifted(tokens)), WORDS), np.array([[A, LEFT, B]])
    np.testing.assert_array_equal(model.logits(tokens), shifted(tokens))
    assert not isinstance(model, HasHidden)


def test_hidden_states_come_second() -> None:
    model = CallableModel(lambda tokens: (shifted(tokens), np.zeros((*tokens.shape, 4))), WORDS)
    assert isinstance(model, HasHidden)
    assert model.hidden(np.array([[A, B]])).shape == (1, 2, 4)
    assert list(model.layers(np.array([[A, B]]))) == [model.hidden_name]
    assert model.hidden_name == "the function's second value"


def test_a_function_may_write_into_its_tokens() -> None:
    def greedy(tokens: np.ndarray) -> np.ndarray:
        tokens[:] = A
        return shifted(tokens)

    tokens = np.array([[B, C]])
    CallableModel(greedy, WORDS).logits(tokens)
    assert tokens.tolist() == [[B, C]]


def test_what_stands_at_padding_is_ignored() -> None:
    def nan_at_padding(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        z = np.where((tokens == PAD)[..., None], np.nan, shifted(tokens))
        return z, z[..., :3]

    model, tokens = CallableModel(nan_at_padding, WORDS), np.array([[A, B, PAD], [A, PAD, PAD]])
    inside = tokens != PAD
    np.testing.assert_array_equal(model.logits(tokens)[inside], shifted(tokens)[inside])
    assert np.isfinite(model.logits(tokens)).all()
    assert np.isfinite(model.hidden(tokens)).all()


@pytest.mark.parametrize("rows", [None, 1, 2, 5, 100])
def test_no_more_rows_than_the_limit_at_once(rows: int | None) -> None:
    seen: list[int] = []

    def counted(tokens: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        seen.append(len(tokens))
        return shifted(tokens), shifted(tokens)

    model, tokens = CallableModel(counted, WORDS, rows=rows), np.random.default_rng(0).integers(1, 7, (11, 4))
    np.testing.assert_array_equal(model.logits(tokens), shifted(tokens))
    np.testing.assert_array_equal(model.hidden(tokens), shifted(tokens))
    assert max(seen) == min(rows or 11, 11)
    assert model.logits(tokens[:0]).shape == (0, 4, 7)


# What it may not


def zeros(tokens: np.ndarray) -> np.ndarray:
    return np.zeros((*tokens.shape, 7), np.float32)


def nan_at_three(tokens: np.ndarray) -> np.ndarray:
    out = zeros(tokens)
    out[:, 3:] = np.nan
    return out


def out_of_memory(tokens: np.ndarray) -> np.ndarray:
    if len(tokens) > 1:
        raise RuntimeError("CUDA out of memory. Tried to allocate 2.00 GiB")
    return zeros(tokens)


def leaving(tokens: np.ndarray) -> np.ndarray:
    sys.exit("bye")


HERE = r"\(test_callables\.py, line \d+\)"


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (lambda t: np.zeros((*t.shape, 6)), r"logits of shape \(1, 1, 6\).*must be \(1, 1, 7\): .*vocabulary of 7 words"),
        (lambda t: np.zeros((len(t), 7)), r"logits of shape \(1, 7\)"),
        (lambda t: [[0.0] * 7], "logits of type list"),
        (lambda t: np.full((*t.shape, 7), "a"), "logits of dtype <U1"),
        (lambda t: np.zeros((*t.shape, 7), bool), "logits of dtype bool"),
        (lambda t: np.zeros((*t.shape, 7), complex), "logits of dtype complex128"),
        (lambda t: torch.zeros(*t.shape, 7, dtype=torch.bool), "logits of dtype bool"),
        (lambda t: np.full((*t.shape, 7), np.nan), "returned NaN among its logits, first after token 0 of row 0"),
        (lambda t: np.full((*t.shape, 7), -np.inf), "logits that are all -inf"),
        (lambda t: np.full((*t.shape, 7), 1e300), "an infinite logit"),
        (lambda t: (zeros(t), np.zeros((9, 9, 2))), r"hidden states of shape \(9, 9, 2\)"),
        (lambda t: (zeros(t), "h"), "hidden states of type str"),
        (lambda t: (zeros(t), np.full((*t.shape, 2), np.nan)), "hidden states with NaN or infinity, first after token 0 of row 0"),
        (lambda t: None, "logits of type NoneType"),
        (lambda t: (), "logits of type NoneType"),
        (lambda t: {}["tok_embeddings"], f"failed on tokens of shape .*KeyError: 'tok_embeddings' {HERE}"),
        (lambda t: torch.zeros(2) @ torch.zeros(3), f"RuntimeError: .*{HERE}"),
        (leaving, rf"it ends the program \(SystemExit: bye\) {HERE}"),
    ],
)
def test_mistakes_are_told_at_once(function: Any, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        CallableModel(function, WORDS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (nan_at_three, r"NaN among its logits, first after token 3 of row 0 of tokens of shape \(3, 5\)"),
        (lambda t: zeros(t)[:, [-1]], r"shape \(3, 1, 7\).*after every token, not after the last one alone"),
        (lambda t: zeros(t)[:, -1] if t.shape[1] > 1 else zeros(t), "not after the last one alone"),
        (out_of_memory, "--batch-limit N calls it with N rows at once, not 3"),
        (lambda t: (zeros(t), zeros(t)) if len(t) == 1 else zeros(t), "returned hidden states at first, and none for"),
    ],
)
def test_mistakes_that_come_later(function: Any, message: str) -> None:
    model, tokens = CallableModel(function, WORDS), np.full((3, 5), A)
    with pytest.raises(InputError, match=message):
        model.hidden(tokens) if model.hidden_name else model.logits(tokens)


ARRAYS = hnp.arrays(
    st.sampled_from([np.float16, np.float32, np.float64, np.int8, np.int64, np.uint8, bool, complex, "U2", "S3", object, "M8[s]"]),
    st.sampled_from([(), (7,), (3, 7), (3, 5), (3, 5, 7), (3, 5, 6), (3, 5, 2), (0,), (3, 5, 0), (1, 5, 7), (3, 1, 7), (3, 5, 7, 1)]),
)
TENSORS = st.builds(
    lambda shape, dtype, layout: torch.ones(shape).to(dtype).to_sparse() if layout and shape else torch.ones(shape).to(dtype),
    st.sampled_from([(), (3, 5, 7), (3, 5), (3, 5, 2)]),
    st.sampled_from([torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64]),
    st.booleans(),
)
ANYTHING = st.recursive(
    ARRAYS | TENSORS | st.none() | st.text(max_size=3) | st.floats() | st.integers() | st.builds(object),
    lambda inner: st.lists(inner, max_size=3)
    | st.lists(inner, max_size=3).map(tuple)
    | st.dictionaries(st.sampled_from(["logits", "x"]), inner)
    | st.builds(Plain, inner),
    max_leaves=4,
)


@settings(max_examples=400)
@given(value=ANYTHING)
def test_whatever_is_returned_is_read_or_refused(value: Any) -> None:
    """In one sentence, whatever it is; what is read are finite numbers of the right shape."""
    tokens, told = np.full((3, 5), A), ""
    try:
        logits = CallableModel(lambda t: zeros(t) if t.shape == (1, 1) else value, WORDS).logits(tokens)
    except InputError as error:
        told, logits = str(error), zeros(tokens)
    assert "\n" not in told
    assert (logits.shape, logits.dtype) == ((3, 5, 7), np.float32)
    assert not np.isnan(logits).any()


# A next-token model?

WORLD = HMM(HMMConfig(process="mess3", length=9))
V = len(WORLD.vocabulary)


def embedded(tokens: np.ndarray) -> np.ndarray:
    """A vector for each token, [B, T, V]."""
    return np.sin(np.asarray(tokens)[..., None] * np.arange(1.0, V + 1))


def causal(tokens: np.ndarray) -> np.ndarray:
    return np.cumsum(embedded(tokens), axis=1)


def with_hidden(hidden: Any) -> Any:
    return lambda tokens: (causal(tokens), hidden(tokens))


def bfloat16(tokens: np.ndarray) -> torch.Tensor:
    """Rounded to three digits, with an order of sums that depends on the shape."""
    z = torch.from_numpy(causal(tokens)).float()
    return (z * (1 + 1e-3 * (tokens.shape[1] % 2))).bfloat16()


@pytest.mark.parametrize(
    "function",
    [
        causal,
        lambda t: causal(t) + np.random.default_rng().normal(),
        with_hidden(causal),
        bfloat16,
        lambda t: 1e4 * causal(t),
        lambda t: np.zeros((*t.shape, V)),
    ],
)
def test_causal_functions_pass(function: Any) -> None:
    """One number added to every logit changes no probability."""
    require_next_token_model(CallableModel(function, WORLD.vocabulary), WORLD, 0)


def test_references_pass() -> None:
    require_next_token_model(Oracle(WORLD), WORLD, 0)
    city = TaxiWorld(CITY)
    require_next_token_model(Oracle(city), city, 3)


def looking(ahead: int) -> Any:
    """The logits of each place are those of the place `ahead` later."""
    return lambda t: np.concatenate([causal(t)[:, ahead:], causal(t)[:, -1:].repeat(min(ahead, t.shape[1]), 1)], axis=1)


@pytest.mark.parametrize(
    ("function", "said"),
    [
        *((looking(ahead), "looks at later tokens: where the rest of a document is replaced by other words") for ahead in (1, 2, 5)),
        (lambda t: causal(t) + causal(t)[:, -1:], "looks at later tokens"),
        (lambda t: causal(t) + 0.1 * embedded(t).mean(1, keepdims=True), "looks at later tokens"),
        (lambda t: causal(t) * (1 + (t == 0).sum(1)[:, None, None]), "the rest of a document is replaced by"),
        (lambda t: causal(t) * t.shape[1], "the rest of a document is left out"),
        (lambda t: causal(t)[:, ::-1], "looks at later tokens"),
        (with_hidden(lambda t: embedded(t) + embedded(t)[:, -1:]), "its hidden states move by up to"),
        (lambda t: causal(t) + np.random.default_rng().normal(size=V), "it draws at random; switch dropout"),
        (with_hidden(lambda t: np.random.default_rng().normal(size=t.shape)[..., None]), "its hidden states move .*it draws at random"),
        (lambda t: np.exp(causal(t)) / np.exp(causal(t)).sum(-1, keepdims=True), "returns probabilities"),
        (lambda t: np.eye(V)[np.zeros_like(t)], "returns probabilities"),
        (lambda t: torch.softmax(torch.from_numpy(causal(t)), -1).half(), "return logits, or the logarithms of the probabilities"),
    ],
)
def test_others_do_not(function: Any, said: str) -> None:
    with pytest.raises(InputError, match=said):
        require_next_token_model(CallableModel(function, WORLD.vocabulary), WORLD, 0)


# Finding it


def test_load_callable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users_model.py").write_text("def predict(tokens):\n    return 5\nsize = 3\nclass Needs:\n    def __init__(self, v): pass\n")
    (tmp_path / "users_broken.py").write_text("\nimport a_module_that_is_not_there\n")
    (tmp_path / "users_failing.py").write_text("def f():\n    1 / 0\nf()\n")
    (tmp_path / "users_leaving.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "users_words.py").write_text("def f(:\n")
    found = [load_callable(f"{place}:predict") for place in ("users_model", "users_model.py", str(tmp_path / "users_model.py"))]
    assert [f.call(np.zeros(1)) for f in found] == [5, 5, 5]
    assert [f.name for f in found] == ["users_model:predict", "users_model.py:predict", "users_model.py:predict"]
    assert len({f.sha256 for f in found}) == 1
    for spec, message in {
        "users_model": "MODULE:FUNCTION or FILE.py:FUNCTION, not 'users_model'",
        ":predict": "FILE.py:FUNCTION",
        "users_model:": "FILE.py:FUNCTION",
        "users_absent:predict": r"no module 'users_absent'.*FOLDER/FILE\.py:FUNCTION",
        "users_absent.py:predict": r"there is no file 'users_absent\.py'",
        "sub/users_model:predict": r"'sub/users_model' is not a Python file",
        "users_broken:predict": r"No module named 'a_module_that_is_not_there' \(users_broken\.py, line 2\)",
        "users_failing:predict": r"ZeroDivisionError: division by zero \(users_failing\.py, line 2\)",
        "users_failing.py:predict": r"running users_failing\.py failed: ZeroDivisionError: division by zero \(users_failing\.py, line 2\)",
        "users_leaving.py:predict": r"it ends the program \(SystemExit: 3\) \(users_leaving\.py, line 1\)",
        "users_leaving:predict": r"it ends the program",
        "users_words.py:f": r"SyntaxError: .*\(users_words\.py, line 1\)",
        "users_model:predct": "has no 'predct'; did you mean 'predict'",
        "users_model:size": "'size' is a int, not a function or an nn.Module",
        "users_model:Needs": r"making one without arguments failed: TypeError: .*'v'",
    }.items():
        with pytest.raises(InputError, match=message):
            load_callable(spec)
    assert "users_failing" not in sys.modules


NETWORK = """
import torch
from helper_beside_it import WIDTH

class Net(torch.nn.Module):
    def __init__(self, v=VOCABULARY):
        super().__init__()
        self.e = torch.nn.Embedding(v, WIDTH)
        self.d = torch.nn.Dropout(0.5)
        self.h = torch.nn.Linear(WIDTH, v)
    def forward(self, idx, targets=None):
        assert idx.dtype == torch.int64 and not torch.is_grad_enabled() and not self.training
        return self.h(self.d(self.e(idx))), None, {"cache": idx}

net = Net()
"""


@pytest.mark.parametrize("name", ["net", "Net"])
def test_a_network_is_scored_as_it_stands(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Set to eval mode, without gradients, given a LongTensor; of a tuple the first value. From another folder, by its file."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    (folder / "helper_beside_it.py").write_text("WIDTH = 8\n")
    (folder / "mine.py").write_text(NETWORK.replace("VOCABULARY", str(len(TaxiWorld(CITY).vocabulary))))
    monkeypatch.chdir(tmp_path)
    command = ["score", "taxi", "--callable", f"elsewhere/mine.py:{name}", *TINY, "--out", "runs"]
    assert main(command) == 0, capsys.readouterr().err
    (path,) = Path("runs").glob("taxi-callable-*/result*.json")
    result = json.loads(path.read_text())
    assert result["model"]["name"] == f"mine.py:{name}"
    assert f"--callable mine.py:{name}" in result["command"]
    assert "elsewhere" not in path.read_text()
    assert "has no hidden states" in result["not_applicable"]["effective_rank"]
    (folder / "mine.py").write_text((folder / "mine.py").read_text() + "\nedited = True\n")
    assert main(command) == 0
    edited = set(Path("runs").glob("taxi-callable-*/result*.json")) - {path}
    assert len(edited) == 1
    assert json.loads(edited.pop().read_text())["identity"]["training"] != result["identity"]["training"]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--batch-limit", "0"], "--batch-limit must be at least 1, not 0"),
        (["--threads", "0"], "--threads must be at least 1, not 0"),
        (["--batch-limt", "3"], "did you mean '--batch-limit'"),
        (["--callable", "f.py:ahead"], "f.py:ahead looks at later tokens"),
        (["--callable", "f.py:wide", "--batch-limit", "9"], "f.py:wide failed on tokens of shape (9, 11): ValueError: too wide (f.py, line 7)"),
    ],
)
def test_mistakes_on_the_command_line(words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    v = len(TaxiWorld(CITY).vocabulary)
    (tmp_path / "f.py").write_text(
        f"import numpy as np\ndef ahead(t):\n    z = np.eye({v})[t]\n    return 2 * np.concatenate([z[:, 1:], z[:, -1:]], 1)\n"
        f"def wide(t):\n    if len(t) > 8:\n        raise ValueError('too wide')\n    return np.zeros((*t.shape, {v}))\n"
    )
    words = words if "--callable" in words else [*words, "--callable", "f.py:wide"]
    assert said in refused(capsys, "score", "taxi", *words, *TINY)


def test_the_limit_reaches_the_function(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.chdir(tmp_path)
    v = len(TaxiWorld(CITY).vocabulary)
    (tmp_path / "f.py").write_text(f"import numpy as np\ndef wide(t):\n    assert len(t) <= 3\n    return np.zeros((*t.shape, {v}))\n")
    assert main(["score", "taxi", "--callable", "f.py:wide", "--batch-limit", "3", *TINY]) == 0, capsys.readouterr().err


# The reduced inputs

SAID = {
    "nanogpt": "not after the last one alone", "lists": "of type list", "small_v": "vocabulary of", "big_v": "vocabulary of", "nan": "NaN",
    "nan_late": "NaN among its logits, first after token 5", "inf": "-inf", "probs": "returns probabilities", "last_only": "the last one alone",
    "fixed_b": "--batch-limit N", "raises": "KeyError: 'tok_embeddings.weight' (m.py, line", "exits": "ends the program (SystemExit: bye) (m.py, line",
    "none": "NoneType", "hidden_wrong": "hidden states of shape", "cplx": "complex", "Net": "without arguments", "lam": "is a int", "V": "has no 'V'",
    "fixed_t": "block size is only 16 (m.py, line",
}  # fmt: skip
GOOD = ["module", "torch_ok", "half", "bf16", "f16np", "nanogpt_loss", "hf", "triple", "nan_pad", "logp", "hidden", "int_logits", "noisy", "mutates"]
GOOD += ["left_pad", "f64", "sparse", "huge"]


def case(name: str) -> Path:
    if not (CASES / name).exists():
        pytest.skip(f"the reduced inputs are not beside this checkout (../shared/cases/{name})")
    return CASES / name


@pytest.fixture(scope="module")
def city() -> TaxiWorld:
    return TaxiWorld(TaxiConfig(map="city:24", min_moves=2, max_moves=20))


def scored(user: UserFunction, world: TaxiWorld) -> Scores:
    model = CallableModel(user.call, world.vocabulary, user.name, network=user.network)
    require_next_token_model(model, world, 0)
    few = EvalConfig(metrics=("next_token", "valid_trajectories", "effective_rank"), trials=10, documents=10, rank_tokens=20)
    return score(world, model, few, None).scores


@pytest.mark.parametrize("name", [*GOOD, *SAID])
def test_the_case_callable(name: str, city: TaxiWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    file = case("callable/m.py")
    monkeypatch.setenv("V", str(len(city.vocabulary)))
    if name in SAID:
        with pytest.raises(InputError) as caught:
            scored(load_callable(f"{file}:{name}"), city)
        assert SAID[name] in str(caught.value)
        assert "\n" not in str(caught.value)
    else:
        got = scored(load_callable(f"{file}:{name}"), city)
        assert ("effective_rank" in got) == (name == "hidden")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ex", "ends the program (SystemExit: 3) (ex.py, line 1)"),
        ("imp", "(imp.py, line 1)"),
        ("os_", "OSError: weights.pt not found (os_.py, line 1)"),
        ("syn", "SyntaxError: invalid syntax (syn.py, line 1)"),
    ],
)
def test_the_case_of_files_that_fail(name: str, said: str) -> None:
    file = case(f"callable/{name}.py")
    with pytest.raises(InputError) as caught:
        load_callable(f"{file}:f")
    assert said in str(caught.value)


def test_the_case_callable_module(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    file = case("callable-module/mine.py")
    monkeypatch.chdir(tmp_path)
    words = ["--env.map", "city:40", "--env.region", "all", "--eval.trials", "5", "--eval.documents", "5", "--eval.metrics", "next_token", "--quiet"]
    assert main(["score", "taxi", "--callable", f"{file}:model", *words]) == 0, capsys.readouterr().err
