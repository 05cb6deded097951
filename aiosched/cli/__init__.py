"""The `aiosched` command; what it parses and draws with comes with the `cli` extra."""

from __future__ import annotations

import sys

_NEEDED = ("typer", "rich", "watchfiles")


def main() -> None:
    """Run the command line; without the `cli` extra say what to install, and exit with 2."""
    try:
        from aiosched.cli._app import run_app  # noqa: PLC0415 - needs the extra

        sys.exit(run_app(sys.argv[1:]))
    except ModuleNotFoundError as error:
        needed = (error.name or "").partition(".")[0]
        if needed not in _NEEDED:
            raise
        print(
            f"aiosched: the command line needs {needed}; "
            'install it with: pip install "aiosched-py[cli]"',
            file=sys.stderr,
        )
        sys.exit(2)
