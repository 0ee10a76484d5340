"""`worldbench doctor`: every check finds what it looks for, and a check that fails, crashes or hangs is one line."""

from __future__ import annotations

import json
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from sample_machines import examined
from tiny_runs import changed

from worldbench.cli.main import main
from worldbench.core.errors import InputError, RunError
from worldbench.core.registry import models
from worldbench.records.doctor import Doctor, Finding
from worldbench.records.reading import read
from worldbench.studies.doctor import apart, card, checks, examination, machine, numbers, packages, tiny, training
from worldbench.studies.doctor.checks import Check, Outcome, made
from worldbench.studies.doctor.report import ending, line
from worldbench.training import arithmetic
from worldbench.training.trainer import Trainer

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(autouse=True)
def _settings_of_torch() -> Iterator[None]:
    threads, mode = torch.get_num_threads(), torch.get_deterministic_debug_mode()
    yield
    torch.set_num_threads(threads)
    torch.set_deterministic_debug_mode(mode)


def check(work: Any, **more: Any) -> Check:
    return Check("cpu", "it", work, "mend it", **more)


def stop(error: BaseException) -> Any:
    def work(*_: object) -> Outcome:
        raise error

    return work


# One check


def test_a_check_that_works() -> None:
    found = made(check(lambda: Outcome("so it is", values={"x": 1})))
    assert (found.where, found.name, found.state, found.text, found.values) == (
        "cpu",
        "it",
        "good",
        "so it is",
        {"x": 1},
    )


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (RuntimeError("\n  first \n second"), "RuntimeError: first"),
        (KeyError(), "KeyError"),
        (SystemExit("gone"), "SystemExit: gone"),
        (InputError("env.map is empty"), "env.map is empty"),
        (OSError("a\x1b[1m"), r"OSError: a\x1b[1m"),
    ],
)
def test_a_check_that_raises_is_one_line(error: BaseException, text: str) -> None:
    found = made(check(stop(error)))
    assert (found.state, found.text, found.remedy) == ("failed", text, "mend it")
    assert made(check(stop(error), optional=True)).state == "absent"


# The process of the checks


def test_a_crash_is_one_finding_and_the_other_checks_go_on() -> None:
    """The second check is one that the process does not know, at which it ends."""
    plan = [Check("machine", name, stop(AssertionError("not here")), "mend it") for name in ("memory", "no", "folders")]
    found = list(apart.findings(plan))
    assert [(f.name, f.state) for f in found] == [("memory", "good"), ("no", "failed"), ("folders", "good")]
    assert found[1].text == "the process ended with exit code 1 (KeyError: ('machine', 'no'))"


def test_a_check_that_hangs_is_one_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apart, "STARTING", 0.0)
    plan = [Check("machine", name, stop(AssertionError("not here")), limit=0.01) for name in ("memory", "folders")]
    assert [(f.state, f.text) for f in apart.findings(plan)] == [("failed", "not done after 0 s")] * 2


def test_after_an_error_of_cuda_a_new_process_makes_the_other_checks(monkeypatch: pytest.MonkeyPatch) -> None:
    starts = []

    def from_one_process(plan: Sequence[Check]) -> Iterator[Finding]:
        starts.append(len(plan))
        for c in plan:
            yield checks.failure(c, "RuntimeError: CUDA error: an illegal memory access was encountered", 0.0)
            return

    monkeypatch.setattr(apart, "_from_one_process", from_one_process)
    assert len(list(apart.findings([check(None)] * 3))) == 3
    assert starts == [3, 2, 1]


# The machine


def test_the_packages_are_the_dependencies() -> None:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["dependencies"]
    assert [package.name for package in packages.PACKAGES] == [word.split(">=")[0] for word in wanted]
    assert packages.missing() == []
    assert packages.versions().keys() == {package.name for package in packages.PACKAGES}


