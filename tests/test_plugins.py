"""Plugin files: run once and only where they are named, part of a run's identity by what was run."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
from command_lines import refused

from worldbench.cli.main import main
from worldbench.core import plugins
from worldbench.core.errors import InputError
from worldbench.core.plugins import load_plugin, load_plugins, read_plugin
from worldbench.core.registry import metrics, models, worlds

SHORT = [
    *("--env.length", "5", "--train.steps", "3", "--train.batch", "4", "--train.curve_documents", "5"),
    *("--model.layers", "1"),
]
SHORT += ["--model.width", "16", "--model.heads", "1", "--eval.documents", "20", "--eval.trials", "5", "--quiet"]

LOSS = """
from worldbench.baselines.gpt import GPT
from worldbench.baselines.options import GPTConfig
from worldbench.core.registry import models

SCALE = 1.0

class Mine(GPT):
    name = "mine"

    def backward(self, batch, totals):
        return super().backward(batch, {name: value / SCALE for name, value in totals.items()})

models.add("mine", "the loss times SCALE", Mine, config=GPTConfig)
"""
COUNT = """
from worldbench.core.metric import Metric, Report, Score
from worldbench.core.registry import metrics

class Constant(Metric):
    name, version, direction, primary, floor, ceiling = "constant", 1, "none", "one", None, None

    def measure(self, evaluation):
        return Report({"one": Score(1.0, 1)})

metrics.add("constant", "a constant", Constant())
"""


def registering(kind: str, name: str) -> str:
    return f"from worldbench.core.registry import {kind}s\n{kind}s.add({name!r}, 'x', dict)\n"


def written(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


def run(out: Path, *more: str) -> list[Path]:
    """Train the model `mine`; the folders of all its runs so far, the newest last."""
    assert (
        main(["run", "hmm", "--model", "mine", *SHORT, "--eval.metrics", "next_token", *more, "--out", str(out)]) == 0
    )
    return sorted(out.glob("hmm-mine-*"), key=lambda path: (path / "config.json").stat().st_mtime_ns)


# The file itself


def test_a_plugin_is_run_once_and_again_where_it_changed(tmp_path: Path) -> None:
    file = written(tmp_path / "mine.py", registering("world", "plugged"))
    first = load_plugin(file)
    assert first.registers == (("world", "plugged"),)
    assert worlds["plugged"].load() is dict
    assert worlds["plugged"].plugin == first.sha256
    entry = worlds["plugged"]
    assert load_plugin(file) == first
    assert worlds["plugged"] is entry
    moved = written(tmp_path / "moved.py", file.read_text())
    assert load_plugin(moved).sha256 == first.sha256  # the same code: not run a second time
    assert load_plugins([file, moved, file]) == (load_plugin(file),)
    written(file, registering("world", "replugged"))
    second = load_plugin(file)
    assert second.sha256 != first.sha256
    assert "replugged" in worlds.names()
    assert "plugged" not in worlds.names()


def test_what_is_run_is_what_the_digest_is_of(tmp_path: Path) -> None:
    """The file may be replaced between reading and running: what was read is run."""
    source = read_plugin(written(tmp_path / "mine.py", registering("model", "read")))
    written(tmp_path / "mine.py", registering("model", "replaced"))
    assert source.run().registers == (("model", "read"),)
    assert "replaced" not in models.names()


def test_another_process_runs_the_same_or_nothing(tmp_path: Path) -> None:
    source = read_plugin(written(tmp_path / "mine.py", registering("model", "same")))
    assert read_plugin(source.path, source.sha256).run().registers == (("model", "same"),)
    written(source.path, registering("model", "other"))
    with pytest.raises(InputError, match="has changed since the command was started"):
        read_plugin(source.path, source.sha256)


def test_two_plugins_of_one_name_are_two_modules(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    text = "from __future__ import annotations\nimport dataclasses\nfrom worldbench.core.registry import worlds\n"
    for folder in "ab":
        file = written(
            tmp_path / folder / "same.py",
            f"{text}@dataclasses.dataclass\nclass C:\n    x: int = 0\nworlds.add('{folder}', 'x', C)\n",
        )
        load_plugin(file)
    assert {sys.modules[worlds[name].load().__module__].__file__ for name in "ab"} == {
        str(tmp_path / f / "same.py") for f in "ab"
    }


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("1 / 0\n", "failed while loading: ZeroDivisionError: division by zero (bad.py, line 3)"),
        ("def f(:\n", "SyntaxError: invalid syntax (bad.py, line 3)"),
        ("import sys\n\nsys.exit('bye')\n", "the code ends the program (SystemExit: bye) (bad.py, line 5)"),
        ("raise SystemExit\n", "the code ends the program (SystemExit) (bad.py, line 3)"),
        ("import a_module_not_there\n", "ModuleNotFoundError: No module named 'a_module_not_there' (bad.py, line 3)"),
        ("import json\njson.loads('{')\n", "(bad.py, line 4)"),  # raised within a library: the place is the user's
        ("x = '\0'\n", "SyntaxError"),
        ("raise ValueError('long ' * 1000)\n", "long long.. (bad.py, line 3)"),
        ("raise ValueError('two\\nlines')\n", "ValueError: two lines (bad.py, line 3)"),
    ],
)
def test_a_plugin_that_fails(text: str, said: str, tmp_path: Path) -> None:
    """One sentence with the file and the line; what it had registered is taken back."""
    file = written(tmp_path / "bad.py", registering("model", "half") + text)
    with pytest.raises(InputError) as caught:
        load_plugin(file)
    message = str(caught.value)
    assert said in message
    assert "\n" not in message
    assert "half" not in models.names()
    assert not any(name.startswith("worldbench_plugin_bad") for name in sys.modules)


def test_the_place_is_the_users_wherever_packages_lie(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A package can come from another folder than this Python's own, for example from that of the user."""
    folder = tmp_path / "site-packages"
    folder.mkdir()
    written(folder / "a_package_of_the_user.py", "def fail():\n    raise SystemExit('bye')\n")
    monkeypatch.syspath_prepend(folder)
    file = written(tmp_path / "bad.py", "import a_package_of_the_user\n\na_package_of_the_user.fail()\n")
    with pytest.raises(InputError, match=r"\(SystemExit: bye\) \(bad.py, line 3\)"):
        load_plugin(file)
    sys.modules.pop("a_package_of_the_user", None)


