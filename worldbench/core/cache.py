"""The folder for files that are made or downloaded once and used again."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """$WORLDBENCH_CACHE, else $XDG_CACHE_HOME/worldbench, else ~/.cache/worldbench."""
    if own := os.environ.get("WORLDBENCH_CACHE"):
        return Path(os.path.expanduser(own))
    if shared := os.environ.get("XDG_CACHE_HOME"):
        return Path(os.path.expanduser(shared)) / "worldbench"
    return Path(os.path.expanduser("~/.cache/worldbench"))
