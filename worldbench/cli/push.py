"""`worldbench push RUN`: publish a trained run on the Hugging Face hub, or only build the folder (`--dry-run`)."""

from __future__ import annotations

import argparse
from pathlib import Path

from worldbench.cli.parser import Parser
from worldbench.core.console import put_path
from worldbench.core.errors import InputError

LINE = "publish a trained run: weights, records, figures and a card with its scores"


def add_arguments(parser: Parser) -> None:
    """The options of the verb."""
    parser.add_argument("run", type=Path, metavar="RUN", help="the folder of a trained run")
    parser.add_argument(
        "--repo", metavar="OWNER/NAME", help="the repository on the Hugging Face Hub that receives the upload"
    )
    parser.add_argument("--license", metavar="NAME", help="the license of the weights, such as mit or apache-2.0")
    parser.add_argument("--private", action="store_true", help="if the upload creates the repository, make it private")
    parser.add_argument("--dry-run", action="store_true", help="build the folder, and upload nothing")
    parser.add_argument(
        "--out",
        type=Path,
        default=Path("push"),
        metavar="FOLDER",
        help="the folder in which the upload is built (default push)",
    )


def run(arguments: argparse.Namespace) -> int:
    """Build the folder, upload it, print its path and its address."""
    if not arguments.dry_run:
        for option in ("repo", "license"):
            if getattr(arguments, option) is None:
                raise InputError(f"an upload needs --{option}; --dry-run only builds the folder")
    from worldbench.runs.publish import build, require_hub, upload

    if not arguments.dry_run:
        require_hub(arguments.repo)  # before the work
    folder = build(arguments.run, arguments.out, arguments.license)
    put_path(folder)
    if not arguments.dry_run:
        print(upload(folder, arguments.repo, arguments.private))
    return 0
