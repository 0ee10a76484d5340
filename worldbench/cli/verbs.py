"""What each verb of the command line does. Heavy modules are imported inside the verb that needs them."""

from __future__ import annotations

import argparse
import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldbench.cli.arguments import FOLDERS, parsers, unknown_flag
from worldbench.core.console import put_path
from worldbench.core.errors import InputError
from worldbench.core.text import visible

if TYPE_CHECKING:
    from worldbench.core.plugins import Plugin


def _help(verb: str, types_: dict[str, type], defaults: dict[str, Any]) -> int:
    parsers()[1][verb].print_help()
    if types_:
        from worldbench.settings.options import print_option_help

        print_option_help(types_, defaults)
    return 0


def _check_flags(arguments: argparse.Namespace, rest: list[str], groups: list[str]) -> None:
    """Refuse a misspelt plain flag (`--sed`), or words that stand alone, before anything is loaded."""
    for word in rest:
        if word.startswith("--") and word.split(".", 1)[0] not in {f"--{g}" for g in groups}:
            raise unknown_flag(arguments, word, ["eval"] if arguments.verb in ("eval", "trace") else groups)
    verb = arguments.verb
    what = "run folders" if verb in FOLDERS else "one name"
    if rest and not rest[0].startswith("-"):
        raise InputError(
            f"what is {rest[0]!r}? worldbench {verb} takes {what}, then options; see worldbench {verb} --help"
        )


def _basis(arguments: argparse.Namespace) -> tuple[dict[str, Any], str, str, tuple[Plugin, ...]]:
    """The recipe, the world, the preset and the plugins, which are loaded."""
    from worldbench.core.plugins import load_plugins
    from worldbench.core.registry import worlds
    from worldbench.settings import shipped
    from worldbench.settings.presets import default_preset
    from worldbench.settings.recipe import load_recipe, require_plugins

    config = shipped.find(arguments.config) if arguments.config else None
    recipe = load_recipe(config) if config else {}
    if config:
        require_plugins(config, recipe, arguments.plugin)
    plugins = load_plugins(arguments.plugin)
    world = arguments.subject or recipe.get("world")
    if world is None:
        raise InputError(f"which world? there are {', '.join(worlds.names())}")
    _ = worlds[world]
    return recipe, world, arguments.preset or recipe.get("preset") or default_preset(world), plugins


def _job(arguments: argparse.Namespace, rest: list[str], model: str | None, base: dict[str, Any] | None = None) -> Any:
    """The job that the command line asks for. base: settings between the preset and the recipe."""
    from worldbench.core.registry import models
    from worldbench.settings.resolve import resolve

    recipe, world, preset, plugins = _basis(arguments)
    for group, values in (base or {}).items():
        recipe[group] = {**values, **recipe.get(group, {})}
    name = model if model is not None else recipe.get("model", {}).get("name", "gpt")
    _ = models[name]
    seed = getattr(arguments, "seed", None)
    seed = seed if seed is not None else recipe.get("seed", 0)
    if arguments.help:
        from worldbench.settings.resolve import group_types, preset_groups

        types_ = group_types(world, name)
        raise _HelpWanted(types_, preset_groups(types_, world, name, preset))
    return resolve(
        world,
        name,
        preset=preset,
        seed=seed,
        recipe=recipe,
        options=rest,
        plugins=plugins,
        tuned=getattr(arguments, "tuned", None),
    )


class _HelpWanted(Exception):
    def __init__(self, types_: dict[str, type], defaults: dict[str, Any]) -> None:
        self.types, self.defaults = types_, defaults


def run_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    _check_flags(arguments, rest, ["env", "data", "model", "train", "eval"])
    if arguments.help and arguments.subject is None:
        return _help("run", {}, {})
    try:
        job = _job(arguments, rest, arguments.model)
    except _HelpWanted as wanted:
        return _help("run", wanted.types, wanted.defaults)
    if arguments.print_config:
        from worldbench.settings.recipe import to_toml

        print(to_toml(job), end="")
        return 0
    from worldbench.records.reading import read
    from worldbench.records.runs import Result
    from worldbench.runs.display import Display, print_result
    from worldbench.runs.run import run

    display = Display(quiet=arguments.quiet)
    path = run(job, arguments.out, display)
    print_result(read(path, Result))
    display.say(f"result: {path}", f"figures: {path.parent / 'figures'}")
    return 0


def eval_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    _check_flags(arguments, rest, ["eval", "env", "data", "model", "train"])
    if arguments.help or arguments.subject is None:
        from worldbench.metrics.config import EvalConfig

        if not arguments.help:
            raise InputError("which run? worldbench eval takes a run folder")
        return _help("eval", {"eval": EvalConfig}, {"eval": EvalConfig()})
    from worldbench.records.reading import read
    from worldbench.records.runs import Result
    from worldbench.runs.display import Display, print_result
    from worldbench.runs.run import evaluate

    path = evaluate(Path(arguments.subject), rest, Display(quiet=arguments.quiet), arguments.plugin)
    print_result(read(path, Result))
    return 0