def test_what_is_no_plugin(tmp_path: Path) -> None:
    for path, said in {
        tmp_path / "absent.py": "there is no plugin file",
        written(tmp_path / "plugin.txt", ""): "its name must end in .py",
        tmp_path: "its name must end in .py",
        Path("/dev/null"): "its name must end in .py",
    }.items():
        with pytest.raises(InputError, match=said):
            load_plugin(path)


# Identity


def test_an_edited_loss_is_another_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path / "mine.py", LOSS)
    named = ["--plugin", str(file)]
    (first,) = run(tmp_path, *named)
    assert run(tmp_path, *named) == [first]
    written(file, LOSS.replace("SCALE = 1.0", "SCALE = -1.0"))
    before, second = run(tmp_path, *named)
    assert before == first
    curves = [json.loads(next(f.glob("result*.json")).read_text())["training"]["curve"] for f in (first, second)]
    assert curves[0][-1]["loss"] != curves[1][-1]["loss"]
    written(file, LOSS)
    assert run(tmp_path, *named) == [first, second]


def test_a_stopped_run_does_not_go_on_with_another_loss(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from worldbench.training.trainer import Trainer

    file, real = written(tmp_path / "mine.py", LOSS), Trainer.step

    def stopping(self: Trainer, step: int) -> Any:
        self.interrupted = step == 0
        return real(self, step)

    command = [
        *("run", "hmm", "--model", "mine", *SHORT, "--eval.metrics", "next_token", "--out", str(tmp_path)),
        *("--plugin", str(file)),
    ]
    with monkeypatch.context() as patch:
        patch.setattr(Trainer, "step", stopping)
        assert main(command) == 130
    written(file, LOSS.replace("SCALE = 1.0", "SCALE = 0.5"))
    assert main(command) == 0
    stopped, done = sorted(tmp_path.glob("hmm-mine-*"), key=lambda folder: bool(list(folder.glob("result*.json"))))
    assert (stopped / "checkpoint/state.safetensors").exists()
    assert not list(stopped.glob("result*.json"))
    steps = [json.loads(line)["step"] for line in (done / "metrics.jsonl").read_text().splitlines()]
    assert steps[0] == 1


def test_a_metric_is_of_the_evaluation_alone(tmp_path: Path) -> None:
    """A plugin that registers metrics and nothing else can be named, left out and changed after training."""
    metric, loss = written(tmp_path / "count.py", COUNT), written(tmp_path / "mine.py", LOSS)
    named = ["--plugin", str(loss)]
    (folder,) = run(tmp_path, *named)
    again = [
        *("eval", str(folder), "--eval.metrics", "constant", "next_token", "--quiet", *named),
        *("--plugin", str(metric)),
    ]
    before = set(folder.glob("result*.json"))
    for text in (COUNT, COUNT.replace("Score(1.0", "Score(2.0")):
        written(metric, text)
        assert main(again) == 0
    values = {
        json.loads(p.read_text())["scores"]["constant"]["scores"]["one"]["value"]
        for p in set(folder.glob("result*.json")) - before
    }
    assert values == {1.0, 2.0}
    assert run(tmp_path, *named, "--plugin", str(metric)) == [folder]


def test_references_do_not_depend_on_a_plugins_model(tmp_path: Path) -> None:
    """The floor and the ceiling of a plugin's model are those of every model; of a plugin's world they are its own."""
    loss = written(tmp_path / "mine.py", LOSS)
    assert main(["run", "hmm", "--model", "gpt", *SHORT, "--eval.metrics", "next_token", "--out", str(tmp_path)]) == 0
    references = {path for path in tmp_path.glob("hmm-*") if "gpt" not in path.name}
    assert references
    run(tmp_path, "--plugin", str(loss))
    assert {path for path in tmp_path.glob("hmm-*") if "gpt" not in path.name and "mine" not in path.name} == references


def test_the_version_of_a_package_is_identity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an installed package registers through an entry point."""
    (tmp_path / "some_models.py").write_text(
        f"def register(registry):\n    {LOSS.strip().replace(chr(10), chr(10) + '    ')}\n"
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(models, "_entries", dict(models._entries))
    named = []
    for version in ("1.0", "1.1"):
        info = tmp_path / "some_models.dist-info"
        info.mkdir(exist_ok=True)
        written(info / "METADATA", f"Metadata-Version: 2.1\nName: some-models\nVersion: {version}\n")
        written(info / "entry_points.txt", "[worldbench.models]\nmine = some_models:register\n")
        assert models["mine"].plugin == f"some-models {version}"
        named = run(tmp_path / "runs")
        models.remove({"mine"})
    assert len(named) == 2


# Nothing is run unasked


@pytest.mark.parametrize("verb", ["eval", "trace", "decode"])
def test_the_code_that_a_folder_names_is_not_run(verb: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path / "mine.py", LOSS + "\nprint('I am run')\n")
    (folder,) = run(tmp_path, "--plugin", str(file))
    assert "I am run" in capsys.readouterr().out
    for plugin in list(plugins._run.values()):
        plugins.forget(plugin)
    words = [verb, str(folder), *([] if verb == "decode" else ["--eval.documents", "10"]), "--quiet"]
    assert main(words) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert f"name the file if you trust it: --plugin {file}" in err
    assert "mine" not in models.names()
    changed = written(tmp_path / "elsewhere.py", LOSS + "\nprint('I am another')\n")
    written(tmp_path / "mine.py", changed.read_text())
    message = refused(capsys, *words, "--plugin", str(file))
    assert "is not what" in message
    assert "SHA-256" in message
    assert "mine" not in models.names()
    written(changed, LOSS + "\nprint('I am run')\n")  # the file as it was, at another place
    capsys.readouterr()
    code = main([*words, "--plugin", str(changed)])
    out, err = capsys.readouterr()
    assert "I am run" in out
    assert code == 0 or (verb == "decode" and "cannot draft tokens" in err)


def test_a_plugin_of_another_kind_cannot_be_added(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder,) = run(tmp_path, "--plugin", str(written(tmp_path / "mine.py", LOSS)))
    other = written(tmp_path / "other.py", registering("model", "another"))
    message = refused(
        capsys, "eval", str(folder), "--plugin", str(tmp_path / "mine.py"), "--plugin", str(other), "--quiet"
    )
    assert "was trained without the plugin other.py" in message


def test_a_metric_that_is_not_there_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    metric = written(tmp_path / "count.py", COUNT)
    words = ["run", "hmm", *SHORT, "--eval.metrics", "constant", "--plugin", str(metric), "--out", str(tmp_path)]
    assert main(words) == 0
    folder = next(tmp_path.glob("hmm-gpt-*"))
    plugins.forget(load_plugin(metric))
    message = refused(capsys, "eval", str(folder), "--eval.documents", "9", "--quiet")
    assert f"name it with --plugin {metric}, or other metrics with --eval.metrics" in message
    assert main(["eval", str(folder), "--eval.metrics", "next_token", "--quiet"]) == 0
    assert "constant" not in metrics.names()


def test_a_recipe_makes_no_code_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = written(tmp_path / "mine.py", LOSS)
    recipe = written(tmp_path / "r.toml", "world = 'hmm'\nplugin = 'mine.py'\n[model]\nname = 'mine'\n")
    message = refused(capsys, "run", "--config", str(recipe), "--print-config")
    assert (
        "needs the plugin mine.py, and the code that a recipe names is not run unasked; name "
        f"the file if you trust it: --plugin {file}"
    ) in message
    assert "mine" not in models.names()
    assert main(["run", "--config", str(recipe), "--print-config", "--plugin", str(file)]) == 0


def test_a_folder_from_before_digests(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its plugin must be named as well; that the run cannot be held against it is said."""
    file = written(tmp_path / "mine.py", LOSS)
    (folder,) = run(tmp_path, "--plugin", str(file))
    config = json.loads((folder / "config.json").read_text())
    old = {name: value for name, value in config.items() if name not in ("schema_version", "kind", "training")}
    old["identity"]["training"] = "0123456789abcdef"
    written(folder / "config.json", json.dumps(old | {"plugins": [str(file)]}))
    assert f"name the file if you trust it: --plugin {file}" in refused(capsys, "eval", str(folder), "--quiet")
    message = refused(capsys, "eval", str(folder), "--quiet", "--plugin", str(file), code=1)
    assert "trained under another identity (another map, plugin, torch or numpy)" in message