def test_a_package_that_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    real = packages._is_there
    for absent, state in (("osmnx", "absent"), ("scipy", "failed")):
        monkeypatch.setattr(packages, "_is_there", lambda name, absent=absent: name != absent and real(name))
        found = machine.versions()
        assert (found.state, absent in found.text, found.remedy.endswith(absent)) == (state, True, True)


def test_without_torch_nothing_is_checked(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(packages, "_is_there", lambda name: name != "torch")
    assert main(["doctor"]) == 1
    assert "not ready: torch cannot be found" in capsys.readouterr().err


def test_little_memory_is_a_failure(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    info = tmp_path / "meminfo"
    monkeypatch.setattr(machine, "MEMORY", info)
    assert machine.memory().text.startswith("not known")
    info.write_text("MemTotal: 4194304 kB\nMemAvailable: 1048576 kB\n")
    found = machine.memory()
    assert (found.state, found.text) == ("failed", "4.0 GiB, of which 1.0 GiB are free")


def test_a_folder_that_cannot_be_written_to(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "gone"))
    found = made(next(c for c in machine.checks() if c.name == "folders"))
    assert found.state == "failed"
    assert "TMPDIR" in found.remedy


@pytest.mark.pictures
def test_a_figure_is_drawn() -> None:
    assert machine.figures().values["png"] > 1000


@pytest.mark.parametrize(
    ("cuda", "driver", "error", "text", "remedy"),
    [
        (None, None, "", "no driver of NVIDIA is installed, and torch", "use a machine with a graphics card"),
        (None, "570.1", "", "is a build without CUDA, although the driver 570.1", "install a CUDA build of torch"),
        ("13.0", None, "Found no NVIDIA driver", "no driver of NVIDIA is installed (RuntimeError: Found", "install"),
        (
            "13.0",
            "470.1",
            "The NVIDIA driver on your system is too old",
            "the driver 470.1 is too old",
            "for CUDA 13.0",
        ),
        ("13.0", "570.1", "No CUDA GPUs are available", "No CUDA GPUs are available (driver 570.1", "nvidia-smi"),
    ],
)
def test_why_there_is_no_card(
    cuda: str | None, driver: str | None, error: str, text: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr(torch.version, "cuda", cuda)
    monkeypatch.setattr(torch.cuda, "init", stop(RuntimeError(error)))
    said = card.why_not(driver)
    assert text in said[0]
    assert remedy in said[1]
    for hides in ("", "-1"):
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", hides)
        assert ("hides every card" in card.why_not("570.1")[0], "unset" in card.why_not("570.1")[1]) == (True, True)


def test_a_card_that_does_not_answer_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    (of_cuda,) = card.checks()
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "get_device_properties", stop(RuntimeError("CUDA error: out of memory")))
    found = made(of_cuda)
    assert (found.state, found.text) == ("failed", "RuntimeError: CUDA error: out of memory")


# A device


@pytest.mark.parametrize("model", [entry.name for entry in models if entry.trained])
def test_a_step_of_every_objective(model: str) -> None:
    first, second = training.step("cpu", model).values["losses"]
    assert first.keys() == second.keys()
    assert all(0 < x < 10 for x in (*first.values(), *second.values()))


def test_a_loss_that_is_no_number_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Trainer, "step", lambda self, step: {"next_token": torch.tensor(float("nan"))})
    with pytest.raises(RunError, match="a loss is not a number: loss next_token nan"):
        training.step("cpu", "gpt")


def test_a_step_in_bf16_is_near_fp32(monkeypatch: pytest.MonkeyPatch) -> None:
    values = training.rounded("cpu", "bf16").values
    assert values["losses"] != values["fp32"]
    monkeypatch.setattr(training, "NEAR", 1e-9)
    with pytest.raises(RunError, match=r"loss next_token .* in bf16, and loss next_token .* in fp32"):
        training.rounded("cpu", "bf16")


