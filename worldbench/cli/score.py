"""`worldbench score WORLD --callable FILE.py:NAME` or `--hf FOLDER`: score a model that worldbench did not train."""

from __future__ import annotations

import argparse

from worldbench.cli import jobs
from worldbench.cli.parser import Parser
from worldbench.core.errors import InputError

LINE = "score your own model: a Python function from tokens to logits, or a Hugging Face model"
OF_HF = {"tokens": "--tokens", "device": "--device"}


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    parser.groups = ("env", "eval")
    parser.usage = (
        "worldbench score WORLD (--callable FILE.py:NAME | --hf FOLDER) [--batch-limit N] [--out FOLDER] "
        "[options below]"
    )
    parser.add_argument(
        "--callable", metavar="FILE.py:NAME",
        help="a function from tokens [B, T] to logits [B, T, V], or an nn.Module; also MODULE:NAME",
    )  # fmt: skip
    parser.add_argument(
        "--hf", metavar="FOLDER",
        help="a causal language model of Hugging Face: a folder with safetensors, or the name of a downloaded model",
    )  # fmt: skip
    parser.add_argument(
        "--tokens", metavar="HOW",
        help="with --hf: ids (the model has the ids of the world), words (the words are tokens of its tokenizer), or "
        "FILE.json with the token or id of each word (default: words if there is a tokenizer, else ids)",
    )  # fmt: skip
    parser.add_argument("--device", metavar="DEVICE", help="with --hf: cpu, cuda or auto (default auto)")
    parser.add_argument("--name", metavar="NAME", help="the name in tables (default: FILE.py:NAME, or hf:FOLDER)")
    parser.add_argument("--batch-limit", type=int, metavar="N", help="largest number of rows in one call of the model")
    parser.add_argument("--threads", type=int, default=1, metavar="N", help="CPU threads of torch (default 1)")
    jobs.add_settings(parser)
    jobs.add_common(parser)


def run(arguments: argparse.Namespace) -> int:
    """Score the model, write the result, print it."""
    if bool(arguments.callable) == bool(arguments.hf) and not arguments.help:
        what = "--callable FILE.py:FUNCTION, a function from tokens [B, T] to logits [B, T, V]"
        raise InputError(
            f"worldbench score needs {what}, or --hf FOLDER, a Hugging Face model"
            + ("; give one of them, not both" if arguments.hf else "")
        )
    for option, value in {"--batch-limit": arguments.batch_limit, "--threads": arguments.threads}.items():
        if value is not None and value < 1:
            raise InputError(f"{option} must be at least 1, not {value}")
    for option, word in OF_HF.items():
        if getattr(arguments, option) is not None and not arguments.hf and not arguments.help:
            raise InputError(f"{word} is for a model of --hf; leave {word} out with --callable")
    # The oracle is not trained, so only the options of the world and of the evaluation remain.
    job = jobs.job_of(arguments, "oracle")
    if job is None:
        return 0
    from worldbench.cli.ending import print_ending
    from worldbench.runs import own
    from worldbench.runs.display import Display
    from worldbench.runs.run import score

    display, rows = Display(quiet=arguments.quiet), arguments.batch_limit
    if arguments.hf:
        make = own.hugging_face_model(
            arguments.hf, arguments.tokens, rows, arguments.device or "auto", arguments.name
        )  # fmt: skip
    else:
        make = own.named_function(arguments.callable, rows, arguments.name)
    print_ending(score(job, make, arguments.out, display, threads=arguments.threads), display)
    return 0