def trace_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    _check_flags(arguments, rest, ["eval", "env", "data", "model", "train"])
    if arguments.help or not arguments.folders:
        from worldbench.metrics.config import EvalConfig

        if not arguments.help:
            raise InputError("which runs? worldbench trace takes run folders, then options")
        return _help("trace", {"eval": EvalConfig}, {"eval": EvalConfig()})
    from worldbench.runs.display import Display
    from worldbench.runs.trace import show, trace_all

    for path in trace_all(
        [Path(folder) for folder in arguments.folders], rest, Display(quiet=arguments.quiet), arguments.plugin
    ):
        put_path(path)
        show(path)
    return 0


def score_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    _check_flags(arguments, rest, ["env", "eval"])
    if arguments.help and arguments.subject is None:
        return _help("score", {}, {})
    spec = arguments.callable or ""
    if not spec and not arguments.help:
        raise InputError(
            "worldbench score needs --callable FILE.py:FUNCTION, a function from tokens [B, T] to logits [B, T, V]"
        )
    for option, value in {"--batch-limit": arguments.batch_limit, "--threads": arguments.threads}.items():
        if value is not None and value < 1:
            raise InputError(f"{option} must be at least 1, not {value}")
    try:
        job = _job(
            arguments, rest, "oracle"
        )  # a model that is not trained: the options are those of the world and the evaluation
    except _HelpWanted as wanted:
        return _help("score", wanted.types, wanted.defaults)
    from worldbench.records.reading import read
    from worldbench.records.runs import Result
    from worldbench.runs.display import Display, print_result
    from worldbench.runs.run import score_callable

    display, rows = Display(quiet=arguments.quiet), arguments.batch_limit
    path = score_callable(job, spec, arguments.out, display, rows=rows, threads=arguments.threads)
    print_result(read(path, Result))
    return 0


def check_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    _check_flags(arguments, rest, ["env", "eval"])
    if arguments.help and arguments.subject is None:
        return _help("check", {}, {})
    from worldbench.studies.check.checking import SMALLER, Plan, check, require, show, workers_by_default, write

    try:
        job = _job(arguments, rest, "oracle", {"eval": SMALLER})
    except _HelpWanted as wanted:
        return _help("check", wanted.types, wanted.defaults)
    from worldbench.runs.display import Display
    from worldbench.runs.prepared import prepare
    from worldbench.settings.resolve import group_types, preset_groups

    plan = Plan(job.groups["eval"], arguments.corruptions, arguments.rungs)
    if arguments.workers < 0:
        raise InputError(f"--workers must be 1 or more, not {arguments.workers}")
    display = Display(quiet=arguments.quiet)
    prepared = prepare(job, display)
    display.say(prepared.world.summary(0))

    def options(name: str) -> Any:
        return preset_groups(group_types(job.world, name), job.world, name, job.preset)["model"]

    record = check(prepared.world, plan, display, options, arguments.workers or workers_by_default())
    folder = write(record, arguments.out)
    show(record)
    display.say(f"calibration: {folder}")
    require(record, folder)
    return 0


def decode_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    _check_flags(arguments, rest, ["env"])
    if arguments.help:
        return _help("decode", {}, {})
    if arguments.subject is None:
        raise InputError("which run? worldbench decode takes a run folder")
    from worldbench.runs.display import Display
    from worldbench.studies.decode import Settings, decode, show

    display = Display(quiet=arguments.quiet)
    settings = Settings(
        arguments.prompts,
        arguments.batch,
        None if arguments.lengths is None else tuple(arguments.lengths),
        arguments.adaptive,
        "sampled" if arguments.sampled else "greedy",
        arguments.tokens,
        arguments.repeats,
        arguments.threads,
    )
    path = decode(Path(arguments.subject), settings, display, rest, arguments.plugin)
    show(path)
    display.say(f"record: {path}")
    return 0


