"""`config.json` of a run folder: every setting of the run. The job of a finished run is read from this file to score
the run again.

The content of a run folder is data. No code that it names is run. Files that moved are named on the command line.
"""

from __future__ import annotations

import dataclasses
import os
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from worldbench.core.errors import InputError
from worldbench.core.eval_config import require_used
from worldbench.core.files import clean
from worldbench.core.options import file_options, is_file, named_files, names_file
from worldbench.core.plugins import Plugin, read_plugin
from worldbench.core.registry import metrics
from worldbench.records.folder import Config, PluginFile
from worldbench.records.parts import Identity
from worldbench.records.reading import read, write
from worldbench.settings.job import Job
from worldbench.settings.options import parse_options, register_metrics
from worldbench.settings.recipe import from_json
from worldbench.settings.resolve import group_types
from worldbench.settings.train import chosen_step

if TYPE_CHECKING:
    from worldbench.runs.prepared import Prepared


def write_config(folder: Path, prepared: Prepared) -> None:
    """Writes `config.json`, which `load_job` reads. Files are written with their absolute paths."""
    job = prepared.job
    groups = {g: dataclasses.asdict(v) for g, v in job.groups.items()}
    for group, values in job.groups.items():
        groups[group] |= {name: str(path.resolve()) for name, path in named_files(values).items()}
    config = Config(
        world=job.world,
        model=job.model,
        preset=job.preset,
        seed=job.seed,
        given=job.given,
        plugins=[
            PluginFile(path=str(Path(p.path).resolve()), sha256=p.sha256, registers=list(p.registers))
            for p in job.plugins
        ],
        groups=groups,
        identity=prepared.identity,
        training=prepared.content,
        tuning=job.tuned,
    )
    write(folder / "config.json", config)


def saved_config(folder: Path) -> Config:
    """The `config.json` of a run folder. Raises InputError if the file is missing or cannot be read."""
    if not os.path.exists(folder / "config.json"):
        why = "it has no config.json" if os.path.isdir(folder) else "there is no such folder"
        why = "it is a file" if os.path.isfile(folder) else why
        raise InputError(f"{str(folder)!r} is not a run folder: {why}; name a folder that worldbench run printed")
    return read(folder / "config.json", Config)


def is_own(folder: Path, identity: Identity) -> bool:
    """True if the folder's `config.json` names this evaluation as the run's own. False also if the file cannot be
    read."""
    try:
        return saved_config(folder).identity == identity
    except InputError:
        return False


def load_job(folder: Path, changes: list[str], plugins: Sequence[Path] = ()) -> Job:
    """The job of a run folder, with changed evaluation options and changed paths of files.

    plugins: the plugin files named on the command line, including those of the run. Raises InputError for any other
    change, and if a file of the run is missing.
    """
    saved = saved_config(folder)
    loaded = run_plugins(folder, saved.plugins, plugins)
    register_metrics(changes, saved.groups.get("eval", {}))
    types_ = group_types(saved.world, saved.model)
    values = _values(folder / "config.json", saved, types_, loaded)
    movable = {f"--env.{name}": name for name in (file_options(types_["env"]) if "env" in types_ else ())}
    given = {word.split("=", 1)[0] for word in changes if word.startswith("--")}
    for option in sorted(given):
        if not option.startswith("--eval.") and option not in movable:
            where = f", and give the new path of a file that has moved: {' or '.join(movable)}" if movable else ""
            raise InputError(f"option {option} cannot be changed after training; you can change --eval options{where}")
    for option, name in movable.items():
        old = values["env"][name]
        if option not in given and Path(old).is_absolute() and not names_file(types_["env"], name, old):
            raise InputError(
                f"{str(folder)!r} needs the file {old!r}, which does not exist; give its new path: {option} FILE"
            )
    if "--eval.metrics" in given:  # saved metrics may come from a plugin that is not named now
        values["eval"]["metrics"] = ()
    _require_metrics(folder, values["eval"]["metrics"], saved.plugins)
    try:
        groups = {g: types_[g](**values[g]) for g in types_}
    except InputError as error:
        raise InputError(f"{str(folder / 'config.json')!r} cannot be used: {error}; {saved.remedy}") from error
    open_ = {g: types_[g] for g in ("env", "eval") if g in types_}
    groups |= parse_options(open_, {g: groups[g] for g in open_}, changes, "worldbench eval RUN")
    require_used(groups["eval"], changes)
    given_before = {
        option: value
        for option, value in saved.given.items()
        if not option.startswith("eval.") or hasattr(groups["eval"], option.removeprefix("eval."))
    }
    if "train" in groups:  # the rule `auto` gave another value when the run was made
        step = groups["train"].scored_step
        if chosen_step(dataclasses.replace(groups["train"], scored_step="auto"), groups["data"]).scored_step != step:
            given_before["train.scored_step"] = step
    return Job(saved.world, saved.model, saved.preset, saved.seed, groups, given_before, loaded, saved.tuning)


