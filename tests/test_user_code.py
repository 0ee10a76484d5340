"""Finding a user's function or network, and scoring it from the command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
import tiny_runs
from command_lines import refused
from shared_cases import CASES

from worldbench.baselines.callable import CallableModel
from worldbench.baselines.causality import require_next_token_model
from worldbench.baselines.user_code import UserFunction, load_callable
from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.core.eval_config import eval_config
from worldbench.core.registry import worlds
from worldbench.envs.taxi.config import TaxiConfig
from worldbench.envs.taxi.world import TaxiWorld
from worldbench.records.scores import Scores
from worldbench.runs.scoring import score

CITY = TaxiConfig(map="city:24", min_moves=2, max_moves=9)
TINY = [
    *("--env.map", "city:24", "--env.region", "all", "--env.min_moves", "2", "--env.max_moves", "9"),
    *("--eval.trials", "10"),
]
TINY += ["--eval.documents", "10", "--eval.metrics", "next_token", "valid_trajectories", "effective_rank", "--quiet"]


@pytest.fixture(autouse=True)
def _imports(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Files of one name are written by many tests: what was imported from the folder of a test is forgotten. Other
    modules stay: a package that is imported twice has every class twice."""
    monkeypatch.setattr("sys.path", [*sys.path])
    yield
    for name, module in list(sys.modules.items()):
        file = getattr(module, "__file__", None)
        if file is not None and file.startswith(f"{tmp_path}/"):
            del sys.modules[name]


# Finding it