def tune_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    _check_flags(arguments, rest, ["env", "data", "model", "train", "eval"])
    if arguments.help and arguments.subject is None:
        return _help("tune", {}, {})
    from worldbench.core.registry import models
    from worldbench.settings.options import print_option_help
    from worldbench.settings.resolve import group_types, preset_groups, resolve
    from worldbench.settings.several import applying, applying_keys

    recipe, world, preset, plugins = _basis(arguments)
    if "tuned" in recipe:
        raise InputError(
            f"the recipe {str(arguments.config)!r} was tuned already ({recipe['tuned']}); tune the "
            "settings that it started from"
        )
    own = recipe.get("model", {})
    names = list(dict.fromkeys(arguments.models or filter(None, [own.get("name"), "gpt" if arguments.help else None])))
    if not names:
        raise InputError(f"which models? --models takes some of {', '.join(e.name for e in models if e.trained)}")
    if untrained := [name for name in names if not models[name].trained]:
        raise InputError(
            f"{untrained[0]} is not trained, so there is nothing to tune; there are "
            f"{', '.join(e.name for e in models if e.trained)}"
        )
    types_ = [group_types(world, name) for name in names]
    if arguments.help:
        _help("tune", types_[0], preset_groups(types_[0], world, names[0], preset))
        for name, t in zip(names[1:], types_[1:]):
            print(f"\n{name}:")
            print_option_help({"model": t["model"]}, {"model": preset_groups(t, world, name, preset)["model"]})
        return 0
    from worldbench.runs.display import Display
    from worldbench.studies.tune.tuning import Plan, show, tune

    plan = Plan(arguments.trials, arguments.seeds, arguments.criterion)
    jobs = [
        resolve(
            world,
            name,
            preset=preset,
            seed=recipe.get("seed", 0),
            recipe={**recipe, "model": keys},
            options=options,
            plugins=plugins,
        )
        for name, keys, options in zip(names, applying_keys(own, [t["model"] for t in types_]), applying(rest, types_))
    ]
    display = Display(quiet=arguments.quiet)
    paths = tune(jobs, plan, arguments.out, display)
    show(paths)
    for path in paths:
        named = "".join(f" --plugin {shlex.quote(plugin.path)}" for plugin in plugins)
        display.say(f"to report it: worldbench run --config {path.with_name('best.toml')} --seed 0{named}")
    return 0


def reconstruct_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    from worldbench.cli.reconstruct import run

    return run(arguments)


def bench_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    from worldbench.studies.bench.report import run

    return run(arguments)


def compare_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    from worldbench.records.compare import compare
    from worldbench.records.comparison import render
    from worldbench.runs.display import Display

    a, b, left_out = arguments.a, arguments.b, list[str]()
    columns, margin, matched = arguments.columns, arguments.margin, arguments.matched
    rows = compare(a, b, arguments.results, columns, margin, matched, left_out.append)
    print(render(rows, arguments.format))
    for line in left_out:
        Display().say(line)
    return 0


def leaderboard_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    from worldbench.records.leaderboard import build, render
    from worldbench.runs.display import Display

    left_out = list[str]()
    print(render(build(arguments.results, arguments.columns, left_out.append), arguments.format))
    for line in left_out:
        Display().say(line)
    return 0


def figures_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    from worldbench.core.files import lock
    from worldbench.figures.run_figures import drawable, drawn

    if arguments.together is not None:
        from worldbench.runs.trace import draw_together

        for path in draw_together(arguments.runs, arguments.together):
            put_path(path)
        return 0
    for folder in arguments.runs:
        if not os.path.isdir(folder):
            raise InputError(f"{str(folder)!r} is not a run folder")
        nothing = True
        if drawable(folder):  # else it is not a folder of ours, and is left as it is
            with lock(folder):
                for path in drawn(folder):
                    put_path(path)
                    nothing = False
        if nothing:
            raise InputError(f"{str(folder)!r} holds nothing to draw: neither metrics.jsonl nor evidence")
    return 0


def ls_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    from worldbench.core.registry import metrics, models, worlds
    from worldbench.settings import shipped
    from worldbench.settings.presets import presets_of

    for title, lines in {
        "worlds": {e.name: e.line for e in worlds},
        "models": {e.name: e.line for e in models},
        "metrics": {e.name: e.line for e in metrics},
        "presets": {f"{e.name} {name}": preset.line for e in worlds for name, preset in presets_of(e.name).items()},
        "recipes": {name: shipped.line(name) for name in shipped.names()},
    }.items():
        print(title)
        wide = min(max(20, *map(len, lines)), 40)
        for name, line in lines.items():
            print(f"  {visible(name, 200):{wide}} {visible(line, 500)}")
    return 0


def validate_verb(arguments: argparse.Namespace, rest: list[str]) -> int:
    from worldbench.records.finding import everything
    from worldbench.records.reading import read_any
    from worldbench.records.summary import summary

    wrong = 0
    found = everything(arguments.files)
    for path in found:
        try:
            print(visible(f"{path}: {summary(read_any(path))}", 500))
        except InputError as error:
            wrong += 1
            print(visible(str(error), 500))
    if wrong:
        raise InputError(f"{wrong} of {len(found)} files cannot be read; what is wrong with them is above")
    return 0
