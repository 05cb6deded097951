"""A number as an option's value."""

from __future__ import annotations

from aiosched.cli._mistake import Mistake


def count(text: str) -> int:
    """Return the whole number that *text*, the value of ``-n``, is.

    Raises:
        Mistake: It is none.
    """
    try:
        return int(text)
    except ValueError:
        raise Mistake(f"-n must be a whole number, got {text!r}") from None
