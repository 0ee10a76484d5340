"""What a process that computes needs before torch is loaded."""

from __future__ import annotations

import os


def set_environment() -> None:
    """Set two environment variables that libraries read when they are loaded, where the user has not set them.

    GOMP_SPINCOUNT: the idle threads of libgomp spin by default, which makes two threads four to twenty times slower
    beside another busy process. CUBLAS_WORKSPACE_CONFIG: without it some CUDA operators do not repeat to the bit.
    """
    os.environ.setdefault("GOMP_SPINCOUNT", "0")
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
