"""The options of an evaluation: composed of those that each metric declares beside itself."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Iterator
from pathlib import Path

import pytest
from sample_records import result_of
from tiny_runs import call

from worldbench.core.errors import InputError
from worldbench.core.eval_config import CommonOptions, eval_config, eval_config_type, evaluation_fields, owners
from worldbench.core.files import identity_hash
from worldbench.core.options import small_values
from worldbench.core.plugins import forget, load_plugin
from worldbench.core.registry import metrics
from worldbench.metrics.options import StructureOptions, SuffixOptions

PLUGIN = """
from __future__ import annotations
from dataclasses import dataclass, field
from worldbench.core.errors import InputError
from worldbench.core.eval_config import CommonOptions
from worldbench.core.metric import Metric, Report, Score
from worldbench.core.registry import metrics
from worldbench.metrics.options import StructureOptions

class Made(Metric):
    name, version, direction, primary, floor, ceiling = "made", 1, "none", "one", None, None

    def measure(self, evaluation):
        return Report({{"one": Score(float(evaluation.settings.made_size), 1)}})

{options}

metrics.add("made", "made up", Made(), config=Options)
"""
OPTIONS = """
@dataclass(frozen=True, kw_only=True)
class Options:
    made_size: int = field(default=3, metadata={"small": 2})
    \"\"\"How much is made.\"\"\"

    def __post_init__(self):
        if self.made_size < 1:
            raise InputError(f"eval.made_size must be at least 1, not {self.made_size}")
