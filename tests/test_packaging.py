"""The house rules, read off the sources, the wheel and fresh interpreters."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import tomllib
import zipfile
from functools import cache
from pathlib import Path

import pytest
from rooms import PACKAGES as ROOMS
from rooms import ROOT, sources

LONGEST_FILE = 350
HEAVY = ("torch", "osmnx", "scipy", "matplotlib", "networkx", "tyro")


@cache
def git_files() -> tuple[Path, ...]:
    """Files that git tracks or would be offered, relative to the root."""
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("not a git checkout, so there is no list of files to compare with")
    return tuple(
        path for path in sorted({Path(name) for name in done.stdout.split("\0") if name}) if (ROOT / path).is_file()
    )


def pyproject() -> dict:
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


# The wheel


@pytest.fixture(scope="session")
def wheel_names(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """What the wheel holds. Built from a copy of git's files, as build/ in the checkout may hold an older state; or
    $WORLDBENCH_WHEEL."""
    given = os.environ.get("WORLDBENCH_WHEEL")
    if given:
        wheel = Path(given)
    else:
        copy, out = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("wheel")
        for path in git_files():
            (copy / path).parent.mkdir(parents=True, exist_ok=True)
            (copy / path).write_bytes((ROOT / path).read_bytes())
        command = [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--no-index"),
            *("--wheel-dir", str(out), str(copy)),
        ]
        subprocess.run(command, check=True, cwd=out)
        (wheel,) = out.glob("*.whl")
    with zipfile.ZipFile(wheel) as archive:
        return archive.namelist()


@pytest.mark.slow
def test_wheel_holds_the_files_of_git_and_nothing_else(wheel_names: list[str]) -> None:
    expected = {
        "/".join([*ROOMS[path.parts[0]].split("."), *path.parts[1:]])
        for path in git_files()
        if path.parts[0] in ROOMS and path.suffix != ".md"  # notes for readers of the sources
    }
    held = {name for name in wheel_names if ".dist-info/" not in name and not name.endswith("/")}
    assert held == expected, (
        f"missing: {sorted(expected - held)}; too many: {sorted(held - expected)}; see "
        "[tool.setuptools] in pyproject.toml"
    )


@pytest.mark.slow
def test_wheel_has_one_top_level_name(wheel_names: list[str]) -> None:
    tops = {name.split("/")[0] for name in wheel_names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"worldbench"}
    assert any(name.endswith("licenses/LICENSE") for name in wheel_names)


def test_packages_listed_are_the_folders_with_python_files() -> None:
    settings = pyproject()["tool"]["setuptools"]
    assert settings["package-dir"] == {package: folder for folder, package in ROOMS.items()}
    folders = {path.parent for path in sources()}
    assert sorted(settings["packages"]) == sorted(
        ".".join([ROOMS[folder.parts[0]], *folder.parts[1:]]) for folder in folders
    )
    assert [str(folder) for folder in sorted(folders) if not (ROOT / folder / "__init__.py").is_file()] == []


def test_rooms_are_no_top_level_packages(tmp_path: Path) -> None:
    names = [room for room in ROOMS if room != "worldbench"]
    code = f"import importlib.util; print([n for n in {names} if importlib.util.find_spec(n)])"
    assert output(code, tmp_path) == "[]"


@pytest.mark.parametrize(
    "line",
    [
        "import envs",
        "import baselines.gpt",
        "from metrics import detours",
        "import figures",
        "import pickle",
        "import torch\n\ntorch.manual_seed(0)",
    ],
)
def test_ruff_refuses(line: str) -> None:
    pytest.importorskip("ruff")
    command = [
        *(sys.executable, "-m", "ruff", "check", "--select", "TID251", "--output-format", "concise"),
        *("--stdin-filename", "worldbench/some.py", "-"),
    ]
    done = subprocess.run(command, cwd=ROOT, input=f"{line}\n", capture_output=True, text=True)
    assert done.returncode == 1
    assert "TID251" in done.stdout


# Fresh interpreters


def output(code: str, folder: Path) -> str:
    """What `code` prints in a new interpreter, run in another folder than the checkout."""
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_command_line_starts_light(tmp_path: Path) -> None:
    assert output(f"import sys, worldbench.cli.main; print([n for n in {HEAVY} if n in sys.modules])", tmp_path) == "[]"


@pytest.mark.parametrize("package", sorted(ROOMS.values()))
def test_packages_import_light(package: str, tmp_path: Path) -> None:
    assert (
        output(f"import sys, {package}; print([n for n in {(*HEAVY, 'numpy')} if n in sys.modules])", tmp_path) == "[]"
    )


@pytest.mark.parametrize(
    "words",
    [
        "leaderboard RUNS", "compare nextlat gpt RUNS --columns effective_rank", "claims RUNS", "headroom RUNS",
        "validate RUNS", "ls", "run taxi --model nextlat --help", "run taxi --model bst --print-config",
    ],
)  # fmt: skip
def test_a_verb_that_needs_no_network_loads_no_torch(words: str, tmp_path: Path) -> None:
    argv = words.replace("RUNS", str(ROOT / "results" / "village-plan")).split()
    code = (
        f"import sys; from worldbench.cli.main import main; c = main({argv}); print(); print(c, 'torch' in sys.modules)"
    )
    assert output(code, tmp_path).splitlines()[-1] == "0 False"


# Habits


def test_files_are_short() -> None:
    tests = [path.relative_to(ROOT) for path in (ROOT / "tests").glob("*.py")]
    lengths = {str(path): len((ROOT / path).read_text(encoding="utf-8").splitlines()) for path in [*sources(), *tests]}
    assert {path: n for path, n in lengths.items() if n > LONGEST_FILE} == {}


FORBIDDEN = re.compile(
    r"import pickle|from pickle|torch\.load\(|np\.random\.seed"
    r"|numpy\.random\.seed|torch\.manual_seed\(|allow_pickle=True"
)


def test_no_pickle_and_no_global_seeds() -> None:
    found = [
        f"{path}:{i}"
        for path in sources()
        for i, line in enumerate((ROOT / path).read_text(encoding="utf-8").splitlines(), 1)
        if FORBIDDEN.search(line)
    ]
    assert found == []


OWN_PLACE = re.compile(rb"(?<![\w.~$}:/-])/(?:home|Users|root|work|workspace|workspaces|mnt|opt|srv)/[\w.]")


def test_no_file_names_a_place_of_one_machine() -> None:
    found = []
    for path in git_files():
        content = (ROOT / path).read_bytes()
        if b"\0" not in content:
            found += [f"{path}: {match.group().decode()}" for match in OWN_PLACE.finditer(content)]
    assert found == []


def test_versions_agree() -> None:
    import worldbench

    assert f"\nversion: {worldbench.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")


def test_every_dependency_is_pinned() -> None:
    project = pyproject()["project"]
    pins = {
        re.sub(r"[-_.]+", "-", line.split("==")[0]).lower()
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").split()
    }
    wanted = {
        re.split(r"[\[<>=!~; ]", line)[0].lower()
        for lines in (project["dependencies"], *project["optional-dependencies"].values())
        for line in lines
    }
    assert wanted - pins == {"worldbench"}, "the extra dev names other extras of worldbench itself"