def test_load_callable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "users_model.py").write_text(
        "def predict(tokens):\n    return 5\nsize = 3\nclass Needs:\n    def __init__(self, v): pass\n"
    )
    (tmp_path / "users_broken.py").write_text("\nimport a_module_that_is_not_there\n")
    (tmp_path / "users_failing.py").write_text("def f():\n    1 / 0\nf()\n")
    (tmp_path / "users_leaving.py").write_text("raise SystemExit(3)\n")
    (tmp_path / "users_words.py").write_text("def f(:\n")
    found = [
        load_callable(f"{place}:predict")
        for place in ("users_model", "users_model.py", str(tmp_path / "users_model.py"))
    ]
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
        "users_failing:predict": r"ZeroDivisionError: "
        r"division by zero \(users_failing\.py, line 2\)",
        "users_failing.py:predict": r"running users_failing\.py failed: ZeroDivisionError: "
        r"division by zero \(users_failing\.py, line 2\)",
        "users_leaving.py:predict": r"the code ends the program \(SystemExit: 3\) \(users_leaving\.py, line 1\)",
        "users_leaving:predict": r"the code ends the program",
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
def test_a_network_is_scored_as_it_stands(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Set to eval mode, without gradients, given a LongTensor; of a tuple the first value. From another folder, by its
    file."""
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
        (["--callable", "f.py:ahead"], "f.py:ahead reads later tokens"),
        (
            ["--callable", "f.py:wide", "--batch-limit", "9"],
            "f.py:wide failed on tokens of shape (9, 11): ValueError: too wide (f.py, line 7)",
        ),
    ],
)
def test_mistakes_on_the_command_line(
    words: list[str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    v = len(TaxiWorld(CITY).vocabulary)
    (tmp_path / "f.py").write_text(
        f"import numpy as np\ndef ahead(t):\n    z = np.eye({v})[t]\n"
        f"    return 2 * np.concatenate([z[:, 1:], z[:, -1:]], 1)\n"
        f"def wide(t):\n    if len(t) > 8:\n        raise ValueError('too wide')\n"
        f"    return np.zeros((*t.shape, {v}))\n"
    )
    words = words if "--callable" in words else [*words, "--callable", "f.py:wide"]
    assert said in refused(capsys, "score", "taxi", *words, *TINY)


def test_the_limit_reaches_the_function(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    v = len(TaxiWorld(CITY).vocabulary)
    (tmp_path / "f.py").write_text(
        f"import numpy as np\ndef wide(t):\n    assert len(t) <= 3\n    return np.zeros((*t.shape, {v}))\n"
    )
    assert main(["score", "taxi", "--callable", "f.py:wide", "--batch-limit", "3", *TINY]) == 0, capsys.readouterr().err


WITH_WEIGHTS = """
import os
import numpy as np
import torch

class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.e = torch.nn.Embedding(WORDS, WORDS)
        self.e.weight.data = torch.arange(WORDS**2).reshape(WORDS, WORDS).cos() * float(os.environ["SCALE"])
    def forward(self, idx):
        return self.e(idx)

def function(tokens):
    return Net().e.weight.detach().numpy()[tokens]
"""
SCORE = ["score", "hmm", "--env.process", "mess3", "--env.length", "6", "--eval.documents", "10", "--eval.metrics",
         "excess_loss", "--quiet", "--callable"]  # fmt: skip


def scored_with(monkeypatch: pytest.MonkeyPatch, scale: int, *words: str) -> int:
    """The exit code of `score` for the file above, with weights of this scale."""
    monkeypatch.setenv("SCALE", str(scale))
    return main([*SCORE, *words])


def test_other_weights_never_replace_a_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Weights that the file takes from elsewhere: a network gets another folder; of a function, whose weights cannot be
    seen, the first result is kept. The same weights give the same files again."""
    tiny_runs.draw_nothing(monkeypatch)
    monkeypatch.chdir(tmp_path)
    v = len(worlds["hmm"].load()(tiny_runs.tiny_env("hmm")).vocabulary)
    (tmp_path / "w.py").write_text(WITH_WEIGHTS.replace("WORDS", str(v)))
    runs = tmp_path / "runs"
    for scale, folders in ((1, 1), (2, 2), (1, 2)):
        before = {p: p.read_bytes() for p in runs.glob("hmm-callable-*/**/*.*")}
        assert scored_with(monkeypatch, scale, "w.py:Net") == 0, capsys.readouterr().err
        assert len(list(runs.glob("hmm-callable-*"))) == folders
        assert all(p.read_bytes() == content for p, content in before.items())
    assert scored_with(monkeypatch, 1, "w.py:function") == 0, capsys.readouterr().err
    (folder,) = (p.parent for p in runs.glob("hmm-callable-*/result-*.json") if "w.py:function" in p.read_text())
    before = tiny_runs.tree(folder)
    assert scored_with(monkeypatch, 1, "w.py:function") == 0, capsys.readouterr().err
    assert tiny_runs.tree(folder) == before
    capsys.readouterr()
    assert scored_with(monkeypatch, 2, "w.py:function") == 1
    said = capsys.readouterr().err
    assert "excess_loss.kl is " in said
    assert "give this model another name (--name, or name= in Python), or choose another folder with --out" in said
    assert tiny_runs.tree(folder) == before
    assert scored_with(monkeypatch, 2, "w.py:function", "--name", "twice") == 0, capsys.readouterr().err
    assert len(list(runs.glob("hmm-callable-*"))) == 4
    (path,) = (
        p for p in runs.glob("hmm-callable-*/result-*.json") if json.loads(p.read_text())["model"]["name"] == "twice"
    )
    assert "--callable w.py:function --name twice" in json.loads(path.read_text())["command"]


# The reduced inputs

SAID = {
    "nanogpt": "not after the last one alone",
    "lists": "of type list",
    "small_v": "vocabulary of",
    "big_v": "vocabulary of",
    "nan": "NaN",
    "nan_late": "NaN among its logits, first after token 5",
    "inf": "-inf",
    "probs": "returns probabilities",
    "last_only": "the last one alone",
    "fixed_b": "--batch-limit N",
    "raises": "KeyError: 'tok_embeddings.weight' (m.py, line",
    "exits": "ends the program (SystemExit: bye) (m.py, line",
    "none": "NoneType",
    "hidden_wrong": "hidden states of shape",
    "cplx": "complex",
    "Net": "without arguments",
    "lam": "is a int",
    "V": "has no 'V'",
    "fixed_t": "block size is only 16 (m.py, line",
}
GOOD = [
    "module",
    "torch_ok",
    "half",
    "bf16",
    "f16np",
    "nanogpt_loss",
    "hf",
    "triple",
    "nan_pad",
    "logp",
    "hidden",
    "int_logits",
    "noisy",
    "mutates",
]
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
    few = eval_config(
        metrics=("next_token", "valid_trajectories", "effective_rank"), trials=10, documents=10, rank_tokens=20
    )
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


def test_the_case_callable_module(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    file = case("callable-module/mine.py")
    monkeypatch.chdir(tmp_path)
    words = [
        *("--env.map", "city:40", "--env.region", "all", "--eval.trials", "5", "--eval.documents", "5"),
        *("--eval.metrics", "next_token", "--quiet"),
    ]
    assert main(["score", "taxi", "--callable", f"{file}:model", *words]) == 0, capsys.readouterr().err
