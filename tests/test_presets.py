"""Presets: of the world that declares them, used to the last value, refused where a world has none of that name."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from worldbench.cli.main import main
from worldbench.core.errors import InputError
from worldbench.core.plugins import load_plugin
from worldbench.core.presets import NONE
from worldbench.core.registry import models, worlds
from worldbench.settings.presets import SIZES, default_preset, preset_values, presets_of
from worldbench.settings.resolve import group_types, preset_groups, resolve

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
BUILT_IN = tuple(worlds.names())
PLAIN = (EXAMPLES / "ring.py").read_text()


def ring(folder: Path, presets: str) -> Path:
    """The example's world with other presets; the text is what stands behind `presets=`."""
    text = PLAIN[: PLAIN.index("PRESETS = {")]
    (folder / "mine.py").write_text(f'{text}worlds.add("ring", "a ring", Ring, config=RingConfig{presets})\n')
    return folder / "mine.py"


@pytest.mark.parametrize("world", BUILT_IN)
def test_every_value_of_every_preset_is_an_option_and_used(world: str) -> None:
    for name, preset in presets_of(world).items():
        assert preset.line
        for entry in (e for e in models if not e.reads):
            types_ = group_types(world, entry.name)
            groups = preset_groups(types_, world, entry.name, name)
            for group, values in preset_values(world, entry.name, name).items():
                fields = {f.name for f in dataclasses.fields(types_[group])} if group in types_ else set()
                assert all(getattr(groups[group], k) == v for k, v in values.items() if k in fields)
                if group != "model" and group in types_:
                    assert set(values) <= fields


def test_sizes_are_options_of_the_objectives_they_name() -> None:
    for row in SIZES.values():
        for model, values in row.items():
            assert set(values) <= {f.name for f in dataclasses.fields(models[model].load_config())}
    used = {preset.sizes for world in BUILT_IN for preset in presets_of(world).values()}
    assert used - {""} == set(SIZES)


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["maze", "--preset", "paper"], "the world 'maze' has no preset 'paper'; there are quick, small, standard"),
        (["maze-solve", "--preset", "paper"], "the world 'maze-solve' has no preset 'paper'"),
        (["taxi", "--preset", "smal"], "the world 'taxi' has no preset 'smal'; did you mean 'small'?"),
        (["taxi", "--preset", "default"], "no preset 'default'"),
        (
            ["ring", "--preset", "paper", "--plugin", str(EXAMPLES / "ring.py")],
            "'ring' has no preset 'paper'; there are large, quick",
        ),
    ],
)
@pytest.mark.parametrize("verb", ["run", "check", "tune", "bench"])
def test_a_preset_that_the_world_does_not_have(
    verb: str, argv: list[str], said: str, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    more = {"tune": ["--models", "gpt"], "run": ["--print-config"]}.get(verb, [])
    words = ["gpt", "--world", *argv] if verb == "bench" else argv
    assert main([verb, *words, *more, "--out", str(tmp_path)]) == 2
    message = capsys.readouterr()
    assert said in message.err
    assert not message.out


def test_a_plugin_that_declares_none_has_the_options_own_defaults(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = ring(tmp_path, "")
    few = ["--eval.documents", "10", "--eval.metrics", "next_token", "--quiet", "--out", str(tmp_path)]
    assert main(["run", "ring", "--model", "random-legal", "--plugin", str(file), *few]) == 0
    (folder,) = tmp_path.glob("ring-random-legal-default-*")
    result = json.loads(next(folder.glob("result*.json")).read_text())
    assert result["preset"] == "default"
    capsys.readouterr()
    assert main(["run", "ring", "--preset", "quick", "--plugin", str(file), *few]) == 2
    assert "the world 'ring' has no presets; leave --preset quick out" in capsys.readouterr().err
    assert presets_of("ring") is NONE


def test_a_plugins_first_preset_is_its_default(tmp_path: Path) -> None:
    load_plugin(EXAMPLES / "ring.py")
    assert default_preset("ring") == "quick"
    job = resolve("ring", "nextlat", preset="large", seed=0)
    assert (job.groups["env"].size, job.groups["model"].horizon) == (100, 8)
    assert resolve("ring", "gpt", preset="quick", seed=0).groups["train"].steps == 1000
    words = [
        *("run", "ring", "--model", "random-legal", "--plugin", str(EXAMPLES / "ring.py"), "--quiet"),
        *("--out", str(tmp_path)),
    ]
    assert main([*words, "--eval.documents", "10", "--eval.metrics", "next_token"]) == 0
    assert list(tmp_path.glob("ring-random-legal-quick-*"))


@pytest.mark.parametrize(
    ("presets", "said"),
    [
        (', presets={"a": Preset(line="x", env={"sise": 9})}', "sets an unknown option env.sise; did you mean 'size'"),
        (
            ', presets={"a": Preset(line="x", model={"wdth": 9})}',
            "sets an unknown option model.wdth; did you mean 'width'",
        ),
        (', presets={"a": Preset(line="x", train={"steps": "many"})}', "train.steps must be of type int, not 'many'"),
        (', presets={"a": Preset(line="x", env={"size": 2})}', "size >= 3"),
        (', presets={"a": Preset(line="x", sizes="lnog")}', "unknown sizes 'lnog'; did you mean 'long'"),
        (', presets={"a": {"env": {}}}', "must be a dict of names and worldbench.core.presets.Preset"),
        (", presets=3", "must be a dict of names and worldbench.core.presets.Preset"),
        (', presets={"a": Preset(line="x", environment={})}', "TypeError"),
    ],
)
def test_presets_of_a_plugin_that_cannot_be_used(
    presets: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = ring(tmp_path, presets)
    assert main(["run", "ring", "--print-config", "--plugin", str(file)]) == 2
    message = capsys.readouterr().err
    assert said in message
    assert "Traceback" not in message


def test_help_and_lists_name_them(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ls"]) == 0
    listed = capsys.readouterr().out
    assert all(f"{world} {name} " in listed for world in BUILT_IN for name in presets_of(world))
    assert main(["run", "ring", "--plugin", str(EXAMPLES / "ring.py"), "--help"]) == 0


def test_nothing_is_resolved_for_an_unknown_world() -> None:
    with pytest.raises(InputError, match="did you mean 'maze'"):
        preset_values("mazes", "gpt", "quick")
    assert "mazes" not in worlds.names()
