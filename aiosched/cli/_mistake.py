"""A user's mistake: one line on stderr, no traceback, exit code 2."""

from __future__ import annotations


class Mistake(Exception):
    """What the user wrote cannot be right; the message is the line that is shown."""