@pytest.mark.slow
def test_a_resumed_training_writes_the_same_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    assert training.resume("cpu").text.startswith("stopped after step 3 of 6: the same bytes in")
    real, calls = tiny.job, []

    def job(*words: Any, **train: Any) -> Any:
        calls.append(words)
        return real(*words, **train, weight_decay=0.1 if len(calls) == 3 else 0.0)

    monkeypatch.setattr(tiny, "job", job)
    with pytest.raises(RunError, match=r"continued, .*step-00000006.safetensors"):
        training.resume("cpu")


@pytest.mark.slow
def test_drafted_continuations_are_those_of_plain_decoding() -> None:
    found = training.decode("cpu")
    assert found.values["rows"] > 8
    assert found.values["different"] == 0
    assert found.values["tokens"] > found.values["rows"]


def test_products_and_their_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(numbers, "SIZE", {"cpu": (256, 64, 64)})
    found = numbers.products("cpu")
    assert found.values["operations_per_second"]["fp32"] > 1e7
    assert found.values["products"] == arithmetic.resolve_products("auto", "cpu")
    assert f"train.products auto is {found.values['products']} here" in found.text
    assert numbers.bf16("cpu").state == "good"
    monkeypatch.setattr(torch, "mm", lambda a, b: (a @ b) * 1.001)
    with pytest.raises(RunError, match=r"a product in fp32 has a relative error of 0\.001"):
        numbers.products("cpu")


# The verb


@pytest.fixture
def no_processes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Each check finds something good; only CUDA is missing. Returns the devices that are checked."""
    where: list[str] = []

    def found(plan: Sequence[Check]) -> Iterator[Finding]:
        where.extend(dict.fromkeys(c.where for c in plan))
        for c in plan:
            state = "absent" if c.name == "cuda" else "good"
            yield checks.finding(c, Outcome("found", state, "" if state == "good" else "another machine"), 0.1)

    monkeypatch.setattr(examination, "findings", found)
    return where


def test_the_verb(no_processes: list[str], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "new" / "doctor.json"
    assert main(["doctor", "--out", str(path)]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[-1] == "ready"
    record = read(path, Doctor)
    assert len(lines) == len(record.findings) + 2
    assert {f.name for f in record.findings} > {
        "versions",
        "cuda",
        "step of bst",
        "save and resume",
        "decoding",
        "speed",
    }
    assert no_processes == ["machine", "cpu"]
    assert main(["doctor", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ready"] is True


def test_a_card_that_is_asked_for_and_is_not_there(no_processes: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--device", "cuda"]) == 1
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "not ready: 1 check failed",
        "cuda (machine): found; another machine",
    ]


def test_the_lines_of_findings() -> None:
    record = examined()
    assert line(record.findings[0]).split() == ["good", "cpu", "speed", "9", "tokens/s"]
    assert line(record.findings[1]).endswith("9 tokens/s. To do: use another machine")
    assert ending(record).splitlines()[0] == "not ready: 1 check failed"
    assert ending(changed(record, ready=True)) == "ready"


@pytest.mark.slow
def test_the_checks_of_a_card_stop_on_this_machine_without_one(tmp_path: Path) -> None:
    """`make gpu` makes all checks of the machine and of the CPU, and says why it stops."""
    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    command = [str(ROOT / ".ci" / "gpu"), sys.executable, str(tmp_path / "out")]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 3, done.stdout + done.stderr
    last = "make gpu stops here: the next step needs a CUDA device, and torch sees none (the reason is above)"
    assert done.stdout.splitlines()[-1] == last
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["doctor.json", "doctor.txt"]
    record = read(tmp_path / "out" / "doctor.json", Doctor)
    assert [f.name for f in record.findings if f.state == "failed"] == ["cuda"]
    assert record.environment is not None
    assert record.environment.torch == torch.__version__
    speed, compiled = record.of("speed", "cpu"), record.of("compile", "cpu")
    assert speed is not None
    assert speed.values["tokens_per_second"]["small"] > 10
    assert compiled is not None
    assert "torch.compile" in compiled.text