def _values(path: Path, saved: Config, types_: dict[str, type], loaded: Sequence[Plugin]) -> dict[str, dict[str, Any]]:
    """The saved options, each with the type that the world and the model need. Raises InputError.

    loaded: the plugins that were run. If a plugin of the run that registers metrics is not among them, its
    evaluation options are left out.
    """
    if types_.keys() != saved.groups.keys():
        has, wants = (", ".join(sorted(names)) or "nothing" for names in (saved.groups, types_))
        what = f"it has the option groups {has}, and {saved.model} in {saved.world} has {wants}"
        raise InputError(f"{str(path)!r} cannot be used: {what}; {saved.remedy}")
    groups = dict(saved.groups)
    there = {plugin.sha256 for plugin in loaded}
    if any(kind == "metric" for old in saved.plugins if old.sha256 not in there for kind, _ in old.registers):
        known = {f.name for f in dataclasses.fields(types_["eval"])}
        groups["eval"] = {name: value for name, value in groups["eval"].items() if name in known}
    try:
        return {group: from_json(group, cls, groups[group]) for group, cls in types_.items()}
    except InputError as error:
        raise InputError(f"{str(path)!r} cannot be used: {error}; {saved.remedy}") from error


def run_plugins(folder: Path, saved: list[PluginFile], named: Sequence[Path]) -> tuple[Plugin, ...]:
    """Runs the named plugin files of a run, if they are the files that the run was trained with.

    saved: the plugins that the run folder names. They are not run for this reason. A plugin that only registers
    metrics and figures may be left out, added or changed. Raises InputError, before any file is run, if a plugin of
    the run is not named or has changed.
    """
    sources = [read_plugin(path) for path in named]
    digests = {source.sha256 for source in sources}
    for old in saved:
        name = Path(old.path).name
        if not Plugin(old.path, old.sha256 or "", tuple(old.registers)).trains or old.sha256 in digests:
            continue
        changed = next((source for source in sources if source.path.name == name), None)
        if changed is not None and old.sha256 is None:  # older runs have no digest; their identity is compared later
            continue
        if changed is None:
            where = old.path if is_file(old.path) else name
            raise InputError(
                f"{str(folder)!r} was trained with the plugin {name}, and code that a run folder names is not run "
                f"automatically; name the file if you trust it: --plugin {shlex.quote(where)}"
            )
        raise InputError(
            f"the plugin {str(changed.path)!r} is not what {str(folder)!r} was trained with "
            f"(SHA-256 {str(old.sha256)[:8]}.. then, "
            f"{changed.sha256[:8]}.. now); name the original file, or run the command again with the new file"
        )
    loaded = tuple({plugin.sha256: plugin for plugin in (source.run() for source in sources)}.values())
    for plugin in loaded:
        known = {old.sha256 for old in saved} | {Path(old.path).name for old in saved if old.sha256 is None}
        if plugin.trains and not {plugin.sha256, plugin.name} & known:
            raise InputError(
                f"{str(folder)!r} was trained without the plugin {plugin.name}; only plugins that register nothing but "
                f"metrics and figures can be added later"
            )
    return loaded


def _require_metrics(folder: Path, names: Sequence[str], saved: list[PluginFile]) -> None:
    """Raises InputError if a metric of the run comes from a plugin that is not loaded. The error names the plugin."""
    for old in saved:
        for kind, name in old.registers:
            if kind == "metric" and name in names and name not in metrics.names():
                raise InputError(
                    f"{str(folder)!r} was scored with the metric {name!r} of the plugin {Path(old.path).name}; name it "
                    f"with --plugin {shlex.quote(old.path)}, or other metrics with --eval.metrics"
                )


def sorted_words(changes: list[str]) -> tuple[list[str], list[str]]:
    """The words of `changes` in two lists: evaluation options with their values, and options that say where files
    are."""
    evaluation: list[str] = []
    places: list[str] = []
    kept = evaluation
    for word in changes:
        if word.startswith("--"):
            kept = evaluation if word.startswith("--eval.") else places
        kept.append(word)
    return evaluation, places


def differences(old: dict[str, Any] | None, new: dict[str, Any]) -> str:
    """The differences between two contents of a training identity, in words. old: None if it is not known."""
    if old is None:
        return "another map, plugin, torch or numpy"
    before, now = _flat(old), _flat(clean(new))
    differ = [key for key in {**before, **now} if before.get(key) != now.get(key)]
    changes = [f"{key} was {before.get(key, 'not there')}, and is {now.get(key, 'not there')}" for key in differ[:3]]
    return "; ".join(changes) + ("; .." if len(differ) > 3 else "")


def _flat(content: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    out: dict[str, Any] = {}
    for key, value in content.items():
        out |= _flat(value, f"{prefix}{key}.") if isinstance(value, dict) else {f"{prefix}{key}": value}
    return out