"""


def written(path: Path, options: str = OPTIONS) -> Path:
    path.write_text(PLUGIN.format(options=options))
    return path


@pytest.fixture
def plugin(tmp_path: Path) -> Iterator[Path]:
    file = written(tmp_path / "made.py")
    loaded = load_plugin(file)
    yield file
    forget(loaded)


def test_identities_of_built_in_metrics_are_those_of_before_options_were_split() -> None:
    assert identity_hash(evaluation_fields(eval_config())) == "1b145ae7dc8fdcc1"
    other = eval_config(
        metrics=("detours", "split_merge"), detours=(0.5,), suffixes=4, eps=0.02, seed=3, probe_features=20,
        reconstruction_decoding="sampled", reconstruction_roll_back=False,
    )  # fmt: skip
    assert identity_hash(evaluation_fields(other)) == "87233aa07cb82166"


def test_every_option_has_an_owner_and_is_declared_once() -> None:
    names = [f.name for f in dataclasses.fields(eval_config_type())]
    assert len(names) == len(set(names))
    assert set(names) == {f.name for f in dataclasses.fields(CommonOptions)} | set(owners())
    assert owners()["suffixes"] == ("sequence_compression", "sequence_distinction")
    assert owners()["structure_trials"] == (
        "label_structure", "sequence_compression", "sequence_distinction", "retelling", "minimal_pairs",
    )  # fmt: skip
    assert isinstance(eval_config(), (SuffixOptions, StructureOptions))
    assert eval_config_type() is eval_config_type()


def test_small_sizes_are_values_that_options_take() -> None:
    small = small_values(eval_config_type())
    assert small["probe_features"] == 100
    settings = eval_config(**{k: tuple(v) if isinstance(v, list) else v for k, v in small.items()})
    assert settings.detours == (0.1, 0.5, 0.75)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"suffixes": 0}, "eval.suffixes must be at least 1, not 0"),
        ({"probe_documents": 1}, "eval.probe_documents must be at least 2 "),
        ({"eps": 1.0}, "eval.eps must be above 0 and below 1, not 1.0"),
        ({"detour_kinds": ("secnd",)}, "not 'secnd'; did you mean 'second'"),
        ({"seed": -1}, "eval.seed must be 0 or more, not -1"),
        ({"metrics": ("detour",)}, "did you mean 'detours'"),
    ],
)
def test_every_metric_checks_its_own_options(values: dict, said: str) -> None:
    with pytest.raises(InputError) as error:
        eval_config(**values)
    assert said in str(error.value)


def test_options_are_copied_with_every_field() -> None:
    settings = eval_config(suffixes=4, metrics=("detours",))
    assert copy.deepcopy(settings) == settings
    assert dataclasses.replace(settings, seed=2) == eval_config(suffixes=4, metrics=("detours",), seed=2)


def test_a_plugin_changes_the_identity_of_no_evaluation_but_its_own(plugin: Path) -> None:
    assert eval_config().made_size == 3
    assert "made_size" in evaluation_fields(eval_config())  # all metrics are scored, and that of the plugin with them
    others = eval_config(metrics=("next_token",))
    assert "made_size" not in evaluation_fields(others)
    assert "suffixes" in evaluation_fields(others)
    assert evaluation_fields(eval_config(metrics=("made",), made_size=5))["made_size"] == 5


DATACLASS = "@dataclass(frozen=True, kw_only=True)\n"


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (DATACLASS + "class Options:\n    suffixes: int = 31\n",
         "'made' declares the option eval.suffixes differently from the metric 'sequence_compression'"),
        (DATACLASS + "class Options:\n    trials: str = ''\n", "eval.trials differently from the options"),
        (DATACLASS + "class Options(CommonOptions):\n    trials: int = 5\n", "eval.trials differently from"),
        (DATACLASS + "class Options:\n    made_size: int\n", "eval.made_size of the metric 'made' has no default"),
        ("@dataclass\nclass Options:\n    made_size: int = 1\n", "must be a frozen dataclass"),
        ("class Options:\n    made_size: int = 1\n", "must be a dataclass, not <class"),
        (DATACLASS + "class Options:\n    made_size: Missing = 1\n", "failed while loading: NameError"),
    ],
)  # fmt: skip
def test_options_that_clash_or_are_none_are_refused_and_taken_back(tmp_path: Path, options: str, said: str) -> None:
    before = eval_config_type()
    with pytest.raises(InputError) as error:
        load_plugin(written(tmp_path / "made.py", options))
    assert said in str(error.value)
    assert "made" not in metrics.names()
    assert eval_config_type() is before


def test_a_plugin_may_share_the_options_of_another_metric(tmp_path: Path) -> None:
    shared = DATACLASS + "class Options(StructureOptions):\n    made_size: int = 1\n    '''How much is made.'''\n"
    loaded = load_plugin(written(tmp_path / "made.py", shared))
    try:
        assert owners()["structure_trials"][-1] == "made"
        assert eval_config(made_size=4).made_size == 4
        with pytest.raises(InputError, match=r"eval.structure_trials must be at least 1, not 0"):
            eval_config(structure_trials=0)
    finally:
        forget(loaded)
    assert "made_size" not in owners()


def test_help_names_the_options_of_a_plugin(plugin: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from worldbench.cli.main import main

    for words in (["run", "hmm"], ["eval"], ["trace"], ["check", "hmm"]):
        assert main([*words, "--plugin", str(plugin), "--help"]) == 0
        message = capsys.readouterr().out
        assert "--eval.made_size INT" in message
        assert "How much is made. (default: 3)" in message


def test_an_unknown_option_is_refused_with_that_of_the_plugin(plugin: Path) -> None:
    code, said = call("run", "hmm", "--plugin", plugin, "--eval.made_sise", "4")
    assert code == 2
    assert "did you mean '--eval.made_size'" in said
    code, said = call("run", "hmm", "--plugin", plugin, "--eval.made_size", "0")
    assert code == 2
    assert "eval.made_size must be at least 1, not 0" in said


def test_an_option_of_a_metric_that_is_left_out_is_refused_on_the_command_line(tmp_path: Path) -> None:
    words = ["run", "hmm", "--model", "uniform", "--quiet", "--out", tmp_path, "--eval.documents", "5"]
    code, said = call(*words, "--eval.metrics", "next_token", "--eval.suffixes", "4")
    assert code == 2
    whose = "--eval.suffixes belongs to the metrics sequence_compression, sequence_distinction"
    assert f"{whose}, and eval.metrics (next_token) leaves them out" in said
    (recipe := tmp_path / "few.toml").write_text("[eval]\nsuffixes = 4\n")
    code, said = call(*words, "--eval.metrics", "next_token", "--config", recipe)
    assert code == 0, said
    (folder,) = tmp_path.glob("hmm-uniform-*")
    assert "suffixes" not in result_of(folder).command  # which is a command that is not refused
    code, said = call("eval", folder, "--eval.pairs=7")
    assert code == 2
    assert "--eval.pairs belongs to the metric split_merge, and eval.metrics (next_token) leaves it out" in said
    assert call("eval", folder, "--eval.metrics", "next_token", "split_merge", "--eval.pairs=7")[0] == 0


def test_a_metric_of_an_installed_package_has_options_where_it_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = PLUGIN.format(options=OPTIONS)
    parts, add = text.split('metrics.add("made"')
    (tmp_path / "some_metrics.py").write_text(f'{parts}\ndef register(registry):\n    registry.add("made"{add}')
    (info := tmp_path / "some_metrics.dist-info").mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: some-metrics\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[worldbench.metrics]\nmade = some_metrics:register\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setattr(metrics, "_entries", dict(metrics._entries))
    words = ["run", "hmm", "--model", "uniform", "--quiet", "--out", tmp_path / "runs"]
    code, said = call(*words, "--eval.metrics", "made", "--eval.made_size", "4")
    assert code == 0, said
    (folder,) = (tmp_path / "runs").glob("hmm-uniform-*")
    assert result_of(folder).scores["made"].value("one") == 4
    metrics.remove({"made"})
    code, said = call("eval", folder, "--eval.made_size=5")  # named by the run itself
    assert code == 0, said
    assert len(list(folder.glob("result-*.json"))) == 2
