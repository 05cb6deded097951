"""How hard the laws are tried: a bounded set each time, more on demand (``nox -s laws``)."""

from __future__ import annotations

import os

EFFORT = float(os.environ.get("AIOSCHED_EFFORT", "0.2"))
"""1: as often as the laws were tried while they were written."""


def examples(number: int) -> int:
    """Return how many of *number* examples to try."""
    return max(10, round(number * EFFORT))
