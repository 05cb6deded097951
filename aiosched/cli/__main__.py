"""`python -m aiosched.cli`: the command where its script is not on PATH."""

from __future__ import annotations

from aiosched.cli import main

if __name__ == "__main__":
    main()
